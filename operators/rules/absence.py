"""The absence conditions: too few faces, proven by looking; or no usable pictures at all.

An absence needs observation. UNKNOWN time stops the clock of a missing face; a dead camera proves nothing about faces
and is a matter of the second condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from operators.records import FaceTrack
from operators.rules.condition import Due, Now, Value
from operators.rules.conditions import Absence
from operators.rules.crowd import forget_members, read_members
from operators.rules.plan import Plan
from operators.rules.reading import Reader
from operators.rules.signal import Truth
from operators.rules.state import FOREVER, Slot
from operators.rules.sustained import breaks_at, lasts

__all__ = ["NoFaces", "NoFrames"]


@dataclass(frozen=True, slots=True)
class NoFaces:
    """Fewer faces than `absence.fewer_than`."""

    watched: ClassVar[Sequence[Reader]] = ()
    plan: Plan
    absence: Absence

    def read(self, slot: Slot, faces: Sequence[FaceTrack], now: Now) -> Value:
        """TRUE while they are absent; UNKNOWN where that can't be said."""
        if now.fps < self.absence.min_fps:
            return Value(None, None)
        present = unknown = 0
        shown = None
        for face, value in self._faces(slot, faces, now.ts):
            present += value is True
            unknown += value is None
            shown = shown or (face if value else None)
        value = self._value(present, unknown, now)
        if value is False:
            slot.armed = True
        elif value and not (self.absence.arm_on_start or slot.armed):
            value = False
        return Value(value, float(present), shown)

    def enough(self, slot: Slot) -> bool:
        """Whether the absence was observed for long enough."""
        return lasts(self.plan, slot) and slot.alarm is not None and slot.alarm.covered_ms >= self.plan.for_ms

    def breaks_at(self, slot: Slot) -> Due:
        """When somebody comes, or nothing was known for long."""
        return breaks_at(self.plan, slot)

    def evidence(self, _: Slot, /) -> Mapping[str, float]:
        """The number present is the value itself."""
        return {}

    @property
    def remembers(self) -> int:
        """What faces showed for `max_gap`; that a presence has armed it, for ever."""
        return self.plan.hold if self.absence.arm_on_start else FOREVER // 2

    def _faces(self, slot: Slot, faces: Sequence[FaceTrack], ts: int) -> Iterable[tuple[FaceTrack, Truth]]:
        """Each face with whether it counts; without a predicate, those that are sure enough."""
        if self.plan.reader is None:
            sure = self.plan.rule.min_confidence
            return [(face, True if face.confidence >= sure else None) for face in faces]
        if slot.members:
            forget_members(slot, ts, after=self.plan.hold)
        return read_members(self.plan, slot, faces, ts, all_kept=False)

    def _value(self, present: int, unknown: int, now: Now) -> Truth:
        if present >= self.absence.fewer_than:
            return False
        return True if now.complete and present + unknown < self.absence.fewer_than else None


@dataclass(frozen=True, slots=True)
class NoFrames:
    """No usable pictures: what a gap of the camera proves, and every picture disproves."""

    watched: ClassVar[Sequence[Reader]] = ()
    plan: Plan

    def read(self, slot: Slot, _: Sequence[FaceTrack], now: Now) -> Value:  # noqa: ARG002 -- a picture is enough
        """FALSE: here is a picture."""
        return Value(value=False, level=0.0)

    def enough(self, slot: Slot) -> bool:
        """Whether it lasted."""
        return lasts(self.plan, slot)

    def breaks_at(self, slot: Slot) -> Due:
        """When pictures are back."""
        return breaks_at(self.plan, slot)

    def evidence(self, _: Slot, /) -> Mapping[str, float]:
        """The time without pictures is the value itself."""
        return {}

    @property
    def remembers(self) -> int:
        """Nothing."""
        return 0
