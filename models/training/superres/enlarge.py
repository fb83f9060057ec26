"""What enlarges faces when chains are compared: the run-time code, on grey faces, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import cv2
import numpy as np

from models.enhancer import Upscaler, UpscalerOptions
from models.expression import resized
from models.registry import load
from models.session import Session
from models.training.faces import Grey
from operators.ports import Enhancer

__all__ = ["SIDE", "Enlarge", "at", "by_bicubic", "by_bilinear", "of_model", "of_onnx"]

SIDE = 48
"""Pixels of the face that classifiers read."""

Enlarge = Callable[[Sequence[Grey]], Sequence[Grey]]
"""Faces `(h, w)` -> the faces that are handed to a classifier, which resizes them to what it reads."""


def by_bilinear(faces: Sequence[Grey]) -> Sequence[Grey]:
    """As they are: the classifier's own resizing is bilinear."""
    return faces


def by_bicubic(faces: Sequence[Grey]) -> list[Grey]:
    """By bicubic interpolation."""
    return [cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for face in faces]


@cache
def of_model(name: str, *, mirror: str | None = None) -> Enlarge:
    """By an enhancer of the registry."""
    return _grey(load(name, mirror=mirror, threads=1))


def of_onnx(network: bytes) -> Enlarge:
    """By a network as it would be shipped."""
    return _grey(Upscaler(Session(network, threads=1), UpscalerOptions()))


def at(face: Grey, side: int) -> Grey:
    """A square face at another side, as the classifier resizes it."""
    return resized(face, side)


def _grey(enhancer: Enhancer) -> Enlarge:
    def enlarge(faces: Sequence[Grey]) -> list[Grey]:
        larger = enhancer([np.repeat(face[..., None], 3, axis=2) for face in faces])
        return [cv2.cvtColor(face, cv2.COLOR_RGB2GRAY) for face in larger]

    return enlarge
