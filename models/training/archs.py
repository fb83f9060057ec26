"""Network architectures: one trunk, and a linear head for each question.

`seresnet` is a small residual network (He et al., arXiv 1512.03385) with squeeze-and-excitation (Hu et al.,
arXiv 1709.01507), `cbamresnet` one with convolutional block attention (Woo et al., arXiv 1807.06521), `resnet` one
without either; sized for grey faces of 48 px. The others are torchvision's, made to read one grey channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from models.training.recipe import Model

__all__ = ["Network", "build"]


class Network(nn.Module):
    """Input `(n, 1, side, side)` float32 grey in [0, 1]; output the logits `(n, k)` of each head, in their order."""

    def __init__(self, trunk: nn.Module, channels: int, classes: Mapping[str, Sequence[str]], drop: float) -> None:
        super().__init__()
        self.trunk = trunk
        self.drop = nn.Dropout(drop)
        self.heads = nn.ModuleDict({name: nn.Linear(channels, len(labels)) for name, labels in classes.items()})
        self.frozen = False

    def freeze(self) -> None:
        """Let only the heads learn; the trunk stays as it is, what its batch norms know of the data included."""
        self.trunk.requires_grad_(False)  # noqa: FBT003 -- torch's own signature
        self.frozen = True

    def train(self, mode: bool = True) -> Network:  # noqa: FBT001, FBT002 -- torch's own signature
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.features(x)
        return tuple(head(features) for head in self.heads.values())

    def features(self, x: Tensor) -> Tensor:
        """What the heads read: `(n, channels)`."""
        return self.drop(self.trunk((x - 0.5) / 0.25))


def build(model: Model, classes: Mapping[str, Sequence[str]]) -> Network:
    """The network of a recipe, with random weights; `classes` of each head."""
    if model.arch in _GATES:
        trunk, channels = _resnet(model, _GATES[model.arch])
    else:
        trunk, channels = _torchvision(model.arch)
    return Network(trunk, channels, classes, model.drop)


class SqueezeExcite(nn.Module):
    """Rescale channels by a gate computed from their spatial means."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, inner, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class BlockAttention(nn.Module):
    """Rescale channels by their means and maxima, then places by those over the channels."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.shared = nn.Sequential(
            nn.Conv2d(channels, inner, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1),
        )
        self.places = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.sigmoid(self.shared(x.mean((2, 3), keepdim=True)) + self.shared(x.amax((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.places(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class _NoGate(nn.Identity):
    """All channels as they are."""


_GATES: Mapping[str, type[nn.Module]] = {"seresnet": SqueezeExcite, "cbamresnet": BlockAttention, "resnet": _NoGate}


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm, a gate and a shortcut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, gate: type[nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            gate(outputs),
        )
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else _projection(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
    return nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def _resnet(model: Model, gate: type[nn.Module]) -> tuple[nn.Module, int]:
    channels = model.stem
    layers: list[nn.Module] = [
        nn.Conv2d(1, channels, 3, 1, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    ]
    for width, depth in zip(model.widths, model.blocks, strict=True):
        for i in range(depth):
            layers.append(Block(channels, width, stride=2 if i == 0 else 1, gate=gate))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels


def _torchvision(arch: str) -> tuple[nn.Module, int]:
    from torchvision import models  # noqa: PLC0415 -- the residual networks do without it

    if arch == "resnet50":
        net = models.resnet50()
        channels = net.fc.in_features
        net.conv1 = nn.Conv2d(1, 64, 3, 1, 1, bias=False)  # of a face of 48 px, 7x7 / 2 and a pool would leave 12
        net.maxpool, net.fc = nn.Identity(), nn.Identity()
        return net, channels
    if arch == "mobilenet_v3":
        # At torchvision's momentum of 0.01 the first variance, 1, outweighs that of depthwise layers for 1,000 batches.
        net = models.mobilenet_v3_large(norm_layer=partial(nn.BatchNorm2d, eps=0.001, momentum=0.1))
    else:
        net = models.efficientnet_b0()
    first = net.features[0][0]
    net.features[0][0] = nn.Conv2d(1, first.out_channels, 3, 1, 1, bias=False)
    channels = net.classifier[0 if arch == "mobilenet_v3" else 1].in_features
    net.classifier = nn.Identity()
    return net, channels
