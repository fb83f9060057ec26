"""A rule for people to read: one plain sentence, and the YAML that says the same."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from ruamel.yaml import YAML

from operators.records import Scope
from operators.rules import Absence, Change, Count, Predicate, Pulse, Ratio, Rule, RuleSet, Sequence, Share
from operators.units import format_duration
from pipeline.config import Settings, json_schema
from pipeline.schema import is_duration, walk
from pipeline.yaml_source import put

__all__ = ["file_of", "sentence_of", "yaml_of"]

_MADE_ANEW = ("where", "reacquire")
"""Parts that every rule has: pydantic writes them out when they are at their default, and then they are empty."""

_BELOW = {Scope.ZONE: "in a zone", Scope.CAMERA: "on a camera", Scope.SITE: "on all cameras together"}
"""Where the scope of an alert is, if nothing names it."""
_MANY = {"max": "some face", "mean": "the average face", "min": "every face"}
"""How the faces of a wider scope become one."""


def sentence_of(rule: Rule) -> str:
    """What a rule says, such as `Fires when a face shows fear >= 0.6 for 3s.` in one sentence."""
    parts = [*_condition(rule), *_place(rule), *_hours(rule)]
    return f"Fires {' '.join(part for part in parts if part)}."


def yaml_of(rule: Rule) -> str:
    """A rule as a rules file writes it, but for what is at its default. A rules file with it holds the same rule."""
    return _written(_data(Settings.model_construct(rules=(rule,)))["rules"])


def file_of(rules: RuleSet) -> str:
    """A whole rules file that says the same."""
    settings = Settings.model_construct(
        rules=rules.rules,
        signals={name: dict(weights) for name, weights in rules.signals.items()},
        groups=dict(rules.groups),
        schedules=dict(rules.schedules),
        routing=rules.routing,
        limits=rules.limits,
    )
    return _written({"version": 1, "rules": [], **_data(settings)})


def _data(settings: Settings) -> dict[str, Any]:
    """What rules are made of, as it is written, without what is at its default."""
    sections = {part.name for part in fields(RuleSet)}
    data = settings.model_dump(mode="json", by_alias=True, include=sections, exclude_defaults=True, exclude_none=True)
    for location, value, nodes in list(walk(json_schema(), data)):
        if isinstance(value, float) and any(map(is_duration, nodes)):
            put(data, location, format_duration(value))
    for rule in data.get("rules", ()):
        for key in _MADE_ANEW:
            if not rule.get(key, True):
                del rule[key]
    return data


def _written(data: object) -> str:
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 100
    yaml.default_flow_style = None  # what holds only texts and numbers is written in one line
    yaml.dump(data, stream)
    return stream.getvalue()


def _condition(rule: Rule) -> Iterator[str]:
    """What must be seen, and for how long."""
    if rule.pulse:
        yield from _pulse(rule, rule.pulse, rule.count)
    elif rule.sequence:
        yield from _sequence(rule, rule.sequence)
    elif rule.absence:
        yield from _absence(rule, rule.absence)
    elif rule.count:
        yield from _count(rule, rule.count)
    elif rule.share:
        yield from _share(rule, rule.share)
    elif rule.change:
        yield from _change(rule, rule.change)
    else:
        yield f"when {_who(rule, rule.when)} shows {rule.when}"
        yield _ratio(rule, rule.ratio) if rule.ratio else _lasting(rule)


def _who(rule: Rule, when: Predicate | None) -> str:
    """Whose number it is."""
    if rule.scope is Scope.TRACK or when is None:
        return "a face"
    ways = {leaf.aggregate for leaf in when.leaves}
    return _MANY[ways.pop()] if len(ways) == 1 else "what the faces show together"


def _lasting(rule: Rule) -> str:
    return f"for {format_duration(rule.for_)}" if rule.for_ else ""


def _ratio(rule: Rule, ratio: Ratio) -> str:
    return f"for {ratio.at_least:.0%} of {format_duration(rule.for_)}"


def _pulse(rule: Rule, pulse: Pulse, count: Count | None) -> Iterator[str]:
    yield f"when {_who(rule, rule.when)} shows {rule.when} only briefly"
    yield f"({format_duration(pulse.min)} to {format_duration(pulse.max)})"
    if pulse.flank:
        yield f"with {pulse.flank.when} before and after,"
    if count:
        yield f"{_number(count.at_least, 'time')} within {format_duration(count.within)}"


def _sequence(rule: Rule, sequence: Sequence) -> Iterator[str]:
    steps = [f"{step.when}{f' for {format_duration(step.for_)}' if step.for_ else ''}" for step in sequence.steps]
    yield f"when {_who(rule, sequence.steps[0].when)} shows {', then '.join(steps)},"
    yield f"all within {format_duration(sequence.within)}"
    if sequence.not_between:
        yield f"and not {sequence.not_between.when} in between"


def _absence(rule: Rule, absence: Absence) -> Iterator[str]:
    if absence.of == "frames":
        reasons = " or ".join(", ".join(absence.reasons).rsplit(", ", 1))
        yield f"when there is no usable picture ({reasons})"
    else:
        few = "no face is" if absence.fewer_than == 1 else f"fewer than {_number(absence.fewer_than, 'face')} are"
        yield f"when {few} seen{f' that would show {rule.when}' if rule.when else ''}"
    yield _lasting(rule)


def _count(rule: Rule, count: Count) -> Iterator[str]:
    one = count.at_least == 1
    shows = f"{'shows' if one else 'show'} {rule.when}" if rule.when else "is seen" if one else "are seen"
    yield f"when {'a face' if one else f'at least {count.at_least} faces'} {shows}"
    yield f"within {format_duration(count.within)}"
    yield _lasting(rule)


def _share(rule: Rule, share: Share) -> Iterator[str]:
    yield f"when {share.at_least:.0%} of the faces, of {share.min_population} or more, show {rule.when}"
    yield f"within {format_duration(share.over)},"
    yield _lasting(rule)


def _change(rule: Rule, change: Change) -> Iterator[str]:
    way = {"up": "rises", "down": "falls", "any": "moves"}[change.direction]
    far = [f"{change.absolute:g}"] if change.absolute else []
    far += [f"{_number(change.zscore, 'deviation')}"] if change.zscore else []
    whose = "a face" if rule.scope is Scope.TRACK else "the faces"
    yield f"when {rule.when} of {whose} {way} by {' and '.join(far)}"
    yield f"from what was usual in the {format_duration(change.baseline.over)} before"
    yield _lasting(rule)


def _place(rule: Rule) -> Iterator[str]:
    cameras, zones = rule.where.cameras, rule.where.zones
    if rule.scope is Scope.GROUP:
        yield f"in the group {rule.group}"
    elif rule.scope in _BELOW and not (cameras or zones):
        yield _BELOW[rule.scope]
    if zones:
        yield f"in {_names('zone', zones)}"
    if cameras:
        yield f"on {_names('camera', cameras)}"


def _hours(rule: Rule) -> Iterator[str]:
    if rule.schedule:
        yield f"during {rule.schedule}"


def _names(kind: str, names: Iterable[str]) -> str:
    listed = list(names)
    return f"{kind} {listed[0]}" if len(listed) == 1 else f"{kind}s {', '.join(listed[:-1])} or {listed[-1]}"


def _number(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"
