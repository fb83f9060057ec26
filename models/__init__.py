"""Models got by name from the registry; touches disk and network for weights only."""
