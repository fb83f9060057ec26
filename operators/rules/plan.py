"""A rule made ready for one camera: times in milliseconds, texts parsed, and what it reads from a face."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from operators.records import UNKNOWN, FaceTrack, Scope, Severity
from operators.rules.rule import Rule
from operators.rules.ruleset import RuleSet, rule_version
from operators.rules.template import Template

__all__ = ["NOBODY", "Plan", "milliseconds", "plan_rule"]

NOBODY = -math.inf
"""The level where no face is: FALSE, whatever the threshold."""


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, the time of all rules."""
    return round(seconds * 1000)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the steps of one rule need on one camera; times in ms, None where a rule has no such limit."""

    rule: Rule
    version: str
    camera_id: str
    enter: float
    exit: float
    names: tuple[str, ...]
    zones: frozenset[str]
    min_quality: float
    min_confidence: float
    for_ms: int
    max_gap: int
    max_dip: int
    keep_firing_for: int
    lost_after: int
    max_duration: int | None
    cooldown: int
    repeat_every: int | None
    reacquire: int
    escalate: tuple[tuple[int, Severity], ...]
    title: Template
    summary: Template

    def level(self, face: FaceTrack) -> float | None:
        """What the rule reads from a face: None where it can't be read, NOBODY where it doesn't look."""
        if self.zones and self.zones.isdisjoint(face.zones):
            return NOBODY
        if face.quality < self.min_quality or face.confidence < self.min_confidence or face.label == UNKNOWN:
            return None
        if not self.names:
            return face.intensity
        scores = face.scores
        if len(self.names) == 1:
            return scores.get(self.names[0])
        return max((scores[name] for name in self.names if name in scores), default=None)

    def zone(self, key: str, face: FaceTrack | None) -> str:
        """The zone an alert names: its own, or the first that its face is in among those the rule looks at."""
        match self.rule.scope:
            case Scope.ZONE:
                return key
            case Scope.TRACK if face is not None:
                return next((zone for zone in face.zones if not self.zones or zone in self.zones), "")
            case _:
                return ""

    def strongest(self, faces: Iterable[FaceTrack]) -> tuple[float | None, FaceTrack | None]:
        """One level for many faces, and the face that shows it most; None if there are faces but none is readable."""
        levels = [(level, face) for face in faces if (level := self.level(face)) != NOBODY]
        readable = [(level, face) for level, face in levels if level is not None]
        if not readable:
            return (None if levels else NOBODY), None
        most, face = max(readable, key=lambda pair: pair[0])
        match self.rule.when.aggregate:
            case "mean":
                return sum(level for level, _ in readable) / len(readable), face
            case "min":
                return min(level for level, _ in readable), face
            case _:
                return most, face


def plan_rule(rule: Rule, camera_id: str, *, interval: float = 0.0) -> Plan:
    """Make `rule` ready for a camera that delivers a frame every `interval` seconds."""
    max_gap = milliseconds(max(3 * interval, 0.5) if rule.max_gap is None else rule.max_gap)
    return Plan(
        rule=rule,
        version=rule_version(rule, RuleSet((rule,))),
        camera_id=camera_id,
        enter=rule.when.enter,
        exit=rule.when.enter if rule.when.exit is None else rule.when.exit,
        names=rule.when.names,
        zones=frozenset(rule.where.zones),
        min_quality=rule.min_quality,
        min_confidence=rule.min_confidence,
        for_ms=milliseconds(rule.for_),
        max_gap=max_gap,
        max_dip=milliseconds(rule.max_dip),
        keep_firing_for=milliseconds(rule.keep_firing_for),
        lost_after=max(milliseconds(rule.lost_after), max_gap),
        max_duration=None if rule.max_duration is None else milliseconds(rule.max_duration),
        cooldown=milliseconds(rule.cooldown),
        repeat_every=None if rule.repeat_every is None else milliseconds(rule.repeat_every),
        reacquire=milliseconds(rule.reacquire.within),
        escalate=tuple((milliseconds(step.after), step.severity) for step in rule.escalate),
        title=Template.parse(rule.title),
        summary=Template.parse(rule.summary),
    )
