"""The local runtime taken apart: what it leaves behind when it can't start, or breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.store import Store
from operators.errors import ConfigError
from operators.records import Clock, Detections, FaceTrack, Image, Observation, Status
from pipeline import local
from pipeline.config import Settings
from pipeline.local import LocalPipeline
from pipeline.sections import Camera
from tests.alerts import alert


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "purpose": "a test",
            "cameras": {"gone": {"url": "/no/such/video.mp4"}},
            "rules": [{"id": "happy", "when": "happiness >= 0.5"}],
            "store": {"path": str(tmp_path / "mien.sqlite")},
        }
    )


def until(check: Callable[[], object]) -> None:
    ends_at = time.monotonic() + 60
    while not check():
        assert time.monotonic() < ends_at, "did not happen within 60 s"
        time.sleep(0.02)


def test_a_pipeline_that_cannot_start_lets_go_of_its_store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise ConfigError("no cameras today")

    monkeypatch.setattr(local, "Captures", refuse)
    with pytest.raises(ConfigError) as caught:
        LocalPipeline(settings)
    assert caught.traceback  # and with it the pipeline is still alive
    store = Store(settings.store)
    store.claim()
    store.close()


def break_down(pipeline: LocalPipeline, feed: Callable[[object], object], *, unnoticed: bool = False) -> None:
    """Run with rules that raise; `unnoticed`, nobody asks before the end."""
    with pipeline:
        pipeline.evaluation.feed = feed  # type: ignore[method-assign]
        until(lambda: any(loop.done() for loop in pipeline._loops) if unnoticed else pipeline.finished())


def test_a_state_whose_alerts_were_lost_is_not_saved(settings: Settings) -> None:
    face = FaceTrack("t1", 0.0, (0, 0, 40, 40), 0.9, 40, 0.9, label="happiness", scores={"happiness": 0.9})
    pipeline = LocalPipeline(settings)
    feed = pipeline.evaluation.feed

    def half_way(_: object) -> float:
        assert feed([Observation("gone", 1, 0, time.time() + 60, Clock.STREAM, (face,))])
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        break_down(pipeline, half_way)
    store = Store(settings.store)
    assert b"starts_at" not in store.states().get("gone", b"")
    store.close()


def test_what_fires_by_a_state_of_another_version_ends_at_the_next_start(settings: Settings) -> None:
    store = Store(settings.store)
    store.append([alert(1, camera_id="gone")], {"gone": b"older"})
    assert len(store.firing()) == 1
    store.close()
    with LocalPipeline(settings):
        pass
    store = Store(settings.store)
    assert store.firing() == []
    assert [(one.status, one.reason) for one in store.latest(1)] == [(Status.RESOLVED, "lost")]
    store.close()


def test_what_broke_the_analysis_is_raised_at_the_end_too(settings: Settings) -> None:
    pipeline = LocalPipeline(settings)
    with pytest.raises(ZeroDivisionError):
        break_down(pipeline, lambda _: 1 / 0, unnoticed=True)
    assert pipeline.status().cameras[0].state == "stopped"


def test_a_slow_far_camera_does_not_hold_up_the_others(settings: Settings) -> None:
    """The far camera's detector never returns until the near one was analysed ten times."""
    cameras = {
        "near": {"url": "scene://smile", "fps": 10},
        "far": {"url": "scene://neutral", "fps": 10, "detail": "far"},
    }
    both = settings.model_copy(update={"cameras": {name: Camera(**one) for name, one in cameras.items()}})
    with LocalPipeline(both) as pipeline:
        near_enough = threading.Event()
        analyzer = pipeline.analyzer

        def patient(image: Image) -> Detections:
            assert near_enough.wait(60)
            return analyzer.detector(image)

        pipeline.analyzer = replace(analyzer, far_detector=patient)
        until(lambda: analysed(pipeline)["near"] >= 10)
        assert analysed(pipeline)["far"] == 0
        near_enough.set()
        until(lambda: analysed(pipeline)["far"] > 0)


def analysed(pipeline: LocalPipeline) -> dict[str, int]:
    return {camera.camera_id: camera.analysed for camera in pipeline.status().cameras}
