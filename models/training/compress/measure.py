"""What a compressed network costs and gains beside the one it was made from, through the session of the run time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from scipy.special import softmax

from models.expression import resized
from models.session import Session
from models.training.compress.quantize import answers, as_faces, heads
from models.training.faces import Data, Faces, Grey
from models.training.report import QUALITIES, Report, evaluate, fit_temperature, shrink

__all__ = [
    "TOLERATED",
    "Alike",
    "Answers",
    "Pace",
    "alike",
    "answer",
    "far_away",
    "lost",
    "pace",
    "reports",
    "temperatures",
]

Floats = NDArray[np.float32]
Answers = Mapping[str, Floats]
"""Logits `(n, k)` of each head for all faces of the test split."""

TOLERATED = 0.005
"""Accuracy that a smaller network may lose: half a point."""
INTENSITY = "intensity"
FAR = tuple((side, quality) for quality in QUALITIES for side in (12, 16, 24))
"""Pixels of a distant face and its JPEG quality."""
WARMUP = 5


@dataclass(frozen=True, slots=True)
class Alike:
    """How like the other network's answers are: share of faces with the same top class, mean difference of shares."""

    agreement: float
    difference: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Milliseconds of one call, the median of calls that took turns with the float network, and that one's."""

    ms: float
    float_ms: float


def answer(model: ModelProto, data: Data) -> Answers:
    """What a network says to the test split."""
    return answers(model, as_faces(data.test.images))


def far_away(data: Data) -> Data:
    """The test faces of the first head that are beyond dispute, once for each of `FAR`, as the run time sees them."""
    head = next(iter(data.classes))
    faces = data.test.where(_labelled(data, head)[0])
    seen = [replace(faces, images=_seen(faces.images, *how)) for how in FAR]
    return replace(data, test=reduce(Faces.__add__, seen), classes={head: data.classes[head]})


def reports(said: Answers, data: Data, temperature: Mapping[str, float] | None = None) -> dict[str, Report]:
    """How well each head reads; of `ferplus` by the majority protocol, on faces beyond dispute.

    A share of raters, as `intensity` is, has no right answer: it is left out.
    """
    found = {}
    for head in _read(said, data):
        mask, truth = _labelled(data, head)
        divisor = np.float32(temperature[head] if temperature else 1)
        found[head] = evaluate(_shares(said[head][mask] / divisor), truth, data.classes[head])
    return found


def temperatures(said: Answers, data: Data) -> dict[str, float]:
    """Those that calibrate each head on the test split."""
    fitted = {}
    for head in _read(said, data):
        mask, truth = _labelled(data, head)
        fitted[head] = fit_temperature(said[head][mask], truth)
    return fitted


def lost(after: Mapping[str, Report], before: Mapping[str, Report]) -> dict[str, float]:
    """The accuracy that was lost by each head that lost more than is tolerated."""
    losses = {head: before[head].accuracy - report.accuracy for head, report in after.items()}
    return {head: loss for head, loss in losses.items() if loss > TOLERATED}


def alike(said: Answers, before: Answers) -> dict[str, Alike]:
    """Compare all heads with those of the float network, on all faces, labelled or not."""
    return {
        head: Alike(
            float((said[head].argmax(1) == before[head].argmax(1)).mean()),
            float(np.abs(_shares(said[head]) - _shares(before[head])).mean()),
        )
        for head in said
    }


def pace(model: ModelProto, base: ModelProto, faces: Floats, *, threads: int = 1, rounds: int = 200) -> Pace:
    """Time calls with all of `faces (n, 1, side, side)`, each beside one of the float network.

    The two take turns, so that what else the machine does falls on both.
    """
    sessions = [Session(one.SerializeToString(), threads=threads, outputs=heads(one)) for one in (model, base)]
    took: tuple[list[float], list[float]] = ([], [])
    for turn in range(-WARMUP, rounds):
        for session, times in zip(sessions, took, strict=True):
            start = time.perf_counter()
            session(faces)
            if turn >= 0:
                times.append(time.perf_counter() - start)
    ms, float_ms = (1000 * statistics.median(times) for times in took)
    return Pace(ms, float_ms)


def _seen(images: Grey, side: int, quality: int | None) -> Grey:
    """Faces `(n, s, s)` from far away, enlarged to what they were as the run time enlarges them."""
    return np.stack([resized(shrink(image, side, quality), image.shape[0]) for image in images])


def _read(said: Answers, data: Data) -> list[str]:
    return [head for head in said if head in data.classes and head != INTENSITY]


def _labelled(data: Data, head: str) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which test faces have a label for a head, and their classes."""
    targets = data.test.targets[head]
    mask = targets.sum(1) > 0
    if head == "ferplus":
        mask &= data.test.clear
    return mask, targets.argmax(1)[mask]


def _shares(logits: Floats) -> Floats:
    return np.asarray(softmax(logits, axis=1), np.float32)
