"""The dead-letter boundary: whatever is wrong with one record, or one sink, must not stop the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["attempt", "told"]

P = ParamSpec("P")
T = TypeVar("T")


def attempt(work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | Exception:
    """What `work` returns for these arguments, or what it raises: the dead-letter boundary.

    Whatever is wrong with one record must not stop the others. This is the only place of the runtimes that
    catches everything; who calls it buries the record, or lets the process end.
    """
    try:
        return work(*args, **options)
    except Exception as error:  # noqa: BLE001 -- the dead-letter boundary
        return error


def told(error: Exception) -> str:
    """The reason that a dead letter names."""
    return f"{type(error).__name__}: {error}"
