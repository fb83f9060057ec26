"""Runs the rule engine over a story in one of several ways, and says what it told in the words of the oracle."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from connectors import wire
from operators.records import Alert, Scope
from operators.rules import EvaluatorState, RuleEvaluator, RuleSet
from operators.rules.evaluator import Watched
from tests import oracle, rule_stories
from tests.rule_stories import Record

__all__ = ["CAMERAS", "canonical", "engine_histories", "run"]

CAMERAS = {name: oracle.Camera(0.1, rule_stories.ZONES) for name in rule_stories.CAMERAS}


def evaluator_of(rules: RuleSet, out_of_order: float) -> RuleEvaluator:
    cameras = {name: Watched(camera.interval, camera.zones) for name, camera in CAMERAS.items()}
    return RuleEvaluator(rules, cameras=cameras, out_of_order=out_of_order)


def run(
    rules: RuleSet,
    records: Iterable[Record],
    *,
    out_of_order: float = 0.0,
    cuts: Container[int] = (),
    pure: bool = False,
) -> list[Alert]:
    """Every transition up to the end of input.

    At `cuts` the evaluator is made anew and every state stored and read back. `pure` takes `step` instead of `apply`,
    and makes sure that it leaves the state that it is given as it is.
    """
    evaluator = evaluator_of(rules, out_of_order)
    states: dict[str, EvaluatorState] = {}
    alerts: list[Alert] = []
    for i, record in enumerate(records):
        if i in cuts:
            evaluator = evaluator_of(rules, out_of_order)
            states = {name: restored(state) for name, state in states.items()}
        for name in evaluator.partitions(record.camera_id):
            state = states.get(name) or EvaluatorState(name)
            if pure:
                before = wire.encode(state)
                states[name], told = evaluator.step(state, record)
                assert wire.encode(state) == before, "expected step to leave its argument alone"
            else:
                states[name], told = state, evaluator.apply(state, record)
            alerts += told
    for state in states.values():
        alerts += evaluator.flush(state)[1] if pure else evaluator.finish(state)
    return alerts


def restored(state: EvaluatorState) -> EvaluatorState:
    """Stored and read back."""
    again = wire.decode(wire.encode(state), EvaluatorState)
    assert again == state, "expected the state to come back as it was"
    return again


def canonical(alerts: Iterable[Alert]) -> list[Alert]:
    """In an order that doesn't depend on when they were told."""
    return sorted(alerts, key=lambda alert: (alert.alert_id, alert.seq))


def engine_histories(alerts: Iterable[Alert]) -> list[oracle.History]:
    """What was told of each alert, as the oracle says it."""
    by_id: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_id.setdefault(alert.alert_id, []).append(alert)
    return sorted(_history(each) for each in by_id.values())


def _history(alerts: list[Alert]) -> oracle.History:
    assert [alert.seq for alert in alerts] == list(range(len(alerts))), "expected the transitions of an alert in order"
    first = alerts[0]
    zone = first.labels.get("zone", "")
    told = tuple(_told(alert) for alert in alerts)
    return oracle.History(_partition(first), first.rule, zone, round(first.starts_at * 1000), told)


def _partition(alert: Alert) -> str:
    if alert.scope is Scope.GROUP:
        return f"group:{alert.labels['group']}"
    return "site:" if alert.scope is Scope.SITE else alert.camera_id


def _told(alert: Alert) -> oracle.Told:
    evidence: Mapping[str, float | None] = alert.evidence
    figures = [evidence.get(name) for name in ("samples", "suppressed", "coverage", "value_last", "value_max")]
    if alert.reason == "released" or alert.rule == "rule-limited":
        figures = [None] * 5
    elif "within_s" in alert.evidence:
        figures[0] = figures[2] = figures[3] = figures[4] = None
    samples, suppressed, coverage, last, highest = figures
    return oracle.Told(
        round(alert.ts * 1000),
        alert.status.value,
        alert.reason,
        alert.severity.value,
        alert.silenced_by,
        None if samples is None else int(samples),
        None if suppressed is None else int(suppressed),
        *(None if number is None else round(number, 6) for number in (coverage, last, highest)),
    )
