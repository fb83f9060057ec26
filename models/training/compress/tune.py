"""Tune a network that was made smaller until it answers as the one it was made from.

On every batch it learns from the larger one's answers to the very same varied faces, and from the labels (Hinton et
al., arXiv 1503.02531). The loop is that of every training, so tuning resumes too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from models.training.expression import reading
from models.training.faces import Data
from models.training.fit import Batches, Epoch, Progress, fit, load_checkpoint
from models.training.recipe import Head, Recipe, read_recipe

__all__ = ["Tuning", "read_tuning", "tune"]


class Tuning(Recipe, kw_only=True):
    """How a smaller network is tuned; `teach` is the weight of the larger one's answers against the labels."""

    source: str = ""
    """Hash of the network that is tuned: a folder is of one."""

    def network(self) -> object:
        """The network that is tuned, and its heads."""
        return self.source, list(self.heads)


def read_tuning(path: Path, heads: Sequence[str], *, source: str) -> Tuning:
    """The recipe for tuning a network with these heads; one that it doesn't name counts as others do.

    Raises ConfigError that says what is wrong, and where.
    """
    recipe = read_recipe(path, Tuning)
    return msgspec.structs.replace(
        recipe, heads={head: recipe.heads.get(head, Head()) for head in heads}, source=source
    )


def tune(
    student: nn.Module,
    teacher: nn.Module,
    data: Data,
    recipe: Tuning,
    out: Path,
    *,
    progress: Progress = lambda _done, _of: None,
) -> Iterator[Epoch]:
    """Tune or go on, epoch by epoch; at the end `student` has the resulting weights.

    Both give the logits of each head of the recipe, in their order. Raises ConfigError as `fit` does.
    """
    yield from fit(_Tuned(student, teacher.eval(), data, recipe), recipe, out, progress=progress)
    weights, _ = load_checkpoint(out)
    student.load_state_dict(weights)
    student.eval()


class _Tuned:
    """The task of reading expressions, with labels that are partly the teacher's answers to the faces of the batch."""

    def __init__(self, student: nn.Module, teacher: nn.Module, data: Data, recipe: Recipe) -> None:
        self.model = student
        self.teacher = teacher
        self.heads, self.teach = tuple(recipe.heads), recipe.teach
        self.plain = reading(recipe, student, data)

    def batches(self, epoch: int) -> Batches:
        return self.plain.batches(epoch)

    def loss(self, model: Any, batch: tuple[Tensor, Mapping[str, Tensor]]) -> Tensor:  # noqa: ANN401 -- compiled
        faces, labels = batch
        with torch.no_grad():
            seen = faces.reshape(-1, *faces.shape[-3:])
            answers = dict(zip(self.heads, self.teacher(seen), strict=True))
        targets = {head: self._taught(labels[head], answers[head]) for head in self.heads}
        return self.plain.loss(model, (faces, targets))

    def scores(self, model: nn.Module) -> dict[str, float]:
        return self.plain.scores(model)

    def about(self) -> dict[str, Any]:
        return self.plain.about()

    def _taught(self, labels: Tensor, logits: Tensor) -> Tensor:
        answer = torch.softmax(logits.float(), 1)
        own = torch.where(labels.sum(1, keepdim=True) > 0, labels, answer)
        return (1 - self.teach) * own + self.teach * answer
