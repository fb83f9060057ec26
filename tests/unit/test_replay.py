"""Replay: rules over a recording, the same every time, at the pace that was asked for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.footage import Footage
from connectors.recording import Manifest, RecordedCamera, Recording, open_recording
from connectors.recording_writer import RecordingWriter
from connectors.scene import load_figure, render
from operators.errors import ConfigError, SinkError, SourceError
from operators.records import Clock, FaceTrack, Frame, Gap, GapReason, Observation, Scope
from operators.rules import Group, Predicate, Rule, RuleSet
from pipeline.config import Settings
from pipeline.record import Job as Recorded
from pipeline.record import head_of
from pipeline.replay import (
    Job,
    evaluator_for,
    labels_in,
    recorded_settings,
    records_of,
    replay,
    replay_recording,
    rules_for,
)
from tests.networks import own_classifier

RULE: dict[str, Any] = {"id": "fear", "when": {"prob": "fear", "enter": 0.6}, "for": "1s", "cooldown": "0s"}
RULES = RuleSet((Rule("fear", Predicate(prob="fear", enter=0.6), for_=1.0, cooldown=0.0),))
START = 1_763_715_600.0


def settings(**changes: Any) -> Settings:
    cameras = {"a": {"url": "unused.mp4", "zones": {"desk": {"polygon": [[0, 0], [1, 0], [1, 1]]}}}}
    return Settings.model_validate({"purpose": "a test", "cameras": cameras, "rules": [RULE], **changes})


def seen(camera_id: str, number: int, fear: float) -> Observation:
    scores = {"fear": fear, "neutral": 1 - fear}
    face = FaceTrack("t", START, (0, 0, 60, 80), 0.9, 80.0, 0.9, label="fear", scores=scores, intensity=fear)
    return Observation(camera_id, 1, number, START + number / 5, Clock.SENDER, (face,))


def recording_of(folder: Path, records: list[Observation | Gap], **cameras: RecordedCamera) -> Recording:
    head = head_of(settings(), Recorded(folder=folder), cameras=cameras or {"a": RecordedCamera(5.0)})
    with RecordingWriter(folder, head) as writer:
        writer.write(records)
    return open_recording(folder)


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Fear for four seconds, twice; the second time with a second in which the camera was down."""
    levels = [0.8] * 20 + [0.1] * 20 + [0.8] * 20 + [0.1] * 20
    records: list[Observation | Gap] = [seen("a", number, level) for number, level in enumerate(levels)]
    records[45:50] = [Gap("a", records[44].ts, records[50].ts, GapReason.DOWN)]  # type: ignore[union-attr]
    return recording_of(tmp_path / "recording", records)


