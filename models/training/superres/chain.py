"""The chain from a small face to an answer: enlargement, then the classifier. Either may be what is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.training.archs import Network, build
from models.training.expression import Result
from models.training.fit import load_checkpoint
from models.training.recipe import Recipe, read_recipe, write_recipe
from models.training.superres.network import LumaNet, resize
from models.training.superres.recipe import SuperRecipe
from operators.errors import ConfigError

__all__ = ["READS", "Chain", "SuperResult", "Teacher", "load_chain", "read_teacher", "split"]

READS = 48
"""Pixels of the face that classifiers read."""


class Chain(nn.Module):
    """`(n, 1, s, s)` grey in [0, 1] -> the face `(n, 1, side, side)`, the features, and the logits of each head."""

    def __init__(self, enlarger: LumaNet | None, classifier: Network | None, *, side: int, tune: bool) -> None:
        super().__init__()
        self.enlarger, self.classifier = enlarger, classifier
        self.side, self.tune = side, tune
        if classifier is not None:
            classifier.requires_grad_(tune)

    def forward(self, small: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        face = self.enlarge(small)
        if self.classifier is None:
            return face, face.new_zeros(len(face), 0), ()
        features = self.classifier.features(resize(face, READS).clamp(0, 1))
        return face, features, tuple(head(features) for head in self.classifier.heads.values())

    @torch.compiler.disable  # every size of face would be compiled anew
    def enlarge(self, small: Tensor) -> Tensor:
        """The face at the side it is compared at."""
        return resize(small if self.enlarger is None else self.enlarger(small), self.side)

    def train(self, mode: bool = True) -> Chain:  # noqa: FBT001, FBT002 -- torch's signature
        """A frozen classifier stays as it is; one that is tuned keeps the statistics of its norms."""
        super().train(mode)
        if self.classifier is not None:
            self.classifier.train(mode and self.tune)
            for part in self.classifier.modules():
                if isinstance(part, _BatchNorm):
                    part.eval()
        return self


@dataclass(frozen=True, slots=True)
class Teacher:
    """A trained classifier: its recipe as plain values, the classes of its heads, its weights."""

    recipe: Mapping[str, Any]
    classes: Mapping[str, Sequence[str]]
    weights: Mapping[str, Tensor]

    def build(self) -> Network:
        """The network, ready to answer."""
        model = build(msgspec.convert(self.recipe, Recipe).model, self.classes)
        model.load_state_dict(dict(self.weights))
        return model.eval()


@dataclass(frozen=True, slots=True)
class SuperResult:
    """What a training made: the chain in evaluation mode, its recipe, and what is known of its classifier."""

    chain: Chain
    recipe: SuperRecipe
    teacher: Teacher | None

    def classifier(self) -> Result:
        """The classifier of the chain; raises ConfigError where there is none."""
        if self.teacher is None or self.chain.classifier is None:
            raise ConfigError(f"{self.recipe.name} was trained without a classifier")
        return Result(self.chain.classifier, msgspec.convert(self.teacher.recipe, Recipe), self.teacher.classes)


def read_teacher(run: Path) -> Teacher:
    """The classifier of a training run; raises ConfigError where there is none, or it reads faces of another size."""
    weights, about = load_checkpoint(run)
    recipe = read_recipe(run / "recipe.yaml", Recipe)
    if recipe.side != READS:
        raise ConfigError(f"{run} reads faces of {recipe.side} px: expected {READS}")
    return Teacher(msgspec.to_builtins(recipe), about["classes"], weights)


def load_chain(run: Path) -> SuperResult:
    """The result of a training of super-resolution; raises ConfigError where there is none."""
    recipe = read_recipe(run / "recipe.yaml", SuperRecipe)
    weights, about = load_checkpoint(run)
    teacher = None
    if about["teacher"] is not None:
        own = {key.removeprefix("classifier."): value for key, value in weights.items() if key.startswith("classifier")}
        teacher = Teacher(about["teacher"], about["classes"], own)
    chain = Chain(
        LumaNet(recipe.shape) if recipe.shape else None,
        teacher.build() if teacher else None,
        side=recipe.side,
        tune=recipe.tune,
    )
    chain.load_state_dict(weights)
    return SuperResult(chain.eval(), recipe, teacher)


def split(run: Path, out: Path) -> None:
    """Write the classifier that was tuned in a chain as a run of its own, for `mien evaluate` and `mien export`."""
    result = load_chain(run).classifier()
    out.mkdir(parents=True, exist_ok=True)
    write_recipe(result.recipe, out / "recipe.yaml")
    weights = {f"module.{key}": value for key, value in result.model.state_dict().items()}
    torch.save({"averaged": weights, "classes": dict(result.classes), "epoch": 0}, out / "checkpoint.pt")
