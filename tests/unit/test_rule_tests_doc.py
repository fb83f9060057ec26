"""docs/rule-tests.md says what the code does: its files run, its outputs are what comes, its tables are complete."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.rule_tests import Expectation, RuleTest, load_tests
from pipeline.trace_notation import GAPS, CameraTrace, FaceTrace, parse_levels, parse_picture, parse_zones

TEXT = (Path(__file__).parents[2] / "docs" / "rule-tests.md").read_text(encoding="utf-8")
RULES, TESTS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
CONSOLES = re.findall(r"```console\n\$ mien (rules test .*?)\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "alerts.yaml").write_text(RULES, encoding="utf-8")
    (tmp_path / "alerts.test.yaml").write_text(TESTS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def timeless(output: str) -> str:
    """Without the times that a run took, and the spaces at the ends of lines."""
    text = re.sub(r"\d+ ms$|[\d.]+ s$", "TIME", output, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize(("command", "shown"), CONSOLES)
def test_the_outputs_are_what_comes(command: str, shown: str, folder: Path, monkeypatch, capsys) -> None:
    if "-k half" in command:  # "Had the first test expected `at: 3.5s`"
        (folder / "alerts.test.yaml").write_text(TESTS.replace("at: 4s", "at: 3.5s"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["mien", *command.split()])
    main()
    assert timeless(capsys.readouterr().out) == timeless(shown)


def test_both_outputs_are_there() -> None:
    assert len(CONSOLES) == 2


def test_rules_and_tests_may_be_one_file(folder: Path) -> None:
    (folder / "both.yaml").write_text(RULES + TESTS.partition("\n")[2], encoding="utf-8")
    assert len(load_tests(folder / "both.yaml").tests) == 2


def keys(heading: str) -> set[str]:
    """The names in the first column of the tables under a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`(.*?)`", cell)}


def test_every_key_is_there() -> None:
    known = {one.name for kind in (RuleTest, Expectation) for one in fields(kind)} - {"cameras"}
    assert keys("What must come of it") | {"within"} == known


def test_every_key_of_a_trace_is_there() -> None:
    named = keys("What the camera sees")
    known = {one.name for kind in (CameraTrace, FaceTrace) for one in fields(kind)}
    expressions = {"fear", "anger", "neutral", "happiness", "surprise", "sadness", "disgust", "contempt"}
    assert known - expressions - {"at"} <= named


def test_every_notation_of_the_page_is_read() -> None:
    for text in [key for key in keys("What the camera sees") if re.fullmatch(r"\S+x\d+\S*|0\.8", key)]:
        parse_levels(text)
    assert all(f"{word}x5" in keys("What the camera sees") for word in GAPS)
    parse_picture("okx40 downx10s okx20")
    parse_zones("deskx10 -x5 desk+doorx5")
