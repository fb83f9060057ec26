"""Alert rules as they are written down: what is watched, when it counts, how long it lives.

A rule is a scope (what an alert is about), a signal (`when`, at each sample TRUE, FALSE or UNKNOWN), a condition over
that signal in time (`for`), and a life cycle (pending, firing, resolved, cooldown). Nothing here evaluates anything.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Annotated, Any, Literal

from operators.records import Scope, Severity
from operators.rules.template import Template
from operators.units import Seconds

__all__ = [
    "Escalation",
    "Predicate",
    "Reacquire",
    "Rule",
    "RuleSet",
    "Where",
    "parse_predicate",
    "rule_version",
    "with_defaults",
]

VALUES = ("intensity",)
"""What `value:` may name: numbers of a face besides its probabilities."""
AGGREGATES = ("max", "mean", "min")
_ID = re.compile(r"[a-z0-9][a-z0-9_-]*")
_COMPACT = re.compile(r"\s*([a-z_]+)\s*>=\s*(\d*\.?\d+)\s*")
_ANNOTATIONS = ("title", "summary")
_LEVELS = tuple(Severity)


def parse_predicate(text: str) -> dict[str, str | float]:
    """The mapping behind the compact form: `"fear >= 0.6"` -> `{"prob": "fear", "enter": 0.6}`."""
    match = _COMPACT.fullmatch(text)
    if match is None:
        raise ValueError(f'expected NAME >= NUMBER such as "fear >= 0.6", got {text!r}')
    name, threshold = match.groups()
    return {"value" if name in VALUES else "prob": name, "enter": float(threshold)}


@dataclass(frozen=True, slots=True)
class Predicate:
    """When a face counts: a probability or number that reaches `enter`, and goes on counting down to `exit`."""

    enter: float
    """TRUE from here on, in [0, 1]."""
    exit: float | None = None
    """Once TRUE, it stays so down to here; without it, the same as `enter`."""
    prob: str = ""
    """The expression whose probability is read."""
    prob_any: tuple[str, ...] = ()
    """Or several: the most probable of them is read."""
    value: Literal["", "intensity"] = ""
    """Or a number of the face: `intensity`."""
    aggregate: Literal["max", "mean", "min"] = "max"
    """How the readable faces of a zone or camera become one number: `max`, `mean` or `min`."""

    def __post_init__(self) -> None:
        exit_ = self.enter if self.exit is None else self.exit
        if not 0 <= exit_ <= self.enter <= 1:
            raise ValueError(f"expected 0 <= exit <= enter <= 1, got exit={exit_:g} and enter={self.enter:g}")
        if sum(map(bool, (self.prob, self.prob_any, self.value))) != 1:
            raise ValueError("expected one of prob, prob_any and value: write for example {prob: fear, enter: 0.6}")
        if self.value and self.value not in VALUES:
            raise ValueError(f"expected value to be one of {', '.join(VALUES)}, got {self.value!r}")
        if self.aggregate not in AGGREGATES:
            raise ValueError(f"expected aggregate to be one of {', '.join(AGGREGATES)}, got {self.aggregate!r}")

    @property
    def expressions(self) -> tuple[str, ...]:
        """The expressions it reads, for a check against the model's labels."""
        return (self.prob,) if self.prob else self.prob_any


class _Compact:
    """Makes pydantic, by its duck-typed protocol, accept the compact string wherever a predicate stands."""

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[[object], object]) -> Mapping[str, object]:
        function = {"type": "no-info", "function": _expand}
        return {"type": "function-before", "function": function, "schema": handler(source)}

    def __get_pydantic_json_schema__(
        self, schema: Mapping[str, object], handler: Callable[[object], object]
    ) -> Mapping[str, object]:
        text = {"type": "string", "pattern": f"^{_COMPACT.pattern}$", "examples": ["fear >= 0.6"]}
        return {"anyOf": [handler(schema["schema"]), text]}


def _expand(value: object) -> object:
    return parse_predicate(value) if isinstance(value, str) else value


