"""Train a temporal head on synthetic tracks made of a classifier's answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training.faces import Data
from models.training.fit import Epoch, Progress, fit, load_checkpoint
from models.training.recipe import read_recipe
from models.training.temporal.arch import FRESH_S, Follower, Frames, build
from models.training.temporal.bank import Bank, build_bank, cached_bank, halves
from models.training.temporal.classifier import HEAD, classifier
from models.training.temporal.recipe import TemporalRecipe
from models.training.temporal.tracks import Track, draw_track
from operators.errors import ConfigError
from operators.records import Floats
from operators.temporal import ExpressionFilter

__all__ = ["Banks", "Head", "banks_folder", "follow", "load_banks", "load_head", "train"]

Rng = np.random.Generator
Split = Callable[[str], Progress]
"""Gives the progress of the bank of one split."""

_VALIDATION_TRACKS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Banks:
    """Answers of one classifier to learn from, to choose by, and to be measured on: of different stills."""

    training: Bank
    validation: Bank
    test: Bank
    labels: tuple[str, ...]
    sha256: str
    """Of the classifier, the data and how the bank was made."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A trained temporal head, ready to follow tracks."""

    model: Follower
    recipe: TemporalRecipe
    labels: tuple[str, ...]


def banks_folder(source: str, out: Path) -> Path:
    """Where the banks of a classifier are kept: in its run, so that all its heads share them, or else in `out`."""
    return (Path(source) if Path(source).is_dir() else out) / "banks"


def load_banks(
    source: str,
    data: Data,
    recipe: TemporalRecipe,
    folder: Path,
    *,
    device: str = "cpu",
    progress: Split = lambda _split: lambda _done, _of: None,
) -> Banks:
    """The banks of a classifier (a run or a model of the registry), kept in `folder`, made where they are not there."""
    answer, labels, sha256 = classifier(source, temperature=recipe.temperature, device=device)
    found: dict[str, tuple[Bank, str]] = {}
    for split, faces in (("training", data.training), ("test", data.test)):
        if HEAD not in faces.targets or tuple(data.classes[HEAD]) != labels:
            raise ConfigError(f"the data have no labels {', '.join(labels)}: expected the FER2013 file with FER+ votes")
        identity = {
            "classifier": sha256,
            "temperature": recipe.temperature,
            "data": data.sha256,
            "split": split,
            "seed": recipe.seed,
        }
        make = _making(answer, faces, recipe, progress(split))
        found[split] = cached_bank(folder, identity, recipe.bank, make)
    learnt, validation = halves(found["training"][0], recipe.bank.held)
    return Banks(learnt, validation, found["test"][0], labels, found["training"][1])


def train(
    recipe: TemporalRecipe,
    banks: Banks,
    out: Path,
    *,
    device: str = "cpu",
    progress: Progress = lambda _done, _of: None,
) -> Iterator[Epoch]:
    """Run or resume a training; the scores are those of the validation stills, for the tests' are for the table."""
    features = int(banks.training.features.shape[-1])
    if recipe.model.arch == "lstm" and features == 0:
        raise ConfigError("arch lstm reads the features of a classifier: name a training run as the classifier")
    torch.manual_seed(recipe.seed)
    model = build(recipe.model, classes=len(banks.labels), features=features).to(device)
    rng = np.random.default_rng([recipe.seed, 1])
    drawn = [draw_track(banks.validation, recipe.tracks, rng, frames=recipe.frames) for _ in range(_VALIDATION_TRACKS)]
    watched = [track for track in drawn if track.readable.any()]
    yield from fit(_Following(recipe, model, banks, watched, device), recipe, out, progress=progress)


def load_head(run: Path) -> Head:
    """The result of a run; raises ConfigError where there is none."""
    weights, about = load_checkpoint(run)
    recipe = read_recipe(run / "recipe.yaml", TemporalRecipe)
    model = build(recipe.model, classes=len(about["labels"]), features=about["features"])
    model.load_state_dict(weights)
    return Head(model.eval(), recipe, tuple(about["labels"]))


@torch.no_grad()
def follow(model: Follower, tracks: Sequence[Track]) -> list[Floats]:
    """Probabilities `(n, k)` over time of each track; where the face can't be read, those of the reading before."""
    device = next(model.parameters()).device
    logits, _ = model.sequence(_stack([_Readings(track) for track in tracks], device))
    probs = torch.softmax(logits, -1).cpu().numpy()
    return [over_time[_latest(track)] for over_time, track in zip(probs, tracks, strict=True)]


