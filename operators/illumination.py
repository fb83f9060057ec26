"""Even out the light on a face before it is read.

Homomorphic filtering (Oppenheim, Schafer and Stockham, 1968): a picture is light times reflectance, so in the logarithm
the slow part is mostly light and the rest mostly the face. Both steps work on luma and keep the colours. On FER+
PublicTest (3,553 faces, `tests/benchmarks/illumination.py`) exposure correction adds 1.0 point on dark faces and 0.2 on
clean and bright ones, so it is on; homomorphic filtering costs up to 1.0 and helps nowhere, side light included: off.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from operators.records import Floats, Image

__all__ = ["Illumination"]


@dataclass(frozen=True, slots=True)
class Illumination:
    """Normalises the light of face crops."""

    homomorphic: bool = False
    """Flatten light that falls from one side."""
    exposure: bool = True
    """Brighten under-exposed and darken over-exposed faces."""
    cutoff: float = 0.25
    """Blur that separates light from face, as a share of the crop's side."""
    light: float = 0.5
    """Share of the contrast of the light that is kept; 1 changes nothing."""
    dark: float = 70
    """Mean luma, of 255, below which a face is brightened to it."""
    bright: float = 185
    """Mean luma, of 255, above which a face is darkened to it."""

    def __post_init__(self) -> None:
        if not 0 < self.cutoff <= 1:
            raise ValueError(f"expected a cutoff above 0 and up to 1, got {self.cutoff:g}")
        if not 0 <= self.light <= 1:
            raise ValueError(f"expected a light share from 0 to 1, got {self.light:g}")
        if not 0 < self.dark <= self.bright < 255:
            raise ValueError(f"expected 0 < dark <= bright < 255, got {self.dark:g} and {self.bright:g}")

    def normalise(self, crop: Image) -> Image:
        """The crop `(h, w, 3)` under even light; the crop itself where there is nothing to do."""
        if not (self.homomorphic or self.exposure):
            return crop
        before = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
        luma = self._flatten(before) if self.homomorphic else before
        luma = self._expose(luma) if self.exposure else luma
        gain = (luma + 1) / (before + 1)
        return np.clip(np.round(crop * gain[:, :, None]), 0, 255).astype(np.uint8)

    def _flatten(self, luma: Floats) -> Floats:
        """Compress the slow part of the log luma around its mean, keeping the mean."""
        log = np.log1p(luma)
        slow = cv2.GaussianBlur(log, (0, 0), self.cutoff * min(luma.shape), borderType=cv2.BORDER_REPLICATE)
        flat = log - (1 - self.light) * (slow - slow.mean())
        flattened: Floats = np.clip(np.expm1(flat), 0, 255).astype(np.float32)
        return flattened

    def _expose(self, luma: Floats) -> Floats:
        """The gamma that brings the mean of a badly exposed face to the nearest bound."""
        mean = float(np.clip(luma.mean(), 1, 254))
        target = min(max(mean, self.dark), self.bright)
        gamma = np.log(target / 255) / np.log(mean / 255)
        return (255 * (luma / 255) ** np.float32(gamma)).astype(np.float32, copy=False)
