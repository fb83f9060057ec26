"""The life of an alert: pending, then broken, or firing and resolved, then cooldown. The same for every condition.

Everything here changes a slot in place and writes what became of it into the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from operators.records import Alert, Scope, Severity, Status
from operators.rules.condition import Condition, Due, Value
from operators.rules.gate import Gate, gate_of
from operators.rules.notice import NO_COOLDOWN, limit_notice, transition
from operators.rules.plan import Plan
from operators.rules.schedule import Hours
from operators.rules.signal import Truth, advance, false_at, held
from operators.rules.silence import Silence
from operators.rules.state import FOREVER, Alarm, Book, EvaluatorState, Signal, Slot

__all__ = ["Journal", "Line", "Probe", "end", "expire", "make_line", "merge", "release", "sample", "unread"]


LINGER_MS = 10_000
"""A slot that nothing depends on any more is kept for so long, so that it needn't be looked at with every picture."""


@dataclass(frozen=True, slots=True)
class Line:
    """One rule in one partition: its plan, of which what every sample asks for is at hand, and its condition."""

    id: str
    scope: Scope
    hours: Hours | None
    fps: float
    zones: frozenset[str]
    plan: Plan
    condition: Condition
    limit: int
    """Most alarms of the rule at a time."""
    gate: Gate | None
    """Tells the samples that change nothing in a slot that rests."""
    forgets: bool
    """A slot that rests is as good as none; but a pulse begins after a FALSE sample, and there must have been one."""


def make_line(plan: Plan, condition: Condition, *, limit: int, skip_quiet: bool) -> Line:
    """Put a rule and its condition together; `skip_quiet` makes no sample of what shows and leaves nothing."""
    return Line(
        id=plan.rule.id,
        scope=plan.scope,
        hours=plan.hours,
        fps=plan.fps,
        zones=plan.zones,
        plan=plan,
        condition=condition,
        limit=limit,
        gate=gate_of(condition.watched) if skip_quiet else None,
        forgets=plan.rule.pulse is None,
    )


@dataclass(frozen=True, slots=True)
class Probe:
    """What a rule made of one sample of one scope, for explanations."""

    rule: str
    partition: str
    key: str
    ts: int
    value: Truth
    level: float | None
    alert_id: str
    """The alert that is pending or firing after it, or empty."""


@dataclass(slots=True)
class Journal:
    """What one step of the evaluator brings about; `probe` is told about every sample."""

    state: EvaluatorState
    silence: Silence
    probe: Callable[[Probe], None] | None = None
    alerts: list[Alert] = field(default_factory=list)

    def settle(self, slot: Slot, due: int) -> None:
        """Note when a slot is due, and the partition with it."""
        slot.due = due
        self.state.due = min(self.state.due, due)

    def tell(self, line: Line, slot: Slot, *, status: Status, reason: str, ts: int) -> None:
        """Write a transition down."""
        self.alerts.append(transition(line.plan, slot, line.condition, status=status, reason=reason, ts=ts))

    def limit(self, line: Line, book: Book, since: int, *, ts: int, over: str = "") -> None:
        """Write down that there is no room for more alerts of a rule, or that there is again."""
        plan = line.plan
        notice = limit_notice(book, line.id, since, partition=plan.partition, config=plan.config, ts=ts, over=over)
        self.alerts.append(notice)

    def saw(self, line: Line, slot: Slot, value: Value, *, key: str, ts: int) -> None:
        """Tell the probe."""
        if self.probe is not None:
            alert_id = "" if slot.alarm is None else slot.alarm.alert_id
            self.probe(Probe(line.id, self.state.partition, key, ts, value.value, value.level, alert_id))


