"""What the cameras showed, on streams that one can add up by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from operators.records import Clock, FaceTrack, Gap, GapReason, Observation
from operators.rules import EXPRESSIONS
from pipeline.web.history import COARSE_MS, FINE_FOR_S, MOST_GAPS, History, Stretches, width

NOON = 1_800_000_000.0
HOUR = 3600.0


def face(label: str) -> FaceTrack:
    return FaceTrack("secret", NOON, (1.0, 2.0, 3.0, 4.0), 0.9, 40.0, 0.8, label=label)


def look(ts: float, *labels: str, epoch: int = 1, camera: str = "lobby") -> Observation:
    return Observation(camera, epoch, round(ts * 10), ts, Clock.STREAM, tuple(map(face, labels)))


def gap(begin: float, end: float, reason: GapReason = GapReason.DOWN) -> Gap:
    return Gap("lobby", begin, end, reason)


def filled(*records: Observation | Gap, keep: float = 6 * HOUR) -> History:
    history = History(keep)
    history.take(records)
    return history


def shown(stretches: Stretches, label: str) -> list[int]:
    return stretches.labels[:, EXPRESSIONS.index(label)].tolist()


def test_a_second_counts_frames_faces_and_what_they_showed():
    history = filled(
        look(NOON, "fear", "fear"),
        look(NOON + 0.5, "happiness", "unknown"),
        look(NOON + 1.25),
        look(NOON + 1.5, "fear"),
    )
    found = history.stretches("lobby", NOON, NOON + 10, points=100)
    assert (found.width_s, found.start.tolist()) == (1, [NOON, NOON + 1])
    assert (found.frames.tolist(), found.faces.tolist(), found.unread.tolist()) == ([2, 2], [4, 1], [1, 0])
    assert (shown(found, "fear"), shown(found, "happiness"), shown(found, "anger")) == ([2, 1], [1, 0], [0, 0])
    assert found.observed_ms.tolist() == [1000, 500]


def test_a_label_that_nobody_knows_counts_as_not_read():
    found = filled(look(NOON, "pondering")).stretches("lobby", NOON, NOON + 1, points=1)
    assert (found.faces.tolist(), found.unread.tolist(), found.labels.sum()) == ([1], [1], 0)


def test_the_classes_of_another_network_count_like_these():
    history = History(HOUR, ("awake", "drowsy"))
    history.take([look(NOON, "drowsy", "drowsy", "awake", "fear", "unknown")])
    found = history.stretches("lobby", NOON, NOON + 1, points=1)
    assert (found.labels.tolist(), found.unread.tolist()) == ([[1, 2]], [2])


def test_stretches_of_nothing_between_two_that_showed_something():
    history = filled(look(NOON, "fear"), look(NOON + 5, "fear"))
    found = history.stretches("lobby", NOON - 100, NOON + 100, points=500)
    assert found.frames.tolist() == [1, 0, 0, 0, 0, 1]
    assert found.observed_ms.tolist() == [1000] * 5 + [0]


@pytest.mark.parametrize("camera", ["lobby", "quay"])
def test_where_nothing_is_known_there_is_nothing(camera: str):
    history = filled(look(NOON, "fear"))
    assert len(history.stretches("quay", NOON - 1, NOON + 1, points=10)) == 0
    assert len(history.stretches(camera, NOON + 500, NOON + 900, points=10)) == 0
    assert len(history.stretches(camera, 0, 0, points=10)) == 0
    assert history.gaps(camera, 0, 1e11) == []


def test_a_range_shows_the_stretches_that_it_touches():
    history = filled(*(look(NOON + second, "fear") for second in range(20)))
    found = history.stretches("lobby", NOON + 3.5, NOON + 7.0, points=100)
    assert found.start.tolist() == [NOON + 3, NOON + 4, NOON + 5, NOON + 6]


@pytest.mark.parametrize(
    ("span", "points", "least", "expected"),
    [
        (900, 400, 1, 5),  # 2.25 s each would be too many of 2
        (900, 900, 1, 1),
        (60, 400, 10, 10),  # there is no finer one
        (6 * HOUR, 400, 10, 60),
        (0, 1, 1, 1),
        (1e9, 2, 10, 500_083_200),  # sixteen years in two
    ],
)
def test_widths_that_people_can_read(span: float, points: int, least: int, expected: int):
    assert width(span, points, least=least) == expected
    assert span <= expected * points


def test_what_is_older_than_the_fine_stretches_has_ten_seconds():
    history = filled(*(look(NOON + second, "fear") for second in range(2 * FINE_FOR_S)))
    now = NOON + 2 * FINE_FOR_S
    assert history.stretches("lobby", now - FINE_FOR_S, now, points=2000).width_s == 1
    older = history.stretches("lobby", NOON, now, points=10_000)
    assert older.width_s == COARSE_MS // 1000
    assert older.frames.tolist() == [10] * (2 * FINE_FOR_S // 10)


def test_no_more_is_kept_than_asked_for():
    history = filled(*(look(NOON + 10 * number, "fear") for number in range(1000)), keep=HOUR)
    found = history.stretches("lobby", NOON, NOON + 10_000, points=1000)
    assert HOUR <= found.faces.sum() * 10 <= HOUR + 10
    assert found.start[-1] == NOON + 9990


def test_a_gap_is_not_observed_and_neighbours_are_one():
    history = filled(
        look(NOON), gap(NOON + 1, NOON + 2), gap(NOON + 2, NOON + 3.5), look(NOON + 4), gap(NOON + 9, NOON + 9.5)
    )
    found = history.stretches("lobby", NOON, NOON + 10, points=100)
    assert found.observed_ms.tolist() == [1000, 0, 0, 500, 1000, 1000, 1000, 1000, 1000]
    assert history.gaps("lobby", NOON, NOON + 10) == [gap(NOON + 1, NOON + 3.5), gap(NOON + 9, NOON + 9.5)]
    assert history.gaps("lobby", NOON, NOON + 10, apart=6) == [gap(NOON + 1, NOON + 9.5)]
    assert history.gaps("lobby", NOON + 4, NOON + 9) == []


def test_gaps_of_other_reasons_are_others():
    both = [gap(NOON, NOON + 1), gap(NOON + 1, NOON + 2, GapReason.FROZEN)]
    assert filled(*both).gaps("lobby", 0, 1e11) == both


def test_gaps_are_bounded():
    many = [gap(NOON + 5 * number, NOON + 5 * number + 1) for number in range(MOST_GAPS + 10)]
    assert filled(*many).gaps("lobby", 0, 1e11) == many[10:]


@pytest.mark.parametrize(
    "then",
    [look(NOON + 11, epoch=1), look(NOON + 2, epoch=2)],
    ids=["too far apart", "the stream began anew"],
)
def test_time_between_frames_that_do_not_belong_together_is_not_observed(then: Observation):
    found = filled(look(NOON), then).stretches("lobby", NOON, NOON + 20, points=100)
    assert found.observed_ms.sum() == 0


def test_a_clock_that_was_set_back_forgets_what_was_to_come():
    ahead = [look(NOON + second, "fear") for second in range(100)]
    history = filled(*ahead, gap(NOON + 60, NOON + 110), look(NOON + 50, "anger", epoch=2), look(NOON + 51, epoch=2))
    found = history.stretches("lobby", NOON, NOON + 200, points=1000)
    assert history.newest("lobby") == NOON + 51
    assert found.start[[0, -1]].tolist() == [NOON, NOON + 51]
    assert (shown(found, "fear"), shown(found, "anger")) == ([1] * 50 + [0] * 2, [0] * 50 + [1, 0])
    assert history.gaps("lobby", NOON, NOON + 200) == []


def test_a_frame_that_comes_a_little_late_counts_in_its_own_second():
    found = filled(look(NOON + 1.5), look(NOON + 0.5), look(NOON + 1.6)).stretches("lobby", NOON, NOON + 9, points=9)
    assert (found.frames.tolist(), found.observed_ms.tolist()) == ([1, 2], [0, 100])


def test_cameras_don_t_mix():
    history = filled(look(NOON, "fear"), replace(look(NOON, "anger"), camera_id="quay"))
    assert history.cameras == ("lobby", "quay")
    assert [shown(history.stretches(name, NOON, NOON + 1, points=1), "fear") for name in history.cameras] == [[1], [0]]


def test_memory_does_not_grow():
    history = History(HOUR)
    camera = ("lobby",)
    history.take([look(NOON)])
    sizes = set()
    for number in range(3):
        history.take(look(NOON + number * HOUR + second, "fear") for second in range(0, 3600, 5))
        rings = [getattr(history._cameras[name], ring) for name in camera for ring in ("fine", "coarse")]
        sizes.add(sum(ring._figures.nbytes + ring._numbers.nbytes for ring in rings))
    assert len(sizes) == 1
    assert sizes.pop() < 100_000
    assert np.all(history.stretches("lobby", NOON, NOON + HOUR, points=10_000).frames <= 2)
