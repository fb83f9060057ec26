"""Train a network by a recipe. A run is a folder; after every epoch it holds all that is needed to go on.

recipe.yaml     with all its defaults
checkpoint.pt   weights, their moving average (the result), optimizer, schedule, epoch
log.csv         a row for each epoch
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from models.training.archs import Network, build
from models.training.augment import augment
from models.training.faces import Data, Faces
from models.training.losses import head_loss
from models.training.recipe import Recipe, read_recipe, write_recipe
from operators.errors import ConfigError

__all__ = ["Epoch", "Result", "answers", "load_run", "train"]

WORTH_COMPILING = 50
"""Batches of an epoch: compiling takes a minute, and saves a third of the time."""
Batch = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one epoch went: mean loss, and share of right answers of each head on the test split."""

    epoch: int
    of: int
    loss: float
    accuracy: Mapping[str, float]
    seconds: float


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
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Iterator[Epoch]:
    """Run or resume a training, epoch by epoch. The moving average of the weights is the result.

    `init` is the run to begin from, where this one is new; `teachers` are runs whose mean answer is learnt too.
    `progress` gets the batches done of an epoch, and how many there are. Raises ConfigError where the recipe asks for
    what the data don't have, or the folder holds another run.
    """
    _check(recipe, data, out)
    torch.manual_seed(recipe.seed)
    classes = {head: data.classes[head] for head in recipe.heads}
    model = build(recipe.model, classes).to(device, memory_format=torch.channels_last)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging), use_buffers=True)
    optimizer = torch.optim.AdamW(
        _groups(model, recipe.optimizer.weight_decay), lr=recipe.optimizer.learning_rate, fused=device != "cpu"
    )
    steps = len(data.training) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: recipe.schedule.rate(step / steps))
    run = _Run(recipe, classes, model, averaged, optimizer, schedule, _counts(data, recipe), device)
    out.mkdir(parents=True, exist_ok=True)
    write_recipe(recipe, out / "recipe.yaml")
    first = run.resume(out / "checkpoint.pt")
    if first == 0 and init is not None:
        run.begin_from(init)
    training = _taught(data.training, recipe, classes, teachers, device)
    last = recipe.schedule.stop_after or recipe.schedule.epochs
    for epoch in range(first, last):
        started = time.monotonic()
        loss = run.epoch(_loader(training, recipe, epoch), progress)
        found = answers(averaged.module, data.test.images, device=device)
        accuracy = {head: _accuracy(found[head], data.test.targets[head]) for head in recipe.heads}
        run.save(out / "checkpoint.pt", epoch + 1)
        done = Epoch(epoch + 1, last, loss, accuracy, time.monotonic() - started)
        _log(out / "log.csv", done)
        yield done


def load_run(run: Path) -> Result:
    """The result of a run, ready to answer; raises ConfigError where there is none."""
    saved = _checkpoint(run, "cpu")
    recipe, classes = read_recipe(run / "recipe.yaml"), saved["classes"]
    model = build(recipe.model, classes)
    model.load_state_dict(_plain(saved["averaged"]))
    return Result(model.eval(), recipe, classes)


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


class _Augmented(Dataset[Batch]):
    """Training faces, varied anew at each draw."""

    def __init__(self, faces: Faces, recipe: Recipe) -> None:
        self.images, self.targets = faces.images, {head: faces.targets[head] for head in recipe.heads}
        self.how = recipe.augment
        self.rng: np.random.Generator | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        if self.rng is None:  # in the worker: the loader seeds each worker of each epoch differently
            self.rng = np.random.default_rng(torch.initial_seed())
        image = augment(self.images[index], self.rng, self.how)
        return as_input(image), {head: torch.from_numpy(rows[index]) for head, rows in self.targets.items()}


@dataclass(slots=True)
class _Run:
    """What changes during a training; all of it is in the checkpoint."""

    recipe: Recipe
    classes: Mapping[str, Sequence[str]]
    model: Network
    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    counts: Mapping[str, Tensor]
    device: str

    def epoch(self, batches: DataLoader[Batch], progress: Callable[[int, int], None]) -> float:
        """One pass over the data; returns the mean loss."""
        self.model.train()
        compiled = torch.compile(self.model) if len(batches) >= WORTH_COMPILING else self.model
        total = 0.0
        for done, (images, targets) in enumerate(batches, 1):
            loss = self._loss(compiled, images.to(self.device, memory_format=torch.channels_last), targets)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimizer.clip)
            self.optimizer.step()
            self.schedule.step()
            self.averaged.update_parameters(self.model)
            total += loss.item()
            progress(done, len(batches))
        return total / len(batches)

    def _loss(self, model: Any, images: Tensor, targets: Mapping[str, Tensor]) -> Tensor:  # noqa: ANN401 -- compiled
        targets = {head: rows.to(self.device) for head, rows in targets.items()}
        if self.recipe.augment.mixup:
            images, targets = _mixed(images, targets, self.recipe.augment.mixup)
        with torch.autocast(self.device, torch.bfloat16):
            outputs = model(images)
        losses = [
            head.weight * head_loss(logits, targets[name], head, self.counts[name])
            for (name, head), logits in zip(self.recipe.heads.items(), outputs, strict=True)
        ]
        return torch.stack(losses).sum()

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "averaged": self.averaged, "optimizer": self.optimizer, "schedule": self.schedule}

    def resume(self, path: Path) -> int:
        """Go on where the checkpoint is; returns the epochs done."""
        if not path.exists():
            return 0
        saved = torch.load(path, weights_only=True, map_location=self.device)
        for name, part in self.parts().items():
            part.load_state_dict(saved[name])
        return int(saved["epoch"])

    def begin_from(self, run: Path) -> None:
        """Take over the weights of another run, but for heads with other classes."""
        weights = _plain(_checkpoint(run, self.device)["averaged"])
        own = self.model.state_dict()
        fitting = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
        if not {key for key in own if key.startswith("trunk.")} <= fitting.keys():
            raise ConfigError(f"{run} holds another architecture: expected the model of the recipe")
        self.model.load_state_dict(fitting, strict=False)
        self.averaged.module.load_state_dict(fitting, strict=False)

    def save(self, path: Path, epochs: int) -> None:
        """Write the checkpoint, whole or not at all."""
        classes = {head: list(labels) for head, labels in self.classes.items()}
        state = {
            "epoch": epochs,
            "classes": classes,
            **{name: part.state_dict() for name, part in self.parts().items()},
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)


