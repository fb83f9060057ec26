"""Which reader opens which address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from connectors.camera import StreamSettings
from connectors.source import Source

__all__ = ["open_source"]


def open_source(settings: StreamSettings) -> Source:
    """Open whatever `settings.url` names; raises SourceError with a classified cause.

    Files and directories give their pictures as fast as they are asked for, with `pts` in seconds from the start.
    """
    return _OPENERS[settings.scheme](settings)


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
