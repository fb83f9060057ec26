"""Why an alert is recorded but not sent: another one inhibits it, its hour is muted, or it waits for its group.

Decided within the same event-time step as the alert itself, so the order of arrival can't matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from operators.records import Severity
from operators.rules.notice import place
from operators.rules.plan import Plan, milliseconds
from operators.rules.ruleset import Mute, RuleSet
from operators.rules.schedule import Hours
from operators.rules.state import FOREVER, Alarm, Batch, EvaluatorState

__all__ = ["Silence"]


@dataclass(frozen=True)
class Silence:
    """The inhibitions, mutes and grouping of a rule set."""

    ruleset: RuleSet
    _hours: dict[str, Hours] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._hours.update({name: Hours(schedule) for name, schedule in self.ruleset.schedules.items()})

    def cause(self, plan: Plan, alarm: Alarm, ts: int, state: EvaluatorState) -> str:
        """What silences a firing alarm at `ts`, or nothing; one that waits for its group is put into it."""
        return self._inhibitor(plan, alarm, state) or self._mute(plan, alarm, ts) or self._wait(plan, alarm, ts, state)

    def next_change(self, plan: Plan, alarm: Alarm, ts: int, state: EvaluatorState) -> int:
        """The next ms at which time alone may end the silence of an alarm."""
        ends = [self._hours[mute.schedule].span(ts)[1] for mute in self._mutes(plan, alarm)]
        batch = state.batches.get(self._batch_key(plan, alarm))
        if batch is not None and batch.send_at is not None:
            ends.append(batch.send_at)
        return min(ends, default=FOREVER)

    def close_batches(self, ts: int, state: EvaluatorState) -> None:
        """Forget the groups whose sending is due: whoever was in them has been told."""
        interval = milliseconds(self.ruleset.routing.group_interval)
        for key, batch in list(state.batches.items()):
            if batch.send_at is not None and batch.send_at <= ts:
                batch.send_at = None
            if batch.send_at is None and batch.sent_at + interval <= ts and batch.sent_at < ts:
                del state.batches[key]

    def _inhibitor(self, plan: Plan, alarm: Alarm, state: EvaluatorState) -> str:
        for rule_id, equal in plan.inhibitors:
            book = state.books.get(rule_id)
            if book is None:
                continue
            for slot in book.slots.values():
                other = slot.alarm
                if other is not None and other.fired_at is not None and _alike(alarm, other, equal):
                    return f"inhibited:{rule_id}"
        return ""

    def _mutes(self, plan: Plan, alarm: Alarm) -> Iterable[Mute]:
        for mute in self.ruleset.routing.mute:
            lower = mute.severity_below is None or alarm.severity.rank < mute.severity_below.rank
            if lower and (not mute.rules or plan.rule.id in mute.rules):
                yield mute

    def _mute(self, plan: Plan, alarm: Alarm, ts: int) -> str:
        for mute in self._mutes(plan, alarm):
            if self._hours[mute.schedule].span(ts)[0] != mute.invert:
                return f"muted:{mute.schedule}"
        return ""

    def _wait(self, plan: Plan, alarm: Alarm, ts: int, state: EvaluatorState) -> str:
        routing = self.ruleset.routing
        if alarm.severity is Severity.CRITICAL or alarm.sent or not (routing.group_wait or routing.group_interval):
            return ""
        batch = state.batches.setdefault(self._batch_key(plan, alarm), Batch())
        if batch.send_at is None and batch.sent_at != ts:
            earliest = batch.sent_at + milliseconds(routing.group_interval)
            batch.send_at = max(ts + milliseconds(routing.group_wait), earliest)
        if batch.send_at is not None and ts < batch.send_at:
            state.due = min(state.due, batch.send_at)
            return "grouped"
        batch.sent_at = ts
        return ""

    def _batch_key(self, plan: Plan, alarm: Alarm) -> str:
        _, labels = place(plan.partition)
        known = {"rule": plan.rule.id, "zone": alarm.zone, "severity": alarm.severity.value, **labels}
        return "\0".join(known.get(label, "") for label in self.ruleset.routing.group_by)


def _alike(alarm: Alarm, other: Alarm, equal: Iterable[str]) -> bool:
    """Whether two alarms of one partition share the labels; camera and group are the same there."""
    return "zone" not in equal or alarm.zone == other.zone
