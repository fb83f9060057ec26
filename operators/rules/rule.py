"""Alert rules as they are written down: what is watched, when it counts, how long it lives.

A rule is a scope (what an alert is about), a signal (`when`, at each sample TRUE, FALSE or UNKNOWN), a condition over
that signal in time, and a life cycle (pending, firing, resolved, cooldown). Nothing here evaluates anything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from itertools import pairwise

from operators.records import Scope, Severity
from operators.rules.conditions import Absence, Change, Count, Pulse, Ratio, Sequence, Share
from operators.rules.predicate import When
from operators.rules.template import Template
from operators.units import Seconds

__all__ = ["CONDITIONS", "Escalation", "Inhibit", "Reacquire", "Requires", "Rule", "Where", "check_unique"]

CONDITIONS = ("ratio", "count", "pulse", "sequence", "absence", "share", "change")
"""The keys that name a condition; a rule has at most one, but for `pulse` with `count`."""
EQUAL = ("camera", "zone", "group")
"""Labels that an inhibition may compare."""
RESERVED = ("rule-limited",)
"""Ids of alerts that are about rules."""
_ID = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Where:
    """Where a rule looks; empty means everywhere."""

    cameras: tuple[str, ...] = ()
    """Camera ids."""
    zones: tuple[str, ...] = ()
    """Zone names: only faces in one of them count."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """A higher severity for an alert that lasts."""

    after: Seconds
    """Time since the condition began."""
    severity: Severity
    """The severity from then on."""


@dataclass(frozen=True, slots=True)
class Reacquire:
    """How a lost face may go on under a new track."""

    within: Seconds = 2.0
    """Longest absence after which the tracker's merge still carries the state over."""


@dataclass(frozen=True, slots=True)
class Requires:
    """What a camera must give for the rule to see anything."""

    fps: float
    """Analysed pictures per second; UNKNOWN while a camera delivers less than nine tenths of it."""

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.fps > 120:
            raise ValueError(f"expected requires.fps above 0 and up to 120, got {self.fps:g}")