When = Annotated[Predicate, _Compact()]
"""A predicate that a configuration file may also write as `"fear >= 0.6"`."""


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
class Rule:
    """One alert rule."""

    id: str
    """Name, unique in the set: `[a-z0-9][a-z0-9_-]*`."""
    when: When
    """The signal."""
    severity: Severity = Severity.WARNING
    """How urgent its alerts are."""
    escalate: tuple[Escalation, ...] = ()
    """Higher severities for alerts that last, in rising order."""
    scope: Scope = Scope.TRACK
    """What one alert is about: a face (`track`), a zone or a camera."""
    where: Where = field(default_factory=Where)
    """Cameras and zones it looks at."""
    for_: Seconds = 0.0
    """How long the signal must last before it fires."""
    max_gap: Seconds | None = None
    """Longest time without a readable sample; without it three frame intervals, at least 500ms."""
    max_dip: Seconds = 0.3
    """FALSE for this long ends a pending episode; shorter dips are tolerated."""
    min_coverage: float = 0.6
    """Share of the episode that must have been observed before it fires, in [0, 1]."""
    min_samples: int = 5
    """Readable samples that an episode needs before it fires."""
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
    title: str = ""
    """One line for people, with names such as `{camera}`."""
    summary: str = ""
    """A sentence for people, such as `{camera}/{zone}: fear for {duration}, peak {value.max:.2f}`."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"expected a rule id of a-z, 0-9, _ and -, got {self.id!r}")
        self._check_times()
        self._check_shares()
        self._check_escalation()
        for text in (self.title, self.summary):
            Template.parse(text)

    def _check_times(self) -> None:
        for name in ("for_", "max_dip", "keep_firing_for", "lost_after", "cooldown"):
            if getattr(self, name) < 0:
                raise ValueError(f"rule {self.id}: expected {name.rstrip('_')} >= 0s, got {getattr(self, name):g}s")
        for name in ("max_gap", "max_duration", "repeat_every"):
            limit = getattr(self, name)
            if limit is not None and limit < 0.001:
                raise ValueError(
                    f"rule {self.id}: expected {name} of at least 1ms, got {limit:g}s; leave it out for none"
                )
        if self.reacquire.within < 0:
            raise ValueError(f"rule {self.id}: expected reacquire.within >= 0s, got {self.reacquire.within:g}s")

    def _check_shares(self) -> None:
        for name in ("min_coverage", "min_quality", "min_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"rule {self.id}: expected {name} in [0, 1], got {getattr(self, name):g}")
        if self.min_samples < 1:
            raise ValueError(f"rule {self.id}: expected min_samples >= 1, got {self.min_samples}")

    def _check_escalation(self) -> None:
        steps = [(0.0, self.severity), *((step.after, step.severity) for step in self.escalate)]
        for (earlier, lower), (later, higher) in pairwise(steps):
            if later <= earlier or _LEVELS.index(higher) <= _LEVELS.index(lower):
                raise ValueError(
                    f"rule {self.id}: expected escalate to rise in time and severity, "
                    f"got {lower} at {earlier:g}s, then {higher} at {later:g}s"
                )


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of a pipeline; `defaults` were already applied to them by `with_defaults`."""

    rules: tuple[Rule, ...]
    """The rules."""
    version: int = 1
    """Version of the rule language."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields for every rule that does not set them itself."""

    def __post_init__(self) -> None:
        if self.version != 1:
            raise ValueError(f"expected version 1 of the rule language, got {self.version}")
        check_unique(self.rules)


def check_unique(rules: Sequence[Rule]) -> None:
    """Raise ValueError where two rules have one id."""
    twice = [rule_id for rule_id, count in Counter(rule.id for rule in rules).items() if count > 1]
    if twice:
        raise ValueError(f"expected every rule id once, got {', '.join(twice)} more than once; rename one")


def with_defaults(raw: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as written, with the fields it leaves out taken whole from `defaults`."""
    if "id" in defaults:
        raise ValueError("expected defaults without an id: every rule has its own")
    return {**defaults, **raw}


def rule_version(rule: Rule) -> str:
    """Hash of what was set and decides: texts for people, and fields added to the language later, change nothing."""
    return blake2b(json.dumps(_content(rule), sort_keys=True).encode(), digest_size=6).hexdigest()


def _content(value: object) -> object:
    if isinstance(value, tuple):
        return [_content(part) for part in value]
    if not is_dataclass(value):
        return value
    names = [each.name for each in fields(value) if getattr(value, each.name) != _default(each)]
    return {name: _content(getattr(value, name)) for name in names if name not in _ANNOTATIONS}


def _default(of: Field[object]) -> object:
    return of.default if of.default_factory is MISSING else of.default_factory()
