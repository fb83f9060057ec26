"""The ratio condition: TRUE for most of the last `for`, instead of without a break.

The window is made of buckets of event time, so that its memory doesn't grow with the frame rate. UNKNOWN time counts
neither way; how much of it there may be is a matter of `min_coverage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from operators.records import FaceTrack
from operators.rules.condition import Due, Now, Value
from operators.rules.conditions import Ratio
from operators.rules.plan import Plan, milliseconds
from operators.rules.reading import Reader
from operators.rules.state import Bucket, Slot
from operators.rules.sustained import breaks_at, lasts

__all__ = ["MostlyTrue"]


@dataclass(frozen=True, slots=True)
class MostlyTrue:
    """The predicate, over a window; `bucket` in ms, `count` buckets make the window."""

    plan: Plan
    reader: Reader
    at_least: float
    bucket: int
    count: int

    @classmethod
    def of(cls, plan: Plan, reader: Reader, ratio: Ratio) -> MostlyTrue:
        """From its settings."""
        bucket = milliseconds(ratio.bucket)
        return cls(plan, reader, ratio.at_least, bucket, -(-plan.for_ms // bucket))

    def read(self, slot: Slot, faces: Sequence[FaceTrack], now: Now) -> Value:
        """The predicate at this sample; the time since the last one goes into its buckets."""
        if not slot.leaves:
            slot.leaves = self.reader.blank()
        value, level, face = self.reader.read(slot.leaves, faces, now.ts)
        if value is not None:
            if slot.alarm is None:
                slot.buckets = []
            else:
                self._add(slot, now.ts)
        return Value(value, level, face)

    @property
    def watched(self) -> Sequence[Reader]:
        """The predicate."""
        return (self.reader,)

    def enough(self, slot: Slot) -> bool:
        """Whether it lasted, and most of the observed window was TRUE."""
        return lasts(self.plan, slot) and self._ratio(slot) >= self.at_least

    def breaks_at(self, slot: Slot) -> Due:
        """When the window holds nothing TRUE any more, or at a long gap."""
        return breaks_at(self.plan, slot)

    def evidence(self, slot: Slot, /) -> Mapping[str, float]:
        """The share of the observed window that was TRUE."""
        return {"ratio": round(self._ratio(slot), 6)}

    @property
    def remembers(self) -> int:
        """Hysteresis and smoothing."""
        return self.plan.hold

    def _add(self, slot: Slot, ts: int) -> None:
        """Put the time for which the last sample held into its buckets, and drop those that left the window."""
        signal = slot.signal
        begin = signal.at
        end = min(ts, begin + self.plan.hold) if signal.known else signal.until
        while begin < end:
            number = begin // self.bucket
            border = min(end, (number + 1) * self.bucket)
            if not slot.buckets or slot.buckets[-1].number != number:
                slot.buckets.append(Bucket(number))
            if signal.last:
                slot.buckets[-1].true_ms += border - begin
            else:
                slot.buckets[-1].false_ms += border - begin
            begin = border
        first = ts // self.bucket - self.count + 1
        while slot.buckets and slot.buckets[0].number < first:
            del slot.buckets[0]

    def _ratio(self, slot: Slot) -> float:
        true_ms = sum(bucket.true_ms for bucket in slot.buckets)
        known_ms = true_ms + sum(bucket.false_ms for bucket in slot.buckets)
        return true_ms / known_ms if known_ms else 0.0
