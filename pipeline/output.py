"""The file that a command writes while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from operators.errors import SinkError

__all__ = ["output_file"]


@contextmanager
def output_file(path: Path | None) -> Iterator[BinaryIO | None]:
    """A file to write to, if named; raises SinkError, also where a full disk is told only when closing."""
    if path is None:
        yield None
        return
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise SinkError(f"can't write {path}: {error.strerror}", retryable=False) from error
