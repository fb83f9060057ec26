"""Whether a frame is worth looking at: something moved in a small grey thumbnail, or `floor` has passed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.records import Image
from operators.units import Seconds

__all__ = ["MotionGate", "MotionState"]

_WIDTH = 160
"""Thumbnail width in pixels: a face of 16 px in a picture 1280 wide still covers two by two."""


@dataclass(frozen=True, slots=True, eq=False)
class MotionState:
    """The thumbnail `(h, w)` of the last frame that was looked at, and its time."""

    thumbnail: NDArray[np.uint8]
    ts: float


@dataclass(frozen=True, slots=True)
class MotionGate:
    """Lets frames pass in which something moved. What stands still is looked at once per `floor`."""

    enabled: bool = False
    """Skip frames in which nothing moved; every frame is analysed while this is off."""
    floor: Seconds = 1.0
    """Longest time without a look, whether or not anything moved."""
    threshold: int = 12
    """Change of brightness, of 255 levels, from which a pixel of the thumbnail has moved."""
    area: float = 0.0005
    """Share of the thumbnail's pixels that must have moved."""

    def __post_init__(self) -> None:
        if self.floor < 0:
            raise ValueError(f"expected a floor of at least 0s, got {self.floor:g}s")
        if not 0 <= self.threshold <= 255:
            raise ValueError(f"expected a threshold from 0 to 255, got {self.threshold}")
        if not 0 <= self.area <= 1:
            raise ValueError(f"expected an area from 0 to 1, got {self.area:g}")

    def step(self, state: MotionState | None, image: Image, *, ts: float) -> tuple[MotionState | None, bool]:
        """Whether to look at the frame. The comparison is with the last frame looked at, so slow motion adds up."""
        if not self.enabled:
            return None, True
        thumbnail = _thumbnail(image)
        if state is not None and 0 <= ts - state.ts < self.floor and not self._moved(state.thumbnail, thumbnail):
            return state, False
        return MotionState(thumbnail, ts), True

    def _moved(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
        if before.shape != after.shape:
            return True
        changed = np.count_nonzero(cv2.absdiff(before, after) > self.threshold)
        return bool(changed > self.area * after.size)


def _thumbnail(image: Image) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    narrow = min(_WIDTH, width)
    small = cv2.resize(image, (narrow, max(1, round(height * narrow / width))), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
