"""The whole rule language once more, naively: what the rules must tell about a story, to the millisecond.

It keeps every reading and every alert for ever, asks at any instant "has it ended by now?", and looks for the first
millisecond in which the answer is yes. It shares the language (rules as dataclasses, records) with the engine and
nothing else. From top to bottom: which records count and when (`applied`), what a face shows (`Signal`), one small
class per condition, the life of an alert (`Life`), one rule in one partition (`Watch`), who is told (`silence`).

A value is True, False or None for UNKNOWN. All times are whole milliseconds.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count as numbers
from typing import NamedTuple

from operators.records import FaceTrack, Gap, Observation, Scope, Severity, Tick, TrackEventKind
from operators.rules.predicate import Predicate
from operators.rules.rule import Rule
from operators.rules.ruleset import RuleSet

__all__ = ["Camera", "Told", "histories"]

Record = Observation | Gap | Tick
Value = bool | None
Track = tuple[str, str]
"""Camera and track id: two cameras may use one id."""
Faces = Mapping[Track, FaceTrack]
NOBODY = -math.inf
NEGATIVE = ("anger", "disgust", "fear", "sadness")


@dataclass(frozen=True)
class Camera:
    """What the rules know of a camera: seconds between two pictures, and its zones."""

    interval: float = 0.0
    zones: tuple[str, ...] = ()


class Told(NamedTuple):
    """One transition of an alert; the figures are None where the language doesn't say what they are."""

    ts: int
    status: str
    reason: str
    severity: str
    silenced_by: str
    samples: int | None = None
    suppressed: int | None = None
    coverage: float | None = None
    last: float | None = None
    highest: float | None = None


class History(NamedTuple):
    """One alert from its first transition to its last."""

    partition: str
    rule: str
    zone: str
    starts_at: int
    told: tuple[Told, ...]


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def histories(
    rules: RuleSet,
    cameras: Mapping[str, Camera],
    arrivals: Sequence[Record],
    *,
    out_of_order: float = 0.0,
    idle_after: float = 2.0,
) -> list[History]:
    """Every alert that the rules tell of when `arrivals` come in this order and then nothing more, sorted."""
    found: list[History] = []
    for partition, members in partitions(rules, cameras).items():
        mine = [rule for rule in rules.in_order() if partition in places(rule, cameras)]
        if mine:
            records = applied(arrivals, members, ms(out_of_order), ms(idle_after))
            found += evaluate(rules, mine, partition, {name: cameras[name] for name in members}, records)
    return sorted(found)


def partitions(rules: RuleSet, cameras: Mapping[str, Camera]) -> dict[str, tuple[str, ...]]:
    groups = {f"group:{name}": group.cameras for name, group in rules.groups.items()}
    return {**{name: (name,) for name in cameras}, **groups, "site:": tuple(cameras)}


def places(rule: Rule, cameras: Mapping[str, Camera]) -> tuple[str, ...]:
    """The partitions in which a rule is evaluated."""
    if rule.scope is Scope.GROUP:
        return (f"group:{rule.group}",)
    if rule.scope is Scope.SITE:
        return ("site:",)
    return rule.where.cameras or tuple(cameras)


# --- which records count, and when


def applied(
    arrivals: Iterable[Record], members: Sequence[str], out_of_order: int, idle_after: int
) -> Iterator[tuple[int, Observation | Gap]]:
    """The records that are not late, in the order in which they take effect, each with its time."""
    newest: dict[str, float] = dict.fromkeys(members, -math.inf)
    last: dict[str, int] = {}
    clock: float = -math.inf
    waiting: list[Observation | Gap] = []
    for record in [*(each for each in arrivals if each.camera_id in members), None]:
        watermark = math.inf
        if record is not None:
            newest[record.camera_id] = max(newest[record.camera_id], end_of(record))
            if not isinstance(record, Tick) and not is_late(record, clock):
                waiting.append(record)
            watermark = max(min(newest.values()), max(newest.values()) - idle_after) - out_of_order
        ready = sorted((each for each in waiting if begin_of(each) <= watermark), key=_order)
        waiting = [each for each in waiting if begin_of(each) > watermark]
        for each in ready:
            if isinstance(each, Observation):
                if ms(each.ts) <= last.get(each.camera_id, -1):
                    continue
                last[each.camera_id] = ms(each.ts)
            clock = max(clock, begin_of(each))
            yield int(clock), each
        clock = max(clock, watermark)


def begin_of(record: Observation | Gap) -> int:
    return ms(record.from_ts if isinstance(record, Gap) else record.ts)


def end_of(record: Record) -> int:
    return ms(record.to_ts if isinstance(record, Gap) else record.ts)


def is_late(record: Observation | Gap, clock: float) -> bool:
    return end_of(record) <= clock if isinstance(record, Gap) else end_of(record) < clock


def _order(record: Observation | Gap) -> tuple[object, ...]:
    if isinstance(record, Gap):
        return begin_of(record), 1, record.camera_id, end_of(record), record.reason
    return begin_of(record), 0, record.camera_id, record.epoch, record.seq


# --- what a face shows


@dataclass
class View:
    """How a rule reads faces in its partition."""

    rule: Rule
    signals: Mapping[str, Mapping[str, float]]
    max_gap: int

    def readable(self, face: FaceTrack) -> bool:
        sure = face.quality >= self.rule.min_quality and face.confidence >= self.rule.min_confidence
        return face.label != "unknown" and sure

    def level(self, leaf: Predicate, faces: Iterable[FaceTrack]) -> float | None:
        """The number of a leaf over faces: NOBODY if there are none, None if none can be read."""
        faces = list(faces)
        if not faces:
            return NOBODY
        read = [self.number(leaf, face) for face in faces if self.readable(face)]
        known = [number for number in read if number is not None]
        if not known:
            return None
        return {"max": max(known), "min": min(known), "mean": sum(known) / len(known)}[leaf.aggregate]

    def number(self, leaf: Predicate, face: FaceTrack) -> float | None:
        if leaf.value == "intensity":
            return face.intensity
        if leaf.value == "valence":
            return face.scores.get("happiness", 0.0) - sum(face.scores.get(name, 0.0) for name in NEGATIVE)
        names = (leaf.prob,) if leaf.prob else leaf.prob_any
        there = [number for name in names if (number := self._probability(name, face)) is not None]
        return max(there, default=None)

    def _probability(self, name: str, face: FaceTrack) -> float | None:
        if name in self.signals:
            return sum(weight * face.scores.get(part, 0.0) for part, weight in self.signals[name].items())
        return face.scores.get(name)


