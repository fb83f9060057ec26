"""Checks across sections, on settings whose every value is right by itself. Pure: no file, network or hardware."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Protocol

from connectors.elastic_settings import SINK
from operators.records import Scope
from operators.rules import EXPRESSIONS, Group, Limits, Mute, Routing, Rule, Schedule
from operators.rules.predicate import VALUES
from operators.rules.ruleset import inhibition_circle, inhibition_level
from pipeline.complaints import PURPOSE, Complaint, nearest
from pipeline.feasibility import View, infeasible, leaves, longest_opening
from pipeline.sections import Camera, Models
from pipeline.yaml_source import Location

__all__ = ["EXPRESSIONS", "RuleSections", "check", "check_models", "check_rules"]

_ID = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NAME = "a-z, 0-9, _ and -, beginning with a-z or 0-9"
_RESERVED = (*VALUES, "and", "or", "not")


class RuleSections(Protocol):
    """What the settings and a `RuleSet` have in common; the latter is never wrong in its names."""

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules, completed."""

    @property
    def signals(self) -> Mapping[str, Mapping[str, float]]:
        """Derived signals."""

    @property
    def groups(self) -> Mapping[str, Group]:
        """Groups of cameras."""

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        """Schedules."""

    @property
    def routing(self) -> Routing:
        """Muted hours."""

    @property
    def limits(self) -> Limits:
        """Bounds of memory."""


def check(
    *, purpose: str, cameras: Mapping[str, Camera], sinks: Sequence[str], elastic: bool = False
) -> Iterator[Complaint]:
    """Every mistake that only shows when sections are seen together, but for the rules.

    `sinks` are the names of the listed ones; `elastic` says whether Elasticsearch is one more.
    """
    if not purpose.strip():
        yield Complaint(("purpose",), f"empty; {PURPOSE}")
    yield from _cameras(cameras)
    yield from _twice(("sinks",), "name", sinks)
    if elastic and SINK in sinks:
        text = f'"{SINK}" is what the section {SINK} calls its own sink; give this one another name'
        yield Complaint(("sinks", sinks.index(SINK), "name"), text)


def check_models(models: Models, tasks: Mapping[str, str], *, labels: Sequence[str]) -> Iterator[Complaint]:
    """Names of models that the registry doesn't have, or that do something else; `tasks` by name and alias.

    `labels` are the expressions that the network reads.
    """
    for label in models.expression.site:
        if label not in labels:
            text = _unknown(label, labels, "expression")
            yield Complaint(("models", "expression", "site", label), text, at_key=True)
    for task in (each.name for each in fields(models)):
        section = getattr(models, task)
        name = getattr(section, "name", None) if is_dataclass(section) else None  # a folder has a name too
        fitting = [known for known, does in tasks.items() if does == task]
        if name is None or name in fitting:
            continue
        at = ("models", task, "name")
        if name in tasks:
            listed = ", ".join(sorted(fitting))
            yield Complaint(at, f'"{name}" is {_a(tasks[name])} model, expected {_a(task)} one: {listed}')
        else:
            yield Complaint(at, _unknown(name, fitting, f"{task} model"))


def check_rules(
    sections: RuleSections, cameras: Mapping[str, Camera] | None, *, labels: Sequence[str] = EXPRESSIONS
) -> Iterator[Complaint]:
    """What is wrong with rules whose every value is right by itself; without cameras, their names are not checked.

    `labels` are the expressions that the network reads.
    """
    yield from _twice(("rules",), "id", [rule.id for rule in sections.rules])
    yield from _signals(sections.signals, labels)
    yield from _groups(sections.groups, cameras)
    yield from _mutes(sections)
    yield from _inhibitions(sections.rules)
    for index, rule in enumerate(sections.rules):
        at = ("rules", index)
        wrong = [
            *_names(sections, rule, at, labels=labels),
            *(_places(sections, cameras, rule, at) if cameras is not None else ()),
        ]
        yield from wrong or _feasible(sections, cameras or {}, rule, at)


