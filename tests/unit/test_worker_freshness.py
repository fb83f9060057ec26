"""What waits for too long is told as a gap, without a hole and without an overlap."""

from __future__ import annotations

import time

from connectors.kafka_frames import FrameHead
from operators.records import Clock, Gap, GapReason
from pipeline.worker.freshness import Freshness


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


def test_a_clock_that_goes_back_makes_no_gap_backwards():
    freshness = Freshness(skip_older_than=2.0)
    freshness.tell("lobby", 500.0)
    gap = freshness.skip(head("lobby", 0))
    assert gap.from_ts <= gap.to_ts == 10.0


def test_others_frames_are_no_part_of_our_time():
    freshness = Freshness(skip_older_than=2.0)
    freshness.tell("lobby", 10.0)
    freshness.forget()
    assert freshness.skip(head("lobby", 90)).from_ts == 100.0


def test_the_newest_is_looked_at_however_old_it_is():
    freshness = Freshness(skip_older_than=2.0)
    now = time.time()
    assert freshness.is_stale(now - 60, newest=False)
    assert not freshness.is_stale(now - 60, newest=True)
    assert not freshness.is_stale(now, newest=False)
