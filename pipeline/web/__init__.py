"""The web console of `mien run`: pages, and the HTTP API behind them."""
