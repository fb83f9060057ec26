"""The change condition: a number moves away from its own recent past.

The baseline is the median of one reading per cell of time, and its scale the median absolute deviation (MAD) times
1.4826, which for a normal distribution is the standard deviation; or mean and standard deviation. Robust z-scores:
Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from operators.records import FaceTrack
from operators.rules.condition import Due, Now, Value
from operators.rules.conditions import Change
from operators.rules.plan import Plan, milliseconds
from operators.rules.reading import NOBODY, LeafReader, Reader
from operators.rules.state import NEVER, Leaf, Slot, Usual
from operators.rules.sustained import breaks_at, lasts

__all__ = ["ChangeFromUsual"]

CELLS = 120
"""The baseline is made of so many readings at most."""
LEAST_SCALE = 0.01
"""A face that doesn't move at all is no reason to report the next tremble."""
DIGITS = 6
"""Decimals of the readings that are kept."""


@dataclass(frozen=True, slots=True)
class ChangeFromUsual:
    """A number against its baseline; times in ms."""

    watched: ClassVar[Sequence[Reader]] = ()
    plan: Plan
    leaf: LeafReader
    change: Change
    cell: int
    over: int
    guard: int
    min_observed: int

    @classmethod
    def of(cls, plan: Plan, leaf: LeafReader, change: Change) -> ChangeFromUsual:
        """From its settings."""
        baseline = change.baseline
        over = milliseconds(baseline.over)
        return cls(
            plan,
            leaf,
            change,
            cell=max(1, over // CELLS),
            over=over,
            guard=milliseconds(baseline.guard),
            min_observed=milliseconds(baseline.min_observed),
        )

    def read(self, slot: Slot, faces: Sequence[FaceTrack], now: Now) -> Value:
        """TRUE where the number is far enough from the baseline; UNKNOWN without one, or without a number."""
        level, face = self._level(slot, faces, now.ts)
        if level is None or level == NOBODY:
            return Value(None, None)
        usual = slot.usual
        if usual is None:
            usual = slot.usual = Usual()
        if slot.alarm is None or not self.change.baseline.freeze_while_active:
            if now.ts > usual.until:
                self._look_back(usual, now.ts)
            if now.ts // self.cell >= usual.first + len(usual.readings):
                self._keep(usual, level, now.ts)
        if not usual.scale:
            return Value(None, None)
        moved = level - usual.center
        if self.change.direction == "down" or (self.change.direction == "any" and moved < 0):
            moved = -moved
        far = moved >= self.change.absolute and moved / usual.scale >= self.change.zscore
        return Value(far, moved, face)

    def enough(self, slot: Slot) -> bool:
        """Whether it lasted."""
        return lasts(self.plan, slot)

    def breaks_at(self, slot: Slot) -> Due:
        """At a long dip or gap."""
        return breaks_at(self.plan, slot)

    def evidence(self, slot: Slot, /) -> Mapping[str, float]:
        """The baseline, and how many of its scales the last reading is away from it."""
        usual, alarm = slot.usual, slot.alarm
        if usual is None or alarm is None or not usual.scale:
            return {}
        zscore = alarm.latest / usual.scale
        return {"center": round(usual.center, 6), "scale": round(usual.scale, 6), "zscore": round(zscore, 6)}

    @property
    def remembers(self) -> int:
        """As long as something of the baseline is left."""
        return max(self.plan.hold, self.over + self.guard)

    def _level(self, slot: Slot, faces: Sequence[FaceTrack], ts: int) -> tuple[float | None, FaceTrack | None]:
        if not self.leaf.remembers:
            return self.leaf.level(faces)
        if not slot.leaves:
            slot.leaves = [Leaf()]
        _, level, face = self.leaf.read(slot.leaves[0], faces, ts)
        return level, face

    def _look_back(self, usual: Usual, ts: int) -> None:
        """Centre and scale of the cells that began in `[ts - guard - over, ts - guard)`; older ones are dropped."""
        begin = -((self.guard + self.over - ts) // self.cell)
        end = -((self.guard - ts) // self.cell)
        if begin > usual.first:
            del usual.readings[: begin - usual.first]
            usual.first = begin
        known = [level for level in usual.readings[: max(0, end - usual.first)] if level is not None]
        usual.scale = 0.0
        if known and len(known) * self.cell >= self.min_observed:
            describe = _median_mad if self.change.baseline.stat == "median_mad" else _mean_std
            usual.center, usual.scale = describe(known)
        usual.until = self.guard + min(end * self.cell, begin * self.cell + self.over)

    def _keep(self, usual: Usual, level: float, ts: int) -> None:
        """The first reading of a cell stands for it."""
        number = ts // self.cell
        if not usual.readings:
            usual.first = number
        missed = number - usual.first - len(usual.readings)
        usual.readings += [None] * missed
        usual.readings.append(round(level, DIGITS))
        if number * self.cell < ts - self.guard:
            usual.until = NEVER  # without a guard, the cell is part of the baseline from the next sample on


def _median_mad(levels: Sequence[float]) -> tuple[float, float]:
    levels = sorted(levels)
    center = _middle(levels)
    # Of sorted levels, the deviations fall and then rise: sorting them is one merge.
    return center, max(LEAST_SCALE, 1.4826 * _middle(sorted([abs(level - center) for level in levels])))


def _middle(levels: Sequence[float]) -> float:
    half = len(levels) // 2
    return levels[half] if len(levels) % 2 else (levels[half - 1] + levels[half]) / 2


def _mean_std(levels: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(levels) / len(levels)
    return mean, max(LEAST_SCALE, math.sqrt(math.fsum([(level - mean) ** 2 for level in levels]) / len(levels)))
