"""The life of an alert: pending, then broken, or firing and resolved, then cooldown. The same for every condition.

One `Slot` is everything that is remembered of one rule in one scope. It exists only while there is something to
remember: a face that shows nothing costs no state. Times are in ms; `due` is the first ms in which the slot changes by
itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from operators.records import Alert, FaceTrack, Scope, Severity, Status
from operators.rules import sustained
from operators.rules.episode import Episode, begin, extend
from operators.rules.plan import Plan
from operators.rules.signal import OFF, Signal, advance, false_at, reads_true
from operators.units import format_duration

__all__ = ["Alarm", "Journal", "Reading", "Slot", "expire", "merge", "retire", "sample", "unread"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """The alert of the episode that is going on: pending while `fired_at` is None."""

    alert_id: str
    zone: str
    severity: Severity
    episode: Episode
    seq: int = 0
    fired_at: int | None = None
    notified_at: int = 0
    silenced: bool = False
    """It would have fired, had there been no cooldown."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What is remembered of one rule in one scope."""

    signal: Signal
    alarm: Alarm | None
    quiet_until: int
    """End of the cooldown."""
    due: int


NOTHING = Slot(OFF, None, 0, 0)


@dataclass(frozen=True, slots=True)
class Reading:
    """One readable sample of a scope: its level, and the face that shows it most, if there is one."""

    level: float
    face: FaceTrack | None


@dataclass(slots=True)
class Journal:
    """What one step of the evaluator has brought about so far."""

    alerts: list[Alert] = field(default_factory=list)
    suppressed: int = 0
    merged: int = 0


def sample(plan: Plan, slot: Slot | None, reading: Reading, *, key: str, ts: int, journal: Journal) -> Slot | None:
    """Apply one readable sample: open an episode or extend it, fire or escalate."""
    slot = slot or NOTHING
    value = reads_true(slot.signal, reading.level, at=ts, enter=plan.enter, exit_=plan.exit, hold=plan.max_gap)
    signal = advance(slot.signal, ts, value, plan.max_gap)
    alarm = slot.alarm
    if alarm is not None:
        episode = extend(alarm.episode, slot.signal, signal, level=reading.level, face=reading.face, hold=plan.max_gap)
        alarm = replace(alarm, episode=episode)
    elif value:
        zone = plan.zone(key, reading.face)
        alarm = _open(plan, key, zone, begin(ts, reading.level, reading.face))
        journal.alerts.append(_transition(plan, alarm, Status.PENDING, reason="condition", ts=ts))
    if alarm is not None and value:
        if alarm.fired_at is not None:
            alarm = _escalate(plan, alarm, journal)
        elif sustained.satisfied(plan, alarm.episode):
            alarm = replace(alarm, silenced=True) if ts < slot.quiet_until else _fire(plan, alarm, journal)
    return _slot(plan, signal, alarm, slot.quiet_until)


def unread(plan: Plan, slot: Slot, ts: int) -> Slot | None:
    """Apply an UNKNOWN sample: what was read holds no longer."""
    if not slot.signal.known:
        return slot
    return _slot(plan, advance(slot.signal, ts, None, plan.max_gap), slot.alarm, slot.quiet_until)


def expire(plan: Plan, slot: Slot, now: int, journal: Journal) -> Slot | None:
    """Let everything happen that is due by `now`."""
    left: Slot | None = slot
    while left is not None and left.due <= now:
        left = _expire_once(plan, left, journal)
    return left


def merge(plan: Plan, old: Slot, new: Slot | None, *, ts: int, journal: Journal) -> Slot | None:
    """One face had two tracks: the older episode goes on, the other one ends as merged."""
    if new is None:
        return old
    journal.merged += 1
    first, second = sorted((old, new), key=_start)
    if second.alarm is not None:
        _end(plan, second.alarm, reason="merged", ts=ts, journal=journal)
    signal = max(old.signal, new.signal, key=lambda signal: signal.at)
    return _slot(plan, signal, first.alarm, max(old.quiet_until, new.quiet_until))


def retire(slot: Slot, *, rule: str, scope: Scope, camera_id: str, ts: int) -> list[Alert]:
    """The last transition of a slot whose rule is gone or was changed."""
    if slot.alarm is None:
        return []
    status = Status.BROKEN if slot.alarm.fired_at is None else Status.RESOLVED
    return [_alert(slot.alarm, rule, scope, camera_id, status=status, reason="config", ts=ts)]


def _start(slot: Slot) -> float:
    return slot.alarm.episode.starts_at if slot.alarm else math.inf


def _slot(plan: Plan, signal: Signal, alarm: Alarm | None, quiet_until: int) -> Slot | None:
    """A slot that knows when it is due, or None where there is nothing to remember."""
    if alarm is None and not signal.last and not quiet_until:
        return None
    due = _next(plan, signal, alarm, quiet_until)[0]
    return Slot(signal, alarm, quiet_until, due)


def _next(plan: Plan, signal: Signal, alarm: Alarm | None, quiet_until: int) -> tuple[int, int, str]:
    """What happens next if no other sample comes, as `(wake, ts, reason)`; see `sustained.breaks_at`."""
    if alarm is None:
        forgotten = signal.at + plan.max_gap
        return (forgotten + 1, forgotten, "forget") if signal.last else (quiet_until, quiet_until, "quiet")
    if alarm.fired_at is None:
        return sustained.breaks_at(plan, signal)
    calm = false_at(signal, plan.keep_firing_for, plan.max_gap)
    lost = signal.at + plan.lost_after
    coming = (lost + 1, lost, "lost") if calm is None else (calm, calm, "condition")
    if plan.max_duration is not None and alarm.fired_at + plan.max_duration < coming[0]:
        expired = alarm.fired_at + plan.max_duration
        coming = (expired, expired, "expired")
    if plan.repeat_every is not None and alarm.notified_at + plan.repeat_every < coming[0]:
        again = alarm.notified_at + plan.repeat_every
        coming = (again, again, "repeat")
    return coming


