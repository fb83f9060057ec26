"""The loop behind every training. A run is a folder; after every epoch it holds all that is needed to go on.

recipe.yaml     with all its defaults
origin.json     what it was begun with: data, teachers, weights (where `mien train` or `mien compress` began it)
checkpoint.pt   weights, their moving average (the result), optimizer, schedule, epoch, and what the task adds
log.csv         a row for each epoch
"""

from __future__ import annotations

import csv
import pickle
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.training.recipe import Plan, read_recipe, read_task, write_recipe
from operators.errors import ConfigError, ModelError

__all__ = ["Batches", "Epoch", "Progress", "Task", "check_folder", "fit", "load_checkpoint", "moving_average"]

WORTH_COMPILING = 50
"""Batches of an epoch: compiling takes a minute, and saves a third of the time."""

Progress = Callable[[int, int], None]
"""Gets the batches done of an epoch, and how many there are."""


class Batches(Protocol):
    """The batches of one epoch, such as a DataLoader."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Task(Protocol):
    """What is learnt, and from what."""

    @property
    def model(self) -> nn.Module:
        """The network, on its device."""
        ...

    def batches(self, epoch: int) -> Batches:
        """Those of an epoch, counted from 0; as many in each."""
        ...

    def loss(self, model: Any, batch: Any) -> Tensor:  # noqa: ANN401 -- the network compiled, and what the task made
        """What is to become small, a scalar, for one batch."""
        ...

    def scores(self, model: nn.Module) -> dict[str, float]:
        """How good a network is on the test split, by name."""
        ...

    def about(self) -> dict[str, Any]:
        """What the checkpoint has to hold for its reader besides weights: plain values."""
        ...


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one epoch went: mean loss, and the scores of the averaged network on the test split."""

    epoch: int
    of: int
    loss: float
    scores: Mapping[str, float]
    seconds: float


