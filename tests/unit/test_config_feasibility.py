"""What rules ask of schedules, cameras and memory; the messages themselves are golden files."""

from __future__ import annotations

import math

import pytest

from operators.records import Scope
from operators.rules import (
    Baseline,
    Change,
    Count,
    Flank,
    Predicate,
    Pulse,
    Ratio,
    Requires,
    Rule,
    Schedule,
    Sequence,
    Share,
    Smooth,
    Step,
)
from pipeline.feasibility import View, infeasible, leaves, longest_opening, state_bytes

FEAR = Predicate(prob="fear", enter=0.6)
CALM = Predicate(prob="neutral", enter=0.5)
VALENCE = Predicate(value="valence")


def told(rule: Rule, view: View) -> list[tuple[str, str]]:
    """Severity and place of every complaint."""
    return [(found.severity, ".".join(map(str, found.location))) for found in infeasible(rule, view)]


def fps(*rates: float) -> View:
    return View(fps={f"camera-{index}": rate for index, rate in enumerate(rates)})


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        (Schedule("Europe/Vienna"), math.inf),
        (Schedule("Europe/Vienna", ("08:00-18:00",)), 10),
        (Schedule("Asia/Kolkata", ("08:00-12:00", "12:00-18:00", "20:00-21:00")), 10),
        (Schedule("America/New_York", ("22:00-06:00",), ("fri",)), 8),
        (Schedule("UTC", ("00:00-24:00",), ("sat", "sun")), 48),
        (Schedule("UTC", ("00:00-24:00",), ("mon", "tue", "wed", "thu", "fri", "sat")), 144),
        (Schedule("Pacific/Auckland", ("06:00-05:59",)), 23 + 59 / 60),
    ],
)
def test_the_longest_opening_of_a_schedule(schedule: Schedule, hours: float) -> None:
    assert longest_opening(schedule) == hours * 3600


@pytest.mark.parametrize(
    ("rule", "view", "expected"),
    [
        (Rule("a", FEAR, for_=3), fps(5), []),
        (Rule("a", FEAR, for_=3, max_gap=0.2), fps(5), [("error", "max_gap")]),
        (Rule("a", FEAR, for_=3, max_gap=0.21), fps(5), []),
        (Rule("a", FEAR, for_=3, max_gap=0.2), fps(10, 5), [("error", "max_gap")]),
        (Rule("a", FEAR, for_=3, max_gap=0.2), View(), []),
        (Rule("a", FEAR, for_=0.1, min_samples=1), fps(5), [("warning", "for")]),
        (Rule("a", FEAR, for_=0.2, min_samples=2), fps(5), []),
        (Rule("a", FEAR, for_=0.15, scope=Scope.SITE), fps(5), [("warning", "for")]),
        (Rule("a", FEAR, for_=0.15, scope=Scope.SITE), fps(5, 5), []),
        (Rule("a", FEAR, for_=0.79), fps(5), [("warning", "for")]),
        (Rule("a", FEAR, for_=0.8), fps(5), []),
        (Rule("a", FEAR), fps(5), []),
        (Rule("a", FEAR, requires=Requires(10)), fps(10, 9), [("error", "requires.fps")]),
        (Rule("a", FEAR, pulse=Pulse()), fps(24), []),
        (Rule("a", FEAR, pulse=Pulse()), fps(23), [("warning", "pulse.max")]),
        (Rule("a", FEAR, pulse=Pulse(max=1.0)), fps(12), []),
        (Rule("a", FEAR, pulse=Pulse(), requires=Requires(25)), fps(10), [("error", "requires.fps")]),
        (Rule("a", FEAR, pulse=Pulse(flank=Flank(CALM, 0.04))), fps(24), [("error", "pulse.flank.within")]),
        (Rule("a", FEAR, for_=3600), View(opening=3600), [("error", "for")]),
        (Rule("a", FEAR, for_=3599), View(opening=3600), []),
        (Rule("a", FEAR), View(opening=0), [("error", "schedule")]),
        (Rule("a", VALENCE, change=Change(absolute=2)), View(), []),
        (Rule("a", VALENCE, change=Change(absolute=2.1)), View(), [("error", "change.absolute")]),
        (Rule("a", VALENCE, change=Change(zscore=200)), View(), []),
        (Rule("a", VALENCE, change=Change(zscore=201)), View(), [("error", "change.zscore")]),
    ],
)
def test_what_is_told(rule: Rule, view: View, expected: list[tuple[str, str]]) -> None:
    assert told(rule, view) == expected


def test_a_signal_reaches_as_far_as_its_weights() -> None:
    view = View({"tension": {"fear": 0.5, "happiness": -0.5}})
    for enter, expected in ((0.5, []), (-0.5, []), (0.51, ["when.enter"]), (-0.51, ["when.enter"])):
        rule = Rule("a", Predicate(prob="tension", enter=enter))
        assert [where for _, where in told(rule, view)] == expected


def test_what_a_baseline_can_observe_is_one_reading_per_cell() -> None:
    """Over 10 s a cell is 83 ms; at 5 pictures per second 50 of the 120 have a reading: 4.17 s."""
    for least, expected in ((4.1, []), (4.2, [("error", "change.baseline.min_observed")])):
        baseline = Baseline(over=10, min_observed=least)
        assert told(Rule("a", VALENCE, change=Change(zscore=3, baseline=baseline)), fps(5)) == expected


def test_leaves_are_found_in_every_corner() -> None:
    tree = Predicate(any=(FEAR, Predicate(not_=Predicate(all=(CALM, FEAR)))))
    steps = Sequence((Step(FEAR), Step(tree)), within=4)
    assert [at for at, _ in leaves(Rule("a", sequence=steps))] == [
        ("sequence", "steps", 0, "when"),
        ("sequence", "steps", 1, "when", "any", 0),
        ("sequence", "steps", 1, "when", "any", 1, "not", "all", 0),
        ("sequence", "steps", 1, "when", "any", 1, "not", "all", 1),
    ]


def test_memory_grows_with_what_is_remembered() -> None:
    plain = state_bytes(Rule("a", FEAR), 25)
    median = Predicate(prob="fear", enter=0.6, smooth=Smooth(median=2))
    assert state_bytes(Rule("a", median), 25) == plain + 8 * 2 * 50
    assert state_bytes(Rule("a", FEAR, for_=60, ratio=Ratio(0.7)), 25) == plain + 8 * 3 * 13
    assert state_bytes(Rule("a", VALENCE, change=Change(zscore=3)), 25) < 4096
    crowd = Rule("a", FEAR, scope=Scope.CAMERA, share=Share(0.4))
    assert state_bytes(crowd, 25) < plain
    pulses = Rule("a", FEAR, pulse=Pulse(), count=Count(100, 60, of="pulses"))
    assert state_bytes(pulses, 25) == plain + 8 * (6 + 100)
