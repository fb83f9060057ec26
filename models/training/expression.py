"""Train a network that reads expressions, and let it answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from models.training.archs import Network, build
from models.training.augment import augment, clean_and_degraded
from models.training.beginning import beginning
from models.training.faces import Data, Faces
from models.training.fit import Epoch, Progress, Task, fit, load_checkpoint
from models.training.losses import consistency_loss, head_loss
from models.training.recipe import Recipe, read_recipe
from operators.errors import ConfigError

__all__ = ["Result", "answers", "as_input", "load_run", "reading", "train"]

Batch = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Result:
    """A trained network, the recipe it was made by, and the classes of its heads in the order of its outputs."""

    model: Network
    recipe: Recipe
    classes: Mapping[str, Sequence[str]]


def train(
    recipe: Recipe,
    data: Data,
    out: Path,
    *,
    init: Path | None = None,
    teachers: Sequence[Path] = (),
    device: str = "cpu",
    progress: Progress = lambda _done, _of: None,
) -> Iterator[Epoch]:
    """Run or resume a training, epoch by epoch; the scores are the share of right answers of each head.

    `init` is what to begin from, where this run is new (`beginning`); `teachers` are runs whose mean answer is learnt
    too. Raises ConfigError where the recipe asks for what the data or the teachers don't have, or the folder holds
    another run.
    """
    _check(recipe, data, init)
    classes = {head: data.classes[head] for head in recipe.heads}
    others = _teachers(recipe, classes, teachers)
    torch.manual_seed(recipe.seed)
    model = build(recipe.model, classes).to(device, memory_format=torch.channels_last)
    if recipe.freeze:
        model.freeze()
    taught = _taught(_hardened(data.training, recipe), recipe, others, device)
    _check_classes(taught, classes)
    begin = None if init is None else beginning(init, model, device=device)
    yield from fit(_Reading(recipe, model, taught, data, device), recipe, out, begin=begin, progress=progress)


def reading(recipe: Recipe, model: nn.Module, data: Data, *, device: str = "cpu") -> Task:
    """What `train` fits, for a network that is there already and has the heads of the recipe; raises ConfigError."""
    _check(recipe, data, None)
    return _Reading(recipe, model, data.training, data, device)


def load_run(run: Path) -> Result:
    """The result of a run, ready to answer; raises ConfigError where there is none."""
    weights, about = load_checkpoint(run)
    recipe = read_recipe(run / "recipe.yaml", Recipe)
    model = build(recipe.model, about["classes"])
    model.load_state_dict(weights)
    return Result(model.eval(), recipe, about["classes"])


@torch.no_grad()
def answers(
    model: nn.Module, images: NDArray[np.uint8], *, device: str = "cpu", flip: bool = False
) -> dict[str, NDArray[np.float32]]:
    """Logits of each head `(n, k)` for pictures `(n, side, side)`; with `flip`, the mean over both mirror images."""
    model.eval()
    parts: list[list[NDArray[np.float32]]] = []
    for i in range(0, len(images), 256):
        batch = as_input(images[i : i + 256]).to(device)
        outputs = model(batch)
        if flip:
            outputs = [(a + b) / 2 for a, b in zip(outputs, model(batch.flip(-1)), strict=True)]
        parts.append([output.float().cpu().numpy() for output in outputs])
    return {head: np.concatenate(rows) for head, rows in zip(model.heads, zip(*parts, strict=True), strict=True)}


def as_input(image: NDArray[np.uint8]) -> Tensor:
    """Grey uint8 `(..., side, side)` to float `(..., 1, side, side)` in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).float().div(255).unsqueeze(-3)


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """The task: faces in, the labels of every head out."""

    recipe: Recipe
    model: nn.Module
    faces: Faces
    data: Data
    device: str

    def batches(self, epoch: int) -> DataLoader[Batch]:
        return DataLoader(
            _Augmented(self.faces, self.recipe, epoch),
            self.recipe.batch_size,
            num_workers=max(1, (os.cpu_count() or 1) // 2),
            drop_last=True,
            prefetch_factor=8,
        )

    def loss(self, model: Any, batch: Batch) -> Tensor:  # noqa: ANN401 -- the network, compiled
        images, targets = batch[0].to(self.device), {head: rows.to(self.device) for head, rows in batch[1].items()}
        if self.recipe.augment.mixup:
            images, targets = _mixed(images, targets, self.recipe.augment.mixup)
        views = images.shape[1]
        outputs = model(images.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        losses = []
        for (name, head), logits in zip(self.recipe.heads.items(), outputs, strict=True):
            loss = head_loss(logits, targets[name].repeat_interleave(views, 0), head, self._counts(name))
            if views > 1:
                loss = loss + self.recipe.consistency * consistency_loss(logits[0::2], logits[1::2])
            losses.append(head.weight * loss)
        return torch.stack(losses).sum()

    def scores(self, model: nn.Module) -> dict[str, float]:
        found = answers(model, self.data.test.images, device=self.device)
        return {head: _accuracy(found[head], self.data.test.targets[head]) for head in self.recipe.heads}

    def about(self) -> dict[str, Any]:
        return {"classes": {head: list(self.data.classes[head]) for head in self.recipe.heads}}

    def _counts(self, head: str) -> Tensor:
        return torch.from_numpy(self.data.training.targets[head].sum(0)).to(self.device)


class _Augmented(Dataset[Batch]):
    """The training faces of one epoch in their order, varied: `(views, 1, side, side)`, one view or clean and degraded.

    Each is the same whenever it is asked for, in whichever process.
    """

    def __init__(self, faces: Faces, recipe: Recipe, epoch: int) -> None:
        self.images, self.targets = faces.images, {head: faces.targets[head] for head in recipe.heads}
        self.how, self.both = recipe.augment, recipe.consistency > 0
        self.seed = (recipe.seed, epoch)
        self.order = _order(faces.targets[next(iter(recipe.heads))], recipe.balance, np.random.default_rng(self.seed))

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng((*self.seed, 1 + index))  # 0 at the end is as if it weren't there
        row = self.order[index]
        if self.both:
            views = np.stack(clean_and_degraded(self.images[row], rng, self.how))
        else:
            views = augment(self.images[row], rng, self.how)[None]
        return as_input(views), {head: torch.from_numpy(rows[row]) for head, rows in self.targets.items()}


def _check(recipe: Recipe, data: Data, init: Path | None) -> None:
    if recipe.freeze and init is None:
        raise ConfigError("freeze: true trains the heads of a network that is there: name its run with --init")
    unknown = [head for head in recipe.heads if head not in data.classes]
    if unknown or not recipe.heads:
        raise ConfigError(f"the data have no labels for {unknown}: expected heads among {list(data.classes)}")
    if len(data.training) < recipe.batch_size or not len(data.test):
        raise ConfigError(
            f"expected a test split and {recipe.batch_size} training faces or more (batch_size), "
            f"got {len(data.training)} and {len(data.test)}"
        )


def _check_classes(faces: Faces, classes: Mapping[str, Sequence[str]]) -> None:
    """What neither labels nor teachers show can't be learnt."""
    for head, names in classes.items():
        empty = [name for name, sum_ in zip(names, faces.targets[head].sum(0), strict=True) if not sum_]
        if empty:
            raise ConfigError(f"no training pictures of {', '.join(empty)} ({head}): add some, or remove the class")


def _teachers(recipe: Recipe, classes: Mapping[str, Sequence[str]], runs: Sequence[Path]) -> list[Result]:
    """Those that are learnt from; raises ConfigError where they can't answer what the recipe asks."""
    if recipe.teach and not runs:
        raise ConfigError(f"teach: {recipe.teach:g} is for the answers of other runs: name them with --teacher")
    found = [load_run(run) for run in runs]
    for run, one in zip(runs, found, strict=True):
        _check_teacher(run, one, recipe, classes)
    return found


def _check_teacher(run: Path, one: Result, recipe: Recipe, classes: Mapping[str, Sequence[str]]) -> None:
    if one.recipe.side != recipe.side:
        raise ConfigError(
            f"the teacher {run} reads faces of {one.recipe.side} px: expected {recipe.side}, as the recipe"
        )
    shared = [head for head in classes if head in one.classes]
    if not shared:
        raise ConfigError(
            f"the teacher {run} has the heads {', '.join(one.classes)}: expected one of {', '.join(classes)}"
        )
    for head in shared:
        if tuple(one.classes[head]) != tuple(classes[head]):
            raise ConfigError(
                f"the teacher {run} reads {head} as {', '.join(one.classes[head])}: expected {', '.join(classes[head])}"
            )


def _hardened(faces: Faces, recipe: Recipe) -> Faces:
    """The faces with one class each for the heads that learn no distribution."""
    targets = dict(faces.targets)
    for head in [name for name, how in recipe.heads.items() if how.hard]:
        rows = targets[head]
        targets[head] = np.eye(rows.shape[1], dtype=np.float32)[rows.argmax(1)] * (rows.sum(1, keepdims=True) > 0)
    return Faces(faces.images, targets, faces.clear)


def _taught(faces: Faces, recipe: Recipe, teachers: Sequence[Result], device: str) -> Faces:
    """The faces with labels that are partly the mean answer of the teachers (Hinton et al., arXiv 1503.02531).

    A head is learnt from those teachers that have it.
    """
    said: dict[str, list[NDArray[np.float32]]] = {}
    for one in teachers:
        found = answers(one.model.to(device), faces.images, device=device, flip=True)
        for head in [name for name in recipe.heads if name in found]:
            said.setdefault(head, []).append(torch.softmax(torch.from_numpy(found[head]), 1).numpy())
    targets = dict(faces.targets)
    for head, rows in said.items():
        taught = np.mean(rows, axis=0)
        labelled = targets[head].sum(1, keepdims=True) > 0
        own = np.where(labelled, targets[head], taught)
        targets[head] = ((1 - recipe.teach) * own + recipe.teach * taught).astype(np.float32)
    return Faces(faces.images, targets, faces.clear)


def _order(targets: NDArray[np.float32], balance: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of the faces of one epoch: each once, or drawn by the frequency of their class `targets (n, k)`."""
    if not balance:
        return rng.permutation(len(targets))
    weights = _sampling_weights(targets, balance)
    return rng.choice(len(targets), len(targets), p=weights / weights.sum())


def _sampling_weights(targets: NDArray[np.float32], balance: float) -> NDArray[np.float64]:
    """Inverse frequency of the top class to the power of `balance`: 0 natural, 0.5 square root, 1 uniform.

    Faces without a label weigh as much as those with one on average: their share stays that of the data.
    """
    top, labelled = targets.argmax(1), targets.sum(1) > 0
    counts = np.bincount(top[labelled], minlength=targets.shape[1])
    weights = (np.maximum(counts, 1.0) ** -balance)[top]
    weights[~labelled] = weights[labelled].mean() if labelled.any() else 1.0
    return weights


def _mixed(images: Tensor, targets: Mapping[str, Tensor], alpha: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Each face laid over another of the batch, and its labels likewise."""
    share = float(np.random.default_rng(torch.randint(1 << 31, ()).item()).beta(alpha, alpha))
    order = torch.randperm(len(images))
    both = {head: share * rows + (1 - share) * rows[order] for head, rows in targets.items()}
    return share * images + (1 - share) * images[order], both


def _accuracy(logits: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
    labelled = targets.sum(1) > 0
    return float((logits.argmax(1) == targets.argmax(1))[labelled].mean())
