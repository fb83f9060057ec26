"""The sustained condition: TRUE for long enough, seen well enough, with short dips and gaps tolerated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from operators.records import FaceTrack
from operators.rules.condition import Due, Now, Value
from operators.rules.plan import Plan
from operators.rules.reading import Reader
from operators.rules.signal import false_at
from operators.rules.state import Slot

__all__ = ["Sustained", "breaks_at", "lasts"]


@dataclass(frozen=True, slots=True)
class Sustained:
    """The predicate itself."""

    plan: Plan
    reader: Reader

    def read(self, slot: Slot, faces: Sequence[FaceTrack], now: Now) -> Value:
        """The predicate at this sample."""
        if not slot.leaves:
            slot.leaves = self.reader.blank()
        value, level, face = self.reader.read(slot.leaves, faces, now.ts)
        return Value(value, level, face)

    @property
    def watched(self) -> Sequence[Reader]:
        """The predicate."""
        return (self.reader,)

    def enough(self, slot: Slot) -> bool:
        """Whether it lasted."""
        return lasts(self.plan, slot)

    def breaks_at(self, slot: Slot) -> Due:
        """At a long dip or gap."""
        return breaks_at(self.plan, slot)

    def evidence(self, _: Slot, /) -> Mapping[str, float]:
        """Nothing more."""
        return {}

    @property
    def remembers(self) -> int:
        """Hysteresis and smoothing."""
        return self.plan.hold


def lasts(plan: Plan, slot: Slot) -> bool:
    """Whether the episode is long enough, and was seen well enough."""
    alarm = slot.alarm
    return (
        alarm is not None
        and alarm.last_true - alarm.starts_at >= plan.for_ms
        and alarm.samples >= plan.samples
        and alarm.coverage >= plan.rule.min_coverage
    )


def breaks_at(plan: Plan, slot: Slot) -> Due:
    """FALSE for `break_dip`, or UNKNOWN for more than `break_gap`."""
    signal = slot.signal
    dip = false_at(signal, plan.break_dip, plan.hold)
    if dip is not None:
        return dip, dip, "dip"
    gap = signal.at + plan.break_gap
    return gap + 1, gap, "gap"
