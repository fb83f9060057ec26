"""Checks across sections, on settings whose every value is right by itself. Pure: no file, network or hardware."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from operators.records import Scope
from operators.rules import Rule
from operators.units import format_duration
from pipeline.complaints import PURPOSE, Complaint, nearest
from pipeline.sections import Camera
from pipeline.yaml_source import Location

__all__ = ["EXPRESSIONS", "check"]

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The labels of FER+, which every expression model of the registry gives."""
_ID = re.compile(r"[a-z0-9][a-z0-9_-]*")


def check(
    *, purpose: str, cameras: Mapping[str, Camera], rules: Sequence[Rule], sinks: Iterable[str]
) -> Iterator[Complaint]:
    """Every mistake that only shows when sections are seen together; `sinks` are their names."""
    if not purpose.strip():
        yield Complaint(("purpose",), f"empty; {PURPOSE}")
    yield from _cameras(cameras)
    yield from _twice(("rules",), "id", [rule.id for rule in rules])
    yield from _twice(("sinks",), "name", sinks)
    for index, rule in enumerate(rules):
        yield from _rule(cameras, rule, index)


def _cameras(cameras: Mapping[str, Camera]) -> Iterator[Complaint]:
    if not any(camera.enabled for camera in cameras.values()):
        text = "every camera has enabled: false" if cameras else "no cameras"
        yield Complaint(("cameras",), f"{text}; at least one is needed", at_key=True)
    for camera_id, camera in cameras.items():
        for location, name in [(("cameras", camera_id), camera_id)] + [
            (("cameras", camera_id, "zones", zone), zone) for zone in camera.zones
        ]:
            if not _ID.fullmatch(name):
                yield Complaint(
                    location, "expected a name of a-z, 0-9, _ and -, beginning with a-z or 0-9", at_key=True
                )


def _twice(section: tuple[str], key: str, names: Iterable[str]) -> Iterator[Complaint]:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            text = f'"{name}" is also the {key} of {section[0]}[{seen[name]}]; give each its own {key}'
            yield Complaint((*section, index, key), text)
        seen.setdefault(name, index)


def _rule(cameras: Mapping[str, Camera], rule: Rule, index: int) -> Iterator[Complaint]:
    at = ("rules", index)
    yield from _known((*at, "where", "cameras"), rule.where.cameras, cameras, "camera")
    watched = [cameras[name] for name in rule.where.cameras or cameras if name in cameras]
    if set(rule.where.cameras) <= set(cameras):
        yield from _zones(rule, {zone for camera in watched for zone in camera.zones}, at)
    key = "prob" if rule.when.prob else "prob_any"
    for unknown in _known((*at, "when", key), rule.when.expressions, EXPRESSIONS, "expression"):
        yield replace(unknown, location=unknown.location[:4]) if rule.when.prob else unknown
    slowest = max((1 / camera.fps for camera in watched), default=0.0)
    if rule.max_gap is not None and 0 < rule.max_gap <= slowest:
        text = f"{format_duration(rule.max_gap)} is no longer than the time between two pictures "
        yield Complaint((*at, "max_gap"), f"{text}({format_duration(slowest)}), so this rule could never fire")


def _zones(rule: Rule, zones: set[str], at: Location) -> Iterator[Complaint]:
    yield from _known((*at, "where", "zones"), rule.where.zones, zones, "zone of these cameras")
    if rule.scope is Scope.ZONE and not zones and not rule.where.zones:
        yield Complaint((*at, "scope"), "scope zone needs a zone: give a camera `zones`")


def _known(location: Location, names: Iterable[str], known: Iterable[str], kind: str) -> Iterator[Complaint]:
    for index, name in enumerate(names):
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            text = f'"{name}" is no {kind}{nearest(name, known) or f"; there are: {listed}"}'
            yield Complaint((*location, index), text)
