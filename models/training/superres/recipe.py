"""Recipes of super-resolution: the network, what distance does to a face, and what a wrong pixel or answer costs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from models.training.recipe import Augment, Count, Plan, Section, Share

__all__ = ["Distance", "Losses", "LumaShape", "SuperRecipe"]

Weight = Annotated[float, msgspec.Meta(ge=0)]


class LumaShape(Section):
    """A compact network on one grey channel."""

    scale: Literal[2, 4] = 4
    """How many times larger a picture becomes."""
    features: Count = 32
    """Channels of each convolution."""
    convs: Count = 8
    """Convolutions between the first and the last; all of them run at the size of the small picture."""


class Distance(Section):
    """What becomes of a face on its way through a camera, at the size at which the camera sees it."""

    smallest: Annotated[int, msgspec.Meta(ge=4)] = 10
    """Pixels of the smallest face; as many faces are drawn between 10 and 20 px as between 20 and 40."""
    largest: Annotated[int, msgspec.Meta(ge=4)] = 32
    """Pixels of the largest."""
    blur: Share = 0.5
    """Share that is blurred before it is shrunk."""
    noise: Share = 0.3
    """Share with sensor noise."""
    jpeg: Share = 0.5
    """Share that is JPEG-compressed, at a quality of 30 to 95."""
    h264: Share = 0.1
    """Share that is H.264-compressed, at a constant rate factor of 23 to 38."""

    def __post_init__(self) -> None:
        """Refuse a reversed range."""
        self.spanning("smallest", "largest")


class Losses(Section):
    """Weights of what is to become small; all but the first need a classifier (`--teacher RUN`)."""

    pixel: Weight = 1.0
    """Mean Charbonnier distance of the grey values, in [0, 1] (Lai et al., arXiv 1710.01992)."""
    answer: Weight = 0.0
    """KL divergence of the answer on the enlarged face from the teacher's on the undegraded one, over all heads."""
    label: Weight = 0.0
    """Cross-entropy of the answer of the first head on the enlarged face and the labels."""
    features: Weight = 0.0
    """Cosine distance of the features on the enlarged face from the teacher's on the undegraded one."""


class SuperRecipe(Plan, kw_only=True):
    """The training of what stands between a small face and its classifier, of the classifier itself, or of both."""

    task: Literal["superres"] = "superres"
    shape: LumaShape | None = LumaShape()
    """The network; null: bilinear enlargement, which only makes sense with `tune`."""
    tune: bool = False
    """Train the classifier too; without, it is frozen and only teaches."""
    enhancer: str | None = None
    """A model of the registry, such as an official Real-ESRGAN, that enlarges before the network does."""
    side: Annotated[int, msgspec.Meta(ge=16, le=256)] = 48
    """Pixels of the undegraded face: 48 for FER2013, 112 for faces112."""
    losses: Losses = Losses()
    distance: Distance = Distance()
    augment: Augment = Augment()
    """How the undegraded face is varied; its `degrade`, `jitter` and `mixup` do not apply."""

    def network(self) -> object:
        """Shape of the network; with a classifier or without."""
        return self.shape, self.reads()

    def reads(self) -> bool:
        """Whether a classifier takes part."""
        return self.tune or bool(self.losses.answer or self.losses.label or self.losses.features)
