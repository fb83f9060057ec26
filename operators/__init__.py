"""Pure operators: values in, values out. No I/O, clock, log, thread, network or randomness."""
