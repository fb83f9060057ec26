"""Time stamps, picking and holes."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.timing import Holes, Pacer, Stamp, StreamClock
from operators.records import Clock

WALL = 1_700_000_000.0


def stamps(
    pts: np.ndarray, *, delay: float | np.ndarray = 0.0, skew: float | None = None, rate: float = 1.0
) -> list[Stamp]:
    """Stamps of pictures taken at `pts`, arriving `delay` later, from a camera whose clock is `skew` off."""
    clock = StreamClock()
    delays = np.broadcast_to(delay, pts.shape)
    return [
        clock.stamp(
            pts=float(time) * rate,
            sender=None if skew is None else WALL + float(time) + skew,
            received=WALL + float(time + late),
        )
        for time, late in zip(pts, delays, strict=True)
    ]


EVEN = np.arange(0, 60, 0.1)


def test_jitter_of_arrival_does_not_reach_the_stamps() -> None:
    delay = np.random.default_rng(1).uniform(0.02, 0.3, len(EVEN))
    steps = np.diff([stamp.ts for stamp in stamps(EVEN, delay=delay)])
    assert np.abs(steps - 0.1).max() < 0.006


def test_a_sane_sender_clock_is_used() -> None:
    last = stamps(EVEN, delay=0.4, skew=-0.3)[-1]
    assert last.clock is Clock.SENDER
    assert last.ts == pytest.approx(WALL + EVEN[-1] - 0.3, abs=0.01)


@pytest.mark.parametrize("skew", [7200.0, -7200.0, -WALL])
def test_a_wrong_sender_clock_is_reported_and_not_used(skew: float) -> None:
    last = stamps(EVEN, skew=skew)[-1]
    assert last.clock is Clock.STREAM
    assert last.skew_s == pytest.approx(skew)
    assert last.ts == pytest.approx(WALL + EVEN[-1], abs=0.5)


def test_a_slow_crystal_is_followed() -> None:
    results = stamps(np.arange(0, 3600, 0.1), rate=0.99)
    assert results[-1].clock is Clock.STREAM
    assert results[-1].ts == pytest.approx(WALL + 3600, abs=1)


@pytest.mark.parametrize("jump", [3600.0, -3600.0, -0.5])
def test_a_jump_of_the_stream_falls_back_to_arrival(jump: float) -> None:
    clock = StreamClock()
    results = []
    for index, time in enumerate(EVEN):
        pts = float(time) + (jump if index >= 100 else 0.0)
        results.append(clock.stamp(pts=pts, sender=None, received=WALL + float(time)))
    assert results[99].clock is Clock.STREAM
    assert results[100].clock is Clock.RECEIVE
    assert results[-1].clock is Clock.STREAM
    assert max(abs(stamp.ts - WALL - time) for stamp, time in zip(results, EVEN, strict=True)) < 0.6


def test_a_late_burst_keeps_its_stream_time() -> None:
    delay = np.where((EVEN > 20) & (EVEN < 23), 23 - EVEN, 0.0)
    steps = np.diff([stamp.ts for stamp in stamps(EVEN, delay=delay)])
    assert np.abs(steps - 0.1).max() < 0.006


def test_without_stream_time_arrival_counts() -> None:
    clock = StreamClock()
    first = clock.stamp(pts=None, sender=None, received=WALL)
    second = clock.stamp(pts=None, sender=None, received=WALL - 5)
    assert first == Stamp(WALL, Clock.RECEIVE)
    assert second.ts > first.ts


@pytest.mark.parametrize(
    ("source_fps", "fps", "expected"),
    [(25, 5, 50), (25, 10, 100), (30, 7, 70), (5, 10, 50), (10, 10, 100), (250, 5, 50)],
)
def test_pacer_picks_the_wanted_rate(source_fps: int, fps: int, expected: int) -> None:
    pacer = Pacer(fps)
    jitter = np.random.default_rng(2).uniform(-0.05, 0.05, 10 * source_fps) / source_fps
    picked = sum(pacer.picks(index / source_fps + late) for index, late in enumerate(jitter))
    assert picked == pytest.approx(expected, abs=2)


def test_pacer_goes_on_after_a_hole() -> None:
    pacer = Pacer(5)
    assert pacer.picks(0)
    assert pacer.picks(100)
    assert not pacer.picks(100.05)
    assert pacer.picks(100.2)


def test_holes_are_counted_and_the_rate_learned() -> None:
    holes = Holes()
    times = [index / 25 for index in range(100) if index not in {50, 51, 52}]
    assert sum(holes.missing(time) for time in times) == 3
    assert holes.fps == pytest.approx(25, rel=0.05)


def test_a_camera_that_slows_down_is_no_stream_of_holes() -> None:
    holes = Holes()
    for index in range(50):
        holes.missing(index / 25)
    late = [holes.missing(2 + index / 5) for index in range(100)]
    assert sum(late[30:]) == 0
    assert holes.fps == pytest.approx(5, rel=0.05)
