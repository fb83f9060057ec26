"""What waits for too long is told as a gap, without a hole and without an overlap."""

from __future__ import annotations

from dataclasses import replace

from connectors.kafka_frames import FrameHead
from operators.records import Clock, Gap, GapReason
from pipeline.worker.freshness import Freshness, Waiting

NOW = 1_700_000_000.0


def head(camera: str, seq: int) -> FrameHead:
    return FrameHead(camera, 1, seq, 10.0 + seq, Clock.SENDER, 640, 360)


def test_gaps_follow_each_other_and_the_frames():
    freshness = Freshness(skip_older_than=2.0)
    assert freshness.skip(head("lobby", 0)) == Gap("lobby", 10.0, 10.0, GapReason.OVERLOAD, 1)
    assert freshness.skip(head("lobby", 1)) == Gap("lobby", 10.0, 11.0, GapReason.OVERLOAD, 1)
    freshness.tell("lobby", 12.0)
    assert freshness.skip(head("quay", 7)) == Gap("quay", 17.0, 17.0, GapReason.OVERLOAD, 1)
    assert freshness.skip(head("lobby", 5)) == Gap("lobby", 12.0, 15.0, GapReason.OVERLOAD, 1)
    assert freshness.skipped == {"lobby": 3, "quay": 1}


def test_a_hole_that_rules_bridge_is_no_gap():
    """Every third frame of five a second is a camera with fewer frames, and not one that nobody sees."""

    def frame(ts: float) -> FrameHead:
        return replace(head("lobby", 0), ts=ts)

    freshness = Freshness(skip_older_than=0.5)
    for ts in (10.0, 10.6, 11.2):
        freshness.tell("lobby", ts)
        assert freshness.skip(frame(ts + 0.2), fps=5) is None
        assert freshness.skip(frame(ts + 0.4), fps=5) is None
    assert freshness.skip(frame(11.7), fps=5) is None
    assert freshness.skip(frame(12.0), fps=5) == Gap("lobby", 11.2, 12.0, GapReason.OVERLOAD, 4), "too long: all of it"
    assert freshness.skip(frame(12.2), fps=5) == Gap("lobby", 12.0, 12.2, GapReason.OVERLOAD, 1), "and what follows"
    assert freshness.skipped == {"lobby": 9}
    freshness.tell("lobby", 20.0, seen=False)
    assert freshness.skip(frame(20.2), fps=5) == Gap("lobby", 20.0, 20.2, GapReason.OVERLOAD, 1), "nobody saw it before"


def test_a_clock_that_goes_back_makes_no_gap_backwards():
    freshness = Freshness(skip_older_than=2.0)
    freshness.tell("lobby", 500.0)
    gap = freshness.skip(head("lobby", 0))
    assert gap is not None
    assert gap.from_ts <= gap.to_ts == 10.0


def test_others_frames_are_no_part_of_our_time():
    freshness = Freshness(skip_older_than=2.0)
    freshness.tell("lobby", 10.0)
    freshness.forget()
    gap = freshness.skip(head("lobby", 90))
    assert gap is not None
    assert gap.from_ts == 100.0


def waiting(*names: str, age: float = 0.0, more_behind: bool = False) -> list[Waiting]:
    """Frames in hand, by the initial of their camera."""
    return [Waiting(name, NOW - age, more_behind) for name in names]


def test_a_burst_is_worked_off_in_full():
    freshness = Freshness(skip_older_than=0.5)
    assert freshness.worth(waiting(*"aaabbb", age=0.4), now=NOW) == [True] * 6


def test_the_newest_of_each_camera_in_an_overload_that_ends_with_the_skipping():
    freshness = Freshness(skip_older_than=0.5)
    assert freshness.worth(waiting(*"aabab", age=0.6), now=NOW) == [False, False, False, True, True]
    assert freshness.worth(waiting(*"aab"), now=NOW + 1) == [False, True, True], "young ones are skipped, too"
    assert freshness.worth(waiting(*"ab"), now=NOW + 5) == [True, True], "nothing to skip, but the overload lasts"
    assert freshness.worth(waiting(*"aa"), now=NOW + 5.9) == [False, True]
    assert freshness.worth(waiting(*"ab"), now=NOW + 10) == [True, True]
    assert freshness.worth(waiting(*"aaab", age=-11), now=NOW + 11) == [True] * 4, "it is over"


def test_the_newest_is_looked_at_however_old_it_is():
    freshness = Freshness(skip_older_than=2.0)
    assert freshness.worth(waiting(*"aab", age=60.0), now=NOW) == [False, True, True]


def test_what_is_newer_in_the_brokers_is_waited_for_but_not_for_ever():
    freshness = Freshness(skip_older_than=0.5)
    assert freshness.worth(waiting(*"aa", age=60.0, more_behind=True), now=NOW) == [False, False]
    assert freshness.worth(waiting("a", age=60.0, more_behind=True), now=NOW + 1.9) == [False]
    assert freshness.worth(waiting(*"aa", age=60.0, more_behind=True), now=NOW + 2.1) == [False, True]
    assert freshness.worth(waiting("a", age=60.0, more_behind=True), now=NOW + 3) == [False]
    assert freshness.worth(waiting("a", age=0.0, more_behind=True), now=NOW) == [True], "young enough as it is"