def _a(task: str) -> str:
    return f"an {task}" if task[0] in "aeiou" else f"a {task}"


def _cameras(cameras: Mapping[str, Camera]) -> Iterator[Complaint]:
    if not any(camera.enabled for camera in cameras.values()):
        text = "every camera has enabled: false" if cameras else "no cameras"
        yield Complaint(("cameras",), f"{text}; at least one is needed", at_key=True)
    for camera_id, camera in cameras.items():
        for location, name in [(("cameras", camera_id), camera_id)] + [
            (("cameras", camera_id, "zones", zone), zone) for zone in camera.zones
        ]:
            if not _ID.fullmatch(name):
                yield Complaint(location, f"expected a name of {_NAME}", at_key=True)


def _twice(section: tuple[str], key: str, names: Iterable[str]) -> Iterator[Complaint]:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            text = f'"{name}" is also the {key} of {section[0]}[{seen[name]}]; give each its own {key}'
            yield Complaint((*section, index, key), text)
        seen.setdefault(name, index)


def _signals(signals: Mapping[str, Mapping[str, float]], labels: Sequence[str]) -> Iterator[Complaint]:
    taken = (*labels, *_RESERVED)
    for name, weights in signals.items():
        at = ("signals", name)
        if not _ID.fullmatch(name) or name in taken:
            text = f"expected a name of a-z, 0-9, _ and -, and not one of {', '.join(taken)}"
            yield Complaint(at, text, at_key=True)
        for expression in weights:
            if expression not in labels:
                yield Complaint((*at, expression), _unknown(expression, labels, "expression"), at_key=True)
        if not any(weights.values()):
            yield Complaint(at, "expected at least one expression with a weight other than 0")


def _groups(groups: Mapping[str, Group], cameras: Mapping[str, Camera] | None) -> Iterator[Complaint]:
    for name, group in groups.items():
        if not _ID.fullmatch(name):
            yield Complaint(("groups", name), f"expected a name of {_NAME}", at_key=True)
        if cameras is not None:
            yield from _known(("groups", name, "cameras"), group.cameras, cameras, "camera")
            zones = {zone for camera in group.cameras if camera in cameras for zone in cameras[camera].zones}
            yield from _known(("groups", name, "zones"), group.zones, zones, "zone of these cameras")


def _mutes(sections: RuleSections) -> Iterator[Complaint]:
    ids = [rule.id for rule in sections.rules]
    for index, mute in enumerate(sections.routing.mute):
        at = ("routing", "mute", index)
        if mute.schedule not in sections.schedules:
            yield Complaint((*at, "schedule"), _unknown(mute.schedule, sections.schedules, "schedule"))
        else:
            yield from _mute_hours(mute, longest_opening(sections.schedules[mute.schedule]), at)
        yield from _known((*at, "rules"), mute.rules, ids, "rule")


def _mute_hours(mute: Mute, opening: float, at: Location) -> Iterator[Complaint]:
    always, never = (not opening, math.isinf(opening)) if mute.invert else (math.isinf(opening), not opening)
    if never:
        yield Complaint(at, "there is no such time, so this mutes nothing", severity="warning")
    elif always and not mute.rules and mute.severity_below is None:
        yield Complaint(at, "this mutes every alert at all times", severity="warning")


def _inhibitions(rules: Sequence[Rule]) -> Iterator[Complaint]:
    """Unknown rules, rules that are evaluated apart or have no zone in common, circles."""
    by_id = {rule.id: rule for rule in rules}
    for index, rule in enumerate(rules):
        for number, inhibit in enumerate(rule.inhibit):
            at = ("rules", index, "inhibit", number)
            yield from _known((*at, "rules"), inhibit.rules, {*by_id, "*"}, "rule")
            for position, name in enumerate(inhibit.rules):
                if name in by_id:
                    yield from _inhibition(rule, by_id[name], inhibit.equal, (*at, "rules", position))
    circle = inhibition_circle(rules)
    if circle:
        index = list(by_id).index(circle[0])
        yield Complaint(("rules", index, "inhibit"), f"these rules inhibit in a circle: {' -> '.join(circle)}")


