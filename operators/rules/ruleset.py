"""All rules of a pipeline and what they share: derived signals, groups, schedules, routing, limits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from graphlib import CycleError, TopologicalSorter
from hashlib import blake2b
from typing import Any, Literal

from operators.records import Scope, Severity
from operators.rules.rule import Rule, check_unique
from operators.rules.schedule import Schedule
from operators.units import Seconds

__all__ = [
    "EXPRESSIONS",
    "Group",
    "Limits",
    "Mute",
    "Routing",
    "RuleSet",
    "inhibition_circle",
    "inhibition_level",
    "rule_version",
    "with_defaults",
]

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The labels of FER+, which every expression model of the registry gives."""
_ANNOTATIONS = ("title", "summary")


@dataclass(frozen=True, slots=True)
class Group:
    """Cameras that are watched as one place."""

    cameras: tuple[str, ...]
    """Its cameras."""
    zones: tuple[str, ...] = ()
    """Only faces in one of these zones; without it, all."""

    def __post_init__(self) -> None:
        if not self.cameras:
            raise ValueError("expected at least one camera in a group")


@dataclass(frozen=True, slots=True)
class Mute:
    """When alerts are recorded but not sent."""

    schedule: str
    """Name of the schedule."""
    invert: bool = False
    """true mutes outside of the schedule."""
    severity_below: Severity | None = None
    """Only alerts below this severity; without it, all."""
    rules: tuple[str, ...] = ()
    """Only alerts of these rules; without it, all."""


@dataclass(frozen=True, slots=True)
class Routing:
    """How alerts reach people: muted hours, and several at once as one."""

    mute: tuple[Mute, ...] = ()
    """Muted hours."""
    group_by: tuple[Literal["rule", "camera", "zone", "severity"], ...] = ("rule", "camera")
    """Alerts that share these labels are sent together."""
    group_wait: Seconds = 0.0
    """How long the first alert of a group waits for others; 0s sends at once, and critical ones never wait."""
    group_interval: Seconds = 0.0
    """Shortest time between two sendings of a group."""

    def __post_init__(self) -> None:
        if self.group_wait < 0 or self.group_interval < 0:
            raise ValueError("expected group_wait and group_interval >= 0s")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of memory: what is beyond them is counted, never wiped."""

    max_active_per_rule: int = 200
    """Pending and firing alerts of one rule on one camera, group or site; the oldest are kept."""
    max_tracks_per_camera: int = 100
    """Faces of one picture that rules look at; the oldest tracks are kept."""

    def __post_init__(self) -> None:
        if self.max_active_per_rule < 1 or self.max_tracks_per_camera < 1:
            raise ValueError("expected limits of at least 1")


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules, with what they name. Raises ValueError where a name is unknown or inhibitions form a circle."""

    rules: tuple[Rule, ...] = ()
    """The rules; defaults were already applied to them by `with_defaults`."""
    signals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Derived signals by name: weights of the model's expressions."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    """Groups by name."""
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    """Schedules by name."""
    routing: Routing = field(default_factory=Routing)
    """How alerts reach people."""
    limits: Limits = field(default_factory=Limits)
    """Bounds of memory."""

    def __post_init__(self) -> None:
        check_unique(self.rules)
        clash = sorted(self.signals.keys() & set(EXPRESSIONS))
        if clash:
            raise ValueError(f"expected a name of its own for a derived signal, got the expression {clash[0]!r}")
        for rule in self.rules:
            if rule.group and rule.group not in self.groups:
                raise ValueError(f"rule {rule.id}: expected one of the groups, got {rule.group!r}")
            if rule.schedule and rule.schedule not in self.schedules:
                raise ValueError(f"rule {rule.id}: expected one of the schedules, got {rule.schedule!r}")
        for mute in self.routing.mute:
            if mute.schedule not in self.schedules:
                raise ValueError(f"routing.mute: expected one of the schedules, got {mute.schedule!r}")
        self.in_order()

    @property
    def version(self) -> str:
        """Hash of everything that decides: the configuration that an alert was made under."""
        muting = sorted({mute.schedule for mute in self.routing.mute})
        content = [
            sorted(rule_version(rule, self) + _inhibit_version(rule) for rule in self.rules),
            _content(self.routing),
            _content(self.limits),
            *(_content(self.schedules[name]) for name in muting),
        ]
        return _digest(content)

    def in_order(self) -> tuple[Rule, ...]:
        """The rules with every inhibitor before what it inhibits, else by id; raises ValueError for a circle."""
        circle = inhibition_circle(self.rules)
        if circle:
            raise ValueError(f"expected inhibitions without a circle, got {' -> '.join(circle)}")
        sorter = TopologicalSorter(_inhibitors(self.rules))
        sorter.prepare()
        order: list[str] = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready())
            order += ready
            sorter.done(*ready)
        by_id = {rule.id: rule for rule in self.rules}
        return tuple(by_id[rule_id] for rule_id in order)

    def inhibited_by(self, rule: Rule) -> tuple[str, ...]:
        """The ids of the rules that `rule` inhibits; `"*"` leaves out those that inhibit all others too."""
        return _inhibited(rule, self.rules)


