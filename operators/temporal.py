"""The expression of one face over time: a filter that knows seconds, not frames.

Between two looks of `dt` seconds the filter moves from its state towards the reading by 1 - exp(-dt * quality / tau),
which is exact for a reading that held over the interval: looking twice as often at the same face gives the same answer.
It stands behind `operators.ports.TemporalModel`, as does the learned head of `models.temporal`; `follow` is what both
do while a face can't be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from operators.records import Reading
from operators.units import Seconds

__all__ = ["ExpressionFilter", "Followed", "follow"]

Memory = TypeVar("Memory")


@dataclass(frozen=True, slots=True, eq=False)
class Followed(Generic[Memory]):
    """The reading over time, the time of the last step, and the time of the last face that could be read.

    `memory` is what the model remembers beside them.
    """

    reading: Reading
    ts: float
    read_ts: float
    memory: Memory


def follow(
    state: Followed[Memory] | None,
    *,
    ts: float,
    reading: Reading | None,
    hold: float,
    reset_after: float,
    update: Callable[[Followed[Memory] | None, Reading], tuple[Reading, Memory]],
) -> tuple[Followed[Memory] | None, Reading | None]:
    """The next state and the reading over time at `ts`, or None while nothing is known.

    `update` gives the reading over time and the memory after a new reading; its state is None where the face is new, or
    was not read for more than `reset_after` seconds. While it can't be read, the last reading stands for `hold`
    seconds. Time never runs backward.
    """
    if reading is None:
        return _wait(state, ts, hold)
    before = None if state is None or ts - state.read_ts > reset_after else state
    shown, memory = update(before, reading)
    now = ts if before is None else max(ts, before.ts)
    return Followed(shown, now, now, memory), shown


def _wait(state: Followed[Memory] | None, ts: float, hold: float) -> tuple[Followed[Memory] | None, Reading | None]:
    if state is None:
        return None, None
    waited = replace(state, ts=max(ts, state.ts))
    return waited, state.reading if waited.ts - state.read_ts <= hold else None


@dataclass(frozen=True, slots=True)
class ExpressionFilter:
    """Quality-weighted exponential average of the classifier's readings."""

    time_constant: Seconds = 0.5
    """Time after which a lasting change of a perfectly seen face shows by 63 %; 0s switches smoothing off."""
    hold: Seconds = 1.0
    """How long the last reading stands while the face can't be read."""
    reset_after: Seconds = 2.0
    """Time without a reading after which the next one counts fully, as if the face were new."""

    def __post_init__(self) -> None:
        if min(self.time_constant, self.hold, self.reset_after) < 0:
            raise ValueError("expected time_constant, hold and reset_after of at least 0s")

    def step(
        self, state: Followed[None] | None, /, *, ts: float, reading: Reading | None, quality: float
    ) -> tuple[Followed[None] | None, Reading | None]:
        """The next state and the reading at `ts`, or None while nothing is known.

        `quality` in [0, 1] says how much time the reading is worth. Time that runs backward counts as standing still.
        """

        def update(before: Followed[None] | None, new: Reading) -> tuple[Reading, None]:
            if before is None:
                return new, None
            # Time in which the face was not read says nothing of it: it must not make one reading count for all of it.
            return _between(before.reading, new, self._weight(max(ts - before.ts, 0.0) * quality)), None

        return follow(state, ts=ts, reading=reading, hold=self.hold, reset_after=self.reset_after, update=update)

    def _weight(self, dt: float) -> float:
        return float(-np.expm1(-dt / self.time_constant)) if self.time_constant > 0 else 1.0


def _between(old: Reading, new: Reading, weight: float) -> Reading:
    """Where the filter stands that was at `old` and moves towards `new` by `weight`, from 0 to 1."""
    probs = (old.probs + np.float32(weight) * (new.probs - old.probs)).astype(np.float32, copy=False)
    if old.intensity is None or new.intensity is None:
        return Reading(probs, new.intensity)
    return Reading(probs, old.intensity + weight * (new.intensity - old.intensity))