@dataclass(frozen=True, slots=True)
class Inhibit:
    """Other rules whose alerts are recorded, but not sent, while this one fires."""

    rules: tuple[str, ...]
    """Their ids, or `"*"` for all others."""
    equal: tuple[str, ...] = ("camera",)
    """Labels that both alerts must share: camera, zone, group."""

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError('expected rules to inhibit: ids, or ["*"] for all others')
        for label in self.equal:
            if label not in EQUAL:
                raise ValueError(f"expected equal to name some of {', '.join(EQUAL)}, got {label!r}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert rule."""

    id: str
    """Name, unique in the set: `[a-z0-9][a-z0-9_-]*`."""
    when: When | None = None
    """The signal; only `sequence`, `absence` and a count of all faces do without."""
    severity: Severity = Severity.WARNING
    """How urgent its alerts are."""
    escalate: tuple[Escalation, ...] = ()
    """Higher severities for alerts that last, in rising order."""
    scope: Scope = Scope.TRACK
    """What one alert is about: a face (`track`), a `zone`, a `camera`, a `group` of them, or all cameras (`site`)."""
    group: str = ""
    """The group, where the scope is `group`."""
    where: Where = field(default_factory=Where)
    """Cameras and zones it looks at."""
    schedule: str = ""
    """Name of the schedule outside of which it is not evaluated."""
    requires: Requires | None = None
    """What a camera must give for the rule to see anything."""
    for_: Seconds = 0.0
    """How long the condition must last before it fires."""
    ratio: Ratio | None = None
    """Condition: TRUE for most of `for`, instead of without a break."""
    count: Count | None = None
    """Condition: so many tracks or pulses within a stretch of time."""
    pulse: Pulse | None = None
    """Condition: `when` is TRUE for a short time only."""
    sequence: Sequence | None = None
    """Condition: one thing, then another."""
    absence: Absence | None = None
    """Condition: something is not there, for `for`."""
    share: Share | None = None
    """Condition: the share of the tracks for which `when` is TRUE."""
    change: Change | None = None
    """Condition: the number of `when` moves away from its baseline."""
    momentary: bool = False
    """A point in time: what fires resolves at once."""
    max_gap: Seconds | None = None
    """Longest time without a readable sample; without it three frame intervals, at least 500ms."""
    max_dip: Seconds = 0.3
    """FALSE for this long ends a pending episode; shorter dips are tolerated."""
    min_coverage: float = 0.6
    """Share of the episode that must have been observed before it fires, in [0, 1]."""
    min_samples: int | None = None
    """Readable samples that an episode needs before it fires; without it 5, and 1 for count, pulse and sequence."""
    min_quality: float = 0.0
    """Faces below this quality are UNKNOWN, in [0, 1]; what can't be read at all is UNKNOWN anyway."""
    min_confidence: float = 0.0
    """Faces that the detector is less sure of are UNKNOWN, in [0, 1]."""
    keep_firing_for: Seconds = 1.0
    """FALSE for this long resolves a firing alert."""
    lost_after: Seconds = 2.0
    """UNKNOWN for this long resolves a firing alert as lost; never shorter than `max_gap`."""
    max_duration: Seconds | None = None
    """Resolves an alert that has been firing for this long as expired."""
    cooldown: Seconds = 30.0
    """Time after a resolve in which the same scope can't fire again."""
    repeat_every: Seconds | None = None
    """Notify again while it is firing."""
    reacquire: Reacquire = field(default_factory=Reacquire)
    """How a lost face may go on under a new track."""
    inhibit: tuple[Inhibit, ...] = ()
    """Rules whose alerts are not sent while this one fires."""
    title: str = ""
    """One line for people, with names such as `{camera}`."""
    summary: str = ""
    """A sentence for people, such as `{camera}/{zone}: fear for {duration}, peak {value.max:.2f}`."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"expected a rule id of a-z, 0-9, _ and -, got {self.id!r}")
        if self.id in RESERVED:
            raise ValueError(f"expected an id of its own, got {self.id!r}: alerts about the rules themselves have it")
        self._check_condition()
        self._check_scope()
        self._check_times()
        self._check_shares()
        self._check_escalation()
        self._check_texts()

    @property
    def condition(self) -> str:
        """The key that names its condition, or `sustained`."""
        named = [key for key in CONDITIONS if getattr(self, key) is not None]
        return "pulse" if "pulse" in named else named[0] if named else "sustained"

    @property
    def predicates(self) -> tuple[When, ...]:
        """Every predicate of the rule: its signal, and those inside its condition."""
        inner: list[When | None] = [self.when, self.pulse.flank.when if self.pulse and self.pulse.flank else None]
        if self.sequence:
            between = self.sequence.not_between
            inner += [*(step.when for step in self.sequence.steps), between.when if between else None]
        return tuple(when for when in inner if when is not None)

    @property
    def samples_needed(self) -> int:
        """`min_samples`, or its default for the condition."""
        if self.min_samples is not None:
            return self.min_samples
        frames = self.absence is not None and self.absence.of == "frames"
        return 1 if frames or self.condition in ("count", "pulse", "sequence") else 5

    def _error(self, text: str) -> ValueError:
        return ValueError(f"rule {self.id}: expected {text}")

    def _check_texts(self) -> None:
        for name, text in (("title", self.title), ("summary", self.summary)):
            try:
                Template.parse(text)
            except ValueError as error:
                raise ValueError(f"in {name}, {error}") from None  # the name comes first: the complaint goes there

    def _check_condition(self) -> None:
        named = [key for key in CONDITIONS if getattr(self, key) is not None]
        if len(named) > 1 and named != ["count", "pulse"]:
            raise self._error(f"one condition, got {' and '.join(named)}")
        if self.count and self.count.of == "pulses" and not self.pulse:
            raise self._error("pulse beside count: {of: pulses}")
        if self.count and self.count.of == "tracks" and self.pulse:
            raise self._error("count: {of: pulses} beside pulse")
        if self.ratio and not self.for_ >= self.ratio.bucket:
            raise self._error(f"for of at least ratio.bucket, {self.ratio.bucket:g}s, got {self.for_:g}s")
        if self.ratio and self.for_ / self.ratio.bucket > 240:
            raise self._error(f"at most 240 ratio.buckets in for, got {self.for_ / self.ratio.bucket:.0f}")
        self._check_when()

    def _check_when(self) -> None:
        if self.when is None:
            if self.condition not in ("sequence", "absence", "count"):
                raise self._error("when: write for example {prob: fear, enter: 0.6}")
            return
        if self.sequence:
            raise self._error("no when beside sequence: its steps have their own")
        if self.absence and self.absence.of == "frames":
            raise self._error("no when beside absence of frames")
        thresholds = [leaf.enter is not None for leaf in self.when.leaves]
        if self.change:
            if not self.when.is_leaf or any(thresholds):
                raise self._error("when with one number and no enter beside change: write for example {value: valence}")
        elif not all(thresholds):
            raise self._error("when with enter: write for example {prob: fear, enter: 0.6}")
        if self.pulse and any(leaf.smooth or leaf.hold for leaf in self.when.leaves):
            raise self._error("no smooth and no hold in the when of a pulse: they would hide what it looks for")

    def _check_scope(self) -> None:
        if (self.scope is Scope.GROUP) != bool(self.group):
            raise self._error("scope: group and group: NAME together")
        many = self.scope is not Scope.TRACK
        if self.condition in ("count", "share", "absence") and not many:
            raise self._error(f"a scope of zone, camera, group or site beside {self.condition}: one face is no crowd")
        if self.absence and self.absence.of == "frames" and self.scope is not Scope.CAMERA:
            raise self._error("scope: camera beside absence of frames")
        if self.scope is Scope.GROUP and self.where.zones:
            raise self._error("no where.zones with scope: group; name the zones in the group itself")
        if self.scope in (Scope.GROUP, Scope.SITE) and self.where.cameras:
            raise self._error(f"no where.cameras with scope: {self.scope}")

    def _check_times(self) -> None:
        for name in ("for_", "max_dip", "keep_firing_for", "lost_after", "cooldown"):
            if getattr(self, name) < 0:
                raise self._error(f"{name.rstrip('_')} >= 0s, got {getattr(self, name):g}s")
        for name in ("max_gap", "max_duration", "repeat_every"):
            limit = getattr(self, name)
            if limit is not None and limit < 0.001:
                raise self._error(f"{name} of at least 1ms, got {limit:g}s; leave it out for none")
        if self.reacquire.within < 0:
            raise self._error(f"reacquire.within >= 0s, got {self.reacquire.within:g}s")

    def _check_shares(self) -> None:
        for name in ("min_coverage", "min_quality", "min_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise self._error(f"{name} in [0, 1], got {getattr(self, name):g}")
        if self.min_samples is not None and self.min_samples < 1:
            raise self._error(f"min_samples >= 1, got {self.min_samples}")

    def _check_escalation(self) -> None:
        steps = [(0.0, self.severity), *((step.after, step.severity) for step in self.escalate)]
        for (earlier, lower), (later, higher) in pairwise(steps):
            if later <= earlier or higher.rank <= lower.rank:
                raise self._error(
                    f"escalate to rise in time and severity, got {lower} at {earlier:g}s, then {higher} at {later:g}s"
                )


def check_unique(rules: Many[Rule]) -> None:
    """Raise ValueError where two rules have one id."""
    twice = [rule_id for rule_id, count in Counter(rule.id for rule in rules).items() if count > 1]
    if twice:
        raise ValueError(f"expected every rule id once, got {', '.join(twice)} more than once; rename one")
