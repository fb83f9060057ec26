"""The evaluator against a deliberately naive oracle, and against itself in any order, cut anywhere.

The oracle walks through every millisecond of one face with the whole list of its samples at hand. It shares no code and
no idea with the evaluator, which keeps a few numbers and jumps from event to event.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.records import Alert, Clock, FaceTrack, Gap, GapReason, Observation, Severity, Tick
from operators.rules import Escalation, EvaluatorState, Predicate, Rule, RuleEvaluator

START_MS = 1_763_715_600_000
OUT_OF_ORDER_MS = 300
EXAMPLES = 2500

Record = Observation | Gap | Tick
Told = tuple[int, int, str, str, str, int, int, float]
"""ts and start in ms, status, reason, severity, samples, suppressed, coverage."""


@dataclass(frozen=True)
class Story:
    """What a camera saw: at each ms and for each face a level, or None for UNKNOWN; `gaps` are UNKNOWN for all."""

    faces: dict[str, dict[int, float | None]]
    gaps: list[tuple[int, int]]
    records: list[Observation | Gap]
    end: int


class Oracle:
    """One rule over one face, millisecond by millisecond."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.max_gap = round((rule.max_gap or 0) * 1000)
        self.lost_after = max(round(rule.lost_after * 1000), self.max_gap)
        self.max_dip = round(rule.max_dip * 1000)
        self.keep_firing_for = round(rule.keep_firing_for * 1000)
        self.told: list[Told] = []
        self.on = False
        self.held = "U"
        self.read_at: int | None = None
        self.false_ms = 0
        self.start: int | None = None
        self.fired_at: int | None = None
        self.quiet_until = 0
        self.silenced = False

    def run(self, samples: Mapping[int, float | None], gaps: Iterable[int], begin: int, end: int) -> list[Told]:
        gap_starts = set(gaps)
        for now in range(begin, end):
            self.check_unknown(now)
            self.check_end(now)
            if now in samples:
                self.read(now, samples[now])
            if now in gap_starts:
                self.held = "U"
            self.check_end(now)
            self.count(now)
        return sorted(self.told)

    def check_unknown(self, now: int) -> None:
        if self.read_at is None:
            return
        unread = now - self.read_at
        if unread > self.max_gap:
            self.on = False
        if self.start is not None and self.fired_at is None and unread > self.max_gap:
            self.end(now - 1, "gap")
        elif self.fired_at is not None and unread > self.lost_after:
            self.end(now - 1, "lost")

    def check_end(self, now: int) -> None:
        if self.start is None:
            return
        limit = self.max_dip if self.fired_at is None else self.keep_firing_for
        # Exactly at the end of its hold a FALSE sample has still been FALSE all the time.
        if self.was_false(now) and self.false_ms >= limit:
            self.end(now, "dip" if self.fired_at is None else "condition")
        elif self.fired_at is not None:
            if self.rule.max_duration and now == self.fired_at + round(self.rule.max_duration * 1000):
                self.end(now, "expired")
            elif self.rule.repeat_every and now == self.notified + round(self.rule.repeat_every * 1000):
                self.notified = now
                self.tell(now, "firing", "repeat")

    def was_false(self, now: int) -> bool:
        assert self.read_at is not None
        return self.held == "F" and now - self.read_at <= self.max_gap

    def read(self, now: int, level: float | None) -> None:
        if level is None:
            self.held = "U"
            return
        enter = self.rule.when.enter
        exit_ = enter if self.rule.when.exit is None else self.rule.when.exit
        self.on = level >= (exit_ if self.on else enter)
        self.held = "T" if self.on else "F"
        self.read_at = now
        if self.start is not None:
            self.samples += 1
        if self.on:
            self.false_ms = 0
            self.read_true(now)

    def read_true(self, now: int) -> None:
        if self.start is None:
            self.start, self.samples, self.known_ms = now, 1, 0
            self.severity = self.rule.severity
            self.last_true, self.covered = now, 1.0
            self.tell(now, "pending", "condition")
        self.last_true = now
        elapsed = now - self.start
        self.covered = self.known_ms / elapsed if elapsed else 1.0
        worthy = self.rule.severity
        for step in self.rule.escalate:
            if elapsed >= round(step.after * 1000):
                worthy = step.severity
        if self.fired_at is not None:
            if worthy != self.severity:
                self.severity, self.notified = worthy, now
                self.tell(now, "firing", "escalated")
            return
        long_enough = elapsed >= round(self.rule.for_ * 1000)
        if long_enough and self.samples >= self.rule.min_samples and self.covered >= self.rule.min_coverage:
            if now < self.quiet_until:
                self.silenced = True
            else:
                self.fired_at = self.notified = now
                self.silenced, self.severity = False, worthy
                self.tell(now, "firing", "condition")

    def end(self, ts: int, reason: str) -> None:
        self.tell(ts, "broken" if self.fired_at is None else "resolved", reason)
        if self.fired_at is not None:
            self.quiet_until = ts + round(self.rule.cooldown * 1000)
        self.start, self.fired_at, self.silenced = None, None, False

    def tell(self, ts: int, status: str, reason: str) -> None:
        assert self.start is not None
        severity = self.severity.value
        told = (ts, self.start, status, reason, severity, self.samples, int(self.silenced), round(self.covered, 6))
        self.told.append(told)

    def count(self, now: int) -> None:
        """The value holds during this millisecond."""
        if self.read_at is None or now - self.read_at >= self.max_gap or self.held == "U":
            return
        self.false_ms += self.held == "F"
        if self.start is not None:
            self.known_ms += 1


