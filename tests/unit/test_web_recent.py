"""The observations of the last minutes."""

from __future__ import annotations

import pytest

from operators.records import Clock, FaceTrack, Gap, GapReason, Observation
from pipeline.web.recent import Recent, unpack
from tests.unit.test_web_history import NOON, look

EVER = {"begin": 0.0, "end": 1e12, "before": None, "limit": 1000}


def times(recent: Recent, **asked: object) -> list[float]:
    return [key[0] - NOON for key, _ in recent.page(**{**EVER, "camera_id": None, **asked})]


def test_an_observation_comes_back_as_it_was_without_its_track():
    face = FaceTrack(
        "secret-7", NOON, (1.5, 2.0, 3.0, 4.0), 0.9, 40.0, 0.8, ("small",), True, "fear", {"fear": 0.7, "neutral": 0.3},
        0.7, ("desk",),
    )  # fmt: skip
    recent = Recent(1)
    recent.take([Observation("lobby", 3, 8, NOON, Clock.SENDER, (face,), reused=True)])
    ((key, data),) = recent.page(camera_id="lobby", **EVER)
    look = unpack(data)
    assert key == (NOON, "lobby")
    assert (look.seq, look.clock, look.reused) == (8, Clock.SENDER, True)
    (shown,) = look.faces
    same = ("confidence", "source_px", "quality", "reasons", "enhanced", "label", "scores", "intensity", "zones")
    assert {name: getattr(shown, name) for name in same} == {name: getattr(face, name) for name in same}
    assert shown.box == face.xyxy
    assert b"secret" not in data


def test_ranges_take_their_beginning_and_not_their_end():
    recent = Recent(1)
    recent.take([look(NOON + second) for second in range(10)])
    assert times(recent, begin=NOON + 3, end=NOON + 6) == [5, 4, 3]
    assert times(recent, begin=NOON + 3.5, end=NOON + 5.5) == [5, 4]
    assert times(recent, begin=NOON + 20) == []
    assert times(recent, camera_id="nowhere") == []


def test_cameras_are_put_together_by_time():
    recent = Recent(2)
    recent.take([look(NOON), look(NOON + 2), look(NOON + 1, camera="quay"), look(NOON + 2, camera="quay")])
    found = recent.page(camera_id=None, **EVER)
    assert [key for key, _ in found] == [(NOON + 2, "quay"), (NOON + 2, "lobby"), (NOON + 1, "quay"), (NOON, "lobby")]


def test_what_is_too_old_goes():
    recent = Recent(1, keep=60)
    recent.take([look(NOON + second) for second in range(100)])
    assert times(recent)[-1] == 39
    recent.take([Gap("lobby", NOON, NOON + 500, GapReason.DOWN)])  # time alone takes nothing away
    assert len(times(recent)) == 61


@pytest.mark.parametrize("labels", [(), ("fear",), ("fear", "anger", "unknown")])
def test_bytes_are_bounded_and_shared(labels: tuple[str, ...]):
    recent = Recent(2, most_bytes=20_000)
    recent.take([look(NOON + second / 10, *labels) for second in range(3000)])
    recent.take([look(NOON, *labels, camera="quay")])
    assert 9000 < recent.size_bytes <= 20_000
    assert times(recent)[0] == pytest.approx(299.9)


def test_one_observation_is_kept_however_large():
    recent = Recent(1, most_bytes=10)
    recent.take([look(NOON, "fear"), look(NOON + 1, "fear")])
    assert times(recent) == [1]


def test_a_clock_that_was_set_back_forgets_what_was_to_come():
    recent = Recent(1)
    recent.take([look(NOON + second) for second in range(10)])
    recent.take([look(NOON + 4, "anger"), look(NOON + 5)])
    assert times(recent) == [5, 4, 3, 2, 1, 0]
    assert recent.size_bytes == sum(len(data) + 120 for _, data in recent.page(camera_id=None, **EVER))
