"""How well a network reads faces: by class, by size of the face, and how far its probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from models.training.augment import jpeg
from models.training.faces import Data, Faces, Grey

__all__ = [
    "Reader",
    "Report",
    "by_size",
    "evaluate",
    "expected_calibration_error",
    "fit_temperature",
    "labelled",
    "shrink",
]

Floats = NDArray[np.float32]
Reader = Callable[[Sequence[Grey]], Floats]
"""Faces `(h, w)` of any size -> probabilities `(n, k)`."""

SIZES = (8, 12, 16, 20, 24, 32, 48)
QUALITIES = (None, 50)
BINS = 15


@dataclass(frozen=True, slots=True)
class Report:
    """One head on one split; by class in the order of `classes`. Shares, not percent."""

    classes: Sequence[str]
    faces: int
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    calibration_error: float
    precision: Mapping[str, float]
    recall: Mapping[str, float]
    f1: Mapping[str, float]
    support: Mapping[str, int]
    confusion: Sequence[Sequence[int]]
    """`[true][read]`, faces."""
    reliability: Sequence[tuple[float, float, int]]
    """Mean probability of the top class, share of right ones, faces; for each bin that is not empty."""


def evaluate(probs: Floats, truth: NDArray[np.int64], classes: Sequence[str]) -> Report:
    """Compare probabilities `(n, k)` with the true classes `(n,)`."""
    read = probs.argmax(1)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (truth, read), 1)
    right = confusion.diagonal()
    recall = right / np.maximum(confusion.sum(1), 1)
    precision = right / np.maximum(confusion.sum(0), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    there = confusion.sum(1) > 0
    bins = _bins(probs, truth)

    def named(values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(classes, values.round(4).tolist(), strict=True))

    return Report(
        classes=tuple(classes),
        faces=len(truth),
        accuracy=float((read == truth).mean()),
        macro_precision=float(precision[there].mean()),
        macro_recall=float(recall[there].mean()),
        macro_f1=float(f1[there].mean()),
        calibration_error=expected_calibration_error(probs, truth),
        precision=named(precision),
        recall=named(recall),
        f1=named(f1),
        support=dict(zip(classes, confusion.sum(1).tolist(), strict=True)),
        confusion=confusion.tolist(),
        reliability=bins,
    )


def expected_calibration_error(probs: Floats, truth: NDArray[np.int64]) -> float:
    """Of the top probability, over 15 bins (Guo et al., arXiv 1706.04599)."""
    return sum(abs(sure - right) * count for sure, right, count in _bins(probs, truth)) / max(1, len(truth))


def fit_temperature(logits: Floats, truth: NDArray[np.int64]) -> float:
    """The temperature that makes the true classes most likely (same source)."""

    def unlikelihood(temperature: float) -> float:
        return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(truth)), truth].mean())

    return float(minimize_scalar(unlikelihood, bounds=(0.2, 5.0), method="bounded").x)


def by_size(read: Reader, faces: Faces, truth: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy on faces as a camera would deliver them that sees them so large: `"16 px JPEG 50"` and so on."""
    rows: dict[str, float] = {}
    for side in SIZES:
        for quality in QUALITIES:
            seen = [shrink(image, side, quality) for image in faces.images]
            name = f"{side} px" + (f" JPEG {quality}" if quality else "")
            rows[name] = float((read(seen).argmax(1) == truth).mean())
    return rows


def shrink(image: Grey, side: int, quality: int | None) -> Grey:
    """The face, `side` px wide, with what compression leaves of it."""
    small = image if side == image.shape[0] else cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return small if quality is None else jpeg(small, quality)


def labelled(data: Data, head: str, *, clear: bool) -> tuple[Faces, NDArray[np.int64]]:
    """The test faces that have a label for a head, and their classes; `clear`: those beyond dispute only."""
    targets = data.test.targets[head]
    mask = targets.sum(1) > 0
    if clear:
        mask &= data.test.clear
    return data.test.where(mask), targets.argmax(1)[mask]


def _bins(probs: Floats, truth: NDArray[np.int64]) -> list[tuple[float, float, int]]:
    sure, right = probs.max(1), probs.argmax(1) == truth
    bucket = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        (float(sure[bucket == one].mean()), float(right[bucket == one].mean()), int((bucket == one).sum()))
        for one in np.unique(bucket)
    ]
