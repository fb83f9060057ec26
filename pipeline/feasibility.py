"""What a rule asks for that can't be, or hardly: of its numbers, of its schedule, of its cameras' frame rate.

Every rule here is right by itself, and all names in it are known. Pure: no file, network or hardware.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from operators.records import Scope
from operators.rules import EXPRESSIONS, Predicate, Rule, Schedule
from operators.rules.change import CELLS, LEAST_SCALE
from operators.units import format_duration
from pipeline.complaints import Complaint
from pipeline.yaml_source import Location

__all__ = ["View", "infeasible", "leaves", "longest_opening", "state_bytes"]

MAX_STATE = 4096
"""Bytes per track and rule from which the memory of a rule is worth a word."""
PULSE_SAMPLES = 12
"""Pictures that a pulse of the longest length should have: with fewer, short ones fall between two pictures."""
_MONDAY = 1767571200000
"""A Monday, 2026-01-05 00:00 UTC, in ms: schedules repeat weekly, so any week will do."""
_DAY = 86_400_000
_ASSUMED_FPS = 25.0


@dataclass(frozen=True, slots=True)
class View:
    """What a rule can see: derived signals, pictures per second of each of its cameras, its schedule's opening."""

    signals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    fps: Mapping[str, float] = field(default_factory=dict)
    """By camera id; empty where the cameras aren't known."""
    tracks: int = 100
    """Most faces of one picture that rules look at."""
    opening: float = math.inf
    """Longest time in which the rule is evaluated without a break, in seconds."""

    @property
    def slowest(self) -> str:
        """The camera with the fewest pictures per second."""
        return min(self.fps, key=lambda name: self.fps[name])

    @property
    def interval(self) -> float:
        """Longest time between two pictures of one camera, in seconds to the ms: no rule asks more exactly."""
        return round(1 / self.fps[self.slowest], 3)


def infeasible(rule: Rule, view: View) -> Iterator[Complaint]:
    """Every complaint about one rule, located from the rule on."""
    for at, leaf in leaves(rule):
        yield from _thresholds(at, leaf, view)
    yield from _shift(rule, view)
    yield from _opening(rule, view)
    yield from _memory(rule, view)
    if view.fps:
        yield from _gap(rule, view)
        yield from _required(rule, view)
        yield from _short(rule, view)
        yield from _samples(rule, view)
        yield from _pulse(rule, view)
        yield from _baseline(rule, view)


def leaves(rule: Rule) -> Iterator[tuple[Location, Predicate]]:
    """Every part of the rule that reads a number, with its place in the rule."""
    for at, when in _predicates(rule):
        yield from _below(at, when)


def _predicates(rule: Rule) -> Iterator[tuple[Location, Predicate]]:
    if rule.when:
        yield ("when",), rule.when
    if rule.pulse and rule.pulse.flank:
        yield ("pulse", "flank", "when"), rule.pulse.flank.when
    if rule.sequence:
        for index, step in enumerate(rule.sequence.steps):
            yield ("sequence", "steps", index, "when"), step.when
        if rule.sequence.not_between:
            yield ("sequence", "not_between", "when"), rule.sequence.not_between.when


def _below(at: Location, when: Predicate) -> Iterator[tuple[Location, Predicate]]:
    if when.is_leaf:
        yield at, when
    for key, parts in (("all", when.all), ("any", when.any)):
        for index, part in enumerate(parts):
            yield from _below((*at, key, index), part)
    if when.not_:
        yield from _below((*at, "not"), when.not_)


