"""A directory of pictures as a stream: sorted by name, one per analysis interval."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from connectors.camera import StreamSettings
from connectors.source import Facts, Picture
from operators.errors import Cause, SourceError
from operators.records import Image

__all__ = ["ImageSource", "read_image"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def read_image(path: Path) -> Image:
    """A picture file as `(H, W, 3)` RGB; raises SourceError where it can't be read."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", cause=Cause.NOT_FOUND) from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    if image is None:
        raise SourceError(f"cannot decode {path}: expected a JPEG, PNG, BMP, WebP or TIFF", cause=Cause.CODEC)
    return image.astype(np.uint8, copy=False)


class ImageSource:
    """The pictures of one directory."""

    def __init__(self, settings: StreamSettings) -> None:
        folder = Path(settings.url.removeprefix("file://"))
        self._paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        self._interval, self._loop = 1 / settings.fps, settings.loop
        if not self._paths:
            raise SourceError(f"no pictures in {folder}: expected {', '.join(sorted(SUFFIXES))}", cause=Cause.NOT_FOUND)
        height, width, _ = read_image(self._paths[0]).shape
        self.facts = Facts("pictures", width, height, settings.fps, frames=len(self._paths))

    def __iter__(self) -> Iterator[Picture]:
        index = 0
        while self._loop or index < len(self._paths):
            read = partial(read_image, self._paths[index % len(self._paths)])
            yield Picture(index * self._interval, read, time.time())
            index += 1

    def close(self) -> None:
        """Nothing is held open."""