def told(alert: Alert) -> Told:
    evidence = alert.evidence
    return (
        round(alert.ts * 1000),
        round(alert.starts_at * 1000),
        alert.status.value,
        alert.reason,
        alert.severity.value,
        int(evidence["samples"]),
        int(evidence["suppressed"]),
        evidence["coverage"],
    )


def tenths(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda tenth: tenth / 10)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    after = draw(st.lists(tenths(3, 30), max_size=2, unique=True).map(sorted))
    return Rule(
        "rule",
        Predicate(prob="fear", enter=0.6, exit=draw(st.sampled_from([None, 0.45]))),
        escalate=tuple(Escalation(*step) for step in zip(after, (Severity.WARNING, Severity.CRITICAL))),  # noqa: B905
        severity=Severity.NOTICE,
        for_=draw(tenths(0, 20)),
        max_gap=draw(tenths(1, 9)),
        max_dip=draw(tenths(0, 5)),
        min_coverage=draw(st.sampled_from([0.0, 0.6, 0.9])),
        min_samples=draw(st.integers(1, 6)),
        min_quality=0.4,
        keep_firing_for=draw(tenths(0, 12)),
        lost_after=draw(tenths(0, 15)),
        cooldown=draw(tenths(0, 30)),
        max_duration=draw(st.sampled_from([None, None, 0.5, 2.0])),
        repeat_every=draw(st.sampled_from([None, None, 0.4, 1.0])),
    )


