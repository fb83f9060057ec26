"""How well a network reads faces: by class, by size of the face, and how far its probabilities can be trusted.

The prior correction is that of `models.expression` (logit adjustment, Menon et al., arXiv 2007.07314), applied to
probabilities that are there already, so that one look at the faces serves every strength of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax, logit, softmax

from models.training.augment import jpeg
from models.training.faces import Data, Faces, Grey

__all__ = [
    "Agreement",
    "Curve",
    "Reader",
    "Report",
    "agreement",
    "by_size",
    "choose_tau",
    "corrected",
    "curve",
    "evaluate",
    "expected_calibration_error",
    "fit_intensity",
    "fit_temperature",
    "labelled",
    "shares",
    "sharpened",
    "shrink",
    "size_reports",
]

Floats = NDArray[np.float32]
Reader = Callable[[Sequence[Grey]], Floats]
"""Faces `(h, w)` of any size -> probabilities `(n, k)`."""

SIZES = (8, 12, 16, 20, 24, 32, 48)
QUALITIES = (None, 50)
BINS = 15
SLACK = 0.005
"""Accuracy that a stronger prior correction may cost."""
WORST_CALIBRATION = 0.03
"""Calibration error beyond which a setting isn't shipped."""


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
    read: Mapping[str, float]
    """Share of the faces that were read as each class."""
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
        read=named(confusion.sum(0) / max(1, len(truth))),
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


def fit_intensity(intensity: NDArray[np.floating[Any]], share: NDArray[np.floating[Any]]) -> float:
    """The same for intensities `(n,)` against shares of raters `(n,)`."""
    logits = logit(np.clip(intensity.astype(float), 1e-6, 1 - 1e-6))

    def unlikelihood(temperature: float) -> float:
        scaled = logits / temperature
        return float(-(share * log_expit(scaled) + (1 - share) * log_expit(-scaled)).mean())

    return float(minimize_scalar(unlikelihood, bounds=(0.2, 5.0), method="bounded").x)


def sharpened(probs: Floats, temperature: float) -> Floats:
    """Probabilities `(n, k)` as they would be had the logits been divided by a temperature."""
    return np.asarray(softmax(np.log(np.maximum(probs, 1e-12)) / temperature, axis=1), np.float32)


def by_size(read: Reader, faces: Faces, truth: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy on faces as a camera would deliver them that sees them so large: `"16 px JPEG 50"` and so on."""
    return {name: float((probs.argmax(1) == truth).mean()) for name, probs in _sizes(read, faces)}


def size_reports(read: Reader, faces: Faces, truth: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Report]:
    """The same, with everything that can be said of them."""
    return {name: evaluate(probs, truth, classes) for name, probs in _sizes(read, faces)}


def _sizes(read: Reader, faces: Faces) -> Iterator[tuple[str, Floats]]:
    for side in SIZES:
        for quality in QUALITIES:
            name = f"{side} px" + (f" JPEG {quality}" if quality else "")
            yield name, read([shrink(image, side, quality) for image in faces.images])


def corrected(probs: Floats, priors: Floats, tau: float, site: Floats | None = None) -> Floats:
    """Probabilities `(n, k)` after the prior correction of strength `tau`, with the priors of training `(k,)`.

    `site (k,)` are the shares of the classes where the network will work; None = all alike.
    """
    change = -np.log(priors) if site is None else np.log(site) - np.log(priors)
    return np.asarray(softmax(np.log(np.maximum(probs, 1e-12)) + tau * change, axis=1), np.float32)


def choose_tau(sweep: Mapping[float, Report]) -> float:
    """The strength of the prior correction to ship: it finds most of every class, at almost no cost.

    Of those that lose at most half a point of accuracy against no correction, and whose calibration error is 0.03 or
    less, the one with the highest macro recall; none where no other is allowed.
    """
    plain = sweep[0.0]
    allowed = [
        tau
        for tau, one in sweep.items()
        if one.accuracy >= plain.accuracy - SLACK and one.calibration_error <= WORST_CALIBRATION
    ]
    return max(allowed, key=lambda tau: sweep[tau].macro_recall, default=0.0)


@dataclass(frozen=True, slots=True)
class Curve:
    """What a rule on one class could have: `(threshold, precision, recall)`, from the lowest threshold up."""

    points: Sequence[tuple[float, float, float]]
    average_precision: float

    def at_recall(self, least: float) -> tuple[float, float, float] | None:
        """The highest threshold that finds this share, and its precision and recall; None where none does."""
        return next((point for point in reversed(self.points) if point[2] >= least), None)


def curve(probs: NDArray[np.floating[Any]], shown: NDArray[np.bool_]) -> Curve:
    """Precision against recall over every threshold, of the probabilities `(n,)` of faces that show a class or don't.

    The average precision is the area under the steps, as in the VOC and scikit-learn definitions without interpolation.
    """
    order = np.argsort(-probs, kind="stable")
    sure, found = probs[order], np.cumsum(shown[order])
    last = np.append(sure[1:] != sure[:-1], True)  # faces with the same probability pass a threshold together
    precision = (found / np.arange(1, len(found) + 1))[last]
    recall = (found / max(1, int(shown.sum())))[last]
    area = float((precision * np.diff(recall, prepend=0)).sum())
    points = np.column_stack([sure[last], precision, recall])[::-1].astype(float).round(4)
    return Curve([(one, two, three) for one, two, three in points.tolist()], area)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How close an intensity `(n,)` is to the share of raters who saw an expression."""

    faces: int
    error: float
    """Mean absolute difference."""
    correlation: float
    """Pearson's."""
    calibration_error: float
    """Mean difference within 15 bins of equal width, weighted by their faces."""
    bins: Sequence[tuple[float, float, int]]
    """Mean intensity, mean share, faces; for each bin that is not empty."""


def agreement(intensity: NDArray[np.floating[Any]], share: NDArray[np.floating[Any]]) -> Agreement:
    """Compare intensities with shares of raters, face by face."""
    bucket = np.minimum((intensity * BINS).astype(int), BINS - 1)
    bins = [
        (float(intensity[bucket == one].mean()), float(share[bucket == one].mean()), int((bucket == one).sum()))
        for one in np.unique(bucket)
    ]
    return Agreement(
        faces=len(share),
        error=float(np.abs(intensity - share).mean()),
        correlation=float(np.corrcoef(intensity, share)[0, 1]) if intensity.std() and share.std() else 0.0,
        calibration_error=sum(abs(said - seen) * count for said, seen, count in bins) / max(1, len(share)),
        bins=bins,
    )


def shrink(image: Grey, side: int, quality: int | None) -> Grey:
    """The face, `side` px wide, with what compression leaves of it."""
    small = image if side == image.shape[0] else cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return small if quality is None else jpeg(small, quality)


def shares(faces: Faces, head: str) -> Floats:
    """How frequent each class is `(k,)` among the labelled faces of a split, by the class that most raters named."""
    targets = faces.targets[head]
    counts = np.bincount(targets.argmax(1)[targets.sum(1) > 0], minlength=targets.shape[1]).astype(float)
    return np.asarray((counts + 1) / (counts + 1).sum(), np.float32)


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
