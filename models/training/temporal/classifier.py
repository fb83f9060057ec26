"""The classifier that a bank asks: a model of the registry as it is shipped, or a training run with its features."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from models.expression import SIDE, to_face
from models.registry import find, load
from models.training.expression import load_run
from models.training.faces import Grey
from models.training.temporal.bank import Answer, Answers
from operators.errors import ConfigError

__all__ = ["classifier"]

HEAD = "ferplus"
_TINY = np.float32(1e-7)
_BATCH = 100


def classifier(name: str, *, temperature: float = 1.0, device: str = "cpu") -> tuple[Answer, tuple[str, ...], str]:
    """What answers, the labels in their order, and the hash of the weights.

    `name` is the folder of a run, or a model of the registry, which has no features and brings its own temperature.
    Raises ConfigError.
    """
    return _of_run(Path(name), temperature, device) if Path(name).is_dir() else _of_registry(name)


def _of_run(run: Path, temperature: float, device: str) -> tuple[Answer, tuple[str, ...], str]:
    result = load_run(run)
    if HEAD not in result.classes:
        raise ConfigError(f"{run} has no head {HEAD!r}: it has {', '.join(result.classes)}")
    if result.recipe.side != SIDE:
        raise ConfigError(f"{run} reads faces of {result.recipe.side} px: expected {SIDE}")
    model = result.model.to(device)

    @torch.no_grad()
    def batch(pictures: Sequence[Grey]) -> Answers:
        faces = np.stack([to_face(_coloured(one)) for one in pictures])
        features = model.features(torch.from_numpy(faces).to(device))
        said = {head: layer(features).float().cpu().numpy() for head, layer in model.heads.items()}
        logits = said[HEAD] / np.float32(temperature)
        sees = softmax(said["intensity"], axis=1)[:, 1] if "intensity" in said else 1 - softmax(logits, axis=1)[:, 0]
        return Answers(logits, np.asarray(sees, np.float32), features.float().cpu().numpy())

    def answer(pictures: Sequence[Grey]) -> Answers:
        parts = [batch(pictures[start : start + _BATCH]) for start in range(0, len(pictures), _BATCH)]
        return Answers(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Answers)))

    return answer, tuple(result.classes[HEAD]), hashlib.sha256((run / "checkpoint.pt").read_bytes()).hexdigest()


def _of_registry(name: str) -> tuple[Answer, tuple[str, ...], str]:
    entry = find(name)
    if entry.task != "expression":
        raise ConfigError(f"expected a run, or a model of the registry that reads expressions, got {name!r}")
    model = load(name, threads=1)

    def answer(pictures: Sequence[Grey]) -> Answers:
        readings = model([_coloured(one) for one in pictures])
        probs = np.stack([one.probs for one in readings])
        seen = [1 - one.probs[0] if one.intensity is None else one.intensity for one in readings]
        return Answers(np.log(probs + _TINY), np.array(seen, np.float32), np.zeros((len(probs), 0), np.float32))

    return answer, tuple(model.labels), "-".join(sorted(entry.files.values()))


def _coloured(picture: Grey) -> Grey:
    return np.repeat(picture[..., None], 3, axis=2)
