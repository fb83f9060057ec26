"""Whether a model works on this machine: its files are there and unaltered, it loads, it answers, and in what time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.catalogue import Entry
from models.files import locate
from models.registry import load
from operators.errors import ModelError
from operators.records import Reading

__all__ = ["SAMPLES", "Trial", "trial"]

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out; `milliseconds` are those of `sample`."""

    state: Literal["works", "missing", "broken"]
    text: str = ""
    """What is wrong, and what to do."""
    provider: str = ""
    milliseconds: float = 0.0
    sample: str = ""


Sample = Callable[[Any], object]


def trial(
    entry: Entry,
    *,
    mirror: Path | str | None = None,
    folder: Path | str | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> Trial:
    """Load a model and let it answer to made-up pictures. Downloads nothing."""
    try:
        for file in entry.files:
            locate(entry, file, mirror, folder)
    except ModelError as error:
        return Trial("missing", str(error))
    try:
        model = load(entry.name, mirror=mirror, folder=folder, device=device, threads=threads)
    except ModelError as error:
        return Trial("broken", str(error))
    sample, call = SAMPLES[entry.task]
    return Trial("works", provider=model.provider, milliseconds=1000 * _seconds(call, model), sample=sample)


def _seconds(call: Sample, model: Any) -> float:  # noqa: ANN401 -- protocols with nothing in common
    """The median of a few calls, after one that doesn't count."""
    call(model)
    took = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        call(model)
        took.append(time.perf_counter() - start)
    return statistics.median(took)


_NOISE = np.random.default_rng(1).integers(0, 256, (384, 640, 3), np.uint8)
_SURE = Reading(np.full(8, 1 / 8, np.float32), 0.5)

SAMPLES: Mapping[str, tuple[str, Sample]] = {
    "detector": ("frame of 640x384", lambda model: model(_NOISE)),
    "expression": ("face of 48 px", lambda model: model([_NOISE[:48, :48]])),
    "enhancer": ("face of 24 px", lambda model: model([_NOISE[:24, :24]])),
    "temporal": ("face in a frame", lambda model: model.step(None, ts=0.0, reading=_SURE, quality=1.0)),
}
"""What each task is tried with, in words and as a call."""
