"""A camera of which nothing comes is told as down, behind its own clock and never before it."""

from __future__ import annotations

import time

import pytest

from connectors.camera import State
from connectors.timing import MAX_SKEW_S
from operators.records import Clock, Gap, GapReason
from pipeline.worker.silence import BEHIND_S, FIRST_AFTER_S, Silence


class Hands:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def silence(hands: Hands) -> Silence:
    made = Silence(clock=hands)
    made.begin(["lobby"])
    return made


def test_gaps_follow_each_other_from_the_last_frame_on(silence: Silence, hands: Hands):
    """The camera's clock is an hour off, and that is how its time goes on."""
    silence.hear("lobby", 7200.0, fps=5, clock=Clock.SENDER)
    hands.now += 2
    assert silence.gap("lobby") is None
    assert silence.state("lobby") is State.LIVE
    hands.now += 1
    assert silence.gap("lobby") == Gap("lobby", 7200.0, 7203.0 - BEHIND_S, GapReason.DOWN)
    assert silence.gap("lobby") is None, "no time has passed"
    assert silence.state("lobby") is State.STALLED
    hands.now += 1
    assert silence.gap("lobby") == Gap("lobby", 7203.0 - BEHIND_S, 7204.0 - BEHIND_S, GapReason.DOWN)
    silence.hear("lobby", 7204.0, fps=5, clock=Clock.SENDER)
    hands.now += 1
    assert silence.gap("lobby") is None
    assert silence.state("lobby") is State.LIVE


def test_a_slow_camera_has_more_time(silence: Silence, hands: Hands):
    silence.hear("lobby", 50.0, fps=0.5, clock=Clock.RECEIVE)
    hands.now += 15.9
    assert silence.gap("lobby") is None
    hands.now += 0.2
    assert silence.gap("lobby") == Gap("lobby", 50.0, pytest.approx(66.1 - BEHIND_S), GapReason.DOWN)


def test_what_capture_tells_is_taken_up(silence: Silence, hands: Hands):
    silence.hear_gap(Gap("lobby", 40.0, 50.0, GapReason.DOWN), fps=5)
    assert silence.state("lobby") is State.STALLED
    hands.now += 4
    assert silence.gap("lobby") == Gap("lobby", 50.0, 54.0 - BEHIND_S, GapReason.DOWN)


def test_one_that_never_came_is_told_later_and_from_when_it_was_ours(silence: Silence, hands: Hands):
    hands.now += FIRST_AFTER_S
    assert silence.gap("lobby") is None
    assert silence.state("lobby") is State.CONNECTING
    hands.now += 1
    gap = silence.gap("lobby")
    assert gap is not None
    assert gap.from_ts == pytest.approx(time.time() - MAX_SKEW_S, abs=60)
    assert gap.to_ts - gap.from_ts == pytest.approx(FIRST_AFTER_S + 1 - BEHIND_S)


def test_nothing_is_told_of_files_and_of_others_cameras(silence: Silence, hands: Hands):
    silence.hear("lobby", 7.0, fps=5, clock=Clock.MEDIA)
    hands.now += 1000
    assert silence.gap("lobby") is None
    assert silence.gap("quay") is None
    silence.hear("lobby", 7200.0, fps=5, clock=Clock.SENDER)
    silence.begin(["quay"])
    hands.now += 1000
    assert silence.gap("lobby") is None
    assert silence.gap("quay") is not None
