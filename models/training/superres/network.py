"""A compact network that enlarges the grey channel of small faces.

All convolutions run at the size of the small picture and the last is rearranged into pixels (Shi et al., arXiv
1609.05158), as in the compact networks of Real-ESRGAN (Wang et al., arXiv 2107.10833). It adds to the bilinear
enlargement, and its last layer begins at zero: untrained, it is the bilinear enlargement.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.training.superres.recipe import LumaShape

__all__ = ["LumaNet", "resize"]


class LumaNet(nn.Module):
    """`(n, 1, h, w)` grey in [0, 1] -> `(n, 1, scale * h, scale * w)`, not clipped."""

    def __init__(self, shape: LumaShape) -> None:
        super().__init__()
        self.scale = shape.scale
        width = shape.features
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(shape.convs):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        last = nn.Conv2d(width, shape.scale**2, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(*layers, last, nn.PixelShuffle(shape.scale))

    def forward(self, x: Tensor) -> Tensor:
        larger = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return larger + self.body((x - 0.5) / 0.25)


def resize(x: Tensor, side: int) -> Tensor:
    """Square pictures `(n, 1, s, s)` at another side, as OpenCV does it before the classifier; differentiable."""
    if x.shape[-1] == side:
        return x
    with torch.autocast(x.device.type, enabled=False):  # grey values would be rounded to 8 bits
        weights = torch.from_numpy(_weights(x.shape[-1], side)).to(x.device)
        return weights @ x.float() @ weights.T


@cache
def _weights(from_: int, to: int) -> np.ndarray:
    """`(to, from_)`: how OpenCV weighs a row of pixels, by area where it shrinks and linearly where it enlarges."""
    way = cv2.INTER_AREA if to < from_ else cv2.INTER_LINEAR
    return cv2.resize(np.eye(from_, dtype=np.float32), (from_, to), interpolation=way)