def _expire_once(plan: Plan, slot: Slot, journal: Journal) -> Slot | None:
    signal, alarm, quiet_until = slot.signal, slot.alarm, slot.quiet_until
    _, ts, reason = _next(plan, signal, alarm, quiet_until)
    if alarm is None:
        if reason == "forget":
            signal = OFF
        else:
            quiet_until = 0
    elif reason == "repeat":
        alarm = _notify(plan, alarm, reason=reason, ts=ts, journal=journal)
    else:
        if alarm.fired_at is not None:
            quiet_until = ts + plan.cooldown
        _end(plan, alarm, reason=reason, ts=ts, journal=journal)
        alarm = None
    return _slot(plan, signal, alarm, quiet_until)


def _open(plan: Plan, key: str, zone: str, episode: Episode) -> Alarm:
    identity = "\0".join((plan.rule.id, plan.version, plan.camera_id, key, str(episode.starts_at)))
    return Alarm(blake2b(identity.encode(), digest_size=10).hexdigest(), zone, plan.rule.severity, episode)


def _fire(plan: Plan, alarm: Alarm, journal: Journal) -> Alarm:
    ts = alarm.episode.last_true
    severity = _severity(plan, alarm.episode)
    fired = replace(alarm, fired_at=ts, severity=severity, seq=alarm.seq + 1, notified_at=ts, silenced=False)
    journal.alerts.append(_transition(plan, fired, Status.FIRING, reason="condition", ts=ts))
    return fired


def _escalate(plan: Plan, alarm: Alarm, journal: Journal) -> Alarm:
    severity = _severity(plan, alarm.episode)
    if severity == alarm.severity:
        return alarm
    return _notify(
        plan, replace(alarm, severity=severity), reason="escalated", ts=alarm.episode.last_true, journal=journal
    )


def _severity(plan: Plan, episode: Episode) -> Severity:
    severity = plan.rule.severity
    for after, higher in plan.escalate:
        if episode.duration_ms >= after:
            severity = higher
    return severity


def _notify(plan: Plan, alarm: Alarm, *, reason: str, ts: int, journal: Journal) -> Alarm:
    again = replace(alarm, seq=alarm.seq + 1, notified_at=ts)
    journal.alerts.append(_transition(plan, again, Status.FIRING, reason=reason, ts=ts))
    return again


def _end(plan: Plan, alarm: Alarm, *, reason: str, ts: int, journal: Journal) -> None:
    journal.suppressed += alarm.silenced
    status = Status.BROKEN if alarm.fired_at is None else Status.RESOLVED
    journal.alerts.append(_transition(plan, replace(alarm, seq=alarm.seq + 1), status, reason=reason, ts=ts))


def _transition(plan: Plan, alarm: Alarm, status: Status, *, reason: str, ts: int) -> Alert:
    rule = plan.rule
    alert = _alert(alarm, rule.id, rule.scope, plan.camera_id, status=status, reason=reason, ts=ts)
    evidence = {
        **alert.evidence,
        "for_s": plan.for_ms / 1000,
        "enter": plan.enter,
        "exit": plan.exit,
        "suppressed": float(alarm.silenced),
    }
    return replace(alert, evidence=evidence, annotations=_annotations(plan, alarm))


def _annotations(plan: Plan, alarm: Alarm) -> dict[str, str]:
    if not plan.rule.title and not plan.rule.summary:
        return {}
    episode = alarm.episode
    words = {
        "camera": plan.camera_id,
        "duration": format_duration(round(episode.duration_ms, -2) / 1000),
        "rule": plan.rule.id,
        "severity": alarm.severity.value,
        "zone": alarm.zone,
    }
    numbers = {
        "coverage": episode.coverage,
        "dips": episode.dips,
        "gaps": episode.gaps,
        "samples": episode.samples,
        "value.last": episode.latest,
        "value.max": episode.peak,
        "value.mean": episode.mean,
    }
    texts = {"title": plan.title.render(words, numbers), "summary": plan.summary.render(words, numbers)}
    return {name: text for name, text in texts.items() if text}


def _alert(alarm: Alarm, rule: str, scope: Scope, camera_id: str, *, status: Status, reason: str, ts: int) -> Alert:
    episode = alarm.episode
    labels = {"rule": rule, "camera": camera_id, "severity": alarm.severity.value}
    if alarm.zone:
        labels["zone"] = alarm.zone
    ended = status in (Status.BROKEN, Status.RESOLVED)
    return Alert(
        alert_id=alarm.alert_id,
        seq=alarm.seq,
        rule=rule,
        scope=scope,
        camera_id=camera_id,
        status=status,
        reason=reason,
        severity=alarm.severity,
        ts=ts / 1000,
        starts_at=episode.starts_at / 1000,
        fired_at=None if alarm.fired_at is None else alarm.fired_at / 1000,
        ends_at=ts / 1000 if ended else None,
        labels=labels,
        evidence={
            "value_last": round(episode.latest, 6),
            "value_max": round(episode.peak, 6),
            "value_mean": round(episode.mean, 6),
            "coverage": round(episode.coverage, 6),
            "samples": float(episode.samples),
            "duration_s": episode.duration_ms / 1000,
            "dips": float(episode.dips),
            "gaps": float(episode.gaps),
            "x_px": episode.x_px,
            "y_px": episode.y_px,
            "source_px": episode.source_px,
        },
    )
