"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from operators.units import parse_duration

__all__ = ["ConfigOption", "PlainOption", "RetentionOption", "seconds"]


def seconds(text: str) -> float:
    """A duration of the command line; typer shows a ValueError as wrong usage."""
    return parse_duration(text)


ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.", metavar="FILE")]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="Plain lines instead of the live screen, as without a terminal.")
]
RetentionOption = Annotated[
    float,
    typer.Option(
        parser=seconds, metavar="DURATION", help="Delete files of the recording so long after they were made."
    ),
]
