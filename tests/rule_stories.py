"""Stories for the laws of the rules: what some cameras show, how the records arrive, and rules to watch them with.

Drawn by hypothesis, so that a failing one shrinks; only the noise comes from a seed. A story lasts a few seconds across
full hour, where the schedules begin and end.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from operators.records import (
    Clock,
    FaceTrack,
    Gap,
    GapReason,
    Observation,
    Scope,
    Severity,
    Tick,
    TrackEvent,
    TrackEventKind,
)
from operators.rules.conditions import (
    Absence,
    Baseline,
    Between,
    Change,
    Count,
    Flank,
    Pulse,
    Ratio,
    Share,
    Step,
)
from operators.rules.conditions import (
    Sequence as SequenceOf,
)
from operators.rules.predicate import Predicate, Smooth
from operators.rules.rule import Escalation, Inhibit, Reacquire, Requires, Rule, Where
from operators.rules.ruleset import Group, Limits, Mute, Routing, RuleSet
from operators.rules.schedule import Schedule

__all__ = ["KINDS", "Case", "Record", "Story", "arrivals", "cases", "in_pieces", "ticked"]

Record = Observation | Gap | Tick
START_MS = 1_763_715_600_000 - 2_500
"""2.5 s before nine o'clock UTC."""
ZONES = ("desk", "door")
CAMERAS = ("east", "west", "yard")
SIGNALS = {"unrest": {"fear": 0.6, "anger": 0.6}}
SCHEDULES = {"until-nine": Schedule("UTC", ("08:00-09:00",)), "from-nine": Schedule("UTC", ("09:00-18:00",))}
GROUPS = {"hall": Group(("east", "west")), "desks": Group(("east", "yard"), ("desk",))}

FACES: dict[str, dict[str, float]] = {
    "afraid": {"fear": 0.8, "neutral": 0.1, "happiness": 0.05, "anger": 0.05},
    "uneasy": {"fear": 0.5, "neutral": 0.4, "happiness": 0.05, "anger": 0.05},
    "calm": {"fear": 0.1, "neutral": 0.8, "happiness": 0.05, "anger": 0.05},
    "smiling": {"fear": 0.05, "neutral": 0.15, "happiness": 0.75, "anger": 0.05},
    "angry": {"fear": 0.1, "neutral": 0.1, "happiness": 0.05, "anger": 0.75},
    "partial": {"happiness": 0.7},
}
LOOKS = (*FACES, "afraid", "afraid", "afraid", "calm", "calm", "unreadable", "poor", "unsure", "absent")
BLINKS = ("afraid", "calm", "afraid", "calm", "afraid", "calm", "angry", "uneasy", "smiling", "unreadable")
PICTURES = ("seen", "seen", "seen", "seen", "seen", "dropped", "gap")
"""What a camera gives: a picture, nothing, or a record that says that it gave nothing."""
BLINK_PICTURES = ("seen",) * 3 + PICTURES
MOST_MS = 7_000


@dataclass(frozen=True)
class Story:
    """What the cameras gave, in order of time; a gap stands where it is over."""

    records: tuple[Record, ...]
    zones: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict.fromkeys(CAMERAS, ZONES))
    interval: float = 0.1


@dataclass(frozen=True)
class Case:
    """Rules, what they watch, and how it arrives."""

    rules: RuleSet
    story: Story
    records: tuple[Record, ...]
    """As they arrive: within `out_of_order` of their order, but for some that are late or come twice."""
    out_of_order: float
    seed: int


# --- what the cameras show


def times(low: int, high: int) -> st.SearchStrategy[float]:
    """Tenths of a second."""
    return st.integers(low, high).map(lambda tenth: tenth / 10)


Part = tuple[Any, int]
"""What, and for how many ms; 0 is one picture."""


def parts(kinds: Sequence[Any], lengths: Sequence[int], least: int, most: int) -> st.SearchStrategy[list[Part]]:
    return st.lists(st.tuples(st.sampled_from(kinds), st.sampled_from(lengths)), min_size=least, max_size=most)


LONG = (0, 100, 200, 300, 500, 700, 1000, 1600, 2500)
SHORT = (0, 0, 100, 150, 200, 300, 400, 700)


@dataclass(frozen=True)
class Plot:
    """What one track does: how it looks and where it is, and when it goes on as which other track."""

    looks: list[Part]
    places: list[Part]
    merges: tuple[int, int] | None