def fit(
    task: Task,
    plan: Plan,
    out: Path,
    *,
    begin: Mapping[str, Tensor] | None = None,
    progress: Progress = lambda _done, _of: None,
) -> Iterator[Epoch]:
    """Run or resume a training, epoch by epoch. The moving average of the weights is the result.

    `begin` holds weights to begin from, where this run is new; what it lacks stays random. Raises ConfigError where the
    folder holds another run or can't be made, ModelError where a checkpoint can't be written.
    """
    check_folder(plan, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {out} can't be made: {error.strerror}") from error
    write_recipe(plan, out / "recipe.yaml")
    run = _Run(task, plan, device=str(next(task.model.parameters()).device.type))
    first = run.resume(out / "checkpoint.pt")
    if first == 0:
        (out / "log.csv").unlink(missing_ok=True)  # of a run whose checkpoint was deleted
        if begin is not None:
            run.begin_from(begin)
    last = plan.schedule.stop_after or plan.schedule.epochs
    for epoch in range(first, last):
        started = time.monotonic()
        loss = run.epoch(epoch, progress)
        scores = task.scores(run.averaged.module.eval())
        run.save(out / "checkpoint.pt", epoch + 1)
        done = Epoch(epoch + 1, last, loss, scores, time.monotonic() - started)
        _log(out / "log.csv", done)
        yield done


def load_checkpoint(run: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The resulting weights of a run, and what its task said about them; raises ConfigError where there is none."""
    path = run / "checkpoint.pt"
    if not path.exists():
        raise ConfigError(f"{run} holds no checkpoint.pt: expected the folder of a training")
    with _readable(path):
        saved = torch.load(path, weights_only=True, map_location=device)
        averaged = saved["averaged"].items()
    return {key.removeprefix("module."): value for key, value in averaged if key != "n_averaged"}, saved


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say what to do about a checkpoint that is cut off, damaged or of something else."""
    try:
        yield
    except _UNREADABLE as error:
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 120)
        raise ConfigError(
            f"{path} can't be read as the checkpoint of this training: delete it to begin anew ({reason})"
        ) from error


_UNREADABLE = (
    *(AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    pickle.UnpicklingError,
)
"""What torch raises over a file that is cut off, over other bytes, and over states that don't fit."""


class _Run:
    """What changes during a training; all of it is in the checkpoint."""

    def __init__(self, task: Task, plan: Plan, *, device: str) -> None:
        self.task, self.plan, self.device = task, plan, device
        self.model = task.model
        self.averaged = AveragedModel(self.model, multi_avg_fn=moving_average(plan.averaging), use_buffers=True)
        self.optimizer = torch.optim.AdamW(
            _groups(self.model, plan.optimizer.weight_decay), lr=plan.optimizer.learning_rate, fused=device != "cpu"
        )
        steps = len(task.batches(0))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: plan.schedule.rate(step / steps))

    def epoch(self, epoch: int, progress: Progress) -> float:
        """One pass over the data; returns the mean loss."""
        drawn = np.random.SeedSequence((self.plan.seed, epoch)).generate_state(1)
        torch.manual_seed(int(drawn[0]))  # so that a run that was cut off goes on as it would have
        batches = self.task.batches(epoch)
        self.model.train()
        model = torch.compile(self.model) if len(batches) >= WORTH_COMPILING else self.model
        total = 0.0
        for done, batch in enumerate(batches, 1):
            with torch.autocast(self.device, torch.bfloat16):
                loss = self.task.loss(model, batch)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.optimizer.clip)
            self.optimizer.step()
            self.schedule.step()
            self.averaged.update_parameters(self.model)
            total += loss.item()
            progress(done, len(batches))
        return total / len(batches)

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "averaged": self.averaged, "optimizer": self.optimizer, "schedule": self.schedule}

    def resume(self, path: Path) -> int:
        """Go on where the checkpoint is; returns the epochs done."""
        if not path.exists():
            return 0
        with _readable(path):
            saved = torch.load(path, weights_only=True, map_location=self.device)
            for name, part in self.parts().items():
                part.load_state_dict(saved[name])
            return int(saved["epoch"])

    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take these over, in the average too."""
        self.model.load_state_dict(weights, strict=False)
        self.averaged.module.load_state_dict(weights, strict=False)

    def save(self, path: Path, epochs: int) -> None:
        """Write the checkpoint, whole or not at all."""
        states = {name: part.state_dict() for name, part in self.parts().items()}
        partial = path.with_suffix(".partial")
        try:
            torch.save({**self.task.about(), "epoch": epochs, **states}, partial)
        except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
            partial.unlink(missing_ok=True)
            raise ModelError(
                f"{path} can't be written after epoch {epochs}: is the disk full? The one before it is still there, "
                f"and the same command goes on from it ({error})"
            ) from error
        partial.replace(path)


def check_folder(plan: Plan, out: Path) -> None:
    """Raise ConfigError where the folder holds a run by another recipe; only `schedule.stop_after` may change."""
    recipe = out / "recipe.yaml"
    if not (recipe.exists() and (out / "checkpoint.pt").exists()):
        return
    if read_task(recipe) != plan.task:
        raise ConfigError(f"{out} holds a run of the task {read_task(recipe)}, not {plan.task}: name another folder")
    before, now = (msgspec.to_builtins(one) for one in (read_recipe(recipe, type(plan)), plan))
    now["schedule"]["stop_after"] = before["schedule"]["stop_after"]
    if changed := "; ".join(_changed(before, now)):
        raise ConfigError(f"{out} holds a run by another recipe: name another folder, or go on by {recipe} ({changed})")


def _changed(before: Any, now: Any, key: str = "") -> Iterator[str]:  # noqa: ANN401 -- any part of a recipe
    """Each key whose value is another one, with both; the order of keys counts, since that of heads does."""
    if isinstance(before, dict) and isinstance(now, dict) and list(before) == list(now):
        for name in before:
            yield from _changed(before[name], now[name], f"{key}.{name}".removeprefix("."))
    elif before != now or isinstance(now, dict):
        yield f"{key} was {before}, now {now}"


def _groups(model: nn.Module, decay: float) -> Iterator[dict[str, Any]]:
    trained = [p for p in model.parameters() if p.requires_grad]
    yield {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay}
    yield {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}


def moving_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """An exponential moving average that forgets faster at first: a short run's isn't one of its beginning.

    As TensorFlow's ExponentialMovingAverage does with `num_updates`.
    """

    def update(averaged: list[Tensor], now: list[Tensor], steps: Tensor | int) -> None:
        get_ema_multi_avg_fn(min(decay, (1 + int(steps)) / (10 + int(steps))))(averaged, now, steps)

    return update


def _log(path: Path, epoch: Epoch) -> None:
    row = {"epoch": epoch.epoch, "loss": epoch.loss, **epoch.scores, "seconds": epoch.seconds}
    new = not path.exists()
    try:
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
    except OSError as error:
        raise ModelError(f"{path} can't be written after epoch {epoch.epoch}: {error.strerror}") from error
