"""Network architectures.

`SEResNet` is a small residual network (He et al., arXiv 1512.03385) with squeeze-and-excitation (Hu et al.,
arXiv 1709.01507), sized for 48x48 grey faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.training.data import FER2013, FERPLUS


class SqueezeExcite(nn.Module):
    """Rescale channels by a gate computed from their spatial means."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // reduction, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class SEBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, a channel gate and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcite(outputs),
        )
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else _projection(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
    return nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class SEResNet(nn.Module):
    """Shared trunk with an 8-class (FER+) and a 7-class (FER2013) head.

    Input `(n, 1, 48, 48)` float32 grey in [0, 1]; output two logit tensors `(n, 8)` and `(n, 7)`.
    """

    def __init__(
        self, widths: Sequence[int] = (32, 64, 128, 192), blocks: Sequence[int] = (1, 2, 2, 1), drop: float = 0.3
    ) -> None:
        super().__init__()
        stem = 24
        layers: list[nn.Module] = [nn.Conv2d(1, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)]
        channels = stem
        for width, depth in zip(widths, blocks, strict=True):
            for i in range(depth):
                layers.append(SEBlock(channels, width, stride=2 if i == 0 else 1))
                channels = width
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(drop))
        self.ferplus = nn.Linear(channels, len(FERPLUS))
        self.fer2013 = nn.Linear(channels, len(FER2013))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk((x - 0.5) / 0.25)
        return self.ferplus(features), self.fer2013(features)
