"""Is the picture still alive? Frozen: not one sampled pixel changes. Black: all sampled pixels are alike. Pure.

Looks at a grid of single pixels, not at a shrunk picture: averaging would hide the sensor noise that tells a quiet
room from a repeated picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.records import GapReason, Image

__all__ = ["Stillness", "sample"]

ROWS, COLUMNS = 36, 64
FROZEN_LEVELS = 0.05
"""Mean change in grey levels below which two pictures are the same picture."""
BLACK_SPREAD = 8.0
"""Levels between the 2nd and 98th percentile below which a picture shows nothing."""


def sample(image: Image) -> NDArray[np.float32]:
    """A grid of grey pixels of `(H, W, 3)`: at most 36 x 64 of them, untouched by their neighbours."""
    rows = np.linspace(0, image.shape[0] - 1, min(ROWS, image.shape[0])).astype(np.intp)
    columns = np.linspace(0, image.shape[1] - 1, min(COLUMNS, image.shape[1])).astype(np.intp)
    grey: NDArray[np.float32] = image[np.ix_(rows, columns)].mean(axis=2, dtype=np.float32)
    return grey


class Stillness:
    """Watches one camera: `reason(grey, ts)` is FROZEN or BLACK once that has lasted long enough."""

    def __init__(self, *, frozen_after: float, black_after: float) -> None:
        self._frozen_after, self._black_after = frozen_after, black_after
        self._grey: NDArray[np.float32] | None = None
        self._changed = self._seen = float("-inf")

    def reason(self, grey: NDArray[np.float32], ts: float) -> GapReason | None:
        """What is wrong with the picture sampled at `ts`, or None."""
        last = self._grey
        if last is None or last.shape != grey.shape or float(np.abs(grey - last).mean()) > FROZEN_LEVELS:
            self._grey, self._changed = grey, ts
        low, high = np.percentile(grey, (2, 98))
        if last is None or high - low >= BLACK_SPREAD:
            self._seen = ts
        if ts - self._seen >= self._black_after:
            return GapReason.BLACK
        return GapReason.FROZEN if ts - self._changed >= self._frozen_after else None
