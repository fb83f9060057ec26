"""What a recording says of itself, and what must never be in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.recording import open_recording
from connectors.wire import encode
from models.registry import find
from operators.errors import ModelError, SinkError
from operators.records import Clock, Frame, Gap, GapReason, Observation
from pipeline.config import Settings
from pipeline.record import Job, best_effort, head_of, taping
from tests.networks import own_classifier

SECRETS = ("hunter2", "admin-account", "s3cr3t-token", "hook-secret", "10.9.8.7")


def settings(**changes: Any) -> Settings:
    return Settings.model_validate(
        {
            "purpose": "a test",
            "cameras": {
                "lobby": {
                    "url": "rtsp://admin-account:hunter2@10.0.0.5/live?token=s3cr3t-token",
                    "fps": 4,
                    "zones": {"desk": {"polygon": [[0, 0], [1, 0], [1, 1]]}},
                },
                "quay": {"url": "rtsp://10.0.0.6/live", "username": "admin-account", "password": "hunter2"},
                "off": {"url": "rtsp://10.0.0.7/live", "enabled": False},
            },
            "rules": [{"id": "fear", "when": "fear >= 0.6"}],
            "sinks": [{"type": "webhook", "url": "https://10.9.8.7/mien", "secret": "hook-secret"}],
            **changes,
        }
    )


def test_the_manifest_holds_no_secret() -> None:
    text = encode(head_of(settings(), Job(folder=Path("unused")))).decode()
    assert not [secret for secret in SECRETS if secret in text]
    assert "10.0.0.5/live" in text


def test_the_manifest_says_what_the_rules_and_people_must_know() -> None:
    head = head_of(settings(), Job(folder=Path("unused"), retention=60.0, video_purpose="to count"))
    assert {name: (camera.fps, camera.zones) for name, camera in head.cameras.items()} == {
        "lobby": (4.0, ("desk",)),
        "quay": (5.0, ()),
    }
    assert (head.purpose, head.video_purpose, head.retention_s) == ("a test", "to count", 60.0)
    assert head.models["detector"].name == "mtcnn.wider"
    assert head.models["expression"].files == find("expression").files
    assert head.configuration["rules"][0]["id"] == "fear"
    assert not head.configuration.keys() & {"sinks", "store", "metrics"}


def test_the_configuration_in_the_manifest_is_one(tmp_path: Path) -> None:
    head = json.loads(encode(head_of(settings(), Job(folder=tmp_path))))
    again = Settings.model_validate(head["configuration"])
    assert again.rule_set.version == settings().rule_set.version
    assert again.cameras["lobby"].zones == settings().cameras["lobby"].zones
    assert again.analysis == settings().analysis


@pytest.mark.parametrize("task", ["expression", "enhancer", "temporal"])
def test_a_network_of_ones_own_is_named_by_its_hash(task: str, tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own_classifier(own)
    with_own = settings(models={task: {"path": str(own)}})
    head = head_of(with_own, Job(folder=tmp_path))
    assert head.models[task].files == {"own.onnx": hashlib.sha256(own.read_bytes()).hexdigest()}
    assert head.models["expression"].labels == (
        ("dark", "bright") if task == "expression" else find("expression").labels
    )
    own.unlink()
    with pytest.raises(ModelError, match="can't read"):
        head_of(with_own, Job(folder=tmp_path))


def frame(number: int) -> Frame:
    return Frame("lobby", 1, number, 100.0 + number, Clock.SENDER, np.zeros((32, 32, 3), np.uint8))


def seen(number: int) -> Observation:
    return Observation("lobby", 1, number, 100.0 + number, Clock.SENDER)


@pytest.mark.parametrize("purpose", ["", "a test looks at it"])
def test_a_tape_takes_records_and_for_a_purpose_pictures(purpose: str, tmp_path: Path) -> None:
    gap = Gap("lobby", 100.0, 101.0, GapReason.LOST)
    with taping(settings(), Job(folder=tmp_path, video_purpose=purpose)) as (tape, outcome):
        tape([frame(0), gap, frame(1)], [seen(0), seen(1)])
    recording = open_recording(tmp_path)
    assert list(recording.records()) == [seen(0), gap, seen(1)]
    pictures = 2 if purpose else 0
    assert (outcome.records, outcome.gaps, outcome.pictures, outcome.dropped) == (3, 1, pictures, 0)
    assert sum(file.records for file in recording.files("video")) == pictures
    kept = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert (".mkv" in kept) is bool(purpose)


def test_a_broken_recording_does_not_stop_the_alerts(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def full(*_: object) -> None:
        calls.append(1)
        raise SinkError("the disk is full", retryable=False)

    tape = best_effort(full)
    tape([], [])
    tape([], [])
    assert len(calls) == 1
    assert caplog.text.count("the disk is full") == 1
