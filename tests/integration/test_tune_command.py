"""`mien tune` as people call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import main
from tests.recordings import night, write

pytestmark = pytest.mark.integration

RULES = """
version: 1
rules:
  - id: fear-sustained
    when: {prob: fear, enter: 0.5, exit: 0.4}
    for: 1500ms
    max_gap: 700ms
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    write(folder / "night", night(minutes=10))
    (folder / "rules.yaml").write_text(RULES)
    return folder


def call(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["mien", "tune", *arguments])
    return main()


BASE = ("night", "--rule", "fear-sustained", "--rules", "rules.yaml")


def test_sweep_with_labels(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ("--vary", "when.enter=0.4:0.7:0.1", "--labels", "night/incidents.csv", "--jobs", "2")
    assert call(folder, monkeypatch, *BASE, *wanted, "-o", "report.html", "--json", "figures.json") == 0
    said = capsys.readouterr().out
    assert "proposed" in said
    assert "5 settings x " not in said  # the current one is one of the four
    assert "4 settings x " in said
    document = json.loads((folder / "figures.json").read_text())
    assert document["command"].startswith("mien tune night --rule fear-sustained")
    assert document["settings"][document["current"]]["shown"] == ["0.5"]
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((*BASE, "--vary", "when.enter=0.5:0.6:0.1"), 0, "heuristic"),
        ((*BASE, "--vary", "when.entr=0.5"), 2, 'did you mean "when.enter"'),
        ((*BASE, "--vary", "for=1s", "-o", "nowhere/report.html"), 2, "make it first"),
        (("nowhere", *BASE[1:], "--vary", "for=1s"), 1, "no recording at nowhere"),
        (BASE, 2, "--vary"),
        (("night", "--rule", "fear-sustained", "--vary", "for=1s"), 2, "--rules FILE"),  # it was made without rules
    ],
)
def test_exit_status(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    arguments: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    assert call(folder, monkeypatch, *arguments) == status
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
