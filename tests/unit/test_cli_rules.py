"""`mien rules` as a person meets it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from connectors.recording import Manifest, RecordedCamera
from connectors.recording_writer import RecordingWriter
from pipeline.cli import main
from pipeline.trace_notation import CameraTrace, FaceTrace, parse_levels, records

RULES = 'version: 1\nrules:\n  - {id: fear, when: "fear >= 0.6", for: 1s, cooldown: 5s}\n'
TESTS = """\
rules: rules.yaml
tests:
  - name: a second of fear
    cameras: {cam: {tracks: {t: {fear: "0x10 0.8x15"}}}}
    expect: [{at: AT, state: firing}]
  - name: half a second
    cameras: {cam: {tracks: {t: {fear: "0x10 0.8x5 0x10"}}}}
    never: [{state: firing}]
"""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mien", "rules", *map(str, arguments)])
        status = main()
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return called


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    (tmp_path / "good.yaml").write_text(TESTS.replace("AT", "2s"), encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(TESTS.replace("AT", "1.5s"), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("command", ["check", "list", "test", "explain"])
def test_every_command_has_help_with_an_example(call, command: str) -> None:
    status, out, _ = call(command, "--help")
    assert status == 0
    assert f"mien rules {command}" in out
    assert "Example:" in out


def test_passing_tests_are_0(call, folder: Path) -> None:
    status, out, err = call("test", folder / "good.yaml")
    assert (status, err) == (0, "")
    assert "✓ a second of fear" in out
    assert "2 passed in" in out


def test_a_failing_test_is_1_with_the_difference(call, folder: Path) -> None:
    status, out, _ = call("test", folder / "good.yaml", folder / "bad.yaml")
    assert status == 1
    assert "✗ a second of fear" in out
    assert "- 1.5s    firing    fear" in out
    assert "+ 2s      firing    fear" in out
    assert "..........###############" in out
    assert "1 of 4 failed" in out


def test_a_file_that_cannot_be_used_is_2(call, folder: Path) -> None:
    (folder / "bad.yaml").write_text(TESTS.replace("AT", "2"), encoding="utf-8")
    status, out, err = call("test", folder / "good.yaml", folder / "bad.yaml")
    assert (status, out) == (2, ""), "nothing runs before all files are read"
    assert f"{folder / 'bad.yaml'}:5:19: tests[0].expect[0].at: expected a duration" in err


def test_k_picks_tests_by_name(call, folder: Path) -> None:
    status, out, _ = call("test", folder / "bad.yaml", "-k", "HALF")
    assert status == 0
    assert "1 passed" in out
    status, _, err = call("test", folder / "bad.yaml", "-k", "nothing")
    assert (status, err) == (2, 'no test has "nothing" in its name\n')


def test_verbose_shows_passing_tests_too(call, folder: Path) -> None:
    _, out, _ = call("test", folder / "good.yaml", "--verbose")
    assert "2s      firing    fear" in out
    assert "F firing" in out


def test_junit_is_written_also_when_tests_fail(call, folder: Path) -> None:
    call("test", folder / "bad.yaml", "--junit", folder / "out.xml")
    assert '<testsuites name="mien rules test">' in (folder / "out.xml").read_text(encoding="utf-8")


def test_junit_that_cannot_be_written_is_one_line(call, folder: Path) -> None:
    status, _, err = call("test", folder / "good.yaml", "--junit", folder / "none" / "out.xml")
    assert status == 1
    assert err.startswith(f"mien: can't write {folder / 'none' / 'out.xml'}: ")


def test_check_and_list(call, folder: Path) -> None:
    status, out, _ = call("check", folder / "rules.yaml")
    assert (status, out) == (0, f"{folder / 'rules.yaml'}: ok, 1 rule\n")
    status, out, _ = call("list", folder / "rules.yaml")
    assert status == 0
    assert out.splitlines()[1].split() == ["fear", "warning", "track", "sustained", "fear", "1s"]


def test_check_of_wrong_rules_is_2(call, folder: Path) -> None:
    (folder / "rules.yaml").write_text(RULES.replace("for:", "fro:"), encoding="utf-8")
    status, out, err = call("check", folder / "rules.yaml")
    assert (status, out) == (2, "")
    assert 'fro: unknown key, did you mean "for"?' in err


def test_a_wrong_name_in_a_title_is_told_at_the_title(call, folder: Path) -> None:
    (folder / "rules.yaml").write_text(RULES.replace("id: fear", "id: fear, severity: notice, title: '{who}'"))
    status, _, err = call("check", folder / "rules.yaml")
    assert status == 2
    assert (
        ":3:41: rules[0].title: in title, expected one of camera," in err
    )  # one of them is "severity", a key here too


def test_check_of_a_file_of_tests_names_the_file_to_check(call, folder: Path) -> None:
    status, _, err = call("check", folder / "good.yaml")
    assert status == 2
    assert err.startswith(f"{folder / 'good.yaml'}:1:1: rules: expected rules, got tests of {folder / 'rules.yaml'}")


def test_check_against_the_cameras_of_a_configuration(call, folder: Path) -> None:
    config = folder / "mien.yaml"
    config.write_text("purpose: a test\ncameras: {lobby: {url: 'scene://smile'}}\n", encoding="utf-8")
    (folder / "rules.yaml").write_text(RULES.replace("for:", "where: {cameras: [loby]}, for:"), encoding="utf-8")
    status, _, err = call("check", folder / "rules.yaml", "-c", config)
    assert status == 2
    assert 'did you mean "lobby"?' in err


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    cameras = {"cam": RecordedCamera(10.0)}
    head = Manifest(mien="0", created_at="2026-01-05T12:00:00Z", purpose="a test", cameras=cameras)
    camera = CameraTrace(tracks={"t": FaceTrace(fear=parse_levels("0x10 0.8x8 0x20"))})
    with RecordingWriter(tmp_path / "recording", head) as writer:
        writer.write(records("cam", camera, fps=10, start_ms=1_767_614_400_000))
    return tmp_path / "recording"


def test_explain_a_rule_over_a_recording(call, folder: Path, recording: Path) -> None:
    status, out, _ = call("explain", "--rule", "fear", "--recording", recording, "--rules", folder / "rules.yaml")
    assert status == 0
    assert "for 0.7s of 1s; FALSE for too long" in out


@pytest.mark.parametrize(
    "arguments", [(), ("5f3a", "--rule", "fear"), ("--rule", "fear"), ("5f3a", "--rules", "rules.yaml")]
)
def test_explain_wants_one_thing(call, arguments: tuple[str, ...]) -> None:
    status, _, err = call("explain", *arguments)
    assert status == 2
    assert "Invalid value" in err


def test_explain_without_a_store_is_2(call, folder: Path) -> None:
    config = folder / "mien.yaml"
    config.write_text(
        f"purpose: a test\ncameras: {{lobby: {{url: 'scene://smile'}}}}\nstore: {{path: {folder / 'none.sqlite'}}}\n",
        encoding="utf-8",
    )
    status, _, err = call("explain", "5f3a", "-c", config)
    assert status == 2
    assert "no store here" in err
