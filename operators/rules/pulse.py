"""The pulse condition: TRUE for a short time only; or so many of such pulses within a stretch of time.

A pulse goes from the first TRUE sample directly after a FALSE one to the first FALSE sample after it, with nothing
UNKNOWN in between: what wasn't seen can't be measured. With a flank, it counts once the flank was seen on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from operators.records import FaceTrack
from operators.rules.condition import Due, Now, Value
from operators.rules.conditions import Pulse
from operators.rules.plan import Plan, milliseconds
from operators.rules.reading import Reader
from operators.rules.signal import Truth
from operators.rules.state import PulseMemory, Slot
from operators.rules.sustained import breaks_at, lasts

__all__ = ["Pulses"]

MOST = 100
"""As many pulses as `count.at_least` may ask for; older ones are not counted, so that memory is bounded."""


@dataclass(frozen=True, slots=True)
class Pulses:
    """The sample that confirms a pulse; with `at_least`, so many pulses that ended within `within`; ms."""

    plan: Plan
    reader: Reader
    flank: Reader | None
    shortest: int
    longest: int
    near: int
    """How far from the pulse a flank may be."""
    at_least: int
    """0 where a single pulse is enough."""
    within: int

    @classmethod
    def of(cls, plan: Plan, reader: Reader, pulse: Pulse) -> Pulses:
        """From its settings."""
        count, flank = plan.rule.count, pulse.flank
        return cls(
            plan,
            reader,
            flank=plan.prepare(flank.when) if flank else None,
            shortest=milliseconds(pulse.min),
            longest=milliseconds(pulse.max),
            near=milliseconds(flank.within) if flank else 0,
            at_least=count.at_least if count else 0,
            within=milliseconds(count.within) if count else 0,
        )

    def read(self, slot: Slot, faces: Sequence[FaceTrack], now: Now) -> Value:
        """TRUE at a sample that confirms a pulse, or by which there are enough; UNKNOWN where `when` is."""
        memory = slot.pulse
        if memory is None:
            memory = slot.pulse = PulseMemory(flank=self.flank.blank() if self.flank else [])
            slot.leaves = self.reader.blank()
        on, _, face = self.reader.read(slot.leaves, faces, now.ts)
        flanked = True if self.flank is None else self.flank.read(memory.flank, faces, now.ts)[0]
        if on is None:
            return Value(None, None)
        end = self._confirmed(slot, memory, now.ts, on=on, flanked=flanked)
        if not self.at_least:
            return Value(end is not None, float(end is not None), face)
        if end is not None:
            memory.ends.append(end)
            del memory.ends[:-MOST]
        while memory.ends and memory.ends[0] <= now.ts - self.within:
            del memory.ends[0]
        return Value(len(memory.ends) >= self.at_least, float(len(memory.ends)), face)

    @property
    def watched(self) -> Sequence[Reader]:
        """The predicate; a flank is a matter of every sample."""
        return (self.reader,) if self.flank is None else ()

    def enough(self, slot: Slot) -> bool:
        """Whether it lasted; without `for`, at once."""
        return lasts(self.plan, slot)

    def breaks_at(self, slot: Slot) -> Due:
        """At a long dip or gap."""
        return breaks_at(self.plan, slot)

    def evidence(self, slot: Slot, /) -> Mapping[str, float]:
        """How many pulses there were."""
        counted = len(slot.pulse.ends) if slot.pulse and self.at_least else 1
        return {"pulses": float(counted)}

    @property
    def remembers(self) -> int:
        """As long as a pulse counts, or waits for its flank."""
        return max(self.plan.hold, self.near, self.within)

    def _confirmed(self, slot: Slot, memory: PulseMemory, ts: int, *, on: bool, flanked: Truth) -> int | None:
        """The end of the pulse that this readable sample confirms."""
        if on is not memory.on or not slot.signal.known or ts - slot.signal.at > self.plan.hold:
            self._turn(slot, memory, ts, on=on)
        end = None
        if memory.end is not None:
            if flanked and ts <= memory.end + self.near:
                end = memory.end
            if flanked or ts >= memory.end + self.near:
                memory.end = None
        if flanked:
            memory.flank_at = ts
        return end

    def _turn(self, slot: Slot, memory: PulseMemory, ts: int, *, on: bool) -> None:
        """A pulse begins or ends here, unless the sample before it is missing."""
        joined = slot.signal.known and ts - slot.signal.at <= self.plan.hold
        onset, memory.onset = memory.onset, None
        if joined and on:
            memory.onset = ts if self.flank is None or memory.flank_at >= ts - self.near else None
        elif joined and onset is not None and self.shortest <= ts - onset <= self.longest:
            memory.end = ts
        memory.on = on
