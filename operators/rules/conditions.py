"""The conditions as they are written down: what a signal must do in time. Without one, it must last for `for`.

Each is evaluated by the module of its name. Nothing here evaluates anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from operators.records import GapReason
from operators.rules.predicate import Predicate, When
from operators.units import Seconds

__all__ = [
    "Absence",
    "Baseline",
    "Between",
    "Change",
    "Count",
    "Flank",
    "Pulse",
    "Ratio",
    "Sequence",
    "Share",
    "Step",
]


_CAMERA_LOST = (GapReason.DOWN, GapReason.FROZEN, GapReason.BLACK)


@dataclass(frozen=True, slots=True)
class Ratio:
    """TRUE for most of the last `for`, instead of without a break."""

    at_least: float
    """Share of the observed time of the window that must be TRUE, in (0, 1]."""
    bucket: Seconds = 5.0
    """Grain of the window; it is a whole number of these long, at most 240."""

    def __post_init__(self) -> None:
        if not 0 < self.at_least <= 1:
            raise ValueError(f"expected ratio.at_least in (0, 1], got {self.at_least:g}")
        if self.bucket < 0.1:
            raise ValueError(f"expected ratio.bucket of at least 100ms, got {self.bucket:g}s")


@dataclass(frozen=True, slots=True)
class Count:
    """So many different tracks, or pulses, within a stretch of time."""

    at_least: int
    """TRUE from this number on."""
    within: Seconds
    """A track counts for this long after it was last TRUE, a pulse for this long after its end."""
    of: Literal["tracks", "pulses"] = "tracks"
    """What is counted: `tracks` for which `when` is TRUE (all that are seen, without `when`), or `pulses`."""

    def __post_init__(self) -> None:
        if self.at_least < 1 or self.at_least > 100:
            raise ValueError(f"expected count.at_least from 1 to 100, got {self.at_least}")
        if self.within < 0.001:
            raise ValueError(f"expected count.within of at least 1ms, got {self.within:g}s")


@dataclass(frozen=True, slots=True)
class Flank:
    """What must be seen just before and just after a pulse."""

    when: When
    """The predicate."""
    within: Seconds = 0.3
    """How far from the pulse at most."""

    def __post_init__(self) -> None:
        _has_thresholds(self.when, "pulse.flank.when")
        if self.within <= 0:
            raise ValueError(f"expected pulse.flank.within above 0s, got {self.within:g}s")


@dataclass(frozen=True, slots=True)
class Pulse:
    """`when` is TRUE for a short time only, from its first TRUE sample to the first FALSE one after it."""

    min: Seconds = 0.08
    """Shortest pulse."""
    max: Seconds = 0.5
    """Longest pulse."""
    flank: Flank | None = None
    """What must surround it."""

    def __post_init__(self) -> None:
        if not 0 <= self.min <= self.max:
            raise ValueError(f"expected 0s <= pulse.min <= pulse.max, got {self.min:g}s and {self.max:g}s")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sequence."""

    when: When
    """The predicate."""
    for_: Seconds = 0.0
    """How long it must last, with `max_dip` and `max_gap` tolerated."""
    as_: str = ""
    """A name for people."""

    def __post_init__(self) -> None:
        _has_thresholds(self.when, "sequence.steps.when")
        if self.for_ < 0:
            raise ValueError(f"expected the for of a step >= 0s, got {self.for_:g}s")


@dataclass(frozen=True, slots=True)
class Between:
    """What must not happen between the steps."""

    when: When
    """The predicate."""
    for_: Seconds = 0.0
    """How long it must last to count."""

    def __post_init__(self) -> None:
        _has_thresholds(self.when, "sequence.not_between.when")
        if self.for_ < 0:
            raise ValueError(f"expected the for of not_between >= 0s, got {self.for_:g}s")


@dataclass(frozen=True, slots=True)
class Sequence:
    """One thing, then another."""

    steps: tuple[Step, ...]
    """Two to eight steps, in their order."""
    within: Seconds
    """Longest time from the start of the first step to the confirmation of the last."""
    max_pause: Seconds | None = None
    """Longest time from the end of one step to the start of the next; without it, only `within` limits it."""
    not_between: Between | None = None
    """Gives the match up when it is satisfied after the first step and before the last."""
    overlap: Literal["latest", "first"] = "latest"
    """A new first step replaces one that has not gone further (`latest`), or is passed over (`first`)."""

    def __post_init__(self) -> None:
        if not 2 <= len(self.steps) <= 8:
            raise ValueError(f"expected two to eight steps, got {len(self.steps)}")
        if self.max_pause is not None and self.max_pause < 0:
            raise ValueError(f"expected sequence.max_pause >= 0s, got {self.max_pause:g}s")
        shortest = sum(step.for_ for step in self.steps)
        if self.within < shortest or self.within <= 0:
            raise ValueError(
                f"expected sequence.within above 0s and of at least the {shortest:g}s that its steps last, "
                f"got {self.within:g}s"
            )


