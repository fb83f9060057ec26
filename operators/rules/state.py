"""Everything that rules remember: plain values of bounded size, so that it can be stored and read back by its type.

The evaluator changes them in place; whoever wants the old ones copies them first, as `RuleEvaluator.step` does. Times
are whole ms since the Unix epoch, `NEVER` before the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from operators.records import FaceTrack, Gap, Observation, Scope, Severity

__all__ = [
    "FOREVER",
    "NEVER",
    "Alarm",
    "Batch",
    "Book",
    "Bucket",
    "EvaluatorState",
    "Leaf",
    "Match",
    "Member",
    "PulseMemory",
    "Run",
    "Seen",
    "Signal",
    "Slot",
    "Usual",
]

FOREVER = 1 << 62
NEVER = -FOREVER


@dataclass(slots=True)
class Leaf:
    """One number of a predicate as of its last readable sample: smoothed, and `on` by hysteresis since `since`."""

    on: bool = False
    at: int = NEVER
    since: int = 0
    level: float | None = None
    recent: list[tuple[int, float]] = field(default_factory=list)
    """The readings that a median looks at."""


@dataclass(slots=True)
class Signal:
    """The value of a rule in one scope, as of its last sample.

    `last` is the last readable value and `at` its time; `known` says that it still holds (no unreadable sample came
    since). `known_ms` is the time since the last TRUE sample in which the value was known, and `false_ms` the part of
    it that was FALSE, up to `at` or to where it stopped holding.
    """

    last: bool = False
    at: int = NEVER
    known: bool = False
    known_ms: int = 0
    false_ms: int = 0
    until: int = NEVER
    """When the last readable value stopped holding, where it is no longer known."""


@dataclass(slots=True)
class Bucket:
    """A stretch of time of a ratio: how much of it was TRUE and how much FALSE."""

    number: int
    true_ms: int = 0
    false_ms: int = 0


@dataclass(slots=True)
class Alarm:
    """The alert of the episode that is going on, pending while `fired_at` is None, and what it has shown so far.

    `samples` counts readable samples, and `covered_ms` the time that they held, up to `last_true`. `hits`, `total` and
    `peak` are over the TRUE samples; the place, in pixels, is of the last one.
    """

    alert_id: str
    severity: Severity
    zone: str
    starts_at: int
    last_true: int
    total: float
    peak: float
    latest: float
    xyxy: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    source_px: float = 0.0
    covered_ms: int = 0
    samples: int = 1
    hits: int = 1
    dips: int = 0
    gaps: int = 0
    seq: int = 0
    fired_at: int | None = None
    notified_at: int = 0
    suppressed: bool = False
    """It would have fired, had there been no cooldown."""
    sent: bool = False
    """Some firing transition of it was not silenced."""
    silenced_by: str = ""

    @property
    def duration_ms(self) -> int:
        """From the first TRUE sample to the last."""
        return self.last_true - self.starts_at

    @property
    def coverage(self) -> float:
        """Share of the duration that was observed."""
        return self.covered_ms / self.duration_ms if self.duration_ms > 0 else 1.0


@dataclass(slots=True)
class Member:
    """One track of a crowd: its predicate, when it was last TRUE and last readable, and what it showed then."""

    leaves: list[Leaf]
    true_at: int = NEVER
    read_at: int = NEVER
    value: bool = False


@dataclass(slots=True)
class PulseMemory:
    """The pulse that is going on or waits for its second flank, and the ends of those that were confirmed."""

    on: bool = False
    """`when` at the last readable sample."""
    onset: int | None = None
    """Where the pulse that is going on began, if a flank came before it."""
    end: int | None = None
    """Where the pulse that waits for a flank ended."""
    flank: list[Leaf] = field(default_factory=list)
    flank_at: int = NEVER
    """When the flank was last TRUE."""
    ends: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """A stretch in which the predicate of a step is TRUE, with dips and gaps tolerated, from its first TRUE sample."""

    starts_at: int
    satisfied_at: int | None = None
    """The first sample at which it had lasted long enough."""
    signal: Signal = field(default_factory=Signal)


@dataclass(slots=True)
class Match:
    """How far a sequence has come: `made` steps, each at its time, the first of which began at `starts_at`.

    `runs` has the open run of each step, and of `not_between` after them, and `leaves` the memory of their predicates
    but for the first step's; `end` is the last TRUE sample of the step that was made last.
    """

    runs: list[Run | None]
    leaves: list[Leaf] = field(default_factory=list)
    made: list[int] = field(default_factory=list)
    starts_at: int = 0
    end: int = 0


@dataclass(slots=True)
class Usual:
    """A baseline: one reading per cell of time from cell `first` on, None where there was none.

    Centre and scale (0 where too little is known) hold up to `until`, when another cell enters or leaves.
    """

    first: int = 0
    readings: list[float | None] = field(default_factory=list)
    center: float = 0.0
    scale: float = 0.0
    until: int = NEVER


@dataclass(slots=True)
class Slot:
    """What is remembered of one rule in one scope; by itself it changes no earlier than at `due`."""

    signal: Signal = field(default_factory=Signal)
    alarm: Alarm | None = None
    quiet_until: int = 0
    """End of the cooldown."""
    due: int = FOREVER
    read_at: int = NEVER
    """The last sample, also an UNKNOWN one."""
    began: int = NEVER
    """When the last episode began: a second one in that ms would have the same id."""
    refused: bool = False
    """The signal is TRUE, but there was no room for an alarm."""
    rests: bool = False
    """FALSE samples change nothing but the time."""
    leaves: list[Leaf] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    """`ratio`: the window of the episode."""
    members: dict[str, Member] = field(default_factory=dict)
    """`count`, `share`, `absence`: the crowd by track."""
    armed: bool = False
    """`absence`: a presence was seen."""
    pulse: PulseMemory | None = None
    match: Match | None = None
    usual: Usual | None = None


@dataclass(slots=True)
class Book:
    """All slots of one rule by scope key: track id, zone, or "" for anything wider; `version` is the rule's."""

    version: str
    scope: Scope
    slots: dict[str, Slot] = field(default_factory=dict)
    limited_at: int | None = None
    """Since when episodes are refused for want of room."""


@dataclass(slots=True)
class Seen:
    """The faces of a camera's last observation, for scopes that are wider than a camera."""

    at: int
    faces: tuple[FaceTrack, ...]


@dataclass(slots=True)
class Batch:
    """Alerts that are sent together: when the next sending is due, and when the last one was."""

    send_at: int | None = None
    sent_at: int = NEVER


@dataclass(slots=True)
class EvaluatorState:
    """Everything remembered of one partition: a camera id, `group:NAME`, or `site:`.

    `newest` is the latest time seen of each camera, `last` the time of its last observation applied, and `clock` the
    time up to which everything has happened; what waits for the watermark is in `observations` and `gaps`. Counters:
    `late` records were not applied, `suppressed` episodes did not fire in a cooldown, `merged` slots gave way to an
    older one, `limited` episodes or faces were beyond a limit.
    """

    partition: str
    config: str = ""
    newest: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    clock: int = NEVER
    due: int = NEVER
    """No later than the first ms in which something changes by itself."""
    hush: int = FOREVER
    """The first ms, not over yet, at whose end an alert may have to be told that was silenced so far."""
    observations: list[Observation] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    cadence: dict[str, list[int]] = field(default_factory=dict)
    """Times of the observations of the last second, by camera, where a rule asks for the frame rate."""
    books: dict[str, Book] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    late: int = 0
    suppressed: int = 0
    merged: int = 0
    limited: int = 0