def _latest(track: Track) -> NDArray[np.int64]:
    """Which of the readings is the latest at each frame; the first one before there is any."""
    kept = np.flatnonzero(track.readable)
    return np.maximum(np.searchsorted(kept, np.arange(len(track)), side="right") - 1, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Following:
    """The task: tracks in, what they truly show out."""

    recipe: TemporalRecipe
    model: Follower
    banks: Banks
    watched: Sequence[Track]
    device: str

    def batches(self, epoch: int) -> _Drawn:
        return _Drawn(self.banks.training, self.recipe, epoch)

    def loss(self, model: Any, batch: Sequence[_Readings]) -> Tensor:  # noqa: ANN401, ARG002 -- not compiled: it loops
        frames, target, expressed, there = _batch(batch, self.device)
        with torch.autocast(self.device, enabled=False):  # what is remembered over 100 steps needs all its digits
            logits, intensity = self.model.sequence(frames)
            log_probs = F.log_softmax(logits, -1)
            count = there.sum()
            loss = -((target * log_probs).sum(-1) * there).sum() / count
            loss = loss + self.recipe.expressed * (((intensity - expressed) ** 2) * there).sum() / count
            if self.recipe.steadiness:
                probs = log_probs.exp()
                still = there[:, 1:] * (target[:, 1:] * target[:, :-1]).sum(-1)
                moved = (probs[:, 1:] - probs[:, :-1]).abs().sum(-1) / 2
                loss = loss + self.recipe.steadiness * (moved * still).sum() / count
        return loss

    def scores(self, model: Any) -> dict[str, float]:  # noqa: ANN401 -- a Follower
        right = switches = frames = 0
        for track, probs in zip(self.watched, follow(model, self.watched), strict=True):
            labels, truth = probs.argmax(1)[track.readable], track.truth[track.readable]
            right += int((labels == truth).sum())
            switches += int((np.diff(labels) != 0).sum()) - int((np.diff(truth) != 0).sum())
            frames += len(labels)
        return {"accuracy": right / frames, "switches": switches / frames}

    def about(self) -> dict[str, Any]:
        return {"labels": list(self.banks.labels), "features": int(self.banks.training.features.shape[-1])}


class _Readings:
    """The readable frames of a track, as torch has them."""

    def __init__(self, track: Track, *, warmth: float = 1.0) -> None:
        kept = track.readable
        ts = track.ts[kept]
        dt = np.diff(ts, prepend=-np.inf)
        dt = np.where(dt > ExpressionFilter().reset_after, FRESH_S, dt)
        logits = track.logits[kept] * warmth
        self.probs = torch.softmax(torch.from_numpy(logits.astype(np.float32)), -1)
        self.dt = torch.from_numpy(dt.astype(np.float32))
        self.features, self.intensity, self.quality, self.target, self.expressed = (
            torch.from_numpy(values[kept])
            for values in (track.features, track.intensity, track.quality, track.target, track.expressed)
        )


class _Drawn:
    """The batches of one epoch, drawn as they are needed; the same for the same epoch."""

    def __init__(self, bank: Bank, recipe: TemporalRecipe, epoch: int) -> None:
        self.bank, self.recipe, self.epoch = bank, recipe, epoch

    def __len__(self) -> int:
        return self.recipe.batches

    def __iter__(self) -> Iterator[list[_Readings]]:
        rng = np.random.default_rng([self.recipe.seed, 2, self.epoch])
        for _ in range(len(self)):
            yield [self._one(rng) for _ in range(self.recipe.batch_size)]

    def _one(self, rng: Rng) -> _Readings:
        warmth = math.exp(rng.uniform(-1, 1) * math.log(self.recipe.warmth))
        while True:
            track = draw_track(self.bank, self.recipe.tracks, rng, frames=self.recipe.frames)
            if track.readable.any():
                return _Readings(track, warmth=warmth)


def _making(answer: Any, faces: Any, recipe: TemporalRecipe, progress: Progress) -> Callable[[], Bank]:  # noqa: ANN401
    return lambda: build_bank(answer, faces, HEAD, recipe.bank, seed=recipe.seed, progress=progress)


def _stack(readings: Sequence[_Readings], device: str | torch.device) -> Frames:
    names = ("probs", "features", "intensity", "quality", "dt")
    padded = [nn.utils.rnn.pad_sequence([getattr(one, name) for one in readings], batch_first=True) for name in names]
    return Frames(*(values.to(device) for values in padded))


def _batch(readings: Sequence[_Readings], device: str) -> tuple[Frames, Tensor, Tensor, Tensor]:
    frames = _stack(readings, device)
    lengths = torch.tensor([len(one.dt) for one in readings])
    there = (torch.arange(frames.dt.shape[1])[None] < lengths[:, None]).float().to(device)
    target, expressed = (
        nn.utils.rnn.pad_sequence([getattr(one, name) for one in readings], batch_first=True).to(device)
        for name in ("target", "expressed")
    )
    return frames, target, expressed, there