def sample(line: Line, slot: Slot, reading: Value, *, key: str, ts: int, book: Book, journal: Journal) -> None:
    """Apply one sample: open an episode or extend it, fire or escalate."""
    slot.read_at = ts
    if reading.over and slot.alarm is not None and slot.alarm.fired_at is None:
        end(line, slot, reason=reading.over, ts=ts, book=book, journal=journal)
    signal = slot.signal
    if reading.value is None:
        unread(line, slot, key=key, ts=ts, journal=journal)
        if slot.due == FOREVER:
            journal.settle(slot, _next(line, slot)[0])
        return
    if reading.value or slot.alarm is not None or signal.last or not signal.known or slot.due == FOREVER:
        _move(line, slot, reading, key=key, ts=ts, book=book, journal=journal)
    else:
        signal.at, slot.refused = ts, False  # FALSE once more, outside an episode: nobody asks for how long
    if journal.probe is not None:
        journal.saw(line, slot, reading, key=key, ts=ts)


def _move(line: Line, slot: Slot, reading: Value, *, key: str, ts: int, book: Book, journal: Journal) -> None:
    """Apply a readable sample."""
    signal, alarm, value = slot.signal, slot.alarm, bool(reading.value)
    steady = signal.known and signal.last is value and (value or alarm is None) and not reading.over
    if alarm is not None:
        _extend(alarm, signal, reading, ts=ts, hold=line.plan.hold)
    advance(signal, ts, value, line.plan.hold)
    if not value:
        slot.refused = False
    else:
        if alarm is None:
            steady = False
            alarm = _open(line, slot, reading, key=key, ts=ts, book=book, journal=journal)
        if alarm is not None:
            steady = not _progress(line, slot, alarm, ts=ts, book=book, journal=journal) and steady
    # A signal that stays as it is only moves what is due to a later time; `expire` finds out when it gets there.
    if not steady or slot.due == FOREVER:
        _settle_now(line, slot, ts=ts, book=book, journal=journal)


def _settle_now(line: Line, slot: Slot, *, ts: int, book: Book, journal: Journal) -> None:
    """Find out when the slot is due; what a sample itself ends has ended before the next scope has its sample."""
    journal.settle(slot, _next(line, slot)[0])
    if slot.due <= ts and slot.alarm is not None:
        expire(line, slot, ts, until=ts, book=book, journal=journal)


def unread(line: Line, slot: Slot, *, key: str, ts: int, journal: Journal) -> None:
    """Apply an UNKNOWN sample: what was read holds no longer."""
    if journal.probe is not None:
        journal.saw(line, slot, Value(None, None), key=key, ts=ts)
    if slot.signal.known:
        slot.rests = False
        advance(slot.signal, ts, None, line.plan.hold)
        journal.settle(slot, _next(line, slot)[0])


def expire(line: Line, slot: Slot, now: int, *, until: int, book: Book, journal: Journal) -> bool:
    """Let everything happen that is due by `now`, if it happens by `until`; returns whether to keep the slot.

    What a sample just in time could have prevented is due only after it happens: it is told later than its own time.
    """
    while slot.due <= now:
        wake, ts, reason = _next(line, slot)
        if wake > now:
            slot.due = wake
        elif ts > until:
            break
        elif slot.alarm is None:
            if now >= slot.quiet_until:
                return False
            _forget(slot)
            slot.due = slot.quiet_until
        elif reason == "repeat":
            slot.due = _notify(line, slot, slot.alarm, reason=reason, ts=ts, journal=journal)
        else:
            end(line, slot, reason=reason, ts=ts, book=book, journal=journal)
            if reason == "schedule":
                _forget(slot)
            slot.due = _next(line, slot)[0]
    return True


def merge(line: Line, old: Slot, new: Slot | None, *, ts: int, book: Book, journal: Journal) -> Slot:
    """One face had two tracks: one slot goes on as it is, the other's alarm ends as merged.

    The older alarm goes on; without one, what shows something; without that, what was read last.
    """
    if new is None:
        return old
    journal.state.merged += 1
    kept = min((old, new), key=lambda slot: (_start(slot), not _shows(line, slot, ts), -slot.signal.at))
    other = new if kept is old else old
    if other.alarm is not None:
        end(line, other, reason="merged", ts=ts, book=book, journal=journal)
    kept.read_at = max(old.read_at, new.read_at)
    kept.began = max(old.began, new.began)
    kept.quiet_until = max(old.quiet_until, new.quiet_until)
    journal.settle(kept, _next(line, kept)[0])
    return kept


