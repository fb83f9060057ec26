"""What commands print and write: tables whole wherever they go, progress only where somebody sees it move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.errors import SinkError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress, ProgressColumn
    from rich.table import Table

__all__ = ["counted", "print_table", "progress_bar", "write_file"]

_WIDE = 1000
"""Columns of a file or a pipe, which fold nothing: what reads it wants one line a row."""


def counted(number: int, what: str) -> str:
    """`1 place`, `2 places`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def print_table(table: Table) -> None:
    """Print a table: on a terminal within its width, and into a file or a pipe one line for every row."""
    from rich.console import Console

    for column in table.columns:
        column.overflow = "fold"  # half a name is of no use
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A bar on stderr that leaves nothing behind."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def write_file(path: Path, data: bytes) -> None:
    """Write a file that was asked for; raises SinkError in one line where that can't be done."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SinkError(f"can't write {path}: {error.strerror}", retryable=False) from error
