"""All input and output with the world, one file per system."""
