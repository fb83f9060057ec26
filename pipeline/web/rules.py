"""Rules: what each one says, where it stands now, and where it nearly fired."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from fastapi import APIRouter, Request

from connectors.store_reader import StoreReader, Wanted
from operators.records import Alert, Scope, Severity, Status
from operators.rules import Rule
from operators.rules.evaluator import GROUP, SITE
from pipeline.explain import nearness, sentence, terms
from pipeline.rule_states import RuleState, State, progress, rule_states
from pipeline.rule_words import file_of, sentence_of, yaml_of
from pipeline.web.answers import Answer
from pipeline.web.sources import From

__all__ = ["NearestMisses", "router"]

router = APIRouter(prefix="/api/rules", tags=["rules"])

SHOWN = 5
LOOKED_AT = 200
"""So many of the last episodes of a rule that broke are compared."""
LOOK_EVERY_S = 5.0
NO_MISSES = ("config", "merged", "replaced")
"""Ends of pending episodes that say nothing about how near they were."""


class Place(Answer):
    """A rule in one camera, group, or the site, or in one zone."""

    partition: str
    """The camera id, `group:NAME`, or `site`."""
    camera_id: str
    """Empty for a group or the site."""
    zone: str
    """The zone, where the rule is about zones; else empty."""
    state: State
    """`silenced`: it fires and is not sent; `cooldown`: it may not fire again yet; `outside` of its schedule."""
    held_s: float
    """How long the condition has held; of several pending faces, that which is nearest to firing."""
    for_s: float
    """How long it must hold."""
    progress: float
    """How much of all that is needed is there, in [0, 1]: time, samples, coverage, peak."""
    alerts: int
    """How many are pending or firing here."""


class Part(Answer):
    """One thing that a rule asks for, and what there was."""

    name: str
    was: float
    needed: float
    unit: Literal["", "s", "%"]
    """`%`: shares in [0, 1]."""
    at_most: bool
    """It had to be no more than `needed`."""


class Miss(Answer):
    """An episode that was pending and ended before it fired."""

    alert_id: str
    ts: float
    """When it began."""
    camera_id: str
    zone: str
    progress: float
    held_s: float
    for_s: float
    reason: str
    """dip, gap, timeout, between, cooldown or schedule."""
    said: str
    """Why it ended, in words."""
    parts: list[Part]


class RuleNow(Answer):
    """A rule in force."""

    name: str
    severity: Severity
    scope: Scope
    group: str
    schedule: str
    title: str
    summary: str
    """What it says, in one sentence."""
    yaml: str
    """The rule as it is in force, without what is at its default."""
    states: list[Place]
    """In every camera, zone and group that it looks at."""
    nearest: list[Miss]
    """Of its last 200 episodes that broke before they fired, the five that came nearest."""
    fired: int
    """How many of its alerts have fired, as far as the store goes back."""
    last_fired: float | None


class RulesFile(Answer):
    """The rules in force as a rules file."""

    yaml: str
    """With all that rules name (signals, groups, schedules), routing and limits; without what is at its default."""


class NearestMisses:
    """Where each rule nearly fired; looked up again only every few seconds, whoever asks."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._found: dict[str, list[Alert]] = {}
        self._rules: tuple[Rule, ...] = ()
        self._last = -1
        self._looked_at = 0.0

    def of(self, rules: tuple[Rule, ...]) -> Mapping[str, list[Alert]]:
        """The last transitions of the episodes of each rule, by its id, the nearest first. Raises SinkError."""
        with self._lock:
            last = self._reader.last()
            more = last != self._last and time.monotonic() >= self._looked_at + LOOK_EVERY_S
            if more or rules != self._rules:
                self._found = {rule.id: self._nearest(rule) for rule in rules}
                self._rules, self._last, self._looked_at = rules, last, time.monotonic()
            return self._found

    def _nearest(self, rule: Rule) -> list[Alert]:
        page = self._reader.page(Wanted(statuses=[Status.BROKEN], rules=[rule.id]), limit=LOOKED_AT)
        broken = [one.alert for one in page.episodes if one.alert.reason not in NO_MISSES]
        return sorted(broken, key=lambda alert: nearness(alert, rule), reverse=True)[:SHOWN]


@router.get("")
def rules(sources: From, request: Request) -> list[RuleNow]:
    """The rules in force, in the order of the configuration."""
    in_force = sources.ruleset.rules
    states = rule_states(sources.evaluation, sources.clock())
    misses: NearestMisses = request.app.state.misses
    nearest, fired = misses.of(in_force), sources.reader.fired()
    return [_rule(rule, states.get(rule.id, []), nearest.get(rule.id, []), fired.get(rule.id)) for rule in in_force]


@router.get("/file")
def rules_file(sources: From) -> RulesFile:
    """All rules in force as one rules file, to try changes of them in a replay."""
    return RulesFile(yaml=file_of(sources.ruleset))


def _rule(rule: Rule, states: list[RuleState], nearest: list[Alert], fired: tuple[int, float] | None) -> RuleNow:
    count, last = (0, None) if fired is None else fired
    summary, written = _words(rule)
    return RuleNow(
        name=rule.id,
        severity=rule.severity,
        scope=rule.scope,
        group=rule.group,
        schedule=rule.schedule,
        title=rule.title,
        summary=summary,
        yaml=written,
        states=[_place(state) for state in states],
        nearest=[_miss(alert, rule) for alert in nearest],
        fired=count,
        last_fired=last,
    )


@lru_cache(maxsize=1000)
def _words(rule: Rule) -> tuple[str, str]:
    return sentence_of(rule), yaml_of(rule)


def _place(state: RuleState) -> Place:
    wide = state.partition.startswith((GROUP, SITE))
    return Place(
        partition=state.partition.removesuffix(":"),
        camera_id="" if wide else state.partition,
        zone=state.zone,
        state=state.state,
        held_s=state.held_s,
        for_s=state.for_s,
        progress=round(state.progress, 4),
        alerts=state.alerts,
    )


def _miss(alert: Alert, rule: Rule) -> Miss:
    return Miss(
        alert_id=alert.alert_id,
        ts=alert.starts_at,
        camera_id=alert.camera_id,
        zone=alert.labels.get("zone", ""),
        progress=round(progress(alert, rule), 4),
        held_s=alert.evidence.get("duration_s", 0.0),
        for_s=alert.evidence.get("for_s", rule.for_),
        reason=alert.reason,
        said=sentence(alert),
        parts=[
            Part(name=term.name, was=term.was, needed=term.needed, unit=term.unit, at_most=term.at_most)
            for term in terms(alert, rule)
        ],
    )
