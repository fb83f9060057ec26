"""A recording on all cores: to the byte what one process finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.recording import Manifest, RecordedCamera, Recording, open_recording
from connectors.recording_writer import RecordingWriter
from operators.records import Clock, FaceTrack, Gap, GapReason, Observation, Scope
from operators.rules import Absence, Group, Predicate, Rule, RuleSet
from pipeline.parallel import shares
from pipeline.replay import Job, evaluator_for, replay_recording

START = 1_763_715_600.0
FEAR = Predicate(prob="fear", enter=0.6)
RULES = RuleSet(
    (
        Rule("one", FEAR, for_=1.0, cooldown=0.0),
        Rule("hall", FEAR, scope=Scope.GROUP, group="hall", for_=1.0, cooldown=0.0),
        Rule("site", FEAR, scope=Scope.SITE, for_=2.0, cooldown=0.0),
        Rule("empty", scope=Scope.CAMERA, absence=Absence(), for_=1.0, cooldown=0.0),
    ),
    groups={"hall": Group(("a", "b"))},
)


def seen(camera_id: str, number: int, level: float | None) -> Observation:
    faces = ()
    if level is not None:
        scores = {"fear": level, "neutral": 1 - level}
        faces = (FaceTrack("t", START, (0, 0, 60, 80), 0.9, 80.0, 0.9, label="fear", scores=scores),)
    return Observation(camera_id, 1, number, START + number / 5, Clock.SENDER, faces)


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Three cameras: fear at different times, a gap, an empty room, a late record, a clock that is set back."""
    cameras = {name: RecordedCamera(5.0) for name in "abc"}
    head = Manifest(mien="0.1.0", created_at="now", purpose="a test", cameras=cameras)
    with RecordingWriter(tmp_path / "r", head) as writer:
        for shift, camera_id in enumerate(cameras):
            levels = [0.1, 0.8, None, 0.8, 0.1]
            records: list[Observation | Gap] = [
                seen(camera_id, number, levels[(number // 12 + shift) % 5]) for number in range(240 - 60 * shift)
            ]
            records[20:25] = [Gap(camera_id, START + 3.8, START + 5.0, GapReason.DOWN)]
            records.append(seen(camera_id, 230 - 60 * shift, 0.8))
            writer.write(records)
        writer.write([seen("c", number - 1000, 0.8) for number in range(20)])
    return open_recording(tmp_path / "r")


def test_the_bytes_are_those_of_one_process(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.replay.PARALLEL_FROM", 1)
    outcomes = [
        replay_recording(recording, RULES, Job(output=tmp_path / str(processes), processes=processes))
        for processes in (1, 2, 3)
    ]
    one = (tmp_path / "1").read_bytes()
    assert one == (tmp_path / "2").read_bytes() == (tmp_path / "3").read_bytes()
    assert {outcome.late for outcome in outcomes} == {outcomes[0].late}
    assert outcomes[0].late
    assert outcomes[0].fired == outcomes[1].fired
    assert {rule for rule, _ in outcomes[0].fired} == {"one", "hall", "site", "empty"}
    assert {outcome.records for outcome in outcomes} == {outcomes[0].records}


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_every_partition_is_somebodys_and_nobody_is_idle(recording: Recording, processes: int) -> None:
    found = shares(evaluator_for(RULES, recording.manifest), recording, processes)
    assert sorted(name for share in found for name in share) == ["a", "b", "c", "group:hall", "site:"]
    assert len(found) == min(processes, 5)
    assert all(found)