def _reach(leaf: Predicate, signals: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """The least and the most that the number can be."""
    if leaf.value:
        return (-1.0, 1.0) if leaf.value == "valence" else (0.0, 1.0)
    spans = [_span(signals[name]) if name in signals else (0.0, 1.0) for name in leaf.names]
    return max(low for low, _ in spans), max(high for _, high in spans)


def _span(weights: Mapping[str, float]) -> tuple[float, float]:
    """A weighted sum of probabilities that sum to 1 lies between its smallest and its largest weight."""
    others = () if set(EXPRESSIONS) <= weights.keys() else (0.0,)  # the classes that it doesn't weigh
    values = [*weights.values(), *others]
    return min(values), max(values)


def _thresholds(at: Location, leaf: Predicate, view: View) -> Iterator[Complaint]:
    if leaf.enter is None:
        return
    low, high = _reach(leaf, view.signals)
    name = leaf.value or " or ".join(leaf.names)
    why = ", by its weights" if view.signals.keys() & set(leaf.names) else ""
    span = f"{name} is from {low:g} to {high:g}{why}"
    if leaf.enter > high:
        yield Complaint((*at, "enter"), f"{span}: it never reaches {leaf.enter:g}")
    elif leaf.enter < low:
        yield Complaint((*at, "enter"), f"{span}: it is never below {leaf.enter:g}")
    elif leaf.exit is not None and leaf.exit <= low < leaf.enter:
        yield Complaint((*at, "exit"), f"{span}: it never falls below {leaf.exit:g}, so it would stay TRUE for ever")


def _shift(rule: Rule, view: View) -> Iterator[Complaint]:
    """A change that no number can make, or that the baseline learns before it is told."""
    change = rule.change
    if change is None or rule.when is None:
        return
    low, high = _reach(rule.when, view.signals)
    name = rule.when.value or " or ".join(rule.when.names)
    if change.absolute > high - low:
        text = f"{name} is from {low:g} to {high:g}: it never changes by {change.absolute:g}"
        yield Complaint(("change", "absolute"), text)
    if change.zscore * LEAST_SCALE > high - low:
        text = f"{name} is from {low:g} to {high:g}, and a deviation counts as {LEAST_SCALE:g} at least"
        yield Complaint(("change", "zscore"), f"{text}: it never changes by {change.zscore:g} of them")
    if not change.baseline.freeze_while_active and change.baseline.guard < rule.for_:
        text = f"{_time(change.baseline.guard)} is shorter than for ({_time(rule.for_)})"
        yield _warning(
            ("change", "baseline", "guard"),
            f"{text}, so the baseline learns the change before it is told; lengthen guard, or freeze_while_active",
        )


def longest_opening(schedule: Schedule) -> float:
    """The longest time in which a schedule is open without a break, in seconds; inf if it is always open."""
    begin, longest, at, end = None, 0, _MONDAY, _MONDAY + 16 * _DAY
    while at < end:
        inside, until = schedule.span(at)
        if inside:
            begin = at if begin is None else begin
            longest = max(longest, until - begin)
        else:
            begin = None
        at = until
    return math.inf if longest > 14 * _DAY else longest / 1000


def _opening(rule: Rule, view: View) -> Iterator[Complaint]:
    if not view.opening:
        yield Complaint(("schedule",), "this schedule is never open, so this rule is never evaluated")
    elif rule.for_ >= view.opening:
        text = f"{_time(rule.for_)} doesn't fit into the schedule, which is open for {_time(view.opening)} at most"
        yield Complaint(("for",), f"{text}, so this rule could never fire")


def _gap(rule: Rule, view: View) -> Iterator[Complaint]:
    frames = rule.absence is not None and rule.absence.of == "frames"
    if rule.max_gap is not None and rule.max_gap <= view.interval and not frames:
        text = f"{_time(rule.max_gap)} is no longer than {_between(view)}"
        yield Complaint(("max_gap",), f"{text}, so this rule could never fire")


def _required(rule: Rule, view: View) -> Iterator[Complaint]:
    for at, needed in (
        (("requires", "fps"), rule.requires.fps if rule.requires else 0),
        (("absence", "min_fps"), rule.absence.min_fps if rule.absence else 0),
    ):
        slow = [f"{name} ({fps:g})" for name, fps in view.fps.items() if fps < needed]
        if slow:
            text = f"this rule needs {needed:g} pictures per second and is UNKNOWN with fewer"
            yield Complaint(at, f"{text}; raise the fps of {', '.join(slow)}, or watch other cameras")


def _short(rule: Rule, view: View) -> Iterator[Complaint]:
    """Durations that lie between two pictures."""
    interval = view.interval / (len(view.fps) if rule.scope in {Scope.GROUP, Scope.SITE} else 1)
    for at, duration in _durations(rule):
        if 0 < duration < interval:
            text = f"{_time(duration)} is shorter than {_between(view)}"
            yield _warning(at, f"{text}, so it makes no difference")


def _durations(rule: Rule) -> Iterator[tuple[Location, float]]:
    if not (rule.absence and rule.absence.of == "frames"):
        yield ("for",), rule.for_
    if rule.sequence:
        for index, step in enumerate(rule.sequence.steps):
            yield ("sequence", "steps", index, "for"), step.for_
        if rule.sequence.not_between:
            yield ("sequence", "not_between", "for"), rule.sequence.not_between.for_
    for at, leaf in leaves(rule):
        yield (*at, "hold"), leaf.hold
        if leaf.smooth:
            yield (*at, "smooth", "median"), leaf.smooth.median or 0


def _samples(rule: Rule, view: View) -> Iterator[Complaint]:
    """A rule that has to wait for samples longer than for `for`."""
    needed = (rule.samples_needed - 1) * view.interval
    if rule.scope not in {Scope.GROUP, Scope.SITE} and 0 < rule.for_ < needed and rule.for_ >= view.interval:
        text = f"{rule.samples_needed} readable pictures of {view.slowest} take {_time(needed)}"
        yield _warning(("for",), f"{text}, longer than {_time(rule.for_)}: it fires later; lower min_samples")


def _pulse(rule: Rule, view: View) -> Iterator[Complaint]:
    pulse = rule.pulse
    if pulse is None:
        return
    samples = pulse.max * view.fps[view.slowest]
    if samples < 1:
        text = f"{_time(pulse.max)} is shorter than {_between(view)}"
        yield Complaint(("pulse", "max"), f"{text}, so no pulse is ever that short")
    elif samples < PULSE_SAMPLES and not any(_required(rule, view)):
        text = f"{view.slowest} gives {samples:.0f} pictures in {_time(pulse.max)}; with fewer than {PULSE_SAMPLES}"
        needed = math.ceil(PULSE_SAMPLES / pulse.max)
        yield _warning(("pulse", "max"), f"{text} short pulses are missed: raise its fps to {needed}, and require it")
    if pulse.flank and pulse.flank.within < view.interval:
        text = f"{_time(pulse.flank.within)} is shorter than {_between(view)}"
        yield Complaint(("pulse", "flank", "within"), f"{text}, so no pulse ever has its flanks")


def _baseline(rule: Rule, view: View) -> Iterator[Complaint]:
    """One reading is kept per cell of time: a camera that is slower than the cells leaves some of them empty."""
    if rule.change is None or rule.scope in {Scope.GROUP, Scope.SITE}:
        return
    baseline = rule.change.baseline
    cell = baseline.over / CELLS
    most = min(baseline.over, baseline.over / view.interval * cell)
    if baseline.min_observed > most:
        text = (
            f"{view.slowest} gives {view.fps[view.slowest]:g} pictures per second, which count as {_time(most)} at most"
        )
        yield Complaint(
            ("change", "baseline", "min_observed"),
            f"{text} in {_time(baseline.over)}, so this is never reached; lengthen over, or lower min_observed",
        )


def state_bytes(rule: Rule, fps: float) -> int:
    """What the rule remembers of one track at most: 8 bytes for each number of it."""
    numbers = sum(4 + 2 * _readings(leaf, fps) for _, leaf in leaves(rule))
    crowd = rule.share or rule.absence or (rule.count and rule.count.of == "tracks")
    numbers += 3 if crowd else 30
    if rule.ratio:
        numbers += 3 * (math.ceil(rule.for_ / rule.ratio.bucket) + 1)
    if rule.pulse:
        numbers += 6 + (rule.count.at_least if rule.count else 0)
    if rule.sequence:
        numbers += 7 * (len(rule.sequence.steps) + 1)
    if rule.change:
        numbers += 2 * (CELLS + 1) + 4
    return 8 * numbers


def _readings(leaf: Predicate, fps: float) -> int:
    return math.ceil(leaf.smooth.median * fps) if leaf.smooth and leaf.smooth.median else 0


def _memory(rule: Rule, view: View) -> Iterator[Complaint]:
    fps = max(view.fps.values(), default=_ASSUMED_FPS)
    size = state_bytes(rule, fps)
    if size > MAX_STATE:
        text = f"it remembers up to {size / 1024:.1f} KB per track (8 bytes per number, at {fps:g} pictures per second)"
        total = f"{size * view.tracks / 1024:.0f} KB with {view.tracks} tracks"
        yield _warning((_largest(rule),), f"{text}, {total}; better {MAX_STATE // 1024} KB or less: {_remedy(rule)}")


def _largest(rule: Rule) -> str:
    return "ratio" if rule.ratio else "when" if rule.when else rule.condition


def _remedy(rule: Rule) -> str:
    return "choose a longer bucket" if rule.ratio else "use ema in place of median"


def _between(view: View) -> str:
    return f"the time between two pictures of {view.slowest} ({_time(view.interval)})"


def _time(seconds: float) -> str:
    return format_duration(seconds)


def _warning(at: Location, text: str) -> Complaint:
    return Complaint(at, text, severity="warning")