KINDS = ("high", "high", "high", "middle", "low", "low", "dropped", "gap", "absent", "poor", "unreadable")
LEVELS = {"high": 0.8, "middle": 0.5, "low": 0.2}
segments = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 10)), min_size=1, max_size=9)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    fps = draw(st.integers(2, 30))
    jitter = draw(st.integers(0, 400 // fps))
    plots = [[kind for kind, count in draw(segments) for _ in range(count)] for _ in range(draw(st.integers(1, 2)))]
    noise = random.Random(draw(st.integers(0, 99)))
    length = min(max(map(len, plots)), 6 * fps)
    times = [START_MS + i * 1000 // fps + noise.randint(0, jitter) for i in range(length + 1)]
    faces: dict[str, dict[int, float | None]] = {f"t{n}": {} for n in range(len(plots))}
    records: list[Observation | Gap] = []
    gaps = []
    for i, ts in enumerate(times[:-1]):
        kinds = [plot[i] if i < len(plot) else "absent" for plot in plots]
        if kinds[0] == "gap":
            gaps.append((ts, times[i + 1]))
            records.append(Gap("cam", ts / 1000, times[i + 1] / 1000, GapReason.LOST))
        elif kinds[0] != "dropped":
            for kind, samples in zip(kinds, faces.values(), strict=True):
                samples[ts] = LEVELS.get(kind)
            shown = tuple(_face(n, kind) for n, kind in enumerate(kinds) if kind not in ("absent", "gap", "dropped"))
            records.append(Observation("cam", 1, i, ts / 1000, Clock.SENDER, shown))
    return Story(faces, gaps, records, times[-1] + 2000)


def _face(number: int, kind: str) -> FaceTrack:
    """The face of track `number`; its place tells the tests apart what alerts don't."""
    quality = 0.1 if kind == "poor" else 0.9
    label, scores = ("unknown", {}) if kind == "unreadable" else ("fear", {"fear": LEVELS.get(kind, 0.8)})
    box = (100.0 * number, 0.0, 100.0 * number + 50, 50.0)
    return FaceTrack(f"t{number}", 0.0, box, 0.9, 50.0, quality, label=label, scores=scores)


def run(rule: Rule, records: Iterable[Record], *, out_of_order: float = 0.0, cuts: Iterable[int] = ()) -> list[Alert]:
    """All transitions, with the state stored and read back, and the evaluator made anew, at `cuts`."""
    evaluator = RuleEvaluator((rule,), out_of_order)
    state: EvaluatorState | None = None
    alerts: list[Alert] = []
    cut_at = set(cuts)
    for i, record in enumerate(records):
        if i in cut_at and state is not None:
            stored = msgspec.json.encode(state)
            restored = msgspec.json.decode(stored, type=EvaluatorState)
            assert restored == state
            evaluator, state = RuleEvaluator((rule,), out_of_order), restored
        state, new = evaluator.step(state, record)
        alerts += new
    if state is not None:
        state, new = evaluator.flush(state)
        assert state.books == {} or all(slot.alarm is None for slot in state.books["rule"].slots.values())
        alerts += new
    return alerts


def canonical(alerts: list[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: (alert.ts, alert.alert_id, alert.seq))


@pytest.mark.timeout(900)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rule=rules(), story=stories())
def test_transitions_are_the_oracles(rule: Rule, story: Story) -> None:
    expected = sorted(
        line
        for samples in story.faces.values()
        for line in Oracle(rule).run(samples, (start for start, _ in story.gaps), START_MS, story.end)
    )
    assert sorted(told(alert) for alert in run(rule, story.records)) == expected


@pytest.mark.timeout(900)
@settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rule=rules(), story=stories(), seed=st.integers(0, 999))
def test_order_of_arrival_cuts_repeats_and_ticks_change_nothing(rule: Rule, story: Story, seed: int) -> None:
    noise = random.Random(seed)
    expected = canonical(run(rule, story.records))

    def arrival(record: Record) -> int:
        if isinstance(record, Gap):
            return round(record.to_ts * 1000)
        return round(record.ts * 1000) + noise.randrange(OUT_OF_ORDER_MS)

    arrivals = sorted(((arrival(record), i) for i, record in enumerate(story.records)))
    shuffled = [story.records[i] for _, i in arrivals]
    assert canonical(run(rule, shuffled, out_of_order=OUT_OF_ORDER_MS / 1000)) == expected

    cuts = [noise.randrange(len(shuffled) + 1) for _ in range(3)]
    assert canonical(run(rule, shuffled, out_of_order=OUT_OF_ORDER_MS / 1000, cuts=cuts)) == expected
    assert run(rule, story.records, cuts=range(len(story.records))) == run(rule, story.records)

    repeated = [record for record in story.records for _ in range(2)]
    assert canonical(run(rule, repeated)) == expected

    ticked: list[Record] = []
    for before, after in zip_longest(story.records, story.records[1:]):
        ticked.append(before)
        low = before.to_ts if isinstance(before, Gap) else before.ts
        high = low + 3 if after is None else (after.from_ts if isinstance(after, Gap) else after.ts)
        ticked.append(Tick("cam", low + noise.random() * (high - low)))
    assert canonical(run(rule, ticked)) == expected