def inhibition_level(rule: Rule) -> str:
    """Rules silence only rules of their own level: `camera`, `group:NAME` or `site`."""
    if rule.scope is Scope.GROUP:
        return f"group:{rule.group}"
    return "site" if rule.scope is Scope.SITE else "camera"


def inhibition_circle(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The ids of rules that silence one another in a circle, the first one again at the end; empty if none do."""
    try:
        TopologicalSorter(_inhibitors(rules)).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def _inhibitors(rules: Sequence[Rule]) -> dict[str, list[str]]:
    """Who silences each rule."""
    found: dict[str, list[str]] = {rule.id: [] for rule in rules}
    for rule in rules:
        for target in _inhibited(rule, rules):
            found[target].append(rule.id)
    return found


def _inhibited(rule: Rule, rules: Sequence[Rule]) -> tuple[str, ...]:
    if not rule.inhibit:
        return ()
    level = inhibition_level(rule)
    others = [other for other in rules if other.id != rule.id and inhibition_level(other) == level]
    named = {name for inhibit in rule.inhibit for name in inhibit.rules}
    modest = {other.id for other in others if not any("*" in inhibit.rules for inhibit in other.inhibit)}
    return tuple(sorted(({other.id for other in others} & named) | (modest if "*" in named else set())))


def with_defaults(raw: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as written, with the fields it leaves out taken whole from `defaults`."""
    if "id" in defaults:
        raise ValueError("expected defaults without an id: every rule has its own")
    return {**defaults, **raw}


def rule_version(rule: Rule, ruleset: RuleSet) -> str:
    """Hash of all that decides: not of title and summary, nor of fields at their default, written or not.

    What the rule names (derived signals, its group, its schedule) counts with its content.
    """
    named: dict[str, object] = {}
    names = sorted({name for when in rule.predicates for name in when.names} & ruleset.signals.keys())
    if names:
        named["signals"] = {name: dict(ruleset.signals[name]) for name in names}
    if rule.scope is Scope.GROUP:
        named["group"] = _content(ruleset.groups[rule.group])
    if rule.schedule:
        named["schedule"] = _content(ruleset.schedules[rule.schedule])
    content = _content(replace(rule, inhibit=()))
    return _digest([content, named] if named else content)


def _inhibit_version(rule: Rule) -> str:
    """Hash of what it inhibits: that changes who is told, but not the rule's own alerts."""
    return _digest(_content(rule.inhibit)) if rule.inhibit else ""


def _digest(content: object) -> str:
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=6).hexdigest()


def _content(value: object) -> object:
    if isinstance(value, tuple):
        return [_content(part) for part in value]
    if not is_dataclass(value):
        return value
    names = [each.name for each in fields(value) if getattr(value, each.name) != _default(each)]
    return {name: _content(getattr(value, name)) for name in names if name not in _ANNOTATIONS}


def _default(of: Field[object]) -> object:
    return of.default if of.default_factory is MISSING else of.default_factory()
