"""What every source of pictures is; `connectors/schemes.py` opens one by its address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from operators.records import Image

__all__ = ["Facts", "Picture", "Source"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source says of itself when opened; 0 stands for unknown."""

    codec: str
    width: int
    height: int
    fps: float
    frames: int = 0
    """Pictures in a file or directory."""
    live: bool = False
    """The source keeps its own pace. Others are read as fast as one asks: whoever plays them waits for `pts`."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture with its raw times; `rgb()` converts it to `(H, W, 3)` uint8 RGB, only where wanted.

    `pts` is seconds on the stream's own clock, or None if it has none; `sender` the camera's wall clock for this
    picture and `received` ours, both in seconds since the Unix epoch; `lost` counts undecodable pictures before it.
    """

    pts: float | None
    rgb: Callable[[], Image]
    received: float
    sender: float | None = None
    lost: int = 0


class Source(Protocol):
    """An open stream of pictures. Iterating raises SourceError when it breaks and ends where a file does."""

    @property
    def facts(self) -> Facts:
        """Known since opening."""
        ...

    def __iter__(self) -> Iterator[Picture]: ...

    def close(self) -> None:
        """Let go of whatever is open."""
        ...
