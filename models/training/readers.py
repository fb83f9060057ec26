"""What answers for a network when it is measured: a model of the registry as it is shipped, or a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.special import softmax

from models.registry import find, load
from models.training.expression import answers, load_run
from models.training.faces import Grey
from models.training.report import Reader
from operators.errors import ConfigError
from operators.records import Floats

__all__ = ["of_model", "of_run"]


def of_model(name: str, **options: object) -> tuple[Reader, Sequence[str]]:
    """The reader of a model of the registry as it is shipped, through all of its pre- and post-processing."""
    if find(name).task != "expression":
        raise ConfigError(f"expected a model that reads expressions, got {name!r}, a {find(name).task}")
    classifier = load(name, **options)

    def read(faces: Sequence[Grey]) -> Floats:
        return np.stack([one.probs for one in classifier([np.repeat(face[..., None], 3, axis=2) for face in faces])])

    return read, classifier.labels


def of_run(run: Path, head: str, *, temperature: float = 1.0, flip: bool = False) -> tuple[Reader, Sequence[str]]:
    """The reader of one head of a training run, in torch."""
    result = load_run(run)
    if head not in result.classes:
        raise ConfigError(f"{run} has no head {head!r}: it has {', '.join(result.classes)}")
    side = result.recipe.side

    def read(faces: Sequence[Grey]) -> Floats:
        images = np.stack([_fit(face, side) for face in faces])
        return np.asarray(softmax(answers(result.model, images, flip=flip)[head] / temperature, axis=1), np.float32)

    return read, tuple(result.classes[head])


def _fit(face: Grey, side: int) -> Grey:
    if face.shape == (side, side):
        return face
    shrinks = max(face.shape) > side
    return cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