@st.composite
def plots(draw: st.DrawFn, tracks: int, *, blinks: bool) -> Plot:
    looks = draw(parts(BLINKS, SHORT, 4, 14) if blinks else parts(LOOKS, LONG, 2, 8))
    places = draw(parts([(), ("desk",), ("desk",), ("door",), ("desk", "door")], LONG[4:], 1, 3))
    merge = st.tuples(st.integers(2, 40), st.integers(0, tracks - 1))
    return Plot(looks, places, draw(st.none() | merge) if tracks > 1 else None)


@st.composite
def shots(draw: st.DrawFn, camera: str, noise: random.Random, most: int, *, blinks: bool) -> list[Record]:
    """The records of one camera."""
    fps = draw(st.sampled_from([2, 3, 5, 8, 10, 10, 15, 20, 25, 30]))
    jitter = draw(st.sampled_from([0, 300 // fps]))
    tracks = draw(st.integers(1, most))
    cast = [draw(plots(tracks, blinks=blinks)) for _ in range(tracks)]
    pictures = _spread(draw(parts(BLINK_PICTURES if blinks else PICTURES, LONG, 1, 6)), fps)
    reasons = draw(st.lists(st.sampled_from(GapReason), min_size=1, max_size=2))
    actors = [_Actor(number, plot, noise, fps) for number, plot in enumerate(cast)]
    length = min(MOST_MS * fps // 1000, max(len(actor.looks) for actor in actors))
    at = [START_MS + i * 1000 // fps + noise.randint(0, jitter) for i in range(length + 1)]
    records: list[Record] = []
    events: tuple[TrackEvent, ...] = ()
    for i in range(length):
        picture = pictures[i % len(pictures)]
        events += tuple(event for actor in actors if (event := actor.merge(i)))
        if picture == "gap":
            records.append(Gap(camera, at[i] / 1000, at[i + 1] / 1000, reasons[i * 4 // length % len(reasons)]))
        elif picture == "seen":
            faces = tuple(face for actor in actors if (face := actor.face(i)))
            records.append(Observation(camera, 1, i, at[i] / 1000, Clock.SENDER, faces, events))
            events = ()
    end = at[-1] / 1000 + 1 + CAMERAS.index(camera) / 100
    return [*_longer(records), Observation(camera, 1, length, end, Clock.SENDER)]


def _longer(records: list[Record]) -> list[Record]:
    """Every second gap together with the one that follows at once, as cameras tell long ones in pieces or whole."""
    told: list[Record] = []
    for record in records:
        last = told[-1] if told else None
        both = isinstance(record, Gap) and isinstance(last, Gap) and last.to_ts == record.from_ts
        if both and last.reason is record.reason and round(last.from_ts * 1000) % 2:
            told[-1] = changed(last, to_ts=record.to_ts)
        else:
            told.append(record)
    return told


class _Actor:
    """One track of one camera."""

    def __init__(self, number: int, plot: Plot, noise: random.Random, fps: int) -> None:
        self.number = number
        self.looks, self.places = _spread(plot.looks, fps), _spread(plot.places, fps)
        self.merges = plot.merges if plot.merges and plot.merges[1] != number else None
        self.noise = noise

    def merge(self, i: int) -> TrackEvent | None:
        if self.merges is None or self.merges[0] != i:
            return None
        return TrackEvent(TrackEventKind.MERGED, f"t{self.number}", f"t{self.merges[1]}")

    def face(self, i: int) -> FaceTrack | None:
        look = self.looks[i] if i < len(self.looks) else "absent"
        if look == "absent" or (self.merges and i >= self.merges[0]):
            return None
        scores = {name: score + self.noise.choice((0.0, 0.013, -0.017)) for name, score in FACES.get(look, {}).items()}
        if look in ("poor", "unsure"):
            scores = FACES["afraid"]
        return FaceTrack(
            f"t{self.number}",
            START_MS / 1000 + self.number % 2,
            (100.0 * self.number, 0.0, 100.0 * self.number + 50, 50.0),
            0.2 if look == "unsure" else 0.9,
            50.0,
            0.1 if look == "poor" else 0.9,
            label="unknown" if look == "unreadable" else "fear",
            scores=scores,
            intensity=1 - scores["neutral"] if "neutral" in scores else None,
            zones=self.places[i] if i < len(self.places) else self.places[-1],
        )


def _spread(told: Sequence[Part], fps: int) -> list[Any]:
    """One entry a picture."""
    return [kind for kind, length in told for _ in range(max(1, length * fps // 1000))]


@st.composite
def stories(draw: st.DrawFn, cameras: Sequence[str] = CAMERAS[:1], most: int = 3, *, blinks: bool = False) -> Story:
    noise = random.Random(draw(st.integers(0, 99)))
    records = [record for camera in cameras for record in draw(shots(camera, noise, most, blinks=blinks))]
    return Story(tuple(sorted(records, key=_time)))


def _time(record: Record) -> tuple[float, str]:
    return (record.to_ts if isinstance(record, Gap) else record.ts), record.camera_id


# --- how it arrives


def arrivals(records: Sequence[Record], noise: random.Random, within: float) -> tuple[Record, ...]:
    """In another order: observations up to `within` seconds late."""
    delayed = [
        (_time(record)[0] + (0.0 if isinstance(record, Gap) else noise.random() * within * 0.99), i)
        for i, record in enumerate(records)
    ]
    return tuple(records[i] for _, i in sorted(delayed))


def in_pieces(records: Sequence[Record]) -> tuple[Record, ...]:
    """Long gaps as several of a second at most: each is told when it is over, and nobody waits longer than that."""
    told: list[Record] = []
    for record in records:
        if isinstance(record, Gap):
            begin, end = round(record.from_ts * 1000), round(record.to_ts * 1000)
            edges = [*range(begin, end, 1000), end]
            told += [changed(record, from_ts=since / 1000, to_ts=to / 1000) for since, to in pairwise(edges)]
        else:
            told.append(record)
    return tuple(sorted(told, key=_time))


def ticked(records: Sequence[Record], noise: random.Random) -> tuple[Record, ...]:
    """With ticks between the records of each camera: nothing was seen of it for a while."""
    told: list[Record] = []
    next_of: dict[str, list[float]] = {}
    for record in records:
        begin = record.from_ts if isinstance(record, Gap) else record.ts
        next_of.setdefault(record.camera_id, []).append(begin)
    for record in records:
        told.append(record)
        coming = next_of[record.camera_id]
        coming.pop(0)
        now = _time(record)[0]
        if coming and coming[0] > now:
            told.append(Tick(record.camera_id, now + noise.random() * min(0.02, coming[0] - now)))
    return tuple(told)


def troubled(records: Sequence[Record], noise: random.Random) -> tuple[Record, ...]:
    """Some come once more, and some much too late."""
    told: list[Record] = []
    held: list[Record] = []
    for record in records:
        if noise.random() < 0.05:
            held.append(record)
        else:
            told.append(record)
        if noise.random() < 0.05 and isinstance(record, Observation):
            told.append(record)
        if held and noise.random() < 0.1:
            told.append(held.pop(0))
    return tuple(told)


# --- predicates


def leaf(**number: Any) -> st.SearchStrategy[Predicate]:
    """A leaf with thresholds between the levels that the faces show."""
    return st.builds(
        Predicate,
        enter=st.sampled_from([0.61, 0.43]),
        exit=st.sampled_from([None, 0.43]),
        aggregate=st.sampled_from(["max", "max", "mean", "min"]),
        **{name: st.just(value) for name, value in number.items()},
    )


plain = st.one_of(
    leaf(prob="fear"),
    leaf(prob="fear"),
    leaf(prob="unrest"),
    leaf(prob_any=("fear", "anger")),
    leaf(value="intensity"),
    st.just(Predicate(value="valence", enter=0.2, exit=-0.3)),
    st.just(Predicate(value="valence", enter=0.2, aggregate="min")),
)


@st.composite
def smoothed(draw: st.DrawFn) -> Predicate:
    smooth = st.builds(Smooth, ema=times(1, 5)) | st.builds(Smooth, median=times(1, 10))
    number: Predicate = draw(plain)
    return changed(number, smooth=draw(st.none() | smooth), hold=draw(st.sampled_from([0.0, 0.2, 0.5])))


leaves = plain | smoothed()
trees = st.one_of(
    st.builds(lambda *parts: Predicate(all=parts), leaves, leaves),
    st.builds(lambda *parts: Predicate(any=parts), leaves, leaves),
    st.builds(lambda part: Predicate(not_=part), leaves),
    st.builds(lambda one, two: Predicate(all=(one, Predicate(not_=two))), leaves, leaves),
)
predicates = leaves | leaves | trees
unsmoothed = plain | st.builds(lambda *parts: Predicate(any=parts), plain, plain)
neutral = leaf(prob="neutral")
expressions = st.one_of(leaf(prob="happiness"), leaf(prob="anger"), leaf(prob="fear"), neutral)


# --- rules


def lives() -> dict[str, st.SearchStrategy[Any]]:
    """The fields of the life cycle."""
    after = st.lists(times(2, 20), max_size=2, unique=True).map(sorted)
    steps = after.map(lambda at: tuple(Escalation(*each) for each in zip(at, list(Severity)[2:], strict=False)))
    return {
        "escalate": steps,
        "severity": st.sampled_from([Severity.INFO, Severity.NOTICE]),
        "for_": st.sampled_from([0.0, 0.3, 0.3, 0.8, 1.5]),
        "max_gap": st.sampled_from([0.7, None, 0.2, 0.5, 0.9, 1.3]),
        "max_dip": times(0, 5),
        "min_coverage": st.sampled_from([0.6, 0.0, 0.3, 0.9]),
        "min_samples": st.sampled_from([1, 3, None]),
        "min_quality": st.sampled_from([0.0, 0.4]),
        "min_confidence": st.sampled_from([0.0, 0.5]),
        "keep_firing_for": st.sampled_from([0.3, 0.0, 0.1, 0.7, 1.2]),
        "lost_after": times(0, 15),
        "cooldown": st.sampled_from([0.0, 0.0, 0.5, 2.0]),
        "max_duration": st.sampled_from([None, None, None, 0.5, 1.5]),
        "repeat_every": st.sampled_from([None, None, None, 0.4, 1.0]),
        "reacquire": st.sampled_from([Reacquire(), Reacquire(0.3)]),
        "momentary": st.sampled_from([False, False, False, True]),
        "schedule": st.sampled_from(["", "", "", *SCHEDULES]),
        "requires": st.sampled_from([None, None, None, None, Requires(8.0)]),
    }


SCOPES: dict[str, tuple[Scope, ...]] = {
    "sustained": tuple(Scope),
    "ratio": tuple(Scope),
    "pulse": tuple(Scope),
    "pulses": tuple(Scope),
    "sequence": tuple(Scope),
    "change": tuple(Scope),
    "count": tuple(Scope)[1:],
    "absence": tuple(Scope)[1:],
    "share": tuple(Scope)[1:],
    "frames": (Scope.CAMERA,),
}
KINDS = tuple(SCOPES)


@st.composite
def ratios(draw: st.DrawFn) -> dict[str, Any]:
    bucket = draw(times(2, 6))
    window = draw(times(round(bucket * 10), 12))
    return {"when": draw(predicates), "for_": window, "ratio": Ratio(draw(st.sampled_from([0.3, 0.5, 0.8])), bucket)}


@st.composite
def pulses(draw: st.DrawFn, *, counted: bool) -> dict[str, Any]:
    shortest = draw(st.sampled_from([0.0, 0.08, 0.2]))
    longest = shortest + draw(st.sampled_from([1.5, 0.8, 0.3]))
    flank = draw(
        st.none() | st.none() | st.builds(Flank, when=neutral | unsmoothed, within=st.sampled_from([0.15, 0.4, 1.0]))
    )
    told = {
        "when": draw(leaf(prob="fear") | unsmoothed),
        "pulse": Pulse(shortest, longest, flank),
        "for_": draw(st.sampled_from([0.0, 0.0, 0.0, 0.2])),
        "min_samples": draw(st.sampled_from([1, 1, None, 3])),
        "max_gap": draw(st.sampled_from([0.7, 0.9, 1.3, 0.5, None])),
    }
    if counted:
        told["count"] = Count(draw(st.integers(1, 2)), draw(times(5, 40)), "pulses")
    return told


@st.composite
def sequences(draw: st.DrawFn) -> dict[str, Any]:
    for_ = st.sampled_from([0.0, 0.0, 0.1, 0.3])
    steps = tuple(draw(st.lists(st.builds(Step, when=expressions, for_=for_), min_size=2, max_size=3)))
    within = sum(step.for_ for step in steps) + draw(times(2, 40))
    between = draw(st.none() | st.builds(Between, when=expressions, for_=st.sampled_from([0.0, 0.2])))
    pause = draw(st.none() | times(0, 15))
    return {"sequence": SequenceOf(steps, within, pause, between, draw(st.sampled_from(["latest", "first"])))}


@st.composite
def absences(draw: st.DrawFn) -> dict[str, Any]:
    absence = Absence(
        fewer_than=draw(st.integers(1, 3)),
        max_unknown=draw(times(0, 15)),
        min_fps=draw(st.sampled_from([0.0, 0.0, 4.0])),
        arm_on_start=draw(st.booleans()),
    )
    return {"when": draw(st.none() | predicates), "absence": absence}


@st.composite
def shares(draw: st.DrawFn) -> dict[str, Any]:
    share = Share(
        draw(st.sampled_from([0.4, 0.6, 1.0])),
        draw(st.sampled_from([None, 0.3])),
        draw(st.integers(1, 2)),
        draw(times(1, 20)),
    )
    return {"when": draw(predicates), "share": share}


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    over = draw(times(5, 30))
    baseline = Baseline(
        over,
        draw(st.sampled_from([0.0, 0.2, 0.5])),
        draw(st.sampled_from(["median_mad", "mean_std"])),
        draw(st.sampled_from([0.0, over / 60, over / 12])),
        draw(st.booleans()),
    )
    zscore, absolute = draw(st.sampled_from([(0.0, 0.23), (2.03, 0.0), (1.07, 0.11)]))
    number = draw(st.sampled_from([Predicate(prob="fear"), Predicate(value="valence"), Predicate(value="intensity")]))
    smooth = draw(st.none() | st.builds(Smooth, ema=times(1, 5)))
    change = Change(draw(st.sampled_from(["up", "down", "any"])), zscore, absolute, baseline)
    return {"when": changed(number, smooth=smooth), "change": change}


def conditions(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """The fields of a condition."""
    return {
        "sustained": st.fixed_dictionaries({"when": predicates}),
        "ratio": ratios(),
        "count": st.fixed_dictionaries(
            {"when": st.none() | predicates, "count": st.builds(Count, at_least=st.integers(1, 3), within=times(2, 30))}
        ),
        "pulse": pulses(counted=False),
        "pulses": pulses(counted=True),
        "sequence": sequences(),
        "absence": absences(),
        "frames": st.fixed_dictionaries(
            {
                "absence": st.builds(
                    Absence,
                    of=st.just("frames"),
                    reasons=st.sampled_from([tuple(GapReason), (GapReason.DOWN, GapReason.LOST)]),
                )
            }
        ),
        "share": shares(),
        "change": changes(),
    }[kind]


@st.composite
def rules(draw: st.DrawFn, kind: str, name: str) -> Rule:
    scope = draw(st.sampled_from(SCOPES[kind]))
    fields = {**draw(st.fixed_dictionaries(lives())), **draw(conditions(kind))}
    many = scope in (Scope.GROUP, Scope.SITE)
    cameras = () if many else draw(st.sampled_from([(), (), ("east",)]))
    zones = () if scope is Scope.GROUP else draw(st.sampled_from([(), (), ("desk",), ("door", "desk")]))
    where = Where(cameras, zones)
    return Rule(
        name,
        scope=scope,
        group=draw(st.sampled_from(list(GROUPS))) if scope is Scope.GROUP else "",
        where=where,
        **fields,
    )


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    mute = st.builds(
        Mute,
        schedule=st.sampled_from(list(SCHEDULES)),
        invert=st.booleans(),
        severity_below=st.sampled_from([None, Severity.WARNING]),
        rules=st.sampled_from([(), ("main",)]),
    )
    return Routing(
        tuple(draw(st.lists(mute, max_size=2))),
        draw(st.sampled_from([("rule", "camera"), ("camera",), ("rule", "zone")])),
        draw(st.sampled_from([0.0, 0.4, 1.2])),
        draw(st.sampled_from([0.0, 0.0, 1.0])),
    )


@st.composite
def rule_sets(draw: st.DrawFn, kind: str) -> RuleSet:
    """A rule of the kind, sometimes with a second one that silences it, is silenced by it, or just stands beside it."""
    main = draw(rules(kind, "main"))
    all_ = [main]
    if draw(st.booleans()):
        other = draw(rules(draw(st.sampled_from(["sustained", kind])), "other"))
        if draw(st.booleans()):
            equal = draw(st.sampled_from([("camera",), ("camera", "zone")]))
            other = changed(other, inhibit=(Inhibit(draw(st.sampled_from([("main",), ("*",)])), equal),))
        all_.append(other)
    routing = draw(routings()) if draw(st.booleans()) else Routing()
    limits = draw(st.sampled_from([Limits(), Limits(), Limits(1, 100), Limits(200, 2)]))
    return RuleSet(tuple(all_), SIGNALS, GROUPS, SCHEDULES, routing, limits)


@st.composite
def cases(draw: st.DrawFn, kind: str) -> Case:
    ruleset = draw(rule_sets(kind))
    many = any(rule.scope in (Scope.GROUP, Scope.SITE) for rule in ruleset.rules)
    cameras = CAMERAS[: draw(st.integers(2, 3))] if many else CAMERAS[:1]
    story = draw(stories(cameras, 3 if many else 4, blinks=kind in ("pulse", "pulses", "sequence")))
    seed = draw(st.integers(0, 999))
    noise = random.Random(seed)
    out_of_order = draw(st.sampled_from([0.0, 0.0, 0.3]))
    records = arrivals(story.records, noise, out_of_order)
    if draw(st.sampled_from([False, False, True])):
        records = troubled(records, noise)
    return Case(ruleset, story, records, out_of_order, seed)
