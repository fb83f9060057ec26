"""A rule made ready for one partition: times in milliseconds, texts parsed, predicates ready to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from operators.records import FaceTrack, Scope, Severity
from operators.rules.predicate import Predicate
from operators.rules.reading import Reader, ready
from operators.rules.rule import Rule
from operators.rules.ruleset import RuleSet, rule_version
from operators.rules.schedule import Hours
from operators.rules.state import FOREVER
from operators.rules.template import Template

__all__ = ["Plan", "Watched", "milliseconds", "plan_rule"]


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, the time of all rules."""
    return round(seconds * 1000)


def bridged(interval: float) -> float:
    """Longest hole between two pictures, in seconds, that rules bridge which have no `max_gap` of their own.

    `interval` is the time between two analysed pictures of the camera, 0 where it is not known.
    """
    return max(3 * interval, 0.5)


@dataclass(frozen=True, slots=True)
class Watched:
    """What the rules must know of a camera."""

    interval: float = 0.0
    """Seconds between two analysed frames, for the default `max_gap`; 0 where it is not known."""
    zones: tuple[str, ...] = ()
    """Its zones, so that a rule can say that nobody is in one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the steps of one rule need in one partition; times in ms, None where a rule has no such limit.

    `hold` is how long a sample holds, `break_dip` and `break_gap` how much FALSE and UNKNOWN a pending episode bears.
    """

    rule: Rule
    version: str
    config: str
    partition: str
    labels: Mapping[str, str]
    cameras: tuple[str, ...]
    """The cameras it looks at in this partition; empty for all."""
    zones: frozenset[str]
    """Only faces in one of these count; empty for all."""
    keys: tuple[str, ...]
    """The scope keys that are always read: zones."""
    reader: Reader | None
    hours: Hours | None
    fps: float
    for_ms: int
    samples: int
    hold: int
    break_dip: int
    break_gap: int
    keep_firing_for: int
    lost_after: int
    max_duration: int | None
    cooldown: int
    repeat_every: int | None
    reacquire: int
    escalate: tuple[tuple[int, Severity], ...]
    title: Template
    summary: Template
    signals: Mapping[str, Mapping[str, float]]
    inhibitors: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())
    """The rules of this partition that inhibit it, with the labels that must be equal."""

    @property
    def scope(self) -> Scope:
        """What an alert is about."""
        return self.rule.scope

    def prepare(self, when: Predicate) -> Reader:
        """Another predicate of the rule, made ready like its signal."""
        return _ready(self.rule, when, self.signals, self.hold)

    def zone(self, key: str, face: FaceTrack | None) -> str:
        """The zone an alert names: its own, or the first that its face is in among those the rule looks at."""
        match self.rule.scope:
            case Scope.ZONE:
                return key
            case Scope.TRACK if face is not None:
                return next((zone for zone in face.zones if not self.zones or zone in self.zones), "")
            case _:
                return ""


def plan_rule(
    rule: Rule, ruleset: RuleSet, *, partition: str, watched: Sequence[Watched] = (), config: str = ""
) -> Plan:
    """Make `rule` ready for a partition of these cameras; `config` is the set's version, where it is known."""
    interval = max((camera.interval for camera in watched), default=0.0)
    max_gap = milliseconds(bridged(interval) if rule.max_gap is None else rule.max_gap)
    frames = rule.absence is not None and rule.absence.of == "frames"
    hold = FOREVER if frames else max_gap
    group = ruleset.groups[rule.group] if rule.scope is Scope.GROUP else None
    zones = rule.where.zones or (group.zones if group else ())
    known = zones or tuple(dict.fromkeys(zone for camera in watched for zone in camera.zones))
    return Plan(
        rule=rule,
        version=rule_version(rule, ruleset),
        config=config or ruleset.version,
        partition=partition,
        labels=_labels(rule, partition),
        cameras=group.cameras if group else rule.where.cameras,
        zones=frozenset(zones),
        keys=known if rule.scope is Scope.ZONE else ("",),
        reader=None if rule.when is None else _ready(rule, rule.when, ruleset.signals, max_gap),
        hours=Hours(ruleset.schedules[rule.schedule]) if rule.schedule else None,
        fps=0.9 * rule.requires.fps if rule.requires and not frames else 0.0,
        for_ms=milliseconds(rule.for_),
        samples=rule.samples_needed,
        hold=hold,
        break_dip=milliseconds(rule.for_ if rule.ratio else rule.max_dip),
        break_gap=FOREVER if frames else max(max_gap, milliseconds(rule.absence.max_unknown) if rule.absence else 0),
        keep_firing_for=milliseconds(rule.keep_firing_for),
        lost_after=FOREVER if frames else max(milliseconds(rule.lost_after), max_gap),
        max_duration=None if rule.max_duration is None else milliseconds(rule.max_duration),
        cooldown=milliseconds(rule.cooldown),
        repeat_every=None if rule.repeat_every is None else milliseconds(rule.repeat_every),
        reacquire=milliseconds(rule.reacquire.within),
        escalate=tuple((milliseconds(step.after), step.severity) for step in rule.escalate),
        title=Template.parse(rule.title),
        summary=Template.parse(rule.summary),
        signals=ruleset.signals,
        inhibitors=_inhibitors(rule, ruleset),
    )


def _ready(rule: Rule, when: Predicate, signals: Mapping[str, Mapping[str, float]], max_gap: int) -> Reader:
    return ready(when, signals, max_gap=max_gap, min_quality=rule.min_quality, min_confidence=rule.min_confidence)


def _labels(rule: Rule, partition: str) -> dict[str, str]:
    match rule.scope:
        case Scope.GROUP:
            return {"rule": rule.id, "group": rule.group}
        case Scope.SITE:
            return {"rule": rule.id}
        case _:
            return {"rule": rule.id, "camera": partition}


def _inhibitors(rule: Rule, ruleset: RuleSet) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(
        (other.id, inhibit.equal)
        for other in ruleset.rules
        if rule.id in ruleset.inhibited_by(other)
        for inhibit in other.inhibit
        if rule.id in inhibit.rules or "*" in inhibit.rules
    )
