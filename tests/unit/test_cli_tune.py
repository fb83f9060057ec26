"""`mien tune` as a person meets it: what is shown and written, and how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from connectors.recording import Manifest, RecordedCamera
from connectors.recording_writer import RecordingWriter
from pipeline.cli import main
from pipeline.trace_notation import CameraTrace, FaceTrace, parse_levels, records

RULES = "rules:\n  - {id: fear, when: {prob: fear, enter: 0.5, exit: 0.4}, for: 1s, cooldown: 0s}\n"
LABELS = "camera,start,end\nlobby,1001,1004\n"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Call `mien tune` in a folder with a recording: fear for three seconds, then twice for less than two."""
    monkeypatch.chdir(tmp_path)
    trace = CameraTrace(tracks={"t": FaceTrace(fear=parse_levels("0.1x10 0.9x30 0.1x20 0.6x15 0.1x20 0.6x12 0.1x20"))})
    head = Manifest(
        mien="1", created_at="2026-11-20T22:00:00Z", purpose="a test", cameras={"lobby": RecordedCamera(10)}
    )
    with RecordingWriter(tmp_path / "night", head) as writer:
        writer.write(records("lobby", trace, fps=10, start_ms=1_000_000))
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "labels.csv").write_text(LABELS)

    def called(arguments: str) -> tuple[int, str, str]:
        words = ["mien", "tune", "night", "--rules", "rules.yaml", "--rule", "fear", "--jobs", "1", *arguments.split()]
        monkeypatch.setattr(sys, "argv", words)
        status = main()
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return called


def test_a_setting_is_proposed_and_written_down(call) -> None:
    status, out, err = call("--vary for=1s:3s:500ms --labels labels.csv -o report.html --json study.json")
    assert (status, err) == (0, "")
    assert "Set for: 1s500ms instead of 1s." in out
    assert "<html" in Path("report.html").read_text(encoding="utf-8")
    study = json.loads(Path("study.json").read_text())
    assert (study["rule"]["id"], len(study["settings"])) == ("fear", 5)


def test_a_damaged_recording_is_told(call) -> None:
    Path("night/lobby/observations-000001.jsonl.gz").unlink()
    status, out, err = call("--vary for=1s,2s --jobs 2")
    assert status == 0
    assert "damaged in 1 place:" in " ".join(out.split())
    assert err.count("it can't be read") <= 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param("--vary for=2s -o no/report.html", "no such folder", id="no folder for the report"),
        pytest.param("--vary for=2s -o night", "night: is a folder", id="a folder in the place of the report"),
        pytest.param("--vary for=2s --json .", ".: is a folder", id="a folder in the place of the figures"),
        pytest.param("--vary fore=2s", 'did you mean "for"?', id="no such field"),
        pytest.param("--vary for=2s --labels none.csv", "none.csv: can't be read", id="no labels"),
    ],
)
def test_what_is_wrong_is_said_in_words(call, arguments: str, says: str) -> None:
    status, _, err = call(arguments)
    assert status == 2
    assert says in err
    assert "Traceback" not in err