class Read(NamedTuple):
    ts: int
    x: float
    y: float
    on: bool


class Leaf:
    """One leaf of a predicate over one scope: every reading it ever had."""

    def __init__(self, view: View, leaf: Predicate) -> None:
        self.view = view
        self.leaf = leaf
        self.past: list[Read] = []

    def read(self, ts: int, faces: Iterable[FaceTrack]) -> tuple[Value, float | None]:
        x = self.view.level(self.leaf, faces)
        if x is None:
            return None, None
        y = self.smoothed(ts, x)
        enter = math.inf if self.leaf.enter is None else self.leaf.enter
        exit_ = enter if self.leaf.exit is None else self.leaf.exit
        was_on = self.lasts(ts) and self.past[-1].on
        self.past.append(Read(ts, x, y, y >= (exit_ if was_on else enter)))
        return self.on_for(ms(self.leaf.hold)), y

    def lasts(self, ts: int) -> bool:
        """Whether the last reading is near enough to be remembered."""
        return bool(self.past) and ts - self.past[-1].ts <= self.view.max_gap

    def smoothed(self, ts: int, x: float) -> float:
        smooth = self.leaf.smooth
        if smooth is None or x == NOBODY or not self.lasts(ts) or self.past[-1].y == NOBODY:
            return x
        if smooth.ema is not None:
            before = self.past[-1]
            return before.y + (1 - math.exp(-(ts - before.ts) / ms(smooth.ema))) * (x - before.y)
        window = [x]
        later = ts
        for read in reversed(self.past):
            broken = read.x == NOBODY or later - read.ts > self.view.max_gap
            if broken or read.ts <= ts - ms(smooth.median or 0):
                break
            window.append(read.x)
            later = read.ts
        return statistics.median(window)

    def on_for(self, hold: int) -> bool:
        """Whether it has been on for so long, up to the last reading."""
        now = later = self.past[-1].ts
        for read in reversed(self.past):
            if not read.on or later - read.ts > self.view.max_gap:
                return False
            if read.ts <= now - hold:
                return True
            later = read.ts
        return False


class Signal:
    """A predicate over one scope: TRUE, FALSE or UNKNOWN at each sample, by Kleene's rules."""

    def __init__(self, view: View, when: Predicate) -> None:
        self.when = when
        self.leaf = Leaf(view, when) if when.is_leaf else None
        self.parts = [Signal(view, part) for part in (*when.all, *when.any, *([when.not_] if when.not_ else []))]

    def leaves(self) -> list[Leaf]:
        return [self.leaf] if self.leaf else [leaf for part in self.parts for leaf in part.leaves()]

    def read(self, ts: int, faces: Iterable[FaceTrack]) -> tuple[Value, float | None]:
        faces = list(faces)
        if self.leaf:
            return self.leaf.read(ts, faces)
        read = [part.read(ts, faces) for part in self.parts]
        values = [value for value, _ in read]
        levels = [level for _, level in read if level is not None and level != NOBODY]
        if self.when.not_:
            value = None if values[0] is None else not values[0]
            return value, (1 - levels[0] if levels else None)
        if self.when.all:
            return kleene_all(values), min(levels, default=None)
        return kleene_any(values), max(levels, default=None)


def kleene_all(values: list[Value]) -> Value:
    return False if False in values else None if None in values else True


def kleene_any(values: list[Value]) -> Value:
    return True if True in values else None if None in values else False


# --- the conditions: what they make of each sample of one scope


class Sustained:
    """The predicate itself; also of a ratio."""

    def __init__(self, view: View) -> None:
        assert view.rule.when
        self.signal = Signal(view, view.rule.when)

    def read(self, ts: int, faces: Faces, *, complete: bool, active: bool) -> tuple[Value, float | None]:
        return self.signal.read(ts, faces.values())


@dataclass
class Face:
    """What is remembered of one track in a wider scope."""

    signal: Signal | None
    last: Value = None
    read_at: float = -math.inf
    true_at: float = -math.inf


