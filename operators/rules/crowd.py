"""Conditions over the tracks of a scope: how many show something (`count`), and what share of them does (`share`).

Each track has its own predicate, with its own hysteresis and smoothing. A track that the tracker merged into another is
one from then on, so nobody is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from operators.records import FaceTrack
from operators.rules.condition import Due, Now, Value
from operators.rules.conditions import Count, Share
from operators.rules.plan import Plan, milliseconds
from operators.rules.reading import Reader
from operators.rules.signal import Truth
from operators.rules.state import Member, Slot
from operators.rules.sustained import breaks_at, lasts

__all__ = ["CountTracks", "ShareOfTracks", "read_members"]


def read_members(
    plan: Plan, slot: Slot, faces: Sequence[FaceTrack], ts: int, *, all_kept: bool
) -> Iterator[tuple[FaceTrack, Truth]]:
    """Each face with the value of its own predicate; without one, a face that is sure enough is TRUE.

    `all_kept` remembers also those that have never been TRUE.
    """
    reader, members = plan.reader, slot.members
    threshold = None if reader is None or all_kept else reader.threshold
    for face in faces:
        member = members.get(face.track_id)
        if member is None and threshold is not None:
            level = threshold.number(face) if threshold.readable(face) else None
            if level is None or level < threshold.enter:
                yield face, None if level is None else False
                continue
        if member is None:
            member = members[face.track_id] = Member([] if reader is None else reader.blank())
        value = _read(plan, reader, member, face, ts)
        if value is not None:
            member.read_at, member.value = ts, value
            if value:
                member.true_at = ts
        yield face, value


def _read(plan: Plan, reader: Reader | None, member: Member, face: FaceTrack, ts: int) -> Truth:
    if reader is None:
        return True if face.confidence >= plan.rule.min_confidence else None
    return reader.read(member.leaves, (face,), ts)[0]


def forget_members(slot: Slot, ts: int, *, after: int) -> None:
    """Drop the tracks of which nothing was read for more than `after` ms."""
    stale = [track for track, member in slot.members.items() if ts - member.read_at > after]
    # A predicate can be UNKNOWN although a part of it was read, and that part remembers.
    stale = [track for track in stale if all(ts - leaf.at > after for leaf in slot.members[track].leaves)]
    for track in stale:
        del slot.members[track]


@dataclass(frozen=True, slots=True)
class CountTracks:
    """So many different tracks within a stretch of time; ms."""

    plan: Plan
    at_least: int
    within: int

    @classmethod
    def of(cls, plan: Plan, count: Count) -> CountTracks:
        """From its settings."""
        return cls(plan, count.at_least, milliseconds(count.within))

    def read(self, slot: Slot, faces: Sequence[FaceTrack], now: Now) -> Value:
        """TRUE with enough tracks; FALSE where even the unreadable ones would not be enough."""
        shown, unreadable = None, []
        for face, value in read_members(self.plan, slot, faces, now.ts, all_kept=False):
            if value is None:
                unreadable.append(face.track_id)
            elif value:
                shown = shown or face
        since = now.ts - self.within
        counted = {track for track, member in slot.members.items() if member.true_at > since}
        if len(counted) < len(slot.members):
            forget_members(slot, now.ts, after=max(self.within - 1, self.plan.hold))
        possible = len(counted) + sum(track not in counted for track in unreadable)
        value = True if len(counted) >= self.at_least else None if possible >= self.at_least else False
        return Value(value, float(len(counted)), shown)

    @property
    def watched(self) -> Sequence[Reader]:
        """The predicate of each face."""
        return () if self.plan.reader is None else (self.plan.reader,)

    def enough(self, slot: Slot) -> bool:
        """Whether it lasted; without `for`, at once."""
        return lasts(self.plan, slot)

    def breaks_at(self, slot: Slot) -> Due:
        """At a long dip or gap."""
        return breaks_at(self.plan, slot)

    def evidence(self, _: Slot, /) -> Mapping[str, float]:
        """The count is the value itself."""
        return {}

    @property
    def remembers(self) -> int:
        """As long as a track counts."""
        return max(self.within, self.plan.hold)


@dataclass(frozen=True, slots=True)
class ShareOfTracks:
    """The share of the tracks that are TRUE; `over` in ms."""

    watched: ClassVar[Sequence[Reader]] = ()
    plan: Plan
    enter: float
    exit: float
    min_population: int
    over: int

    @classmethod
    def of(cls, plan: Plan, share: Share) -> ShareOfTracks:
        """From its settings."""
        exit_ = share.at_least if share.exit is None else share.exit
        return cls(plan, share.at_least, exit_, share.min_population, milliseconds(share.over))

    def read(self, slot: Slot, faces: Sequence[FaceTrack], now: Now) -> Value:
        """TRUE with a large enough share, by hysteresis; UNKNOWN where there are too few tracks."""
        shown = None
        for face, value in read_members(self.plan, slot, faces, now.ts, all_kept=True):
            if value:
                shown = shown or face
        population, true = self._census(slot, now.ts)
        if population < self.min_population:
            return Value(None, None)
        share = true / population
        on = slot.signal.last and now.ts - slot.signal.at <= self.plan.hold
        return Value(share >= (self.exit if on else self.enter), share, shown)

    def enough(self, slot: Slot) -> bool:
        """Whether it lasted."""
        return lasts(self.plan, slot)

    def breaks_at(self, slot: Slot) -> Due:
        """At a long dip or gap."""
        return breaks_at(self.plan, slot)

    def evidence(self, slot: Slot, /) -> Mapping[str, float]:
        """How many tracks there were."""
        return {"population": float(len(self._people(slot, slot.read_at)))}

    @property
    def remembers(self) -> int:
        """As long as a track counts."""
        return max(self.over, self.plan.hold)

    def _census(self, slot: Slot, ts: int) -> tuple[int, int]:
        """Tracks read within `over`, and how many of them were TRUE then."""
        people = self._people(slot, ts)
        if len(people) < len(slot.members):
            forget_members(slot, ts, after=max(self.over, self.plan.hold))
        return len(people), sum([member.value for member in people])

    def _people(self, slot: Slot, ts: int) -> list[Member]:
        return [member for member in slot.members.values() if ts - member.read_at < self.over]