def test_twice_gives_the_same_bytes(recording: Recording, tmp_path: Path) -> None:
    for name in ("one", "two"):
        outcome = replay_recording(recording, RULES, Job(output=tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert len((tmp_path / "one").read_text().splitlines()) == outcome.transitions
    assert outcome.fired == {("fear", "a"): 2}
    assert outcome.pending_only == {("fear", "a"): 1}, "the second one is cut by the gap, and begins anew"
    assert outcome.records == 76
    assert outcome.late == 0


def test_the_rules_of_the_recording_are_in_its_manifest(recording: Recording) -> None:
    again = recorded_settings(recording.manifest)
    assert again.rule_set == settings().rule_set
    alerts = list(replay(evaluator_for(again.rule_set, recording.manifest), recording.records()))
    assert [alert.status.value for alert in alerts if alert.fired_at] == ["firing", "resolved"] * 2


def test_a_manifest_that_this_mien_cannot_read_says_what_to_do(recording: Recording) -> None:
    manifest = replace(recording.manifest, configuration={"purpose": 7})
    with pytest.raises(ConfigError, match="--rules FILE"):
        recorded_settings(manifest)


def test_rules_in_a_file_may_name_what_the_recordings_network_reads(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("version: 1\nrules: [{id: own, when: bright >= 0.6}]\n")
    mine = settings(models={"expression": {"path": str(own_classifier(tmp_path / "own.onnx"))}})
    manifest = head_of(mine, Recorded(folder=tmp_path))
    assert labels_in(manifest) == ("dark", "bright")
    assert rules_for(manifest, path).rules[0].id == "own"
    assert rules_for(manifest, None) == mine.rule_set
    before = replace(manifest, models={})  # of a mien that didn't write them down
    with pytest.raises(ConfigError, match=r'"bright" is no expression; there are: .*fear'):
        rules_for(before, path)


def test_it_keeps_the_pace_that_was_asked_for(recording: Recording) -> None:
    """Sixteen seconds at forty times their speed: never faster, and there is nothing to be said of slower."""
    began = time.monotonic()
    outcome = replay_recording(recording, RULES, Job(speed=40.0))
    assert time.monotonic() - began >= 15.8 / 40
    assert outcome.transitions == replay_recording(recording, RULES, Job()).transitions


def test_a_camera_that_ends_earlier_does_not_hold_up_its_group(tmp_path: Path) -> None:
    """Fear on camera b from 6 s on; camera a was last seen at 3 s."""
    records: list[Observation | Gap] = [seen("a", number, 0.1) for number in range(15)]
    records += [seen("b", number, 0.8 if number >= 30 else 0.1) for number in range(60)]
    recording = recording_of(tmp_path / "r", records, a=RecordedCamera(5.0), b=RecordedCamera(5.0))
    rule = replace(RULES.rules[0], scope=Scope.GROUP, group="hall", id="hall-fear")
    ruleset = RuleSet((rule,), groups={"hall": Group(("a", "b"))})
    firing = [
        alert for alert in replay(evaluator_for(ruleset, recording.manifest), recording.records())
        if alert.status == "firing"
    ]  # fmt: skip
    assert [alert.ts - START for alert in firing] == [pytest.approx(7.0)]


def test_a_place_that_cannot_be_written_is_said(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="can't write"):
        replay_recording(recording, RULES, Job(output=tmp_path / "missing" / "alerts.jsonl"))


def test_video_that_is_not_there_is_said(recording: Recording) -> None:
    with pytest.raises(SourceError, match="made without --frames"):
        records_of(recording, "video")


def test_an_empty_recording_replays_to_nothing(tmp_path: Path) -> None:
    head = Manifest(mien="0.1.0", created_at="now", purpose="a test")
    with RecordingWriter(tmp_path, head):
        pass
    with pytest.raises(SourceError, match="holds no"):
        replay_recording(open_recording(tmp_path), RULES, Job())


def test_progress_is_told(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.replay.TELL_EVERY", 10)
    told: list[tuple[int, int]] = []
    replay_recording(recording, RULES, Job(), progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 76) for done in range(10, 77, 10)]


def test_recorded_video_goes_through_the_models_again(tmp_path: Path) -> None:
    """The built-in scene, filmed with a gap: observations with the times of the pictures, and the gap in its place."""
    figure = load_figure("smile")
    made = settings()
    frames = [
        Frame("a", 3, n, START + n / 5, Clock.SENDER, render(figure, 10 - figure.phase_s + n / 5)) for n in range(16)
    ]
    head = head_of(made, Recorded(folder=tmp_path, video_purpose="a test looks at it"))
    gap = Gap("a", frames[7].ts, frames[8].ts, GapReason.LOST, 1)
    with RecordingWriter(tmp_path, head) as writer, Footage(writer) as footage:
        for frame in frames:
            while any(reel._queue.full() for reel in footage._reels.values()):
                time.sleep(0.01)
            footage.film(frame)
        writer.write([gap])
    recording = open_recording(tmp_path)
    records = list(records_of(recording, "video"))
    assert records[8] == gap
    observations = [record for record in records if isinstance(record, Observation)]
    assert [(one.epoch, one.seq, one.ts, one.clock) for one in observations] == [
        (frame.epoch, frame.seq, frame.ts, frame.clock) for frame in frames
    ]
    labels = {face.label for one in observations for face in one.faces}
    assert "happiness" in labels
