"""Recordings of real video: killed, continued, and replayed to the very alerts that there were live."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from connectors.recording import open_recording
from connectors.store import Store
from connectors.wire import alert_document, encode
from operators.errors import ConfigError
from operators.records import Gap, Observation
from pipeline.analyze import Job as Clip
from pipeline.analyze import analyze
from pipeline.config import Settings, load_settings
from pipeline.local import LocalPipeline
from pipeline.record import Job, taping
from pipeline.replay import evaluator_for, replay

pytestmark = pytest.mark.integration

SCENE = """
purpose: a test of recordings on the built-in scene
cameras:
  smile: {url: "scene://smile", fps: 5}
rules:
  - id: happy
    when: {prob: happiness, enter: 0.5, exit: 0.3}
    for: 500ms
    cooldown: 0s
"""
START_S = 60.0


def mien(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(arguments), cwd=_root(), capture_output=True, text=True, check=False)


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(arguments), cwd=_root(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _command(arguments: tuple[object, ...]) -> list[str]:
    code = "from pipeline.cli import main; raise SystemExit(main())"
    return [sys.executable, "-c", code, *map(str, arguments)]


def _root() -> Path:
    return Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mien.yaml"
    path.write_text(SCENE)
    return path


def records_in(folder: Path) -> int:
    return len(list(open_recording(folder).records())) if (folder / "manifest.json").exists() else 0


def wait_for_records(folder: Path, count: int) -> None:
    ends_at = time.monotonic() + START_S
    while records_in(folder) < count:
        assert time.monotonic() < ends_at, f"no {count} records within {START_S} s"
        time.sleep(0.1)


def test_killed_and_continued_it_loses_a_second_at_most(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    first = start("record", "-c", config, "-o", folder, "--frames", "--purpose", "a test looks at it", "--plain")
    try:
        wait_for_records(folder, 15)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    after_crash = records_in(folder)
    assert after_crash >= 15
    done = mien("record", "-c", config, "-o", folder, "--for", "5s", "--retention", "1h", "--plain")
    assert done.returncode == 0, done.stdout + done.stderr
    recording = open_recording(folder)
    assert len(recording.files()) == 2
    assert all(file.closed_at for file in recording.manifest.files)
    records = list(recording.records())
    assert len(records) > after_crash
    assert len({one.epoch for one in records if isinstance(one, Observation)}) == 2
    video = mien("replay", folder, "--from", "video", "-o", tmp_path / "video.jsonl")
    assert video.returncode == 0, video.stderr
    assert not (tmp_path / "mien.sqlite").exists(), "recording leaves the store alone"


CLIPS = {
    "male": "head-pose-face-detection-male.gif",
    "female": "head-pose-face-detection-female.gif",
    "pause": "face-demographics-walking-and-pause.gif",
}
RULES: list[dict[str, Any]] = [
    {"id": "smile", "when": {"prob": "happiness", "enter": 0.5, "exit": 0.35}, "for": "1s", "cooldown": "1s"},
    {"id": "calm", "scope": "camera", "when": "neutral >= 0.5", "for": "1s", "cooldown": "0s", "max_gap": "2s"},
    {"id": "any-face", "scope": "camera", "count": {"at_least": 1, "within": "2s"}, "for": "500ms", "cooldown": "0s"},
]


@pytest.fixture
def settings(shared: Path, tmp_path: Path) -> Settings:
    """Three clips in a loop; one camera is far, so it has a lane of its own."""
    cameras: dict[str, dict[str, Any]] = {
        name: {"url": str(shared / "data" / "clips" / clip), "loop": True} for name, clip in CLIPS.items()
    }
    cameras["pause"]["detail"] = "far"
    config = {"purpose": "a test", "cameras": cameras, "rules": RULES, "store": {"path": str(tmp_path / "live.sqlite")}}
    path = tmp_path / "mien.yaml"
    path.write_text(json.dumps(config))
    return load_settings(path)


def test_a_live_run_and_the_replay_of_its_recording_tell_the_same(settings: Settings, tmp_path: Path) -> None:
    """Eight seconds of three cameras, with whatever frames were dropped; every transition of the live journal."""
    folder = tmp_path / "recording"
    with taping(settings, Job(folder=folder)) as (tape, outcome), LocalPipeline(settings, tape=tape):
        wait_for_records(folder, 60)
    store = Store(settings.store)
    live = [alert for _, alert in store.after(0, 10_000)]
    store.close()
    assert {alert.status.value for alert in live} >= {"pending", "firing"}
    recording = open_recording(folder)
    records = list(recording.records())
    assert len(records) == outcome.records
    again = list(replay(evaluator_for(settings.rule_set, recording.manifest), iter(records)))
    for camera_id in CLIPS:
        happened = [alert for alert in live if alert.camera_id == camera_id]
        replayed = [alert for alert in again if alert.camera_id == camera_id]
        # A stop resolves nothing; a recording that ends lets everything end.
        assert replayed[: len(happened)] == happened
        last = max(one.to_ts if isinstance(one, Gap) else one.ts for one in records if one.camera_id == camera_id)
        assert all(alert.ts >= last - 0.001 for alert in replayed[len(happened) :])


def test_clips_become_one_recording_that_replays_to_their_alerts(settings: Settings, tmp_path: Path) -> None:
    alerts: list[str] = []
    clips, output = tmp_path / "clips", tmp_path / "alerts.jsonl"
    for camera_id in ("male", "female"):
        video = Path(settings.cameras[camera_id].url)
        analyze(settings, Clip(video=video, camera_id=camera_id, recording=clips, alerts=output, fps=5))
        alerts += output.read_text().splitlines()
    assert alerts
    recording = open_recording(clips)
    again = list(replay(evaluator_for(settings.rule_set, recording.manifest), recording.records()))
    assert sorted(encode(alert_document(alert)).decode() for alert in again) == sorted(alerts)
    with pytest.raises(ConfigError, match="already"):
        analyze(settings, Clip(video=video, camera_id=camera_id, recording=clips))
