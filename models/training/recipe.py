"""Recipes: everything that decides a training run, read from a YAML file.

`Plan` is what every training needs; each task adds what is its own. `Recipe` is that of a classifier.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from operators.errors import ConfigError

__all__ = [
    "Augment",
    "Degrade",
    "Head",
    "Model",
    "Optimizer",
    "Plan",
    "Recipe",
    "Schedule",
    "Section",
    "read_recipe",
    "read_task",
    "write_recipe",
]

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a recipe; a key that nobody knows is a mistake."""

    def rising(self, *names: str) -> None:
        """Raise ValueError, which msgspec adds the place to, where one of these doesn't go from small to large."""
        for name in names:
            values = getattr(self, name)
            if values is not None and list(values) != sorted(values):
                raise ValueError(f"`{name}` should go from the smallest to the largest, got {list(values)}")

    def spanning(self, smallest: str, largest: str) -> None:
        """Raise ValueError where the field `smallest` is above `largest`."""
        low, high = getattr(self, smallest), getattr(self, largest)
        if low > high:
            raise ValueError(f"`{smallest}` should be no more than `{largest}`, got {low} and {high}")


class Head(Section):
    """One question that the network answers, and how wrong answers cost.

    Its classes come from the data: `ferplus`, `fer2013` and `intensity` of the npz file, `label` of a folder.
    """

    weight: Positive = 1.0
    """Of this loss among those of all heads."""
    hard: bool = False
    """Learn the class that most raters named, not how their votes are spread: cross-entropy, not KL divergence."""
    smoothing: Share = 0.0
    """Label smoothing: how much of each target is spread over all classes."""
    focal: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Focal exponent gamma (Lin et al., arXiv 1708.02002): faces that are read well count less; 0 = cross-entropy."""
    adjust: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Logit adjustment tau (Menon et al., arXiv 2007.07314): rare classes have to win by more while training."""
    effective: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """Class weights by the effective number of samples (Cui et al., arXiv 1901.05555), 0.999 for instance; 0 = none."""


class Model(Section):
    """The network: `mien train --help` lists the architectures."""

    arch: Literal["seresnet", "cbamresnet", "resnet", "mobilenet_v3", "efficientnet_b0", "resnet50"] = "seresnet"
    stem: Count = 24
    """Channels of the first convolution (the residual networks only, as the next two)."""
    widths: tuple[int, ...] = (32, 64, 128, 192)
    """Channels of each stage; each halves the picture."""
    blocks: tuple[int, ...] = (1, 2, 2, 1)
    """Blocks of each stage."""
    drop: Share = 0.3
    """Dropout before the heads."""


class Degrade(Section):
    """What distance and a camera do to a face."""

    share: Share = 0.4
    """Of the training faces that are degraded; the other figures are about those."""
    smallest: Annotated[int, msgspec.Meta(ge=4)] = 10
    """Pixels of the smallest face to shrink to."""
    largest: Annotated[int, msgspec.Meta(ge=4)] = 40
    """Pixels of the largest."""
    noise: Share = 0.5
    """Share with sensor noise."""
    jpeg: Share = 0.5
    """Share that is JPEG-compressed, at a quality of 30 to 95."""
    h264: Share = 0.1
    """Share that is H.264-compressed, at a constant rate factor of 23 to 38."""

    def __post_init__(self) -> None:
        """Refuse a reversed range."""
        self.spanning("smallest", "largest")


