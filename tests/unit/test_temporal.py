import numpy as np
import pytest

from operators.records import Reading
from operators.temporal import ExpressionFilter

HAPPY = np.array([1, 0], np.float32)
SAD = np.array([0, 1], np.float32)


def run(readings, **settings):
    """Probabilities over time, for each (ts, probs, quality)."""
    said = [(ts, None if probs is None else Reading(probs), quality) for ts, probs, quality in readings]
    return [None if smoothed is None else smoothed.probs for smoothed in steps(said, **settings)]


def steps(readings, **settings):
    """Readings over time, for each (ts, reading, quality)."""
    state, out = None, []
    for ts, reading, quality in readings:
        state, smoothed = ExpressionFilter(**settings).step(state, ts=ts, reading=reading, quality=quality)
        out.append(smoothed)
    return out


def test_the_first_reading_counts_fully():
    assert run([(5, HAPPY, 0.2)])[0].tolist() == [1, 0]


@pytest.mark.parametrize("fps", [2, 5, 15])
def test_a_change_shows_by_63_percent_after_the_time_constant_at_any_frame_rate(fps):
    readings = [(0, HAPPY, 1), *((i / fps, SAD, 1) for i in range(1, fps + 1))]
    assert run(readings, time_constant=1)[-1][1] == pytest.approx(1 - np.exp(-1), abs=1e-5)


def test_a_poor_reading_moves_less():
    good, poor = (run([(0, HAPPY, 1), (0.2, SAD, quality)])[-1][1] for quality in (1, 0.3))
    assert 0 < poor < good


def test_an_unreadable_face_keeps_its_reading_for_hold_then_is_unknown():
    held = run([(0, HAPPY, 1), (0.9, None, 0), (1.1, None, 0)], hold=1)
    assert held[1].tolist() == [1, 0]
    assert held[2] is None


def test_unread_time_says_nothing_of_the_reading_after_it():
    after_gap = run([(0, HAPPY, 1), (0.9, None, 0), (1.0, SAD, 1)])[-1]
    assert after_gap == pytest.approx(run([(0, HAPPY, 1), (0.1, SAD, 1)])[-1], abs=1e-5)


def test_after_reset_the_past_is_forgotten():
    assert run([(0, HAPPY, 1), (2.1, SAD, 0.1)])[-1].tolist() == [0, 1]


@pytest.mark.parametrize("ts", [1.0, 0.5])
def test_time_that_does_not_advance_changes_nothing(ts):
    assert run([(1.0, HAPPY, 1), (ts, SAD, 1)])[-1].tolist() == [1, 0]


def test_no_smoothing_without_a_time_constant():
    assert run([(0, HAPPY, 1), (0.1, SAD, 0.5)], time_constant=0)[-1].tolist() == [0, 1]


def test_nothing_is_known_before_the_first_reading():
    assert ExpressionFilter().step(None, ts=0, reading=None, quality=0) == (None, None)


def test_negative_durations_are_refused():
    with pytest.raises(ValueError, match="at least 0s"):
        ExpressionFilter(hold=-1)


def test_intensity_moves_as_the_probabilities_do():
    first, second = Reading(HAPPY, 0.0), Reading(SAD, 1.0)
    smoothed = steps([(0, first, 1), (0.2, second, 0.7), (0.5, second, 1)])
    assert [one.intensity for one in smoothed] == pytest.approx([one.probs[1] for one in smoothed], abs=1e-6)


@pytest.mark.parametrize(("before", "now"), [(None, 0.7), (0.7, None), (None, None)])
def test_intensity_is_what_the_last_reading_says_where_there_is_none_to_average(before, now):
    assert steps([(0, Reading(HAPPY, before), 1), (0.2, Reading(HAPPY, now), 1)])[-1].intensity == now