def end(line: Line, slot: Slot, *, reason: str, ts: int, book: Book, journal: Journal) -> None:
    """End the alarm of a slot, and make room for another."""
    alarm = slot.alarm
    if alarm is None:
        return
    alarm.seq += 1
    journal.state.suppressed += alarm.suppressed
    if alarm.fired_at is None:
        journal.tell(line, slot, status=Status.BROKEN, reason=reason, ts=ts)
    else:
        journal.tell(line, slot, status=Status.RESOLVED, reason=reason, ts=ts)
        if reason not in NO_COOLDOWN:
            slot.quiet_until = ts + line.plan.cooldown
    slot.alarm = None
    if book.limited_at is not None:
        journal.limit(line, book, book.limited_at, ts=ts, over="condition")
        book.limited_at = None


def release(line: Line, slot: Slot, *, ts: int, journal: Journal) -> None:
    """Tell a firing alert that nothing silences any more."""
    if slot.alarm is not None:
        notified_at = slot.alarm.notified_at  # silence changes nothing about when it is told again
        _notify(line, slot, slot.alarm, reason="released", ts=ts, journal=journal)
        slot.alarm.notified_at = notified_at


def _start(slot: Slot) -> int:
    return slot.alarm.starts_at if slot.alarm else FOREVER


def _shows(line: Line, slot: Slot, ts: int) -> bool:
    """Whether some number of the predicate is above its threshold."""
    return any(leaf.on and ts - leaf.at <= line.plan.hold for leaf in slot.leaves)


def _forget(slot: Slot) -> None:
    """Everything but the cooldown."""
    blank = Slot()
    slot.signal, slot.leaves, slot.buckets, slot.members = blank.signal, blank.leaves, blank.buckets, blank.members
    slot.armed, slot.rests, slot.pulse, slot.match, slot.usual = False, False, None, None, None


def _extend(alarm: Alarm, signal: Signal, reading: Value, *, ts: int, hold: int) -> None:
    """One more readable sample; `signal` is still as of the one before."""
    alarm.samples += 1
    if not signal.known or ts - signal.at > hold:
        alarm.gaps += 1
    level = reading.level
    if level is not None:
        alarm.latest = level
    if not reading.value:
        return
    alarm.covered_ms += signal.known_ms + held(signal, ts, hold)
    if not signal.last:
        alarm.dips += 1
    alarm.last_true = ts
    alarm.hits += 1
    if level is not None:
        alarm.total += level
        alarm.peak = max(alarm.peak, level)
    if reading.face is not None:
        alarm.xyxy, alarm.source_px = reading.face.xyxy, reading.face.source_px


def _open(line: Line, slot: Slot, reading: Value, *, key: str, ts: int, book: Book, journal: Journal) -> Alarm | None:
    """A new episode, or None where there is no room for one."""
    plan = line.plan
    starts_at = ts if reading.starts_at is None else reading.starts_at
    if starts_at == slot.began:
        return None  # as two pictures of a group in one ms may have it: the alert would have the id of the last
    if len(book.slots) > line.limit and sum(other.alarm is not None for other in book.slots.values()) >= line.limit:
        _refuse(line, slot, ts=ts, book=book, journal=journal)
        return None
    slot.began = starts_at
    identity = "\0".join((plan.rule.id, plan.version, plan.partition, key, str(starts_at)))
    level = reading.level or 0.0
    alarm = Alarm(
        alert_id=blake2b(identity.encode(), digest_size=10).hexdigest(),
        severity=plan.rule.severity,
        zone=plan.zone(key, reading.face),
        starts_at=starts_at,
        last_true=ts,
        total=level,
        peak=level,
        latest=level,
        covered_ms=ts - starts_at,
    )
    if reading.face is not None:
        alarm.xyxy, alarm.source_px = reading.face.xyxy, reading.face.source_px
    slot.alarm = alarm
    journal.tell(line, slot, status=Status.PENDING, reason="condition", ts=ts)
    return alarm