class Augment(Section):
    """How a face is varied each time it is drawn."""

    rotate: Annotated[float, msgspec.Meta(ge=0, le=180)] = 15.0
    """Degrees to either side."""
    scale: tuple[float, float] = (0.9, 1.1)
    """Smallest and largest factor of its size."""
    shift: Share = 0.08
    """Of the side of the picture, in every direction."""
    brightness: tuple[float, float] = (0.8, 1.2)
    """Smallest and largest factor of the mean."""
    contrast: tuple[float, float] = (0.7, 1.3)
    """Smallest and largest factor of the distance from the mean."""
    gamma: Share = 0.3
    """Share whose tones are bent."""
    jitter: Share = 0.1
    """Share with pixel noise of a few levels."""
    occlude: Share = 0.3
    """Share of which a patch is covered."""
    mixup: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Beta parameter of mixup (Zhang et al., arXiv 1710.09412), 0.2 for instance; 0 = none."""
    degrade: Degrade = Degrade()

    def __post_init__(self) -> None:
        """Refuse reversed ranges."""
        self.rising("scale", "brightness", "contrast")


class Optimizer(Section):
    """AdamW."""

    learning_rate: Positive = 0.002
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.05
    """Of matrices; biases and norms have none."""
    clip: Positive = 2.0
    """Largest norm of the gradient."""


class Schedule(Section):
    """A cosine after a linear warm-up."""

    epochs: Count = 60
    stop_after: Count | None = None
    """End here, before the cosine does; default: at its end."""
    warmup: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    """Epochs until the full learning rate."""

    def rate(self, epoch: float) -> float:
        """Share of the learning rate at a (fractional) epoch."""
        warm = min(1.0, (epoch + 0.01) / self.warmup) if self.warmup else 1.0
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / self.epochs)))


class Plan(Section, kw_only=True):
    """What every training needs; with the data and the seed it gives the same network, up to the order of sums."""

    task: str
    """What the network is for."""
    name: str
    """Of the network: `arch_variant.tag`."""
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1
    batch_size: Count = 128
    averaging: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.999
    """Decay of the moving average of the weights, which is the result; less in the first steps, 1/10 to begin with."""
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()

    def network(self) -> object:
        """What decides the shape of the network: a run goes on only where this is as it was."""
        raise NotImplementedError


class Recipe(Plan, kw_only=True):
    """The training of a network that reads expressions."""

    task: Literal["expression"] = "expression"
    heads: dict[str, Head]
    """By name, the one that matters most first."""
    side: Annotated[int, msgspec.Meta(ge=16, le=256)] = 48
    """Pixels of the grey picture that the network reads."""
    balance: Share = 0.0
    """Classes of the first head are drawn by their frequency to the power of -balance: 0.5 square root, 1 uniform."""
    model: Model = Model()
    augment: Augment = Augment()
    freeze: bool = False
    """Train the heads only; the trunk stays as `--init` brought it, batch norm included. For few pictures per class."""
    consistency: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Weight of the rule that a face, degraded, is read as the same face is when clean; 0 = none. Twice the cost."""
    teach: Share = 0.0
    """Weight of the teachers' answers (`--teacher RUN`) against the labels."""

    def network(self) -> object:
        """Architecture and heads."""
        return self.model, self.side, list(self.heads)


AnyPlan = TypeVar("AnyPlan", bound=Plan)


def read_task(path: Path) -> str:
    """The task that a recipe is for; raises ConfigError."""
    return str(_read(path).get("task", "expression"))


def read_recipe(path: Path, kind: type[AnyPlan]) -> AnyPlan:
    """Read a recipe of one task; raises ConfigError that says what is wrong, and where."""
    try:
        return msgspec.convert(_read(path), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"the recipe {path} is wrong: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        document = YAML(typ="safe").load(path)
    except OSError as error:
        raise ConfigError(f"the recipe {path} can't be read: {error.strerror}") from error
    except YAMLError as error:
        raise ConfigError(f"the recipe {path} is wrong: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"the recipe {path} is wrong: expected keys and values, such as name: and heads:")
    return document


def write_recipe(recipe: Plan, path: Path) -> None:
    """Write it with all its defaults, keys in the order of the recipe: that of the heads is the network's own.

    Raises ConfigError where the file can't be written.
    """
    document: dict[str, Any] = msgspec.to_builtins(recipe)
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    try:
        with path.open("w") as file:
            yaml.dump(document, file)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from error