def _checkpoint(run: Path, device: str) -> dict[str, Any]:
    try:
        return dict(torch.load(run / "checkpoint.pt", weights_only=True, map_location=device))
    except FileNotFoundError as error:
        raise ConfigError(f"{run} holds no checkpoint.pt: expected the folder of a training") from error


def _check(recipe: Recipe, data: Data, out: Path) -> None:
    unknown = [head for head in recipe.heads if head not in data.classes]
    if unknown or not recipe.heads:
        raise ConfigError(f"the data have no labels for {unknown}: expected heads among {list(data.classes)}")
    if len(data.training) < recipe.batch_size or not len(data.test):
        raise ConfigError(
            f"expected a test split and {recipe.batch_size} training faces or more (batch_size), "
            f"got {len(data.training)} and {len(data.test)}"
        )
    if (out / "recipe.yaml").exists() and (out / "checkpoint.pt").exists():
        before = read_recipe(out / "recipe.yaml")
        if (before.model, list(before.heads)) != (recipe.model, list(recipe.heads)):
            raise ConfigError(f"{out} holds a run of another network: name another folder")


def _counts(data: Data, recipe: Recipe) -> dict[str, Tensor]:
    return {head: torch.from_numpy(data.training.targets[head].sum(0)) for head in recipe.heads}


def _taught(
    faces: Faces, recipe: Recipe, classes: Mapping[str, Sequence[str]], teachers: Sequence[Path], device: str
) -> Faces:
    """The faces with labels that are partly the mean answer of the teachers (Hinton et al., arXiv 1503.02531)."""
    if not teachers:
        return faces
    targets = dict(faces.targets)
    sums: dict[str, NDArray[np.float32]] = {}
    for teacher in teachers:
        model = load_run(teacher).model.to(device)
        for head, logits in answers(model, faces.images, device=device, flip=True).items():
            if head in classes:
                sums[head] = sums.get(head, 0) + torch.softmax(torch.from_numpy(logits), 1).numpy() / len(teachers)
    for head, taught in sums.items():
        labelled = targets[head].sum(1, keepdims=True) > 0
        own = np.where(labelled, targets[head], taught)
        targets[head] = ((1 - recipe.teach) * own + recipe.teach * taught).astype(np.float32)
    return Faces(faces.images, targets, faces.clear)


def _loader(faces: Faces, recipe: Recipe, epoch: int) -> DataLoader[Batch]:
    generator = torch.Generator().manual_seed(recipe.seed + epoch)
    weights = _sampling_weights(faces.targets[next(iter(recipe.heads))], recipe.balance)
    return DataLoader(
        _Augmented(faces, recipe),
        recipe.batch_size,
        sampler=WeightedRandomSampler(weights.tolist(), len(faces), generator=generator),
        num_workers=max(1, (os.cpu_count() or 1) // 2),
        drop_last=True,
        generator=generator,
        prefetch_factor=8,
    )


def _sampling_weights(targets: NDArray[np.float32], balance: float) -> NDArray[np.float64]:
    """Inverse frequency of the top class to the power of `balance`: 0 natural, 0.5 square root, 1 uniform."""
    top = targets.argmax(1)
    counts = np.bincount(top, minlength=targets.shape[1])
    return (np.maximum(counts, 1.0) ** -balance)[top]


def _mixed(images: Tensor, targets: Mapping[str, Tensor], alpha: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Each face laid over another of the batch, and its labels likewise."""
    share = float(np.random.default_rng(torch.randint(1 << 31, ()).item()).beta(alpha, alpha))
    order = torch.randperm(len(images))
    both = {head: share * rows + (1 - share) * rows[order] for head, rows in targets.items()}
    return share * images + (1 - share) * images[order], both


def _groups(model: nn.Module, decay: float) -> Iterator[dict[str, Any]]:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    yield {"params": matrices, "weight_decay": decay}
    yield {"params": vectors, "weight_decay": 0.0}


def _accuracy(logits: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
    labelled = targets.sum(1) > 0
    return float((logits.argmax(1) == targets.argmax(1))[labelled].mean())


def _plain(averaged: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("module."): value for key, value in averaged.items() if key != "n_averaged"}


def _log(path: Path, epoch: Epoch) -> None:
    row = {"epoch": epoch.epoch, "loss": epoch.loss, **epoch.accuracy, "seconds": epoch.seconds}
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
