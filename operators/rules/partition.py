"""The rules of one partition (a camera, a group of cameras, or the site) applied to records that come in order.

The state is changed in place; transitions go into the journal. Rules come in an order in which every inhibitor is
before what it inhibits, so that within one millisecond nobody is told what another rule already explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from operators.records import FaceTrack, Gap, Observation, Scope, TrackEventKind
from operators.rules.condition import Now, Value
from operators.rules.gate import at_rest
from operators.rules.lifecycle import Journal, Line, end, expire, merge, release, sample, unread
from operators.rules.notice import farewell, limit_notice
from operators.rules.state import FOREVER, NEVER, Book, EvaluatorState, Seen, Slot

__all__ = ["Partition"]

CADENCE_MS = 1000
"""The stretch of time over which delivered pictures are counted."""
EMPTY: tuple[FaceTrack, ...] = ()


@dataclass(frozen=True)
class Partition:
    """The rules of one partition, ready to be applied."""

    lines: tuple[Line, ...]
    """The rules, inhibitors first."""
    cameras: tuple[str, ...]
    """Its cameras; empty for the site where they are not known beforehand."""
    wide: bool
    """More than one camera: a group or the site."""
    silences: bool
    """Whether anything can silence an alert here."""
    counts_frames: bool
    """Whether a rule asks for the frame rate."""
    max_tracks: int
    """Most faces of one picture that rules look at."""

    def adopt(self, state: EvaluatorState, config: str, journal: Journal) -> None:
        """Take a state over from other rules: what belongs to one that is gone or was changed ends here."""
        books = state.books
        state.books = {}
        for line in self.lines:
            plan = line.plan
            book = books.get(plan.rule.id)
            kept = book is not None and book.version == plan.version
            state.books[plan.rule.id] = books.pop(plan.rule.id) if kept else Book(plan.version, plan.scope)
        for rule_id, book in sorted(books.items()):
            _end_book(book, rule_id, config=config, journal=journal)
        state.config = config

    def observe(self, state: EvaluatorState, observation: Observation, ts: int, journal: Journal) -> None:
        """Apply an observation, after everything that is due before it."""
        camera = observation.camera_id
        if ts <= state.last.get(camera, NEVER):
            state.late += 1
            return
        if ts >= state.due:
            self.let_pass(state, ts, journal)
        state.last[camera] = ts
        state.clock = max(state.clock, ts)
        told = len(journal.alerts)
        if observation.events:
            self._merge_tracks(state, observation, ts, journal)
        faces = observation.faces
        if len(faces) > self.max_tracks:
            state.limited += len(faces) - self.max_tracks
            faces = tuple(sorted(faces, key=_age)[: self.max_tracks])
        fps = self._cadence(state, camera, ts) if self.counts_frames else 0
        if self.wide:
            state.seen[camera] = Seen(
                ts, tuple(replace(face, track_id=_anywhere(camera, face.track_id)) for face in faces)
            )
        now, books = Now(ts, fps), state.books
        for line in self.lines:
            if line.hours is None or line.hours.span(ts)[0]:
                self._look(line, books[line.id], faces, now=now, journal=journal)
        if self.silences:
            self._note(state, ts, journal, told)

    def miss(self, state: EvaluatorState, gap: Gap, *, from_ts: int, to_ts: int, journal: Journal) -> None:
        """Apply a gap: UNKNOWN from its start on; for rules about frames, proof that there are none."""
        ts = max(from_ts, state.clock)
        self.let_pass(state, ts, journal)
        state.seen.pop(gap.camera_id, None)
        told = len(journal.alerts)
        coming: list[tuple[int, int]] = []
        for order, line in enumerate(self.lines):
            absence = line.plan.rule.absence
            if absence is None or absence.of != "frames":
                _lose_sight(line, state.books[line.id], ts, journal)
            elif gap.reason in absence.reasons:
                coming += [(at, order) for at in self._no_frames(line, begin=ts, until=to_ts, journal=journal)]
        self._note(state, ts, journal, told)
        for at, order in sorted(coming):
            self.let_pass(state, at, journal)
            told = len(journal.alerts)
            _read_no_frames(self.lines[order], at, journal)
            self._note(state, at, journal, told)

    def let_pass(self, state: EvaluatorState, now: int, journal: Journal) -> None:
        """Let everything happen that is due by `now`, one millisecond after the other."""
        while state.due <= now:
            ts = self._next_due(state, journal)
            state.due = ts
            if ts > now:
                break
            if self.silences:
                # What the last ms still brings comes before its silences are looked at, and these before this ms.
                self._expire(state, ts, until=ts - 1, journal=journal)
                self._release(state, ts - 1, journal)
            told = len(journal.alerts)
            self._expire(state, ts, until=ts, journal=journal)
            journal.alerts[told:] = sorted(journal.alerts[told:], key=lambda alert: alert.ts)
            self._note(state, ts, journal, told)
            state.clock = max(state.clock, min(ts, now))
        if now < FOREVER:
            state.clock = max(state.clock, now)

    def _expire(self, state: EvaluatorState, now: int, *, until: int, journal: Journal) -> None:
        for line in self.lines:
            book = state.books[line.id]
            for key in [key for key, slot in book.slots.items() if slot.due <= now]:
                if not expire(line, book.slots[key], now, until=until, book=book, journal=journal):
                    del book.slots[key]

    def _note(self, state: EvaluatorState, ts: int, journal: Journal, told: int) -> None:
        """Look at the silences when this ms is over, if anything was told in it."""
        if self.silences and len(journal.alerts) > told:
            state.hush = min(state.hush, ts)
            state.due = min(state.due, ts + 1)

    def end_frames(self, state: EvaluatorState, ts: int, journal: Journal) -> None:
        """End absences of frames, of which the end of the input is no proof, and which no time would end."""
        for line in self.lines:
            absence = line.plan.rule.absence
            if absence is None or absence.of != "frames":
                continue
            book = state.books[line.id]
            told = len(journal.alerts)
            for slot in book.slots.values():
                reason = "gap" if slot.alarm is not None and slot.alarm.fired_at is None else "lost"
                end(line, slot, reason=reason, ts=ts, book=book, journal=journal)
            self._note(state, ts, journal, told)

    def _next_due(self, state: EvaluatorState, journal: Journal) -> int:
        slots = [slot.due for book in state.books.values() for slot in book.slots.values()]
        due = min(slots, default=FOREVER)
        if not self.silences:
            return due
        # A silence that ends in a ms is looked at when that ms is over; `clock` itself may not be over yet.
        waits = [
            journal.silence.next_change(line.plan, slot.alarm, state.clock - 1, state)
            for line in self.lines
            for slot in state.books[line.id].slots.values()
            if slot.alarm is not None and slot.alarm.fired_at is not None and not slot.alarm.sent
        ]
        batches = [batch.send_at for batch in state.batches.values() if batch.send_at is not None]
        return min(due, min([state.hush, *waits, *batches]) + 1)

    def _look(self, line: Line, book: Book, faces: tuple[FaceTrack, ...], *, now: Now, journal: Journal) -> None:
        """Give one rule its samples of this instant."""
        if line.fps > now.fps:
            _lose_sight(line, book, now.ts, journal)
        elif line.scope is Scope.TRACK:
            _read_tracks(line, book, faces, now=now, journal=journal)
        elif line.scope is Scope.ZONE:
            _read_zones(line, book, faces, now=now, journal=journal)
        else:
            if self.wide:
                faces, now = self._union(line, journal.state, now)
            zones = line.zones
            if zones:
                faces = tuple([face for face in faces if not zones.isdisjoint(face.zones)])
            _read(line, book, "", faces, now=now, journal=journal)

    def _no_frames(self, line: Line, *, begin: int, until: int, journal: Journal) -> set[int]:
        """The first sample of a gap; returns when the others come: when it is long enough, and at its end."""
        slot = _read_no_frames(line, begin, journal)
        enough = until if slot.alarm is None else slot.alarm.starts_at + line.plan.for_ms
        return {at for at in (enough, until) if begin < at <= until}

    def _union(self, line: Line, state: EvaluatorState, now: Now) -> tuple[tuple[FaceTrack, ...], Now]:
        """The faces that the cameras of a wider scope show now, and whether all of them are seen."""
        fresh = {name: seen for name, seen in state.seen.items() if now.ts - seen.at <= line.plan.hold}
        faces = tuple(face for name in sorted(fresh) for face in fresh[name].faces)
        return faces, Now(now.ts, now.fps, complete=fresh.keys() >= set(self.cameras))

    def _cadence(self, state: EvaluatorState, camera: str, ts: int) -> int:
        """How many pictures the camera has delivered in the last second, this one included."""
        times = state.cadence.setdefault(camera, [])
        times.append(ts)
        while times[0] <= ts - CADENCE_MS:
            del times[0]
        return len(times)

    def _merge_tracks(self, state: EvaluatorState, observation: Observation, ts: int, journal: Journal) -> None:
        camera = observation.camera_id
        for event in observation.events:
            if event.kind is TrackEventKind.MERGED and event.into is not None:
                old, into = event.track_id, event.into
                if self.wide:
                    old, into = _anywhere(camera, old), _anywhere(camera, into)
                self._merge(state, old, into, ts=ts, journal=journal)

    def _merge(self, state: EvaluatorState, track_id: str, into: str, *, ts: int, journal: Journal) -> None:
        for line in self.lines:
            book = state.books[line.id]
            if line.scope is not Scope.TRACK:
                for slot in book.slots.values():
                    _merge_members(slot, track_id, into)
                continue
            old = book.slots.get(track_id)
            if old is not None and ts - old.signal.at <= line.plan.reacquire:
                del book.slots[track_id]
                new = book.slots.get(into)
                book.slots[into] = merge(line, old, new, ts=ts, book=book, journal=journal)

    def _release(self, state: EvaluatorState, ts: int, journal: Journal) -> None:
        """Tell the firing alerts whose silence has ended."""
        for line in self.lines:
            for slot in state.books[line.id].slots.values():
                alarm = slot.alarm
                if alarm is None or alarm.fired_at is None or alarm.sent:
                    continue
                if not journal.silence.cause(line.plan, alarm, ts, state):
                    release(line, slot, ts=ts, journal=journal)
        state.hush = FOREVER
        journal.silence.close_batches(ts, state)


def _end_book(book: Book, rule_id: str, *, config: str, journal: Journal) -> None:
    """End all that a rule has told, when it is gone."""
    partition, ts = journal.state.partition, journal.state.clock
    for slot in book.slots.values():
        if slot.alarm is not None:
            slot.alarm.seq += 1
            told = farewell(slot.alarm, rule_id, book.scope, partition=partition, config=config, ts=ts)
            journal.alerts.append(told)
    if book.limited_at is not None:
        since = book.limited_at
        notice = limit_notice(book, rule_id, since, partition=partition, config=config, ts=ts, over="config")
        journal.alerts.append(notice)


def _read_tracks(line: Line, book: Book, faces: tuple[FaceTrack, ...], *, now: Now, journal: Journal) -> None:
    slots, zones = book.slots, line.zones
    for face in faces:
        shown = EMPTY if zones and zones.isdisjoint(face.zones) else (face,)
        _read(line, book, face.track_id, shown, now=now, journal=journal)
    for key, slot in slots.items():
        if slot.signal.known and slot.read_at != now.ts:
            unread(line, slot, key=key, ts=now.ts, journal=journal)


def _read_zones(line: Line, book: Book, faces: Sequence[FaceTrack], *, now: Now, journal: Journal) -> None:
    keys = line.plan.keys or sorted({*book.slots, *(zone for face in faces for zone in face.zones)})
    for zone in keys:
        inside = tuple([face for face in faces if zone in face.zones])
        _read(line, book, zone, inside, now=now, journal=journal)


def _read(line: Line, book: Book, key: str, faces: tuple[FaceTrack, ...], *, now: Now, journal: Journal) -> None:
    """Give one scope of a rule its sample; where there is nothing to remember, there is no slot."""
    slot, gate, ts = book.slots.get(key), line.gate, now.ts
    if slot is None:
        if gate is not None and line.forgets and not gate.reached(faces):
            return
        slot = book.slots[key] = Slot()
    elif gate is not None and slot.rests and gate.reached(faces) is False:
        slot.signal.at = slot.read_at = ts
        return
    value = line.condition.read(slot, faces, now)
    sample(line, slot, value, key=key, ts=ts, book=book, journal=journal)
    if gate is not None:
        slot.rests = value.value is False and slot.alarm is None and at_rest(slot)
        if slot.rests and line.forgets and slot.quiet_until <= ts and slot.began < ts:
            del book.slots[key]


def _read_no_frames(line: Line, ts: int, journal: Journal) -> Slot:
    """A TRUE sample of an absence of frames; nothing outside its hours."""
    book = journal.state.books[line.id]
    slot = book.slots.setdefault("", Slot())
    if line.plan.hours is None or line.plan.hours.span(ts)[0]:
        since = ts if slot.alarm is None else slot.alarm.starts_at
        value = Value(value=True, level=(ts - since) / 1000)
        sample(line, slot, value, key="", ts=ts, book=book, journal=journal)
    return slot


def _lose_sight(line: Line, book: Book, ts: int, journal: Journal) -> None:
    """An UNKNOWN sample for every scope."""
    for key, slot in book.slots.items():
        if slot.signal.known:
            unread(line, slot, key=key, ts=ts, journal=journal)


def _merge_members(slot: Slot, track_id: str, into: str) -> None:
    """Two tracks of a crowd were one face: it counts once, as it was last seen and last TRUE."""
    old = slot.members.pop(track_id, None)
    if old is None:
        return
    new = slot.members.get(into)
    if new is None:
        slot.members[into] = old
        return
    latest = max(old, new, key=lambda member: member.read_at)
    new.leaves, new.read_at, new.value = latest.leaves, latest.read_at, latest.value
    new.true_at = max(old.true_at, new.true_at)


def _anywhere(camera: str, track_id: str) -> str:
    """A track's name among those of several cameras: by itself it means nothing outside its stream."""
    return f"{camera}/{track_id}"


def _age(face: FaceTrack) -> tuple[float, str]:
    return face.first_ts, face.track_id