def _inhibition(rule: Rule, other: Rule, equal: Sequence[str], at: Location) -> Iterator[Complaint]:
    mine, theirs = inhibition_level(rule), inhibition_level(other)
    if other is rule:
        yield Complaint(at, f'"{other.id}" is this rule itself')
    elif mine != theirs:
        text = f'"{other.id}" ({theirs}) and this rule ({mine}) are evaluated apart'
        yield Complaint(at, f"{text}; rules inhibit only rules of their own level")
    elif "zone" in equal and (rule.scope is Scope.CAMERA) != (other.scope is Scope.CAMERA):
        text = f"alerts of scope {Scope.CAMERA} have no zone that could equal one of"
        yield Complaint(at, f'{text} "{other.id}"; leave zone out of equal', severity="warning")


def _names(sections: RuleSections, rule: Rule, at: Location, *, labels: Sequence[str]) -> Iterator[Complaint]:
    """Names of groups, schedules, expressions and derived signals."""
    if rule.group and rule.group not in sections.groups:
        yield Complaint((*at, "group"), _unknown(rule.group, sections.groups, "group"))
    if rule.schedule and rule.schedule not in sections.schedules:
        yield Complaint((*at, "schedule"), _unknown(rule.schedule, sections.schedules, "schedule"))
    readable = [*labels, *sections.signals]
    for where, leaf in leaves(rule):
        if leaf.prob and leaf.prob not in readable:
            yield Complaint((*at, *where, "prob"), _unknown(leaf.prob, readable, "expression"))
        yield from _known((*at, *where, "prob_any"), leaf.prob_any, readable, "expression")


def _feasible(sections: RuleSections, cameras: Mapping[str, Camera], rule: Rule, at: Location) -> Iterator[Complaint]:
    """What the rule asks of its cameras and its schedule."""
    watched = _watched(sections, cameras, rule)
    opening = longest_opening(sections.schedules[rule.schedule]) if rule.schedule else math.inf
    rates = {name: camera.fps for name, camera in watched.items() if camera.enabled}
    for found in infeasible(rule, View(sections.signals, rates, sections.limits.max_tracks_per_camera, opening)):
        yield replace(found, location=(*at, *found.location))


def _places(sections: RuleSections, cameras: Mapping[str, Camera], rule: Rule, at: Location) -> Iterator[Complaint]:
    """Cameras and zones that don't exist."""
    yield from _known((*at, "where", "cameras"), rule.where.cameras, cameras, "camera")
    if set(rule.where.cameras) <= set(cameras):
        watched = _watched(sections, cameras, rule).values()
        yield from _zones(rule, {zone for camera in watched for zone in camera.zones}, at)


def _watched(sections: RuleSections, cameras: Mapping[str, Camera], rule: Rule) -> dict[str, Camera]:
    """The cameras that the rule looks at, as far as they exist."""
    group = sections.groups.get(rule.group)
    names = group.cameras if group else rule.where.cameras or cameras
    return {name: cameras[name] for name in names if name in cameras}


def _zones(rule: Rule, zones: set[str], at: Location) -> Iterator[Complaint]:
    yield from _known((*at, "where", "zones"), rule.where.zones, zones, "zone of these cameras")
    if rule.scope is Scope.ZONE and not zones and not rule.where.zones:
        yield Complaint((*at, "scope"), "scope zone needs a zone: give a camera `zones`")


def _known(location: Location, names: Iterable[str], known: Iterable[str], kind: str) -> Iterator[Complaint]:
    for index, name in enumerate(names):
        if name not in known:
            yield Complaint((*location, index), _unknown(name, known, kind))


def _unknown(name: str, known: Iterable[str], kind: str) -> str:
    listed = ", ".join(sorted(known)) or "none"
    return f'"{name}" is no {kind}{nearest(name, known) or f"; there are: {listed}"}'
