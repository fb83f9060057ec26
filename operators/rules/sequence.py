"""The sequence condition: one thing, then another, within a stretch of time.

A step is made when its predicate has lasted for the step's `for`; such a run begins at its first TRUE sample, and bears
the same dips and gaps as an episode. The first step made is a match, which goes on step by step until it is
complete, or is given up. There is one match at a time in a scope. Matching one at a time, and naming what becomes of
overlaps, is what event-processing engines ask for too; see Cugola and Margara, Processing Flows of Information, 2012.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from operators.records import FaceTrack
from operators.rules.condition import Due, Now, Value
from operators.rules.plan import Plan, milliseconds
from operators.rules.reading import Reader, Reading
from operators.rules.signal import advance, false_at, held
from operators.rules.state import FOREVER, Match, Run, Slot

__all__ = ["Steps"]

GIVEN_UP = ("between", "timeout")
"""Ends of a match that no other match follows at once."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """A step, or what must not be between them: its predicate, and for how many ms it must last."""

    reader: Reader
    for_ms: int
    first: int
    last: int
    """Its part of the leaves of the match: `[first, last)`; the first step has its own."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A match, while it goes on and when it is complete; then the last step. Times in ms."""

    plan: Plan
    watchers: tuple[Watcher, ...]
    """The steps, then `not_between`."""
    count: int
    """How many steps there are."""
    within: int
    max_pause: int
    latest: bool
    """A new first step replaces a match that waits for the second."""

    @classmethod
    def of(cls, plan: Plan) -> Steps:
        """From its settings."""
        sequence = plan.rule.sequence
        if sequence is None:
            raise ValueError(f"expected a rule with a sequence, got {plan.rule.id}")
        watchers: list[Watcher] = []
        first = last = 0
        for part in (*sequence.steps, *([sequence.not_between] if sequence.not_between else ())):
            last = first + len(part.when.leaves) if watchers else 0
            watchers.append(Watcher(plan.prepare(part.when), milliseconds(part.for_), first, last))
            first = last
        return cls(
            plan,
            tuple(watchers),
            count=len(sequence.steps),
            within=milliseconds(sequence.within),
            max_pause=FOREVER if sequence.max_pause is None else milliseconds(sequence.max_pause),
            latest=sequence.overlap == "latest",
        )

    def read(self, slot: Slot, faces: Sequence[FaceTrack], now: Now) -> Value:
        """TRUE while there is a match, and after it by the last step; `over` where one is given up."""
        match = slot.match
        if match is None:
            match = slot.match = Match([None] * len(self.watchers))
            slot.leaves = self.watchers[0].reader.blank()
        if match.made and slot.alarm is None:
            _drop(match)
        readings = [self.watchers[0].reader.read(slot.leaves, faces, now.ts)]
        if match.made:
            readings += self._read_others(match, faces, now.ts)
        if slot.alarm is not None and slot.alarm.fired_at is not None:
            self._follow(0, slot, match, readings, now.ts)
            return Value(*readings[self.count - 1])
        over = self._advance(slot, match, readings, faces, ts=now.ts)
        known = any(reading[0] is not None for reading in readings)
        if not match.made or over in GIVEN_UP:
            return Value(False if known else None, None, over=over)
        slot.due = FOREVER  # what comes next may have come nearer
        _, level, face = readings[min(len(match.made), self.count - 1)]
        return Value(True if known else None, level, face, match.starts_at, over)

    @property
    def watched(self) -> Sequence[Reader]:
        """That of the first step; the others are read from then on."""
        return (self.watchers[0].reader,)

    def enough(self, slot: Slot) -> bool:
        """Whether the last step was made."""
        return slot.match is not None and len(slot.match.made) == self.count

    def breaks_at(self, slot: Slot) -> Due:
        """When the match has lasted too long, or the next step doesn't begin in time."""
        match = slot.match
        if match is None:
            return FOREVER, FOREVER, "timeout"
        limit = match.starts_at + self.within
        coming = (limit + 1, limit, "timeout")
        pause = match.end + self.max_pause
        if pause >= limit or len(match.made) >= self.count:
            return coming
        given_up = (pause + 1, pause, "timeout")
        run = match.runs[len(match.made)]
        if run is not None and self._in_time(match, run):
            given_up = max(given_up, self._ends(run, slot))
        return min(coming, given_up)

    def evidence(self, slot: Slot, /) -> Mapping[str, float]:
        """When each step was made, from the beginning, and how much time there is for all of them."""
        match, alarm = slot.match, slot.alarm
        evidence = {"within_s": self.within / 1000}
        if match is not None and alarm is not None and match.starts_at == alarm.starts_at:
            for number, ts in enumerate(match.made, 1):
                evidence[f"step_{number}_s"] = (ts - match.starts_at) / 1000
        return evidence

    @property
    def remembers(self) -> int:
        """As long as a run bears not to be seen."""
        return self.plan.hold

    def _read_others(self, match: Match, faces: Sequence[FaceTrack], ts: int) -> list[Reading]:
        """All but the first step, which are read while there is a match."""
        return [
            watcher.reader.read(match.leaves[watcher.first : watcher.last], faces, ts) for watcher in self.watchers[1:]
        ]

    def _advance(
        self, slot: Slot, match: Match, readings: list[Reading], faces: Sequence[FaceTrack], *, ts: int
    ) -> str:
        """Begin a match or go on with it; returns why the one before ended. `readings` becomes those of the new one."""
        first = self._follow(0, slot, match, readings, ts)
        begun = first is not None and first.satisfied_at == ts
        if match.made:
            self._move_end(slot, match, readings, ts)
            self._make_steps(slot, match, readings, ts)
            made = len(match.made)
            if made == self.count:
                return ""
            if self._disturbed(slot, match, readings, ts):
                return "between"
            if self.breaks_at(slot)[0] <= ts:
                return "timeout"
            if not (self.latest and made == 1 and first is not None and first.starts_at > match.end):
                return ""
        if first is None or not begun:
            return ""
        over = "replaced" if match.made else ""
        _drop(match)
        match.made, match.starts_at, match.end = [ts], first.starts_at, ts
        match.leaves = [leaf for watcher in self.watchers[1:] for leaf in watcher.reader.blank()]
        readings[1:] = self._read_others(match, faces, ts)
        self._make_steps(slot, match, readings, ts)
        return over

    def _move_end(self, slot: Slot, match: Match, readings: Sequence[Reading], ts: int) -> None:
        """The step that was made last goes on as long as its run does."""
        made = len(match.made) - 1
        if made and match.runs[made] is not None:
            self._follow(made, slot, match, readings, ts)
        run = match.runs[made]
        if run is not None and run.starts_at <= match.end:
            match.end = ts if readings[made][0] else match.end
        elif made:
            match.runs[made] = None

    def _make_steps(self, slot: Slot, match: Match, readings: Sequence[Reading], ts: int) -> None:
        """As many steps as this sample makes."""
        while len(match.made) < self.count:
            run = self._follow(len(match.made), slot, match, readings, ts)
            if run is None or run.satisfied_at != ts or not self._in_time(match, run):
                return
            match.made.append(ts)
            match.end = ts

    def _disturbed(self, slot: Slot, match: Match, readings: Sequence[Reading], ts: int) -> bool:
        if len(self.watchers) == self.count:
            return False
        run = self._follow(self.count, slot, match, readings, ts)
        return run is not None and run.satisfied_at == ts

    def _follow(self, part: int, slot: Slot, match: Match, readings: Sequence[Reading], ts: int) -> Run | None:
        """Take the run of a part to this sample, at which it may end, begin, or be satisfied."""
        run, value = match.runs[part], readings[part][0]
        if run is not None:
            if not slot.signal.known and slot.signal.until >= run.signal.at:
                advance(run.signal, slot.signal.until, None, self.plan.hold)  # the scope was not seen from there on
            run = None if self._is_over(run, ts) else run
        if run is None and value:
            run = Run(ts)
        if run is not None:
            advance(run.signal, ts, value, self.plan.hold)
            if value and run.satisfied_at is None and ts - run.starts_at >= self.watchers[part].for_ms:
                run.satisfied_at = ts
            run = None if self._is_over(run, ts) else run
        match.runs[part] = run
        return run

    def _is_over(self, run: Run, ts: int) -> bool:
        """Whether it was FALSE or not read for too long."""
        signal, hold = run.signal, self.plan.hold
        dip = not signal.last and signal.false_ms + held(signal, ts, hold) >= self.plan.break_dip
        return dip or ts - signal.at > hold

    def _ends(self, run: Run, slot: Slot) -> Due:
        """When the run is over if no other sample comes."""
        dip = false_at(run.signal, self.plan.break_dip, self.plan.hold)
        if dip is not None and (slot.signal.known or dip <= slot.signal.until):
            return dip, dip, "timeout"
        gap = run.signal.at + self.plan.hold
        return gap + 1, gap, "timeout"

    def _in_time(self, match: Match, run: Run) -> bool:
        return run.starts_at - match.end <= self.max_pause


def _drop(match: Match) -> None:
    """Forget how far it came; the first step is watched all the time."""
    match.made, match.leaves = [], []
    match.runs[1:] = [None] * (len(match.runs) - 1)
