"""Where pictures come from. `open_source` picks the reader by the address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from connectors.camera import StreamSettings
from operators.errors import Cause, SourceError
from operators.records import Image

__all__ = ["Facts", "Picture", "Source", "open_source"]


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


def open_source(settings: StreamSettings) -> Source:
    """Open whatever `settings.url` names; raises SourceError with a classified cause.

    Files and directories give their pictures as fast as they are asked for, with `pts` in seconds from the start.
    """
    opener = _OPENERS.get(settings.scheme)
    if opener is None:
        raise SourceError(
            f"expected one of {', '.join(sorted(_OPENERS))}://, a file or a directory, got {settings.shown}",
            cause=Cause.NOT_FOUND,
        )
    return opener(settings)


# PyAV, OpenCV and the scene's drawing library load only where such a source is opened.
def _video(settings: StreamSettings) -> Source:
    from connectors.video import VideoSource  # noqa: PLC0415

    return VideoSource(settings)


def _path(settings: StreamSettings) -> Source:
    from connectors.images import ImageSource  # noqa: PLC0415

    folder = Path(settings.url.removeprefix("file://")).is_dir()
    return ImageSource(settings) if folder else _video(settings)


def _scene(settings: StreamSettings) -> Source:
    from connectors.scene import SceneSource  # noqa: PLC0415

    return SceneSource(settings)


_OPENERS: Mapping[str, Callable[[StreamSettings], Source]] = MappingProxyType(
    {"rtsp": _video, "rtsps": _video, "http": _video, "https": _video, "file": _path, "scene": _scene}
)
