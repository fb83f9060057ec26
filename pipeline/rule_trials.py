"""Runs tests of rules: the transitions that a trace brings about, and whether they keep the laws of the engine.

Every test also runs with its records in another order of arrival, in other batches, and cut and resumed. The
transitions must be the same each time; where they aren't, the engine is wrong, not the rule.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from operators.records import Alert, Gap, Status, Tick
from operators.rules import Probe, RuleEvaluator, RuleSet
from pipeline.evaluation import Evaluation
from pipeline.rule_tests import Expectation, Forbidden, Record, RuleTest, known_at

__all__ = ["Claim", "Law", "Trial", "try_rules"]

OUT_OF_ORDER_MS = 300
SEEDS = (1, 2, 3)
BATCHES = (7, 100)
_NO_MATCH = 1e9


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that the test says, and the transition that it found: missing for an expectation that failed."""

    what: Expectation | Forbidden
    found: Alert | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Law:
    """A way of running that must change nothing, and the transitions that only came in order, or only so."""

    name: str
    only_in_order: tuple[Alert, ...]
    only_so: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome of one test. `extra` are transitions that `only: true` forbids."""

    test: RuleTest
    seconds: float
    alerts: tuple[Alert, ...]
    claims: tuple[Claim, ...]
    extra: tuple[Alert, ...]
    broken_laws: tuple[Law, ...]
    probes: tuple[Probe, ...]

    @property
    def passed(self) -> bool:
        """Whether everything is as the test says."""
        return all(claim.kept for claim in self.claims) and not self.extra and not self.broken_laws


def try_rules(test: RuleTest, rules: RuleSet) -> Trial:
    """Run one test."""
    begun = time.perf_counter()
    probes: list[Probe] = []
    records = test.records
    alerts = _run(test, rules, [[record] for record in records], probe=probes.append)
    claims, matched = _compare(test, rules, alerts)
    extra = [alert for alert in alerts if test.only and id(alert) not in matched and _counts(alert, test)]
    laws = _broken_laws(test, rules, records, alerts)
    return Trial(
        test=test,
        seconds=time.perf_counter() - begun,
        alerts=tuple(alerts),
        claims=tuple(claims),
        extra=tuple(extra),
        broken_laws=tuple(laws),
        probes=tuple(probes),
    )


def rule_of(claim: Expectation | Forbidden, test: RuleTest, rules: RuleSet) -> str:
    """The rule that a claim is about."""
    return claim.rule or test.rule or rules.rules[0].id


def _run(
    test: RuleTest,
    rules: RuleSet,
    batches: Iterable[Sequence[Record]],
    *,
    out_of_order: float = 0.0,
    cuts: Sequence[int] = (),
    probe: Callable[[Probe], None] | None = None,
) -> list[Alert]:
    """All transitions up to the end of the test; the state is saved and read back after the batches of `cuts`."""

    def fresh(saved: Mapping[str, bytes]) -> Evaluation:
        evaluator = RuleEvaluator(rules, cameras=test.watched, out_of_order=out_of_order, probe=probe)
        return Evaluation(evaluator, saved)

    saved: dict[str, bytes] = {}
    evaluation = fresh(saved)
    alerts: list[Alert] = []
    for i, batch in enumerate(batches):
        alerts += evaluation.feed(batch)
        if i in cuts:
            saved |= evaluation.changed()
            evaluation = fresh(saved)
    alerts += evaluation.flush() if test.flush else evaluation.feed(_end(test, rules, out_of_order))
    return sorted(alerts, key=_order)


def _end(test: RuleTest, rules: RuleSet, out_of_order: float) -> list[Tick]:
    """Lets time pass up to the end of the test on every camera, also on those that a group waits for in vain."""
    named = {camera for group in rules.groups.values() for camera in group.cameras}
    end = (test.start + test.end_ms) / 1000 + out_of_order
    return [Tick(camera, end) for camera in sorted({*test.cameras, *named})]


def _order(alert: Alert) -> tuple[object, ...]:
    return alert.ts, alert.rule, tuple(sorted(alert.labels.items())), alert.alert_id, alert.seq


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _compare(test: RuleTest, rules: RuleSet, alerts: Sequence[Alert]) -> tuple[list[Claim], set[int]]:
    """What became of everything that the test says, and the ids of the transitions that it expected."""
    pairs = _assign(test, rules, alerts)
    claims = [Claim(one, pairs.get(i), kept=i in pairs) for i, one in enumerate(test.expect)]
    for forbidden in test.never:
        rule = rule_of(forbidden, test, rules)
        found = next((alert for alert in alerts if _answers(alert, forbidden, rule)), None)
        claims.append(Claim(forbidden, found, kept=found is None))
    return claims, {id(alert) for alert in pairs.values()}


def _assign(test: RuleTest, rules: RuleSet, alerts: Sequence[Alert]) -> dict[int, Alert]:
    """A transition of its own for as many expectations as possible, the nearest in time."""
    if not test.expect or not alerts:
        return {}
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  # slow to import, and only needed here

    cost = np.full((len(test.expect), len(alerts)), _NO_MATCH)
    for i, expected in enumerate(test.expect):
        rule = rule_of(expected, test, rules)
        for k, alert in enumerate(alerts):
            away = abs(_ms(alert.ts) - test.start - _ms(expected.at))
            if away <= _ms(expected.within) and _answers(alert, expected, rule) and _as_loud(alert, expected):
                cost[i, k] = away
    rows, columns = linear_sum_assignment(cost)
    return {int(i): alerts[int(k)] for i, k in zip(rows, columns, strict=True) if cost[i, k] < _NO_MATCH}


def _answers(alert: Alert, claim: Expectation | Forbidden, rule: str) -> bool:
    return (
        alert.rule == rule
        and alert.status is claim.state
        and claim.reason in ("", alert.reason)
        and claim.labels.items() <= alert.labels.items()
    )


def _as_loud(alert: Alert, expected: Expectation) -> bool:
    """Whether severity and silence are as expected."""
    return expected.severity in (None, alert.severity) and expected.silenced_by in (None, alert.silenced_by)


def _counts(alert: Alert, test: RuleTest) -> bool:
    """Whether `only: true` is about this transition."""
    return alert.status in (Status.FIRING, Status.RESOLVED) and test.rule in ("", alert.rule)


def _broken_laws(test: RuleTest, rules: RuleSet, records: Sequence[Record], alerts: Sequence[Alert]) -> list[Law]:
    singles = [[record] for record in records]
    runs = {f"batches of {size}": _run(test, rules, _batches(records, size)) for size in BATCHES}
    for seed in SEEDS:
        shuffled = [[record] for record in _shuffled(records, seed)]
        out_of_order = OUT_OF_ORDER_MS / 1000
        runs[f"order of arrival (seed {seed})"] = _run(test, rules, shuffled, out_of_order=out_of_order)
        cuts = random.Random(seed).sample(range(len(records)), min(2, len(records)))  # noqa: S311  # repeatable
        runs[f"cut and resumed after records {_listed(cuts)}"] = _run(test, rules, singles, cuts=cuts)
    return [_difference(name, alerts, found) for name, found in runs.items() if found != alerts]


def _batches(records: Sequence[Record], size: int) -> list[Sequence[Record]]:
    return [records[i : i + size] for i in range(0, len(records), size)]


def _shuffled(records: Sequence[Record], seed: int) -> list[Record]:
    """The records as they may arrive: observations up to `OUT_OF_ORDER_MS` late, gaps when they are over."""
    noise = random.Random(seed)  # noqa: S311  # repeatable

    def arrival(record: Record) -> float:
        return known_at(record) + (0 if isinstance(record, Gap) else noise.randrange(OUT_OF_ORDER_MS) / 1000)

    return sorted(records, key=arrival)


def _listed(cuts: Sequence[int]) -> str:
    return " and ".join(str(cut + 1) for cut in sorted(cuts))


def _difference(name: str, in_order: Sequence[Alert], so: Sequence[Alert]) -> Law:
    return Law(
        name,
        only_in_order=tuple(alert for alert in in_order if alert not in so),
        only_so=tuple(alert for alert in so if alert not in in_order),
    )