class Crowd:
    """Every track of a wider scope with a predicate of its own."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.tracks: dict[Track, Face] = {}

    def read(self, ts: int, faces: Faces) -> dict[Track, Value]:
        return {track: self._one(ts, track, face) for track, face in faces.items()}

    def _one(self, ts: int, track: Track, face: FaceTrack) -> Value:
        when = self.view.rule.when
        known = self.tracks.setdefault(track, Face(Signal(self.view, when) if when else None))
        if known.signal:
            value = known.signal.read(ts, [face])[0]
        else:
            value = True if face.confidence >= self.view.rule.min_confidence else None
        if value is not None:
            known.last, known.read_at = value, ts
        if value:
            known.true_at = ts
        return value

    def merge(self, old: Track, into: Track) -> None:
        if old not in self.tracks:
            return
        both = [self.tracks.pop(old), *([self.tracks[into]] if into in self.tracks else [])]
        later = max(both, key=lambda face: face.read_at)
        self.tracks[into] = Face(later.signal, later.last, later.read_at, max(face.true_at for face in both))


class CountTracks:
    """So many different tracks were TRUE within a stretch of time."""

    def __init__(self, view: View) -> None:
        assert view.rule.count
        self.count = view.rule.count
        self.crowd = Crowd(view)

    def read(self, ts: int, faces: Faces, *, complete: bool, active: bool) -> tuple[Value, float | None]:
        values = self.crowd.read(ts, faces)
        counted = {track for track, face in self.crowd.tracks.items() if face.true_at > ts - ms(self.count.within)}
        unreadable = [track for track, value in values.items() if value is None and track not in counted]
        least, most = len(counted), len(counted) + len(unreadable)
        return at_least(least, most, self.count.at_least), float(least)


class Absence:
    """Fewer than so many faces, proven by looking."""

    def __init__(self, view: View) -> None:
        assert view.rule.absence
        self.absence = view.rule.absence
        self.crowd = Crowd(view)
        self.armed = self.absence.arm_on_start

    def read(self, ts: int, faces: Faces, *, complete: bool, active: bool) -> tuple[Value, float | None]:
        values = list(self.crowd.read(ts, faces).values())
        present = values.count(True)
        there = at_least(present, present + values.count(None), self.absence.fewer_than)
        absent = None if there is None or not (there or complete) else not there
        if absent is False:
            self.armed = True
        return (absent and self.armed if absent is not None else None), float(present)


def at_least(least: int, most: int, wanted: int) -> Value:
    """Whether a number that is between `least` and `most` reaches what is wanted."""
    return True if least >= wanted else False if most < wanted else None


class Share:
    """The share of the tracks, as each was last read."""

    def __init__(self, view: View) -> None:
        assert view.rule.share
        self.view = view
        self.share = view.rule.share
        self.crowd = Crowd(view)
        self.past: list[tuple[int, bool]] = []

    def read(self, ts: int, faces: Faces, *, complete: bool, active: bool) -> tuple[Value, float | None]:
        self.crowd.read(ts, faces)
        people = [face for face in self.crowd.tracks.values() if face.read_at > ts - ms(self.share.over)]
        if len(people) < self.share.min_population:
            return None, None
        level = sum(face.last is True for face in people) / len(people)
        was_on = bool(self.past) and self.past[-1][1] and ts - self.past[-1][0] <= self.view.max_gap
        exit_ = self.share.at_least if self.share.exit is None else self.share.exit
        value = level >= (exit_ if was_on else self.share.at_least)
        self.past.append((ts, value))
        return value, level


class Change:
    """A number moves away from its own past."""

    def __init__(self, view: View) -> None:
        assert view.rule.change
        assert view.rule.when
        self.change = view.rule.change
        self.leaf = Leaf(view, view.rule.when)
        self.kept: dict[int, float] = {}
        self.usual: tuple[float, float] | None = None

    def read(self, ts: int, faces: Faces, *, complete: bool, active: bool) -> tuple[Value, float | None]:
        frozen = active and self.change.baseline.freeze_while_active
        _, x = self.leaf.read(ts, faces.values())
        if x is None or x == NOBODY:
            return None, None
        if not frozen:
            self.usual = self.baseline(ts)
            before = self.usual
            cell = self.cell
            self.kept.setdefault(ts // cell * cell, round(x, 6))
        else:
            before = self.usual
        return (None, None) if before is None else self.compare(x, *before)

    @property
    def cell(self) -> int:
        return max(1, ms(self.change.baseline.over) // 120)

    def baseline(self, ts: int) -> tuple[float, float] | None:
        """Centre and scale of what was kept, or None while that is too little."""
        end = ts - ms(self.change.baseline.guard)
        begin = end - ms(self.change.baseline.over)
        some = [x for start, x in self.kept.items() if begin <= start < end]
        if not some or len(some) * self.cell < ms(self.change.baseline.min_observed):
            return None
        if self.change.baseline.stat == "mean_std":
            return statistics.fmean(some), max(0.01, statistics.pstdev(some))
        centre = statistics.median(some)
        return centre, max(0.01, 1.4826 * statistics.median([abs(x - centre) for x in some]))

    def compare(self, x: float, centre: float, scale: float) -> tuple[Value, float | None]:
        moved = {"up": x - centre, "down": centre - x, "any": abs(x - centre)}[self.change.direction]
        return moved >= self.change.absolute and moved / scale >= self.change.zscore, moved


class Beat(NamedTuple):
    ts: int
    value: Value
    flank: Value


class Pulses:
    """`when` was TRUE for a short time only; or so many of such pulses within a stretch of time."""

    def __init__(self, view: View) -> None:
        rule = view.rule
        assert rule.pulse
        assert rule.when
        self.view, self.pulse, self.count = view, rule.pulse, rule.count
        self.signal = Signal(view, rule.when)
        self.flank = Signal(view, rule.pulse.flank.when) if rule.pulse.flank else None
        self.past: list[Beat] = []
        self.waiting: int | None = None
        self.confirmed: list[int] = []

    def missed(self, ts: int) -> None:
        self.past.append(Beat(ts, None, None))

    def read(self, ts: int, faces: Faces, *, complete: bool, active: bool) -> tuple[Value, float | None]:
        value = self.signal.read(ts, faces.values())[0]
        flank = self.flank.read(ts, faces.values())[0] if self.flank else None
        self.past.append(Beat(ts, value, flank))
        if value is None:
            return None, None
        confirms = self.confirms(ts)
        if self.count is None:
            return confirms, float(confirms)
        recent = sum(end > ts - ms(self.count.within) for end in self.confirmed)
        return recent >= self.count.at_least, float(recent)

    def confirms(self, ts: int) -> bool:
        """Whether the sample that was just read is the one by which a pulse is known."""
        onset = self.onset_of_pulse_ending_now()
        if onset is not None and self.flanked(onset):
            self.waiting = ts
        end = self.waiting
        if end is None or not self.flanked_after(end):
            return False
        self.waiting = None
        self.confirmed.append(end)
        return True

    def onset_of_pulse_ending_now(self) -> int | None:
        """Walk back from a FALSE sample over TRUE ones to the FALSE one before them, without a hole."""
        end = self.past[-1]
        if end.value is not False:
            return None
        onset = None
        later = end.ts
        for beat in reversed(self.past[:-1]):
            if beat.value is None or later - beat.ts > self.view.max_gap:
                return None
            if beat.value is False:
                break
            onset = later = beat.ts
        else:
            return None
        fits = onset is not None and ms(self.pulse.min) <= end.ts - onset <= ms(self.pulse.max)
        return onset if fits else None

    def flanked(self, onset: int) -> bool:
        if self.pulse.flank is None:
            return True
        within = ms(self.pulse.flank.within)
        return any(beat.flank and beat.value is not None for beat in self.past if onset - within <= beat.ts < onset)

    def flanked_after(self, end: int) -> bool:
        if self.pulse.flank is None:
            return self.past[-1].ts == end
        return bool(self.past[-1].flank) and self.past[-1].ts <= end + ms(self.pulse.flank.within)


# --- the life of an alert


@dataclass(eq=False)
class Alarm:
    """The alert of an episode, with everything that was told of it."""

    rule: str
    zone: str
    starts_at: int
    severity: Severity
    told: list[Transition] = field(default_factory=list)
    samples: int = 0
    known: list[tuple[int, int, bool]] = field(default_factory=list)
    """Stretches of time in which the value held TRUE or FALSE."""
    known_ms: int = 0
    coverage: float | None = 1.0
    last: float | None = None
    highest: float | None = None
    fired_at: int | None = None
    notified_at: int = 0
    suppressed: bool = False
    ended: bool = False
    match: Match | None = None
    """Of a sequence: how far it has come."""


@dataclass(eq=False)
class Transition:
    alarm: Alarm
    ts: int
    phase: int
    """Within its ms: 0 what was due, 1 samples, 2 what a sample of this ms could still have prevented."""
    status: str
    reason: str
    severity: Severity
    samples: int | None = None
    suppressed: int | None = None
    coverage: float | None = None
    last: float | None = None
    highest: float | None = None
    silenced_by: str = ""


AFTER_SAMPLES = ("gap", "lost", "timeout")


class Life:
    """One scope of one rule: the value that holds, and the alert that is open."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.rule = watch, watch.rule
        rule = self.rule
        self.frames = rule.absence is not None and rule.absence.of == "frames"
        self.hold: float = math.inf if self.frames else watch.max_gap
        self.break_after = self.hold
        if rule.absence and not self.frames:
            self.break_after = max(self.hold, ms(rule.absence.max_unknown))
        self.lost_after = max(ms(rule.lost_after), self.hold)
        self.dip = ms(rule.for_ if rule.ratio else rule.max_dip)
        self.held: Value = None
        self.read_at: int | None = None
        self.settled = 0
        self.false_ms = 0
        self.alarm: Alarm | None = None
        self.quiet_until = 0
        self.began = 0
        """When the last episode began: no second one does in that ms, it would be taken for the same."""
        self.now = 0

    # what happens between samples

    def pass_to(self, to: int) -> None:
        """Let everything happen that is due by `to` if no sample comes, each at its own time."""
        while self.due(to):
            low, high = self.now, to
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if self.due(middle) else (middle, high)
            self.happen(high, self.due(high), phase=0)
            self.now = high
        self.now = to

    def check(self, now: int) -> None:
        """What a sample itself made due."""
        while reason := self.due(now):
            self.happen(now, reason, phase=1)
        self.now = now

    def due(self, now: int) -> str:
        """What has happened by `now`, if no sample came since the last one; the first in order."""
        alarm = self.alarm
        if alarm is None:
            return ""
        if alarm.fired_at is not None:
            return self.due_firing(now, alarm, alarm.fired_at)
        if alarm.match:
            return "timeout" if alarm.match.given_up(now) else ""
        return "gap" if self.unread(now) > self.break_after else "dip" if self.was_false(now, self.dip) else ""

    def due_firing(self, now: int, alarm: Alarm, fired_at: int) -> str:
        rule = self.rule
        if self.unread(now) > self.lost_after:
            return "lost"
        if self.was_false(now, ms(rule.keep_firing_for)):
            return "condition"
        if rule.max_duration and now >= fired_at + ms(rule.max_duration):
            return "expired"
        return "repeat" if rule.repeat_every and now >= alarm.notified_at + ms(rule.repeat_every) else ""

    def unread(self, now: int) -> int:
        assert self.read_at is not None
        return now - self.read_at

    def was_false(self, now: int, limit: int) -> bool:
        return self.held is False and self.false_ms + self.held_to(now) - self.settled >= limit

    def held_to(self, now: int) -> int:
        """How far the last reading holds, at most up to `now`."""
        assert self.read_at is not None
        return int(min(now, self.read_at + self.hold))

    def happen(self, now: int, reason: str, *, phase: int) -> None:
        if reason == "repeat":
            assert self.alarm
            self.alarm.notified_at = now
            self.tell(now, "firing", "repeat", phase=phase)
        elif reason in AFTER_SAMPLES and phase == 0 and not self.dipped(now):
            self.end(now - 1, reason, phase=2)
        else:
            self.end(now, reason, phase=phase)

    def dipped(self, now: int) -> bool:
        """Whether it is a match that is given up with a run that was FALSE for too long."""
        return bool(self.alarm and self.alarm.match and self.alarm.fired_at is None and self.alarm.match.dipped(now))

    # what a sample does

    def sample(self, now: int, value: Value, level: float | None, *, zone: str = "") -> None:
        self.settle(now)
        self.held = value
        if value is not None:
            self.read_at = self.settled = now
            if self.alarm:
                self.alarm.samples += 1
                self.alarm.last = self.alarm.last if level is None else level
            if value:
                self.false_ms = 0
                self.read_true(now, level, zone)
        self.check(now)

    def settle(self, now: int) -> None:
        """Account for the time up to now in which the last reading held."""
        if self.held is None:
            return
        until = self.held_to(now)
        if until > self.settled:
            if self.held is False:
                self.false_ms += until - self.settled
            if self.alarm:
                self.alarm.known.append((self.settled, until, self.held))
                self.alarm.known_ms += until - self.settled
            self.settled = until

    def read_true(self, now: int, level: float | None, zone: str) -> None:
        if self.alarm is None:
            self.open(now, now, zone, level)
        alarm = self.alarm
        if alarm is None:
            return
        numbers_ = [number for number in (alarm.highest, level) if number is not None]
        alarm.highest = max(numbers_, default=None)
        elapsed = now - alarm.starts_at
        if alarm.coverage is not None:
            alarm.coverage = alarm.known_ms / elapsed if elapsed else 1.0
        if alarm.fired_at is None:
            if self.enough(now, alarm):
                self.fire(now)
        else:
            self.escalate(now)

    def enough(self, now: int, alarm: Alarm) -> bool:
        rule = self.rule
        assert alarm.coverage is not None
        lasted = alarm.known_ms if rule.absence and not self.frames else now - alarm.starts_at
        seen = alarm.samples >= rule.samples_needed and alarm.coverage >= rule.min_coverage
        return lasted >= ms(rule.for_) and seen and (rule.ratio is None or self.mostly_true(now, alarm))

    def mostly_true(self, now: int, alarm: Alarm) -> bool:
        """Over the current bucket and those before it that `for` reaches into."""
        assert self.rule.ratio
        bucket = ms(self.rule.ratio.bucket)
        begin = (now // bucket - math.ceil(ms(self.rule.for_) / bucket) + 1) * bucket
        spans = [(min(to, now) - max(since, begin), value) for since, to, value in alarm.known if to > begin]
        known = sum(span for span, _ in spans)
        return known > 0 and sum(span for span, value in spans if value) / known >= self.rule.ratio.at_least

    def open(self, now: int, starts_at: int, zone: str, level: float | None) -> None:
        if starts_at == self.began or self.watch.full(now):
            return
        self.began = starts_at
        level = level or 0.0
        self.alarm = Alarm(self.rule.id, zone, starts_at, self.rule.severity, samples=1, last=level, highest=level)
        if self.rule.sequence:
            self.alarm.coverage = None
        self.tell(now, "pending", "condition", phase=1)

    def fire(self, now: int) -> None:
        alarm = self.alarm
        assert alarm
        if now < self.quiet_until:
            alarm.suppressed = True
            return
        alarm.fired_at = alarm.notified_at = now
        alarm.suppressed = False
        alarm.severity = self.worthy(now)
        self.tell(now, "firing", "condition", phase=1)
        if self.rule.momentary:
            self.end(now, "momentary", phase=1)

    def escalate(self, now: int) -> None:
        assert self.alarm
        if self.worthy(now) is not self.alarm.severity:
            self.alarm.severity, self.alarm.notified_at = self.worthy(now), now
            self.tell(now, "firing", "escalated", phase=1)

    def worthy(self, now: int) -> Severity:
        assert self.alarm
        reached = [step.severity for step in self.rule.escalate if now - self.alarm.starts_at >= ms(step.after)]
        return [self.rule.severity, *reached][-1]

    def end(self, ts: int, reason: str, *, phase: int) -> None:
        alarm = self.alarm
        assert alarm
        self.tell(ts, "broken" if alarm.fired_at is None else "resolved", reason, phase=phase)
        if alarm.fired_at is not None and reason not in ("merged", "config"):
            self.quiet_until = ts + ms(self.rule.cooldown)
        alarm.ended, self.alarm = True, None
        self.watch.has_room(ts, phase)

    def tell(self, ts: int, status: str, reason: str, *, phase: int) -> None:
        alarm = self.alarm
        assert alarm
        told = Transition(alarm, ts, phase, status, reason, alarm.severity)
        told.suppressed = int(alarm.suppressed)
        if not self.rule.sequence:
            told.samples, told.coverage = alarm.samples, alarm.coverage
            told.last, told.highest = alarm.last, alarm.highest
        self.watch.tell(told)


# --- sequences


@dataclass(eq=False)
class Run:
    """A stretch in which the predicate of a step is TRUE, with dips and gaps tolerated."""

    opened_at: int
    last_true: int
    read_at: int
    settled: int
    held: Value = True
    false_ms: int = 0
    satisfied: bool = False
    over: bool = False


class Step:
    """One step that is watched: its run, if one is open."""

    def __init__(self, life: Life, for_: float) -> None:
        self.max_gap, self.max_dip, self.for_ = life.watch.max_gap, ms(life.rule.max_dip), ms(for_)
        self.run: Run | None = None

    def read(self, ts: int, value: Value) -> bool:
        """Whether the run is satisfied at this very sample."""
        self.check(ts)
        if value and self.run is None:
            self.run = Run(ts, ts, ts, ts)
        run = self.run
        if run is None:
            return False
        run.held = value
        if value is not None:
            run.read_at = run.settled = ts
        if value:
            run.last_true, run.false_ms = ts, 0
        self.check(ts)
        if value and not run.satisfied and ts - run.opened_at >= self.for_:
            run.satisfied = True
            return True
        return False

    def check(self, ts: int) -> None:
        """End a run that was FALSE for too long, or not read for too long."""
        run = self.run
        if run is None:
            return
        if not self.lasts(run, ts):
            run.over, self.run = True, None
        run.false_ms, run.settled = self.was_false(run, ts), ts

    def lasts(self, run: Run, now: int) -> bool:
        """Whether a run still goes on if no sample comes any more."""
        dip = run.held is False and self.was_false(run, now) >= self.max_dip
        return not dip and now - run.read_at <= self.max_gap

    def was_false(self, run: Run, now: int) -> int:
        """For how long in all it was FALSE since it was last TRUE."""
        until = min(now, run.read_at + self.max_gap)
        return run.false_ms + (max(0, until - run.settled) if run.held is False else 0)


@dataclass(eq=False)
class Match:
    """A sequence that has come so far: `step` is the one it waits for, `before` the run that made the one before."""

    starts_at: int
    before: Run
    step: int
    steps: list[Step]
    between: Step | None
    within: int
    max_pause: int | None

    def given_up(self, now: int) -> bool:
        if now > self.starts_at + self.within:
            return True
        late = self.max_pause is not None and now > self.before.last_true + self.max_pause
        return late and not self.under_way(now)

    def under_way(self, now: int) -> bool:
        """Whether a run of the awaited step goes on that began in time."""
        step = self.steps[self.step]
        return step.run is not None and step.lasts(step.run, now) and self.in_time(step.run)

    def dipped(self, now: int) -> bool:
        """Whether this is the very ms in which the run that kept it alive was FALSE for too long."""
        step = self.steps[self.step]
        run = step.run
        if run is None or run.held is not False or not self.in_time(run) or now > self.starts_at + self.within:
            return False
        return step.was_false(run, now - 1) < step.max_dip <= step.was_false(run, now)

    def in_time(self, run: Run) -> bool:
        return self.max_pause is None or run.opened_at - self.before.last_true <= self.max_pause


class Sequences:
    """One thing, then another, in one scope."""

    def __init__(self, view: View) -> None:
        assert view.rule.sequence
        self.view = view
        self.sequence = view.rule.sequence
        self.signals = [Signal(view, step.when) for step in self.sequence.steps]
        between = self.sequence.not_between
        self.between = Signal(view, between.when) if between else None
        self.first: Step | None = None

    def feed(self, life: Life, ts: int, faces: Faces | None, zone: str) -> None:
        """Read a sample; without faces it is UNKNOWN."""
        values: list[Value] = [None] * len(self.signals)
        between: Value = None
        if faces is not None:
            values[0] = self.signals[0].read(ts, faces.values())[0]
        if faces is not None and life.alarm:
            values[1:], between = self.read_others(ts, faces)
        self.first = self.first or Step(life, self.sequence.steps[0].for_)
        begun = self.first.read(ts, values[0])
        if any(value is not None for value in values) and not (life.alarm and life.alarm.fired_at is not None):
            life.read_at = ts
        if life.alarm and life.alarm.fired_at is not None:
            life.sample(ts, values[-1], None)
            return
        if life.alarm:
            self.go_on(life, ts, values, between, faces or {}, begun=begun, zone=zone)
        elif begun and faces is not None:
            self.begin(life, ts, values, faces, zone)
        if life.alarm and life.alarm.fired_at is None:
            life.check(ts)

    def read_others(self, ts: int, faces: Faces) -> tuple[list[Value], Value]:
        """All but the first step, and `not_between`."""
        values = [signal.read(ts, faces.values())[0] for signal in self.signals[1:]]
        return values, self.between.read(ts, faces.values())[0] if self.between else None

    def watch_others(self) -> None:
        """What comes after the first step is watched from there on, as if never before."""
        view, between = self.view, self.sequence.not_between
        self.signals[1:] = [Signal(view, step.when) for step in self.sequence.steps[1:]]
        self.between = Signal(view, between.when) if between else None

    def begin(self, life: Life, ts: int, values: list[Value], faces: Faces, zone: str) -> None:
        run = self.first.run if self.first else None
        assert run
        life.open(ts, run.opened_at, zone, None)
        if life.alarm is None:
            return
        sequence = self.sequence
        between = Step(life, sequence.not_between.for_) if sequence.not_between else None
        pause = None if sequence.max_pause is None else ms(sequence.max_pause)
        steps = [Step(life, step.for_) for step in sequence.steps]
        life.alarm.match = Match(run.opened_at, run, 1, steps, between, ms(sequence.within), pause)
        self.watch_others()
        values[1:], _ = self.read_others(ts, faces)
        self.progress(life, life.alarm.match, ts, values)

    def go_on(
        self, life: Life, ts: int, values: list[Value], between: Value, faces: Faces, *, begun: bool, zone: str
    ) -> None:
        match = life.alarm.match if life.alarm else None
        assert match
        if match.step > 1 and not match.before.over:
            match.steps[match.step - 1].read(ts, values[match.step - 1])
        self.progress(life, match, ts, values)
        if life.alarm is None or life.alarm.fired_at is not None:
            return
        if match.between and match.between.read(ts, between):
            life.end(ts, "between", phase=1)
            return
        waits = match.step == 1 and self.sequence.overlap == "latest"
        if begun and waits and self.first and self.first.run and self.first.run.opened_at > match.before.last_true:
            life.end(ts, "replaced", phase=1)
            self.begin(life, ts, values, faces, zone)

    def progress(self, life: Life, match: Match, ts: int, values: list[Value]) -> None:
        """Take as many steps as this sample allows."""
        while match.step < len(match.steps):
            step = match.steps[match.step]
            satisfied = step.read(ts, values[match.step])
            if not satisfied or step.run is None or not match.in_time(step.run):
                return
            match.before = step.run
            match.step += 1
        self.confirm(life, ts)

    def confirm(self, life: Life, ts: int) -> None:
        life.fire(ts)
        if life.alarm and life.alarm.fired_at is None:
            life.end(ts, "cooldown", phase=1)
        elif life.alarm:
            life.held, life.read_at, life.settled, life.false_ms = True, ts, ts, 0
            life.check(ts)


# --- one rule in one partition

Condition = Sustained | CountTracks | Absence | Share | Change | Pulses | Sequences


def condition_of(view: View) -> Condition:
    rule = view.rule
    kinds: dict[str, Callable[[View], Condition]] = {
        "pulse": Pulses, "count": CountTracks, "absence": Absence, "share": Share, "change": Change,
        "sequence": Sequences,
    }  # fmt: skip
    return kinds.get(rule.condition, Sustained)(view)


def leaves_of(condition: Condition) -> list[Leaf]:
    """The parts of the predicates of a condition over one face."""
    if isinstance(condition, Change):
        return [condition.leaf]
    if isinstance(condition, Sequences):
        return condition.signals[0].leaves()
    return condition.signal.leaves() if isinstance(condition, Sustained | Pulses) else []


@dataclass(eq=False)
class Key:
    """One scope: what the condition remembers, and the life of its alert."""

    condition: Condition
    life: Life

    def claim(self, ts: int) -> tuple[float, bool, float]:
        """Of two tracks that are one face the smaller one goes on: with the older alert, else what shows something,
        else what was read last."""
        alarm = self.life.alarm
        on = any(leaf.past[-1].on for leaf in leaves_of(self.condition) if leaf.lasts(ts))
        read_at = self.life.read_at
        return alarm.starts_at if alarm else math.inf, not on, math.inf if read_at is None else -read_at

    def feed(self, ts: int, faces: Faces | None, *, zone: str = "", complete: bool = True) -> None:
        """Read a sample; without faces it is UNKNOWN."""
        life = self.life
        life.pass_to(ts)
        if isinstance(self.condition, Sequences):
            self.condition.feed(life, ts, faces, zone)
        elif faces is None:
            if isinstance(self.condition, Pulses):
                self.condition.missed(ts)
            life.sample(ts, None, None)
        else:
            value, level = self.condition.read(ts, faces, complete=complete, active=life.alarm is not None)
            life.sample(ts, value, None if level == NOBODY else level, zone=zone)


@dataclass
class World:
    """What the cameras of a partition showed so far."""

    members: Mapping[str, Camera]
    times: dict[str, list[int]] = field(default_factory=dict)
    shown: dict[str, tuple[int, list[FaceTrack]] | None] = field(default_factory=dict)

    def see(self, ts: int, record: Observation, most: int) -> None:
        self.times.setdefault(record.camera_id, []).append(ts)
        oldest = sorted(record.faces, key=lambda face: (face.first_ts, face.track_id))[:most]
        self.shown[record.camera_id] = (ts, [face for face in record.faces if face in oldest])

    def fps(self, camera: str, now: int) -> int:
        times = self.times[camera]
        return len(times) - bisect_left(times, now - 999)

    def faces(self, now: int, max_gap: int) -> tuple[dict[Track, FaceTrack], bool]:
        """The faces that are seen now, and whether every camera is."""
        seen = {camera: shown[1] for camera, shown in self.shown.items() if shown and now - shown[0] <= max_gap}
        faces = {(camera, face.track_id): face for camera in sorted(seen) for face in seen[camera]}
        return faces, len(seen) == len(self.members)


class Watch:
    """One rule over one partition."""

    def __init__(self, rules: RuleSet, rule: Rule, world: World, tell: Callable[[Transition], None]) -> None:
        self.rules, self.rule, self.world, self.tell = rules, rule, world, tell
        interval = max(camera.interval for camera in world.members.values())
        self.max_gap = ms(max(3 * interval, 0.5) if rule.max_gap is None else rule.max_gap)
        self.view = View(rule, rules.signals, self.max_gap)
        self.keys: dict[object, Key] = {}
        self.limited: Alarm | None = None
        self.notices: list[Alarm] = []
        """What was said about too many alerts; nothing silences that."""
        self.coming: list[int] = []
        """Samples of a gap that are still to come, for an absence of frames."""
        self.inside_until = 0
        self.inside = True
        self.frames = rule.absence is not None and rule.absence.of == "frames"

    def key(self, of: object) -> Key:
        if of not in self.keys:
            self.keys[of] = Key(condition_of(self.view), Life(self))
        return self.keys[of]

    # time

    def pass_to(self, to: int) -> None:
        """Let everything happen that is due by `to`, the ends of the schedule among it."""
        if not self.rule.schedule:
            self.pass_inside(to)
            return
        schedule = self.rules.schedules[self.rule.schedule]
        if not self.inside_until:
            self.inside, self.inside_until = schedule.span(to)
        while self.inside_until <= to:
            edge = self.inside_until
            if self.inside:
                self.pass_inside(edge)
            inside, self.inside_until = schedule.span(edge)
            if self.inside and not inside:
                self.stop_looking(edge)
            if inside and not self.inside:
                self.coming = [ts for ts in self.coming if ts >= edge]
            self.inside = inside
        if self.inside:
            self.pass_inside(to)

    def finish(self, end: int) -> None:
        """End of input: what is due still comes, and no time would end an absence of frames."""
        self.pass_to(end)
        life = self.key("").life if self.frames else None
        if life and life.alarm:
            life.end(end, "gap" if life.alarm.fired_at is None else "lost", phase=1)
        self.pass_to(end + 3_600_000)

    def pass_inside(self, to: int) -> None:
        while self.coming and self.coming[0] <= to:
            ts = self.coming.pop(0)
            self.read_frames(ts, there=False)
        for key in self.keys.values():
            key.life.pass_to(to)

    def stop_looking(self, ts: int) -> None:
        for name, key in list(self.keys.items()):
            if key.life.alarm:
                key.life.end(ts, "schedule", phase=0)
            del self.keys[name]
            if key.life.quiet_until:
                self.key(name).life.quiet_until = key.life.quiet_until
                self.key(name).life.now = ts
        self.coming = self.coming[-1:]

    # records

    def gap(self, ts: int, gap: Gap) -> None:
        self.pass_to(ts)
        if not self.inside:
            if self.frames and self._counts(gap):
                self.coming = [end_of(gap)]
            return
        if self.frames:
            if self._counts(gap):
                self.begin_gap(ts, end_of(gap))
            return
        for key in self.keys.values():
            key.feed(ts, None)

    def _counts(self, gap: Gap) -> bool:
        reasons = self.rule.absence.reasons if self.rule.absence else ()
        return not reasons or gap.reason in reasons

    def begin_gap(self, ts: int, end: int) -> None:
        self.read_frames(ts, there=False)
        alarm = self.key("").life.alarm
        enough = alarm.starts_at + ms(self.rule.for_) if alarm else end
        self.coming = sorted({end, enough} if ts < enough < end else {end})

    def read_frames(self, ts: int, *, there: bool) -> None:
        life = self.key("").life
        life.pass_to(ts)
        since = life.alarm.starts_at if life.alarm else ts
        life.sample(ts, not there, 0.0 if there else (ts - since) / 1000)

    def observe(self, ts: int, record: Observation) -> None:
        self.pass_to(ts)
        if not self.inside:
            return
        if self.frames:
            self.coming = []
            self.read_frames(ts, there=True)
            return
        for event in record.events:
            if event.kind is TrackEventKind.MERGED and event.into:
                self.merge(ts, (record.camera_id, event.track_id), (record.camera_id, event.into))
        slow = self.too_slow(record.camera_id, ts)
        faces, complete = self.world.faces(ts, self.max_gap)
        for of, part, zone in self.scopes(faces):
            key = self.key(of)
            key.feed(ts, None if slow else part, zone=zone, complete=complete)
        if self.rule.scope is Scope.TRACK:
            for track, key in self.keys.items():
                if track not in faces:
                    key.feed(ts, None)

    def too_slow(self, camera: str, ts: int) -> bool:
        fps = self.world.fps(camera, ts)
        needs = self.rule.requires.fps * 0.9 if self.rule.requires else 0
        return fps < needs or (self.rule.absence is not None and fps < self.rule.absence.min_fps)

    def scopes(self, faces: dict[Track, FaceTrack]) -> Iterator[tuple[object, Faces, str]]:
        """Every scope of the rule with its faces, and the zone that its alert would name."""
        rule = self.rule
        zones = rule.where.zones
        if rule.scope is Scope.TRACK:
            for track, face in faces.items():
                here = [zone for zone in face.zones if not zones or zone in zones]
                yield track, ({track: face} if here or not zones else {}), here[0] if here else ""
            return
        among = [zones, self.rules.groups[rule.group].zones if rule.group else ()]
        faces = {
            track: face
            for track, face in faces.items()
            if all(not some or set(some) & set(face.zones) for some in among)
        }
        if rule.scope is Scope.ZONE:
            (camera,) = self.world.members.values()
            for zone in zones or camera.zones:
                yield zone, {track: face for track, face in faces.items() if zone in face.zones}, zone
        else:
            yield "", faces, ""

    def merge(self, ts: int, old: Track, into: Track) -> None:
        if self.rule.scope is not Scope.TRACK:
            for key in self.keys.values():
                if isinstance(key.condition, CountTracks | Absence | Share):
                    key.condition.crowd.merge(old, into)
            return
        life = self.keys[old].life if old in self.keys else None
        if life is None or life.read_at is None or ts - life.read_at > ms(self.rule.reacquire.within):
            return
        gone, stays = self.keys.pop(old), self.key(into)
        kept = min((gone, stays), key=lambda key: key.claim(ts))
        other = stays if kept is gone else gone
        if other.life.alarm:
            other.life.end(ts, "merged", phase=1)
        kept.life.quiet_until = max(gone.life.quiet_until, stays.life.quiet_until)
        kept.life.began = max(gone.life.began, stays.life.began)
        self.keys[into] = kept

    # too many

    def full(self, now: int) -> bool:
        """Whether no more alerts may be open; said once, by an alert of its own."""
        if sum(key.life.alarm is not None for key in self.keys.values()) < self.rules.limits.max_active_per_rule:
            return False
        if self.limited is None:
            self.limited = Alarm("rule-limited", "", now, Severity.WARNING, fired_at=now)
            self.limited.told.append(Transition(self.limited, now, 1, "firing", "limit", Severity.WARNING))
            self.notices.append(self.limited)
        return True

    def has_room(self, ts: int, phase: int) -> None:
        if self.limited:
            self.limited.told.append(Transition(self.limited, ts, phase, "resolved", "condition", Severity.WARNING))
            self.limited.ended, self.limited = True, None


def evaluate(
    rules: RuleSet,
    mine: Sequence[Rule],
    partition: str,
    members: Mapping[str, Camera],
    records: Iterable[tuple[int, Observation | Gap]],
) -> list[History]:
    """All alerts of one partition."""
    told: list[tuple[tuple[int, ...], Transition]] = []
    tick = numbers()
    place = [0, 0]

    def tell(transition: Transition) -> None:
        record = place[0] if transition.phase == 1 else 0
        told.append(((transition.ts, transition.phase, record, place[1], next(tick)), transition))

    world = World(members)
    watches = [Watch(rules, rule, world, tell) for rule in mine]
    end = 0
    for number, (ts, record) in enumerate(records):
        end = max(end, ts, end_of(record))
        for order, watch in enumerate(watches):
            place[:] = number, order
            watch.pass_to(ts)
        if isinstance(record, Gap):
            world.shown[record.camera_id] = None
        else:
            world.see(ts, record, rules.limits.max_tracks_per_camera)
        for order, watch in enumerate(watches):
            place[:] = number, order
            if isinstance(record, Gap):
                watch.gap(ts, record)
            else:
                watch.observe(ts, record)
    for order, watch in enumerate(watches):
        place[:] = 1 << 40, order
        watch.finish(end)
    transitions = [transition for _, transition in sorted(told, key=lambda each: each[0])]
    silence(rules, transitions)
    alarms = {id(each.alarm): each.alarm for each in transitions}
    notices = [notice for watch in watches for notice in watch.notices]
    return [
        History(partition, alarm.rule, alarm.zone, alarm.starts_at, _told(alarm))
        for alarm in [*alarms.values(), *notices]
    ]


def _told(alarm: Alarm) -> tuple[Told, ...]:
    return tuple(
        Told(
            each.ts, each.status, each.reason, each.severity.value, each.silenced_by, each.samples, each.suppressed,
            _rounded(each.coverage), _rounded(each.last), _rounded(each.highest),
        )
        for each in alarm.told
    )  # fmt: skip


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)


