"""What a process tells Elasticsearch, up to the writer's queue."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.elastic_documents import Entry
from connectors.elastic_settings import ElasticSettings
from connectors.elastic_sink import ElasticSink
from connectors.elastic_templates import Index
from operators.errors import ConfigError
from operators.records import Clock, Gap, GapReason, Observation, Tick
from pipeline.build import build_sinks, build_telemetry
from pipeline.cli import app
from pipeline.config import Settings
from pipeline.recorder import Recorder
from pipeline.status import Status
from pipeline.telemetry import Telemetry

NOW = 1_763_715_600.0
ELASTIC = ElasticSettings(url="http://127.0.0.1:1", timezone="Asia/Tokyo")
DESK: dict[str, Any] = {"polygon": [[0, 0], [1, 0], [1, 1]]}


def settings(**more: Any) -> Settings:
    camera = {"url": "scene://smile"}
    cameras = {"lobby": {**camera, "zones": {"desk": DESK}}, "yard": camera}
    return Settings.model_validate({"purpose": "test", "cameras": cameras, **more})


@pytest.fixture
def clock() -> list[float]:
    return [NOW + 1]


@pytest.fixture
def telemetry(clock) -> Telemetry:
    """One that doesn't write."""
    return Telemetry(settings(), ELASTIC, role="run", clock=lambda: clock[0])


def queued(telemetry: Telemetry) -> list[Entry]:
    return list(telemetry._writer._waiting)


def look(camera: str, ts: float) -> Observation:
    return Observation(camera, 1, round(ts * 1000), ts, Clock.STREAM)


def test_every_camera_is_rolled_up_by_itself_with_its_zones(telemetry):
    for second in range(13):
        telemetry.observe([look("lobby", NOW + second), look("yard", NOW + second)])
    ids = [entry.id for entry in queued(telemetry)]
    start = round(NOW * 1000)
    assert ids == [f"lobby||{start}", f"lobby|desk|{start}", f"yard||{start}"]
    assert [entry.body["mien.hour"] for entry in queued(telemetry)] == [18] * 3


def test_a_camera_that_is_not_in_the_settings_is_rolled_up_too(telemetry):
    telemetry.observe([look("old", NOW), Gap("old", NOW, NOW + 5, GapReason.DOWN), Tick("old", NOW + 12)])
    assert [entry.body["observer.name"] for entry in queued(telemetry)] == ["old"]


def test_at_the_end_the_last_seconds_are_told(telemetry):
    with telemetry:
        telemetry.observe([look("yard", NOW), look("yard", NOW + 2)])
        assert not queued(telemetry)
    (entry,) = queued(telemetry)
    assert entry.body["mien.observed_s"] == 2.0


def test_health_is_told_every_ten_seconds_with_what_happened_meanwhile(telemetry, clock):
    recorder, status = Recorder(), Status(uptime_s=1.0, cameras=())
    telemetry.report(status, recorder)
    assert not queued(telemetry)
    for step in (8.0, 0.5, 2.0, 7.0):
        with recorder.stage("detect"):
            pass
        clock[0] += step
        telemetry.report(status, recorder)
    found = [(entry.body["mien.kind"], entry.ts - NOW, entry.body.get("mien.count")) for entry in queued(telemetry)]
    assert found == [("process", 10.0, None), ("stage", 10.0, 3)]
    assert {entry.kind for entry in queued(telemetry)} == {Index.HEALTH}


def test_without_a_section_nothing_is_told_and_with_one_the_sink_is_the_last():
    assert build_telemetry(settings(), role="run") is None
    assert build_sinks(settings()) == []
    both = settings(sinks=[{"type": "stdout"}], elasticsearch={"url": "http://127.0.0.1:1"})
    assert build_telemetry(both, role="run") is not None
    assert isinstance(build_sinks(both)[1], ElasticSink)


def test_the_package_is_needed_only_with_the_section():
    program = "import sys, pipeline.cli, pipeline.local; sys.exit('elasticsearch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_commands_want_the_section(tmp_path):
    path = tmp_path / "mien.yaml"
    path.write_text("version: 1\npurpose: test\ncameras: {lobby: {url: scene://smile}}\n")
    result = CliRunner().invoke(app, ["elastic", "check", "-c", str(path)])
    assert isinstance(result.exception, ConfigError)
    assert "expected a section elasticsearch" in str(result.exception)
