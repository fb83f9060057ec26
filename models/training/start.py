"""Begin, or go on with, the training that a recipe asks for; and write what came of it as ONNX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

import models.training.export as expression_export
import models.training.superres.export as superres_export
import models.training.temporal.export as temporal_export
from models.training import expression
from models.training.faces import Data, load_data
from models.training.fit import Epoch, Progress, check_folder
from models.training.provenance import Origin, identify, keep_origin
from models.training.recipe import Plan, Recipe
from models.training.superres import train as superres
from models.training.superres.data import load_pictures
from models.training.superres.recipe import SuperRecipe
from models.training.tasks import read_any
from models.training.temporal import train as temporal
from models.training.temporal.recipe import TemporalRecipe
from operators.errors import ConfigError

__all__ = ["start", "write"]

_WRITE: Mapping[str, Callable[[Path, Path], str]] = {
    "expression": expression_export.export,
    "superres": superres_export.export,
    "temporal": temporal_export.export,
}


def start(
    plan: Plan,
    data: Path,
    out: Path,
    *,
    init: Path | None = None,
    teachers: Sequence[str] = (),
    device: str = "cpu",
    progress: Progress = lambda _done, _of: None,
) -> Iterator[Epoch]:
    """Train by a recipe of any task, epoch by epoch.

    `teachers` are runs: those a classifier learns from, or the one classifier that super-resolution or a temporal head
    works with (for the latter a model of the registry will do). What the run begins with is kept in its folder: it goes
    on with nothing else. Raises ConfigError, and ModelError where a name is none.
    """
    _check_device(device)
    check_folder(plan, out)
    runs = [Path(teacher) for teacher in teachers]
    match plan:
        case Recipe():
            faces = load_data(data, side=plan.side)
            keep_origin(out, _origin(data, faces, init, teachers))
            return expression.train(plan, faces, out, init=init, teachers=runs, device=device, progress=progress)
        case SuperRecipe():
            faces = load_pictures(data, side=plan.side)
            keep_origin(out, _origin(data, faces, init, teachers))
            return superres.train(plan, faces, out, init=init, teachers=runs, device=device, progress=progress)
        case TemporalRecipe():
            if init is not None:
                raise ConfigError("a temporal head begins from random weights: leave --init out")
            (classifier,) = _one(teachers)
            faces = load_data(data)
            keep_origin(out, _origin(data, faces, init, teachers))
            banks = temporal.load_banks(
                classifier,
                faces,
                plan,
                temporal.banks_folder(classifier, out),
                device=device,
                progress=lambda _split: progress,
            )
            return temporal.train(plan, banks, out, device=device, progress=progress)
        case _:
            raise ConfigError(f"no training is known for the task {plan.task}")


def write(run: Path, target: Path) -> str:
    """Write the result of a run as ONNX, checked against torch; returns its sha256. Raises ConfigError, ModelError."""
    expression_export.check_target(target)
    try:
        return _WRITE[read_any(run / "recipe.yaml").task](run, target)
    except OSError as error:
        raise ConfigError(f"{target} can't be written: {error.strerror}") from error


def _origin(data: Path, faces: Data, init: Path | None, teachers: Sequence[str]) -> dict[str, list[Origin]]:
    return {
        "data": [Origin(str(data), faces.sha256)],
        "init": [] if init is None else [identify(str(init))],
        "teacher": [identify(teacher) for teacher in teachers],
    }


def _check_device(device: str) -> None:
    there = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    if device not in there:
        raise ConfigError(f"the device {device} can't be used: PyTorch finds {', '.join(there)} on this machine")


def _one(teachers: Sequence[str]) -> Sequence[str]:
    if len(teachers) != 1:
        raise ConfigError(f"a temporal head follows one classifier: give one --teacher, got {len(teachers)}")
    return teachers
