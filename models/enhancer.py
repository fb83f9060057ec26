"""Enlarges small faces with a compact network of the Real-ESRGAN family (Wang et al., arXiv 2107.10833).

The official networks take all three colours and draw what is plausible, not what was there: they are for people's eyes.
The project's own takes the grey channel only, which is all that the classifier reads, and was taught by what the
classifier makes of it; the colours are enlarged beside it. docs/super-resolution.md says which faces gain by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from models.session import Session
from operators.errors import ModelError
from operators.records import Floats, Image

__all__ = ["Upscaler", "UpscalerOptions"]


@dataclass(frozen=True, slots=True)
class UpscalerOptions:
    """How crops are fed."""

    scale: int = 4
    """How many times larger the network's output is."""
    luma: bool = False
    """The network takes one grey channel, not red, green and blue."""
    max_batch: int = 8
    """Most crops in one call of the network: bounds its memory."""

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise ValueError(f"scale must be 1 or more, got {self.scale}")
        if self.max_batch < 1:
            raise ValueError(f"max_batch must be 1 or more, got {self.max_batch}")


class Upscaler:
    """An `Enhancer`: RGB uint8 crops of any size -> the same crops, `scale` times larger, in the same order."""

    def __init__(self, session: Session, options: UpscalerOptions) -> None:
        self.options = options
        self._session = session

    @property
    def scale(self) -> int:
        """How many times larger a crop becomes."""
        return self.options.scale

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that really runs."""
        return self._session.provider

    def __call__(self, crops: Sequence[Image], /) -> list[Image]:
        """Upscale; crops of equal size share a batch."""
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, crop in enumerate(crops):
            groups[crop.shape].append(i)
        upscale = self._upscale_luma if self.options.luma else self._upscale_rgb
        results: dict[int, Image] = {}
        for indices in groups.values():
            for start in range(0, len(indices), self.options.max_batch):
                some = indices[start : start + self.options.max_batch]
                results.update(zip(some, upscale([crops[i] for i in some]), strict=True))
        return [results[i] for i in range(len(crops))]

    def _upscale_rgb(self, crops: Sequence[Image]) -> list[Image]:
        """Upscale crops of one size."""
        larger = self._run(np.stack(crops).transpose(0, 3, 1, 2))
        return list(np.ascontiguousarray(larger.transpose(0, 2, 3, 1)))

    def _upscale_luma(self, crops: Sequence[Image]) -> list[Image]:
        """Upscale crops of one size: the network draws the light, what it adds to it is grey."""
        split = np.stack([cv2.cvtColor(crop, cv2.COLOR_RGB2YCrCb) for crop in crops]).astype(np.uint8, copy=False)
        light = self._run(split[:, None, ..., 0])[:, 0]
        return [_colour(small, large) for small, large in zip(split, light, strict=True)]

    def _run(self, batch: Image) -> Image:
        """Bytes `(n, c, h, w)` -> bytes `(n, c, scale * h, scale * w)`."""
        (output,) = self._session(batch.astype(np.float32) / np.float32(255))
        expected = tuple(side * self.scale for side in batch.shape[2:])
        if output.shape[2:] != expected:
            raise ModelError(
                f"the enhancer should turn {batch.shape[2:]} pixels into {expected}, it made {output.shape[2:]}: "
                "set its scale"
            )
        return _to_bytes(output)


def _colour(small: Image, light: Image) -> Image:
    """Light `(H, W)` with the colours of a small picture `(h, w, 3)` in YCrCb, as RGB."""
    larger = cv2.resize(small, light.shape[::-1], interpolation=cv2.INTER_CUBIC)
    larger[..., 0] = light
    return np.asarray(cv2.cvtColor(larger, cv2.COLOR_YCrCb2RGB), np.uint8)


def _to_bytes(light: Floats) -> Image:
    return np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)