def _refuse(line: Line, slot: Slot, *, ts: int, book: Book, journal: Journal) -> None:
    """Count an episode that finds no room, once, and tell it with the first of them."""
    if not slot.refused:
        slot.refused = True
        journal.state.limited += 1
    if book.limited_at is None:
        book.limited_at = ts
        journal.limit(line, book, ts, ts=ts)


def _progress(line: Line, slot: Slot, alarm: Alarm, *, ts: int, book: Book, journal: Journal) -> bool:
    """Fire or escalate at a TRUE sample; returns whether something happened."""
    if alarm.fired_at is not None:
        severity = _severity(line.plan, alarm)
        if severity is alarm.severity:
            return False
        alarm.severity = severity
        _notify(line, slot, alarm, reason="escalated", ts=ts, journal=journal)
        return True
    if not line.condition.enough(slot):
        return False
    if ts < slot.quiet_until:
        alarm.suppressed = True
        if line.plan.rule.sequence:
            end(line, slot, reason="cooldown", ts=ts, book=book, journal=journal)  # it is complete: no time to wait
        return slot.alarm is None
    alarm.fired_at, alarm.suppressed = ts, False
    alarm.severity = _severity(line.plan, alarm)
    _notify(line, slot, alarm, reason="condition", ts=ts, journal=journal)
    if line.plan.rule.momentary:
        end(line, slot, reason="momentary", ts=ts, book=book, journal=journal)
    return True


def _severity(plan: Plan, alarm: Alarm) -> Severity:
    severity = plan.rule.severity
    for after, higher in plan.escalate:
        if alarm.duration_ms >= after:
            severity = higher
    return severity


def _notify(line: Line, slot: Slot, alarm: Alarm, *, reason: str, ts: int, journal: Journal) -> int:
    """Tell a firing alert, or tell it again; returns when the slot is due."""
    alarm.seq += 1
    alarm.notified_at = ts
    alarm.silenced_by = journal.silence.cause(line.plan, alarm, ts, journal.state)
    alarm.sent = alarm.sent or not alarm.silenced_by
    journal.tell(line, slot, status=Status.FIRING, reason=reason, ts=ts)
    return _next(line, slot)[0]


def _next(line: Line, slot: Slot) -> Due:
    """What happens next if no other sample comes."""
    plan, alarm = line.plan, slot.alarm
    if alarm is None:
        forgotten = max(slot.read_at + line.condition.remembers + LINGER_MS, slot.quiet_until)
        coming = (forgotten, forgotten, "forget")
    elif alarm.fired_at is None:
        coming = line.condition.breaks_at(slot)
    else:
        coming = _next_firing(plan, slot, alarm)
    if plan.hours is not None:
        _, until = plan.hours.span(slot.read_at)
        if until < coming[0]:
            return until, until, "schedule"
    return coming


def _next_firing(plan: Plan, slot: Slot, alarm: Alarm) -> Due:
    signal = slot.signal
    calm = false_at(signal, plan.keep_firing_for, plan.hold)
    lost = signal.at + plan.lost_after
    coming = (lost + 1, lost, "lost") if calm is None else (calm, calm, "condition")
    if plan.max_duration is not None and alarm.fired_at is not None and alarm.fired_at + plan.max_duration < coming[0]:
        expired = alarm.fired_at + plan.max_duration
        coming = (expired, expired, "expired")
    if plan.repeat_every is not None and alarm.notified_at + plan.repeat_every < coming[0]:
        again = alarm.notified_at + plan.repeat_every
        coming = (again, again, "repeat")
    return coming
