"""Wiring: the only folder that knows everybody."""
