"""Transitions as alerts: labels, texts and evidence. Numbers only: no picture, no track id, nobody's identity."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from operators.records import Alert, Scope, Severity, Status
from operators.rules.condition import Condition
from operators.rules.plan import Plan
from operators.rules.state import Alarm, Book, Slot
from operators.units import format_duration

__all__ = ["LIMITED", "NO_COOLDOWN", "farewell", "limit_notice", "place", "transition"]

NO_COOLDOWN = ("config", "merged", "schedule")
"""Ends that say nothing about the scene."""
LIMITED = "rule-limited"
"""The rule id of alerts about a rule that has more to report than `limits` allows."""


def place(partition: str) -> tuple[str, dict[str, str]]:
    """The camera of a partition, empty for a group or a site, and its labels."""
    kind, colon, name = partition.partition(":")
    if not colon:
        return partition, {"camera": partition}
    return "", {"group": name} if kind == "group" else {}


def transition(plan: Plan, slot: Slot, condition: Condition, *, status: Status, reason: str, ts: int) -> Alert:
    """One transition of the alarm of a slot."""
    alarm = slot.alarm
    if alarm is None:
        raise ValueError("expected a slot with an alarm")
    evidence = _evidence(alarm) | {"for_s": plan.for_ms / 1000} | dict(condition.evidence(slot))
    if plan.reader is not None and plan.reader.tree is None and not plan.rule.change:
        evidence |= {"enter": plan.reader.leaves[0].enter, "exit": plan.reader.leaves[0].exit}
    return _alert(
        alarm,
        plan.rule.id,
        plan.scope,
        partition=plan.partition,
        config=plan.config,
        status=status,
        reason=reason,
        ts=ts,
        evidence=evidence,
        annotations=_annotations(plan, alarm),
    )


def farewell(alarm: Alarm, rule: str, scope: Scope, *, partition: str, config: str, ts: int) -> Alert:
    """The last transition of an alarm whose rule is gone or was changed."""
    status = Status.BROKEN if alarm.fired_at is None else Status.RESOLVED
    return _alert(
        alarm, rule, scope, partition=partition, config=config, status=status, reason="config", ts=ts,
        evidence=_evidence(alarm), annotations={},
    )  # fmt: skip


def limit_notice(book: Book, rule: str, since: int, *, partition: str, config: str, ts: int, over: str = "") -> Alert:
    """Says that a rule has more to report than `limits` allows, or, with the reason in `over`, no longer."""
    camera_id, labels = place(partition)
    identity = "\0".join((LIMITED, rule, book.version, partition, str(since)))
    return Alert(
        alert_id=blake2b(identity.encode(), digest_size=10).hexdigest(),
        seq=int(bool(over)),
        rule=LIMITED,
        scope=Scope.CAMERA if camera_id else book.scope,
        camera_id=camera_id,
        status=Status.RESOLVED if over else Status.FIRING,
        reason=over or "limit",
        severity=Severity.WARNING,
        ts=ts / 1000,
        starts_at=since / 1000,
        fired_at=since / 1000,
        ends_at=ts / 1000 if over else None,
        labels={"rule": LIMITED, **labels, "severity": Severity.WARNING.value, "limited": rule},
        annotations={"title": f"More alerts of {rule} than limits.max_active_per_rule allows"},
        config=config,
    )


def _alert(
    alarm: Alarm,
    rule: str,
    scope: Scope,
    *,
    partition: str,
    config: str,
    status: Status,
    reason: str,
    ts: int,
    evidence: Mapping[str, float],
    annotations: Mapping[str, str],
) -> Alert:
    camera_id, labels = place(partition)
    labels = {"rule": rule, **labels, "severity": alarm.severity.value}
    if alarm.zone:
        labels["zone"] = alarm.zone
    ended = status in (Status.BROKEN, Status.RESOLVED)
    silent = status is Status.FIRING or (status is Status.RESOLVED and not alarm.sent)
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
        starts_at=alarm.starts_at / 1000,
        fired_at=None if alarm.fired_at is None else alarm.fired_at / 1000,
        ends_at=ts / 1000 if ended else None,
        labels=labels,
        annotations=annotations,
        evidence=evidence,
        config=config,
        silenced_by=alarm.silenced_by if silent else "",
    )


def _evidence(alarm: Alarm) -> dict[str, float]:
    left, top, right, bottom = alarm.xyxy
    return {
        "value_last": round(alarm.latest, 6),
        "value_max": round(alarm.peak, 6),
        "value_mean": round(alarm.total / alarm.hits, 6),
        "coverage": round(alarm.coverage, 6),
        "samples": float(alarm.samples),
        "duration_s": alarm.duration_ms / 1000,
        "dips": float(alarm.dips),
        "gaps": float(alarm.gaps),
        "x_px": (left + right) / 2,
        "y_px": (top + bottom) / 2,
        "source_px": alarm.source_px,
        "suppressed": float(alarm.suppressed),
    }


def _annotations(plan: Plan, alarm: Alarm) -> dict[str, str]:
    if not plan.rule.title and not plan.rule.summary:
        return {}
    camera_id, labels = place(plan.partition)
    words = {
        "camera": camera_id,
        "duration": format_duration(round(alarm.duration_ms, -2) / 1000),
        "group": labels.get("group", ""),
        "rule": plan.rule.id,
        "severity": alarm.severity.value,
        "zone": alarm.zone,
    }
    numbers = {
        "coverage": alarm.coverage,
        "dips": alarm.dips,
        "gaps": alarm.gaps,
        "samples": alarm.samples,
        "value.last": alarm.latest,
        "value.max": alarm.peak,
        "value.mean": alarm.total / alarm.hits,
    }
    texts = {"title": plan.title.render(words, numbers), "summary": plan.summary.render(words, numbers)}
    return {name: text for name, text in texts.items() if text}
