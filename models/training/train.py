"""Train the expression classifier from a recipe: `python -m models.training.train RECIPE --data NPZ --out DIR`.

Writes `checkpoint.pt` and `log.csv` after every epoch; run again with the same `--out` to resume.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ruamel.yaml import YAML
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from models.training.archs import SEResNet
from models.training.data import Faces, augment, load_faces, sampling_weights


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run, read from a YAML file."""

    name: str
    seed: int
    epochs: int
    stop_after: int
    balance: float
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: int
    average_decay: float
    degrade_share: float
    fer2013_weight: float
    label_smoothing: float

    @classmethod
    def read(cls, path: Path) -> Recipe:
        return cls(**YAML(typ="safe").load(path))


class Augmented(Dataset[tuple[Tensor, Tensor, int]]):
    """Training faces, augmented anew at each draw."""

    def __init__(self, faces: Faces, recipe: Recipe) -> None:
        self.faces, self.recipe = faces, recipe
        self.rng: np.random.Generator | None = None

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        if self.rng is None:  # in the worker: the loader seeds each worker of each epoch differently
            self.rng = np.random.default_rng(torch.initial_seed())
        image = augment(self.faces.images[index], self.rng, degrade_share=self.recipe.degrade_share)
        return as_input(image), torch.from_numpy(self.faces.votes[index]), int(self.faces.label7[index])


def as_input(image: np.ndarray) -> Tensor:
    """Grey uint8 `(..., 48, 48)` to float `(..., 1, 48, 48)` in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).float().div(255).unsqueeze(-3)


def loss_of(outputs: tuple[Tensor, Tensor], votes: Tensor, label7: Tensor, recipe: Recipe) -> Tensor:
    """KL to the FER+ votes (images without usable votes count nothing) plus smoothed 7-class cross-entropy."""
    ferplus, fer2013 = (logits.float() for logits in outputs)
    usable = votes.sum(1)
    kl = F.kl_div(F.log_softmax(ferplus, 1), votes, reduction="none").sum(1)
    ce = F.cross_entropy(fer2013, label7, label_smoothing=recipe.label_smoothing)
    return (kl * usable).sum() / usable.sum().clamp(min=1) + recipe.fer2013_weight * ce


@torch.no_grad()
def accuracy(model: nn.Module, faces: Faces) -> tuple[float, float]:
    """(FER+ majority over usable images, FER2013 over all images), without test-time augmentation."""
    model.eval()
    outputs = [model(as_input(faces.images[i : i + 256])) for i in range(0, len(faces), 256)]
    ferplus = torch.cat([o[0] for o in outputs]).argmax(1).numpy()
    fer2013 = torch.cat([o[1] for o in outputs]).argmax(1).numpy()
    usable = faces.votes.sum(1) > 0
    return float((ferplus == faces.votes.argmax(1))[usable].mean()), float((fer2013 == faces.label7).mean())


def train(recipe: Recipe, data: Path, out: Path, *, init: Path | None = None) -> None:
    """Run or resume a training, beginning at the result of run `init` if given. Its averaged weights are the result."""
    torch.manual_seed(recipe.seed)
    training, public = load_faces(data)
    model: nn.Module = SEResNet().to(memory_format=torch.channels_last)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.average_decay), use_buffers=True)
    optimizer = torch.optim.AdamW(_groups(model, recipe.weight_decay), lr=recipe.learning_rate)
    steps = len(training) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps, recipe))
    run = _Run(model, averaged, optimizer, schedule)
    first = _resume(out / "checkpoint.pt", run.parts())
    if first == 0 and init is not None:
        _begin_from(init, model, averaged)
    for epoch in range(first, recipe.stop_after):
        started = time.monotonic()
        loss = _epoch(run, _loader(training, recipe, epoch), recipe)
        ferplus, fer2013 = accuracy(averaged.module, public)
        row = {
            "epoch": epoch,
            "loss": loss,
            "ferplus": ferplus,
            "fer2013": fer2013,
            "seconds": time.monotonic() - started,
        }
        print(" ".join(f"{key}={value:.4g}" for key, value in row.items()), flush=True)
        _log(out / "log.csv", row)
        _save(out / "checkpoint.pt", {"epoch": epoch + 1, **{k: v.state_dict() for k, v in run.parts().items()}})


@dataclass(slots=True)
class _Run:
    """What changes during a training; all of it is in the checkpoint."""

    model: nn.Module
    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "averaged": self.averaged, "optimizer": self.optimizer, "schedule": self.schedule}


def _epoch(run: _Run, batches: DataLoader[tuple[Tensor, Tensor, Tensor]], recipe: Recipe) -> float:
    model = run.model
    model.train()
    compiled = torch.compile(model)
    total = 0.0
    for images, votes, label7 in batches:
        with torch.autocast("cpu", torch.bfloat16):
            outputs = compiled(images.contiguous(memory_format=torch.channels_last))
        loss = loss_of(outputs, votes, label7, recipe)
        run.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        run.optimizer.step()
        run.schedule.step()
        run.averaged.update_parameters(model)
        total += loss.item()
    return total / len(batches)


def _loader(faces: Faces, recipe: Recipe, epoch: int) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(recipe.seed + epoch)
    sampler = WeightedRandomSampler(sampling_weights(faces, recipe.balance).tolist(), len(faces), generator=generator)
    return DataLoader(
        Augmented(faces, recipe),
        recipe.batch_size,
        sampler=sampler,
        num_workers=1,
        drop_last=True,
        generator=generator,
        prefetch_factor=8,
    )


def _groups(model: nn.Module, decay: float) -> Iterator[dict[str, Any]]:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    yield {"params": matrices, "weight_decay": decay}
    yield {"params": vectors, "weight_decay": 0.0}


def _rate(epoch: float, recipe: Recipe) -> float:
    warm = min(1.0, (epoch + 0.01) / recipe.warmup_epochs)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / recipe.epochs)))


def _resume(path: Path, parts: dict[str, Any]) -> int:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return 0
    saved = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    return int(saved["epoch"])


def _begin_from(run: Path, model: nn.Module, averaged: AveragedModel) -> None:
    saved = torch.load(run / "checkpoint.pt", weights_only=True)["averaged"]
    weights = {key.removeprefix("module."): value for key, value in saved.items() if key != "n_averaged"}
    model.load_state_dict(weights)
    averaged.module.load_state_dict(weights)


def _save(path: Path, state: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _log(path: Path, row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="a YAML file of models/training/recipes/")
    parser.add_argument("--data", type=Path, required=True, help="fer2013plus npz file")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log")
    parser.add_argument("--init", type=Path, help="folder of a finished run to begin from")
    arguments = parser.parse_args()
    train(Recipe.read(arguments.recipe), arguments.data, arguments.out, init=arguments.init)


if __name__ == "__main__":
    main()
