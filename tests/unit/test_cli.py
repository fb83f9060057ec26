"""The command line as a person meets it: exit statuses, what is said where, no traceback, quick help."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.catalogue import find
from models.registry import ModelError
from operators.errors import Cause, SourceError
from pipeline import demo
from pipeline.cli import main

ROOT = Path(__file__).parent.parent.parent
GOOD = "purpose: A test watches nobody.\ncameras:\n  lobby: {url: 'scene://smile', username: a, password: hunter2}\n"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mien", *map(str, arguments)])
        status = main()
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return called


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "mien.yaml"
    path.write_text(GOOD)
    return path


COMMANDS = [
    *((name,) for name in ("run", "demo", "analyze", "record", "replay", "tune", "capture", "worker", "bench")),
    *(("bench", name) for name in ("local", "kafka")),
    *(("topics", name) for name in ("apply", "check")),
    *(("models", name) for name in ("list", "fetch", "check", "card", "cards")),
    *(("config", name) for name in ("check", "show", "schema")),
    *(("rules", name) for name in ("check", "list", "test", "explain")),
    ("cameras", "check"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(call, command: tuple[str, ...]) -> None:
    status, out, _ = call(*command, "--help")
    assert status == 0
    assert "Usage: mien " + " ".join(command) in out


def test_version(call) -> None:
    assert call("--version") == (0, "mien 0.1.0\n", "")


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("run", "--for", "5"), ("config",), ("models", "card")], ids=" ".join
)
def test_wrong_usage_is_2_without_traceback(call, arguments: tuple[str, ...]) -> None:
    status, _, err = call(*arguments)
    assert status == 2
    assert "Traceback" not in err


def test_config_check_shows_what_is_set(call, good: Path) -> None:
    status, out, err = call("config", "check", "-c", good)
    assert (status, err) == (0, "")
    assert "A test watches nobody." in out
    assert "lobby" in out
    assert "hunter2" not in out


def test_config_check_names_every_sink(call, good: Path) -> None:
    good.write_text(GOOD + 'elasticsearch: {url: "https://elastic:9200"}\nsinks: [{type: stdout}]\n')
    _, out, _ = call("config", "check", "-c", good)
    assert [name for name in ("stdout", "https://elastic:9200", "mien.sqlite") if name not in out] == []


def test_config_check_of_a_wrong_file_is_2_on_stderr(call, good: Path) -> None:
    good.write_text(GOOD + "sink: []\n")
    status, out, err = call("config", "check", "-c", good)
    assert (status, out) == (2, "")
    assert f'{good}:4:1: sink: unknown key, did you mean "sinks"?' in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [("run",), ("analyze", "x.mp4", "-o", "x.jsonl"), ("config", "show")])
def test_commands_with_a_missing_configuration_are_2(call, command: tuple[str, ...], tmp_path: Path) -> None:
    status, _, err = call(*command, "-c", tmp_path / "none.yaml")
    assert (status, err) == (2, f"{tmp_path / 'none.yaml'}: no such file\n")


def test_config_show_masks_secrets(call, good: Path) -> None:
    status, out, _ = call("config", "show", "-c", good)
    assert status == 0
    assert "password: '**********'" in out
    assert "hunter2" not in out


def test_config_schema_is_the_committed_file(call) -> None:
    status, out, _ = call("config", "schema")
    assert status == 0
    assert json.loads(out) == json.loads((ROOT / "docs" / "mien.schema.json").read_text(encoding="utf-8"))


def test_cameras_check_of_an_unknown_camera_is_2(call, good: Path) -> None:
    status, _, err = call("cameras", "check", "loby", "-c", good)
    assert (status, err) == (2, f'{good}: no camera is called "loby", did you mean "lobby"?\n')


def test_cameras_check_says_what_is_wrong(call, good: Path, tmp_path: Path) -> None:
    good.write_text(GOOD.replace("scene://smile", str(tmp_path / "none.mp4")))
    status, out, err = call("cameras", "check", "lobby", "-c", good, "--for", "1s")
    assert status == 1
    assert out.startswith("lobby  ")
    assert "FAILED" in out
    assert err == ""
    assert "hunter2" not in out


def test_models_list_and_card(call) -> None:
    status, out, _ = call("models", "list")
    assert status == 0
    assert "mtcnn" in out
    status, out, _ = call("models", "card", "expression")
    assert status == 0
    assert "labels: neutral, happiness" in out
    status, out, _ = call("models", "card", "expression", "--markdown")
    assert status == 0
    assert f"# {find('expression').name}\n" in out
    assert "## What must not be inferred" in out


def test_models_fetch_from_a_mirror_without_the_file_is_1(call, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    status, _, err = call("models", "fetch", "yunet", "--mirror", tmp_path)
    assert status == 1
    assert err.startswith("mien: ")
    assert "Traceback" not in err


def test_models_fetch_wants_names_or_all(call) -> None:
    for arguments in ((), ("yunet", "--all")):
        status, _, err = call("models", "fetch", *arguments)
        assert (status, err) == (2, "expected names of models, or --all: see `mien models list`\n")


def test_models_fetch_to_a_folder_makes_a_mirror(call, tmp_path: Path) -> None:
    status, out, _ = call("models", "fetch", "mtcnn", "expression", "--to", tmp_path)
    assert status == 0
    assert sorted(out.split()) == sorted(map(str, tmp_path.iterdir()))
    assert len(out.split()) == 4


def test_models_check(call, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    status, out, _ = call("models", "check")
    assert status == 0
    assert re.search(r"seresnet_base.ferplus-1 +works +CPU +\d+\.\d\d +per face of 48 px", out)
    assert re.search(r"yunet_n.wider +missing +mien models fetch", out)
    status, _, err = call("models", "check", "yunet")
    assert status == 1
    assert "run `mien models fetch yunet_n.wider`" in err
    (tmp_path / "yunet_n_dynamic.onnx").write_bytes(b"something else")
    status, out, err = call("models", "check", "yunet", "--mirror", tmp_path)
    assert status == 1
    assert "broken" in out
    assert "expected sha256" in err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelError("weights are missing"), 1),
        (SourceError("no answer", cause=Cause.TIMEOUT), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_one_line_and_a_status(call, error: BaseException, status: int, monkeypatch) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(demo, "demo", fails)
    found, _, err = call("demo")
    assert found == status
    assert err in {f"mien: {error}\n", ""}


def test_help_imports_nothing_heavy() -> None:
    heavy = ("numpy", "cv2", "av", "scipy", "onnxruntime", "pydantic_settings", "httpx", "matplotlib")
    script = f"import sys, pipeline.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_output_into_a_closed_pipe_is_no_traceback(good: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "config", "schema"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
    )
    os.close(write)
    assert done.returncode in {1, -signal.SIGPIPE}
    assert "Traceback" not in done.stderr