# --- who is told


@dataclass
class Queue:
    """Alerts that are sent together: when next, and when last."""

    at: int | None = None
    last: float = -math.inf


class Silence:
    """Goes through the transitions of a partition in their order and says which are not sent, and why."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.by_id = {rule.id: rule for rule in rules.rules}
        self.firing: list[Alarm] = []
        self.unsent: dict[int, Alarm] = {}
        self.queues: dict[tuple[str, ...], Queue] = {}
        self.queued: dict[int, Queue] = {}

    def told(self, each: Transition) -> None:
        alarm = each.alarm
        alarm.told.append(each)
        if each.status == "firing":
            self.tell_firing(each)
        elif each.status == "resolved":
            self.firing.remove(alarm)
            if self.unsent.pop(id(alarm), None):
                each.silenced_by = alarm.told[-2].silenced_by

    def tell_firing(self, each: Transition) -> None:
        alarm = each.alarm
        if alarm not in self.firing:
            self.firing.append(alarm)
            self.unsent[id(alarm)] = alarm
        each.silenced_by = self.cause(alarm, each.severity, each.ts)
        if not each.silenced_by:
            self.unsent.pop(id(alarm), None)

    def release(self, now: int) -> None:
        """At the end of a ms: tell again what is silent for no reason any more."""
        sending = [queue for queue in self.queues.values() if queue.at is not None and queue.at <= now]
        for alarm in list(self.unsent.values()):
            severity = alarm.told[-1].severity
            if not self.cause(alarm, severity, now):
                del self.unsent[id(alarm)]
                alarm.told.append(Transition(alarm, now, 3, "firing", "released", severity))
        for queue in sending:
            queue.at = None

    def cause(self, alarm: Alarm, severity: Severity, now: int) -> str:
        return self.inhibited(alarm) or self.muted(alarm, severity, now) or self.grouped(alarm, severity, now)

    def inhibited(self, alarm: Alarm) -> str:
        for rule in self.rules.in_order():
            for inhibit in rule.inhibit:
                if alarm.rule not in self.targets(rule, inhibit.rules):
                    continue
                same = [other for other in self.firing if other.rule == rule.id]
                if any("zone" not in inhibit.equal or other.zone == alarm.zone for other in same):
                    return f"inhibited:{rule.id}"
        return ""

    def targets(self, rule: Rule, named: tuple[str, ...]) -> set[str]:
        every = {other.id for other in self.rules.rules if not any("*" in inhibit.rules for inhibit in other.inhibit)}
        return {target for name in named for target in (every if name == "*" else {name})} - {rule.id}

    def muted(self, alarm: Alarm, severity: Severity, now: int) -> str:
        for mute in self.rules.routing.mute:
            concerned = not mute.rules or alarm.rule in mute.rules
            below = mute.severity_below is None or severity.rank < mute.severity_below.rank
            if concerned and below and self.rules.schedules[mute.schedule].span(now)[0] is not mute.invert:
                return f"muted:{mute.schedule}"
        return ""

    def grouped(self, alarm: Alarm, severity: Severity, now: int) -> str:
        routing = self.rules.routing
        if id(alarm) not in self.unsent or severity is Severity.CRITICAL:
            return ""
        labels = {"rule": alarm.rule, "camera": "", "zone": alarm.zone, "severity": severity.value}
        queue = self.queues.setdefault(tuple(labels[name] for name in routing.group_by), Queue())
        if queue.at is None or queue.at < now:
            queue.at = int(max(now + ms(routing.group_wait), queue.last + ms(routing.group_interval)))
        if queue.at > now:
            return "grouped"
        queue.last = now
        return ""

    def next_change(self, now: int) -> list[int]:
        """When a silence may end by itself."""
        if not self.unsent:
            return []
        edges = [self.rules.schedules[mute.schedule].span(now)[1] for mute in self.rules.routing.mute]
        return edges + [queue.at for queue in self.queues.values() if queue.at is not None and queue.at > now]


def silence(rules: RuleSet, transitions: Sequence[Transition]) -> None:
    """Fill in `silenced_by` and `told` of the alarms, with what is released."""
    ear = Silence(rules)
    left = list(transitions)
    while left:
        now = left[0].ts
        while left and left[0].ts == now:
            ear.told(left.pop(0))
        ear.release(now)
        while left and (soon := [at for at in ear.next_change(now) if at < left[0].ts]):
            now = min(soon)
            ear.release(now)
