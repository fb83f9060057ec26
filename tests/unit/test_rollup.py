"""What a camera showed in ten seconds, on streams that one can add up by hand."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from operators.records import Clock, FaceTrack, Gap, GapReason, Observation, Tick
from operators.rollup import MAX_STRETCHES, Rollup, Rollups

PLAIN = Rollups()


def look(ts: float, *faces: FaceTrack, epoch: int = 1) -> Observation:
    return Observation("lobby", epoch, round(ts * 1000), ts, Clock.STREAM, faces)


def face(label: str, score: float, *zones: str) -> FaceTrack:
    scores = {} if label == "unknown" else {label: score, "neutral": 1 - score}
    return FaceTrack("secret", 0.0, (0, 0, 9, 9), 0.9, 9.0, 0.9, label=label, scores=scores, zones=zones)


def gap(start: float, end: float, reason: GapReason = GapReason.DOWN) -> Gap:
    return Gap("lobby", start, end, reason)


def rolled(records: Iterable[Observation | Gap | Tick], operator: Rollups = PLAIN) -> list[Rollup]:
    state, told = None, []
    for record in records:
        state, new = operator.step(state, record)
        told += new
    return [*told, *(operator.finish(state, "lobby") if state else [])]


def test_faces_and_expressions_of_a_stretch():
    seen = [
        look(20.0, face("fear", 0.9), face("unknown", 0.0)),
        look(22.0),
        look(24.0, face("fear", 0.7), face("happiness", 0.6), face("fear", 0.8)),
    ]
    (whole,) = rolled(seen)
    assert (whole.camera_id, whole.zone, whole.start, whole.width) == ("lobby", "", 20.0, 10.0)
    assert (whole.frames, whole.faces_seen, whole.faces_max) == (3, 5, 3)
    assert (whole.faces_mean, whole.fps) == (pytest.approx(5 / 3), 0.3)
    assert whole.unknown == pytest.approx(1 / 5)
    assert whole.shares == {"fear": 3 / 4, "happiness": 1 / 4, "neutral": 0.0}
    assert whole.scores == pytest.approx({"fear": 2.4 / 4, "happiness": 0.6 / 4, "neutral": 1.0 / 4})


def test_a_stretch_without_faces_says_so():
    (whole,) = rolled([look(20.0), look(25.0)])
    assert (whole.faces_mean, whole.unknown, whole.shares, whole.scores) == (0.0, None, {}, {})


def test_zones_count_their_own_faces_and_are_told_of_when_empty():
    seen = [look(20.0, face("fear", 0.9, "desk"), face("fear", 0.9, "desk", "door")), look(21.0)]
    found = {rollup.zone: rollup for rollup in rolled(seen, Rollups(zones=("hall", "desk")))}
    assert {zone: (one.frames, one.faces_seen) for zone, one in found.items()} == {
        "": (2, 2),
        "desk": (2, 2),
        "door": (2, 1),  # not in the settings any more, and still in the stream
        "hall": (2, 0),
    }
    assert {one.observed_s for one in found.values()} == {1.0}


def test_a_stretch_is_told_when_time_has_passed_its_end_by_the_lateness():
    operator = Rollups()
    state, told = operator.step(None, look(20.0))
    for ts in (29.9, 30.0, 31.999):
        state, told = operator.step(state, look(ts))
        assert not told
    state, told = operator.step(state, look(32.0))
    assert [(one.start, one.frames) for one in told] == [(20.0, 2)]
    state, told = operator.step(state, look(29.5))  # too late
    assert not told
    assert [(one.start, one.frames) for one in operator.finish(state, "lobby")] == [(30.0, 3)]


def test_ticks_and_gaps_let_time_pass_as_well():
    operator = Rollups()
    for item in (Tick("lobby", 32.0), gap(21.0, 32.0)):
        state, _ = operator.step(None, look(21.0))
        assert [one.start for one in operator.step(state, item)[1]] == [20.0]


@pytest.mark.parametrize(
    ("records", "observed", "gaps"),
    [
        pytest.param([look(20), look(21), look(24)], {20: 4}, {}, id="time between frames is observed"),
        pytest.param([look(18), look(22)], {10: 2, 20: 2}, {}, id="a step belongs to both stretches"),
        pytest.param(
            [look(20), gap(20, 23), look(23), look(24)], {20: 1}, {20: {"down": 3}}, id="a gap is not observed"
        ),
        pytest.param(
            [look(28), gap(28, 43), look(43), look(44)],
            {20: 0, 30: 0, 40: 1},
            {20: {"down": 2}, 30: {"down": 10}, 40: {"down": 3}},
            id="a gap over three stretches",
        ),
        pytest.param(
            [look(20), gap(20, 22), gap(21, 24, GapReason.LOST), look(25)],
            {20: 1},
            {20: {"down": 2, "lost": 2}},
            id="gaps that overlap count once, for the earlier one",
        ),
        pytest.param(
            [look(20), look(20.5, epoch=2), look(21, epoch=2)],
            {20: 0.5},
            {},
            id="nobody says what was between two streams",
        ),
        pytest.param([look(20), look(31)], {20: 0, 30: 0}, {}, id="frames too far apart"),
    ],
)
def test_seconds(records, observed, gaps):
    told = rolled(records)
    assert {one.start: one.observed_s for one in told} == observed
    assert {one.start: dict(one.gaps) for one in told if one.gaps} == gaps


def test_nothing_is_told_of_a_stretch_that_nobody_tells_about():
    assert [one.start for one in rolled([look(20.0), Tick("lobby", 100.0), look(105.0)])] == [20.0, 100.0]


def test_a_clock_that_was_set_back_starts_anew():
    told = rolled([look(1000.0), look(1001.0), look(20.0), look(21.0)])
    assert [(one.start, one.frames) for one in told] == [(1000.0, 2), (20.0, 2)]


def test_of_a_year_of_gap_the_last_hour_is_told():
    year = 365 * 86400.0
    told = rolled([look(20.0), gap(20.0, year), look(year)])
    assert told[0].start == 20.0
    assert len(told) <= MAX_STRETCHES + 2
    assert told[-1].start == year
    assert sum(one.gaps.get(GapReason.DOWN, 0.0) for one in told) == MAX_STRETCHES * 10


def test_a_roll_up_that_knows_more_has_the_greater_number():
    half, whole = rolled([look(20.0), look(25.0)])[0], rolled([look(20.0), gap(20.0, 23.0), look(25.0), look(26.0)])[0]
    assert 0 < half.known < whole.known
