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
from operators.records import Image

__all__ = ["Upscaler", "UpscalerOptions"]

_TRIAL = 16
"""Pixels of the picture that a network is tried on."""


@dataclass(frozen=True, slots=True)
class UpscalerOptions:
    """How crops are fed."""

    max_batch: int = 8
    """Most crops in one call of the network: bounds its memory."""

    def __post_init__(self) -> None:
        if self.max_batch < 1:
            raise ValueError(f"max_batch must be 1 or more, got {self.max_batch}")


class Upscaler:
    """An `Enhancer`: RGB uint8 crops of any size -> the same crops, `scale` times larger, in the same order."""

    def __init__(self, session: Session, options: UpscalerOptions) -> None:
        """Take a network `(n, c, h, w)` -> `(n, c, scale * h, scale * w)` on [0, 1]; raises ModelError for any other.

        Three channels are red, green and blue; one is grey. How many it has, and the scale, is found by a trial.
        """
        self.options = options
        self._session = session
        self._luma, self._scale = _kind(session)

    @property
    def scale(self) -> int:
        """How many times larger a crop becomes."""
        return self._scale

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that really runs."""
        return self._session.provider

    def __call__(self, crops: Sequence[Image], /) -> list[Image]:
        """Upscale; crops of equal size share a batch."""
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, crop in enumerate(crops):
            groups[crop.shape].append(i)
        upscale = self._upscale_luma if self._luma else self._upscale_rgb
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
        return np.rint(np.clip(output, 0, 1) * 255).astype(np.uint8)


def _kind(session: Session) -> tuple[bool, int]:
    """Whether a network reads grey, and its scale."""
    shapes = list(session.input_shapes.values())
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in {1, 3} or any(map(_fixed, shapes[0][2:])):
        raise ModelError(f"an enhancer should read pictures (n, 1 or 3, h, w) of any size, this network reads {shapes}")
    channels = 1 if shapes[0][1] == 1 else 3
    (output, *_) = session(np.zeros((1, channels, _TRIAL, _TRIAL), np.float32))
    scale = max(1, output.shape[-1] // _TRIAL)
    wanted = (1, channels, scale * _TRIAL, scale * _TRIAL)
    if output.shape != wanted:
        raise ModelError(
            f"an enhancer should make every picture as many times larger, this one made {output.shape} of "
            f"{(1, channels, _TRIAL, _TRIAL)}"
        )
    return channels == 1, scale


def _fixed(side: int | str | None) -> bool:
    return isinstance(side, int)


def _colour(small: Image, light: Image) -> Image:
    """Light `(H, W)` with the colours of a small picture `(h, w, 3)` in YCrCb, as RGB."""
    larger = cv2.resize(small, light.shape[::-1], interpolation=cv2.INTER_CUBIC)
    larger[..., 0] = light
    return np.asarray(cv2.cvtColor(larger, cv2.COLOR_YCrCb2RGB), np.uint8)