@dataclass(frozen=True, slots=True)
class Absence:
    """Something is not there, proven by looking: UNKNOWN stops the clock."""

    of: Literal["faces", "frames"] = "faces"
    """`faces` (for which `when` is TRUE, if the rule has one), or `frames`: the camera gives no usable picture."""
    fewer_than: int = 1
    """`faces`: absent means fewer than this."""
    max_unknown: Seconds = 5.0
    """`faces`: UNKNOWN for longer than this breaks a pending episode; up to it, it only stops the clock."""
    min_fps: float = 0.0
    """`faces`: UNKNOWN where the camera delivers fewer analysed pictures per second."""
    arm_on_start: bool = True
    """`faces`: false waits for a first presence before absence counts."""
    reasons: tuple[GapReason, ...] = _CAMERA_LOST
    """`frames`: the gaps that count: down, frozen, black, lost, overload."""

    def __post_init__(self) -> None:
        if self.fewer_than < 1:
            raise ValueError(f"expected absence.fewer_than of at least 1, got {self.fewer_than}")
        if self.max_unknown < 0 or self.min_fps < 0:
            raise ValueError("expected absence.max_unknown and absence.min_fps >= 0")
        if self.of == "faces" and self.reasons != _CAMERA_LOST:
            raise ValueError("expected reasons only with absence of frames: they are why a picture is missing")
        if not self.reasons:
            raise ValueError("expected at least one of the reasons down, frozen, black, lost and overload")


@dataclass(frozen=True, slots=True)
class Share:
    """The share of the tracks for which `when` is TRUE."""

    at_least: float
    """TRUE from this share on, in (0, 1]."""
    exit: float | None = None
    """Once TRUE, it stays so down to here; without it, the same as `at_least`."""
    min_population: int = 3
    """With fewer readable tracks it is UNKNOWN."""
    over: Seconds = 10.0
    """A track counts, with what it last showed, for this long after it was last read."""

    def __post_init__(self) -> None:
        exit_ = self.at_least if self.exit is None else self.exit
        if not 0 <= exit_ <= self.at_least <= 1 or not self.at_least:
            raise ValueError(f"expected 0 <= exit <= at_least <= 1, got {exit_:g} and {self.at_least:g}")
        if self.min_population < 1:
            raise ValueError(f"expected share.min_population of at least 1, got {self.min_population}")
        if self.over <= 0:
            raise ValueError(f"expected share.over above 0s, got {self.over:g}s")


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is usual for a face, or a wider scope: its own recent past."""

    over: Seconds = 60.0
    """Length of the past that is looked at; one reading is kept per 120th of it."""
    guard: Seconds = 2.0
    """How much of the latest past is left out."""
    stat: Literal["median_mad", "mean_std"] = "median_mad"
    """Robust median and MAD, or mean and standard deviation."""
    min_observed: Seconds = 30.0
    """UNKNOWN until so much of it was observed."""
    freeze_while_active: bool = True
    """Learns nothing while the rule is pending or firing, so that it doesn't learn what it should report."""

    def __post_init__(self) -> None:
        if self.over < 0.12 or self.guard < 0 or not 0 <= self.min_observed <= self.over:
            raise ValueError(
                "expected baseline.over of at least 120ms, guard >= 0s and min_observed from 0s to over, "
                f"got {self.over:g}s, {self.guard:g}s and {self.min_observed:g}s"
            )


@dataclass(frozen=True, slots=True)
class Change:
    """The number of `when` moves away from its baseline."""

    direction: Literal["up", "down", "any"] = "any"
    """Which way."""
    zscore: float = 0.0
    """At least so many (robust) standard deviations; with `absolute`, both must hold."""
    absolute: float = 0.0
    """At least so much in the number itself."""
    baseline: Baseline = field(default_factory=Baseline)
    """What it moves away from."""

    def __post_init__(self) -> None:
        if self.zscore < 0 or self.absolute < 0 or not (self.zscore or self.absolute):
            raise ValueError("expected change.zscore or change.absolute above 0")


def _has_thresholds(when: Predicate, name: str) -> None:
    if any(leaf.enter is None for leaf in when.leaves):
        raise ValueError(f"expected {name} with enter, such as {{prob: fear, enter: 0.6}}")
