"""`mien record` and `mien replay` as a person meets them: what is shown, where, and how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.recording_writer import RecordingWriter
from operators.records import Clock, FaceTrack, Observation
from pipeline.cli import main
from pipeline.config import Settings
from pipeline.record import Job, head_of

CONFIG: dict[str, Any] = {
    "purpose": "a test",
    "cameras": {"lobby": {"url": "unused.mp4"}},
    "rules": [{"id": "fear", "when": "fear >= 0.6", "for": "1s", "cooldown": "0s"}],
}
START = 1_763_715_600.0


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mien", *map(str, arguments)])
        status = main()
        captured = capsys.readouterr()
        return status, " ".join(captured.out.split()), " ".join(captured.err.split())

    return called


@pytest.fixture
def rules(tmp_path: Path):
    def written(name: str, **changes: Any) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"rules": [CONFIG["rules"][0] | changes]}))
        return path

    return written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fear for four seconds, then for two."""
    head = head_of(Settings.model_validate(CONFIG), Job(folder=tmp_path))
    with RecordingWriter(tmp_path / "recording", head) as writer:
        for number, fear in enumerate([0.8] * 20 + [0.1] * 20 + [0.8] * 10 + [0.1] * 20):
            scores = {"fear": fear, "neutral": 1 - fear}
            face = FaceTrack("t", START, (0, 0, 60, 80), 0.9, 80.0, 0.9, label="fear", scores=scores)
            writer.write([Observation("lobby", 1, number, START + number / 5, Clock.SENDER, (face,))])
    return tmp_path / "recording"


def test_a_replay_writes_alerts_and_sums_them_up(call, folder: Path) -> None:
    status, out, _ = call("replay", folder, "-o", "alerts.jsonl")
    assert status == 0
    assert "fear lobby 2 521.7 0" in out
    assert "70 records (all in order) of 1 camera over 13s800ms" in out
    lines = [json.loads(line) for line in Path("alerts.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["pending", "firing", "resolved"] * 2


def test_a_replay_without_output_only_sums_up(call, folder: Path, rules) -> None:
    status, out, _ = call("replay", folder, "--rules", rules("slow.yaml", **{"for": "3s"}))
    assert status == 0
    assert "fear lobby 1 260.9 1" in out
    assert {path.name for path in Path.cwd().iterdir()} == {"recording", "slow.yaml"}


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        pytest.param({}, 0, ["2 alerts before, 2 after: 2 the same"], id="the same"),
        pytest.param({"title": "Fear!"}, 0, ["2 the same"], id="only its words"),
        pytest.param(
            {"for": "3s"},
            1,
            ["moved fear lobby 2025-11-21 09:00:01.000 +2.000s", "removed (still pending)", "0 before, 1 after"],
            id="slower",
        ),
        pytest.param({"severity": "critical"}, 1, ["severity fear", "warning -> critical"], id="more severe"),
        pytest.param({"id": "dread"}, 1, ["removed fear", "added dread"], id="another name"),
    ],
)
def test_a_comparison_shows_what_changed_and_ends_with_it(
    call, folder: Path, rules, *, changes: dict[str, Any], status: int, says: list[str]
) -> None:
    ended, out, _ = call("replay", "--diff", rules("old.yaml"), rules("new.yaml", **changes), folder, "-o", "d.json")
    assert ended == status
    for text in says:
        assert text in out
    assert json.loads(Path("d.json").read_text())["differs"] is bool(status)


def test_a_pipe_gets_whole_lines_and_no_trace_of_the_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, rules
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    old, new = rules("old.yaml"), rules("new.yaml", **{"for": "3s"})
    monkeypatch.setattr(sys, "argv", ["mien", "replay", "--diff", str(old), str(new), str(folder)])
    assert main() == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["change", "moved", "removed", "2"]
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        pytest.param("record -o r --frames", 2, "stated purpose", id="pictures without a purpose"),
        pytest.param("record -o r --purpose why", 2, "or neither", id="a purpose without pictures"),
        pytest.param("record -o r", 2, "mien.yaml", id="no configuration"),
        pytest.param("replay r", 1, "no recording at r", id="nothing there"),
        pytest.param("replay r --speed 0", 2, "speed above 0", id="no speed"),
        pytest.param("replay recording --speed fast", 2, "speed above 0", id="no number"),
        pytest.param("replay recording --diff a b --rules c", 2, "leave --rules out", id="three rules files"),
        pytest.param("replay recording --diff a b", 2, "a", id="no rules to compare"),
        pytest.param("replay r --diff a b", 2, "no recording at r", id="errors of a comparison end with 2"),
        pytest.param("replay recording --from video", 1, "made without --frames", id="no video"),
        pytest.param("replay recording -o no/a.jsonl", 1, "can't write no/a.jsonl", id="no folder for the alerts"),
    ],
)
def test_what_is_wrong_is_said_in_words(call, folder: Path, arguments: str, status: int, says: str) -> None:
    ended, _, err = call(*arguments.split())
    assert ended == status, err
    assert says in err
    assert "Traceback" not in err
