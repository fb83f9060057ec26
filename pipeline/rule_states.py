"""Where each rule stands now: in every camera, zone and group that it looks at, and how near it is to firing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal

from operators.records import Alert, Scope, Status
from operators.rules import EvaluatorState, Rule, RuleEvaluator
from operators.rules.compile import compile_condition
from operators.rules.evaluator import GROUP, SITE
from operators.rules.notice import transition
from operators.rules.plan import plan_rule
from operators.rules.state import NEVER, Alarm, Slot
from pipeline.evaluation import Evaluation
from pipeline.explain import terms

__all__ = ["RuleState", "State", "progress", "rule_states"]

State = Literal["idle", "pending", "firing", "silenced", "cooldown", "outside"]
"""`silenced` fires and is not sent, `cooldown` has fired and may not yet again, `outside` is that of the schedule."""


@dataclass(frozen=True, slots=True)
class RuleState:
    """A rule in one place: a camera id, `group:NAME` or `site:`, and a zone of it or empty.

    Where several faces are pending, it is the one that is nearest to firing: it has held for `held_s` of `for_s`, and
    `progress` in [0, 1] is how much of all that is needed is there. `alerts` are those that are pending or firing.
    """

    partition: str
    zone: str
    state: State
    held_s: float
    for_s: float
    progress: float
    alerts: int


def rule_states(evaluation: Evaluation, now: float) -> dict[str, list[RuleState]]:
    """Where each rule stands, by its id; may be asked from any thread. `now` stands in where nothing was seen yet."""
    evaluator, states = evaluation.evaluator, evaluation.states()
    return {rule.id: list(_states(rule, evaluator, states, now)) for rule in evaluator.ruleset.rules}


def progress(alert: Alert, rule: Rule) -> float:
    """How much of all that the rule needs was there at a transition, in [0, 1]."""
    return min((term.share for term in terms(alert, rule)), default=0.0)


def _states(
    rule: Rule, evaluator: RuleEvaluator, states: Mapping[str, EvaluatorState], now: float
) -> Iterator[RuleState]:
    for partition in _partitions(rule, evaluator):
        state = states.get(partition)
        clock = round(now * 1000) if state is None or state.clock == NEVER else state.clock
        inside = not rule.schedule or evaluator.ruleset.schedules[rule.schedule].span(clock)[0]
        book = None if state is None else state.books.get(rule.id)
        slots = {} if book is None else dict(book.slots)
        place = _Place(rule, evaluator, partition, clock, inside)
        if rule.scope is not Scope.ZONE:
            yield place.state("", slots.values())
            continue
        zones = evaluator.cameras[partition].zones
        for zone in zones if not rule.where.zones else [zone for zone in zones if zone in rule.where.zones]:
            yield place.state(zone, [slots[zone]] if zone in slots else [])


def _partitions(rule: Rule, evaluator: RuleEvaluator) -> Iterable[str]:
    """Where the rule is evaluated."""
    if rule.scope is Scope.GROUP:
        return (GROUP + rule.group,)
    if rule.scope is Scope.SITE:
        return (SITE,)
    return [name for name in evaluator.cameras if not rule.where.cameras or name in rule.where.cameras]


@dataclass(frozen=True, slots=True)
class _Place:
    """A rule in one partition, whose time is `clock` (ms), inside the hours of its schedule or not."""

    rule: Rule
    evaluator: RuleEvaluator
    partition: str
    clock: int
    inside: bool

    def state(self, zone: str, slots: Iterable[Slot]) -> RuleState:
        """Of what is remembered; the slots go on changing."""
        kept = list(map(_copied, slots))
        alarms = [slot.alarm for slot in kept if slot.alarm is not None]
        fired = [alarm for alarm in alarms if alarm.fired_at is not None]
        told = [alarm for alarm in fired if not alarm.silenced_by]
        if fired:
            longest = max(told or fired, key=lambda alarm: alarm.duration_ms)
            return self._of(zone, "firing" if told else "silenced", longest, alerts=len(alarms), progress=1.0)
        if alarms:
            share, _, nearest = max(self._nearness(kept), key=lambda one: one[:2])
            return self._of(zone, "pending", nearest, alerts=len(alarms), progress=share)
        quiet = any(slot.quiet_until > self.clock for slot in kept)
        return self._of(zone, "outside" if not self.inside else "cooldown" if quiet else "idle")

    def _nearness(self, slots: Iterable[Slot]) -> Iterator[tuple[float, int, Alarm]]:
        """How near each pending episode is to firing, as its transition would tell it now, and how long it lasts."""
        ruleset, cameras = self.evaluator.ruleset, tuple(self.evaluator.cameras.values())
        plan = plan_rule(self.rule, ruleset, partition=self.partition, watched=cameras, config="now")
        condition = compile_condition(plan)
        for slot in slots:
            if slot.alarm is not None:
                told = transition(plan, slot, condition, status=Status.PENDING, reason="", ts=self.clock)
                yield progress(told, self.rule), slot.alarm.duration_ms, slot.alarm

    def _of(
        self, zone: str, state: State, alarm: Alarm | None = None, *, alerts: int = 0, progress: float = 0.0
    ) -> RuleState:
        held_s = 0.0 if alarm is None else alarm.duration_ms / 1000
        return RuleState(self.partition, zone, state, held_s, self.rule.for_, progress, alerts)


def _copied(slot: Slot) -> Slot:
    """A slot that nobody changes, as far as an alert's evidence looks."""
    return replace(
        slot,
        alarm=copy(slot.alarm),
        members=dict(slot.members),
        buckets=list(slot.buckets),
        match=copy(slot.match),
        usual=copy(slot.usual),
    )
