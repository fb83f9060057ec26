"""Tests of pipeline/recorder.py: what the runtime says of its cameras."""

from __future__ import annotations

import pytest

from connectors.camera import UNWELL, State
from connectors.capture import CaptureStatus
from operators.errors import Cause
from operators.records import Clock, FaceTrack, GapReason, Observation
from pipeline.recorder import MANY_DROPS, Recorder

FACE = FaceTrack("t1", 0.0, (0, 0, 40, 40), 0.9, 40.0, 0.9, label="fear", scores={"fear": 0.9})


def seen(ts: float = 0.0) -> Observation:
    return Observation("door", 1, 0, ts, Clock.MEDIA, (FACE,))


def live(**facts: object) -> CaptureStatus:
    return CaptureStatus("door", State.LIVE, **facts)


def test_what_was_seen_last_is_told_with_what_was_captured() -> None:
    recorder = Recorder()
    recorder.decided(seen(), None)
    status = recorder.camera_status("door", live(frames=3, lost=2, skew_s=0.5, fps_in=5.0), late=1)
    assert (status.analysed, status.faces, status.labels, status.face_px) == (1, 1, ("fear",), (40.0,))
    assert (status.frames, status.lost, status.late, status.skew_s, status.fps_in) == (3, 2, 1, 0.5, 5.0)
    assert status.age_s is None, "a file has no wall clock"
    assert (recorder.analysed(), recorder.faces) == (1, 1)


def test_a_camera_that_is_down_shows_no_faces_of_the_past() -> None:
    recorder = Recorder()
    recorder.decided(seen(), None)
    down = CaptureStatus("door", State.BACKING_OFF, Cause.AUTH, "check the password")
    status = recorder.camera_status("door", down, late=0)
    assert (status.faces, status.cause, status.advice) == (0, "auth", "check the password")


@pytest.mark.parametrize("reason", [GapReason.OVERLOAD, GapReason.FROZEN, GapReason.BLACK])
def test_a_live_camera_that_loses_frames_is_explained(reason: GapReason) -> None:
    recorder = Recorder()
    recorder.decided(seen(), None)
    assert recorder.camera_status("door", live(drops={}), late=0).advice == ""
    few, many = {str(reason): MANY_DROPS - 1}, {str(reason): MANY_DROPS}
    assert recorder.camera_status("door", live(drops=few), late=0).advice == ""
    assert recorder.camera_status("door", live(drops=many), late=0).advice == UNWELL[reason]


def test_drops_of_long_ago_are_not_news(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("pipeline.recorder.time.monotonic", lambda: now)
    recorder = Recorder()
    recorder.decided(seen(), None)
    old = {"overload": 50}
    for _ in range(3):
        status = recorder.camera_status("door", live(drops=old), late=0)
        now += 4.0
    assert status.advice == ""


def test_stages_add_up() -> None:
    recorder = Recorder()
    for _ in range(2):
        with recorder.stage("rules"):
            pass
    assert recorder.wall_s.keys() == {"rules"}
    assert recorder.wall_s["rules"] > 0
