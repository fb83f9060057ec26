"""Tests of pipeline/reload.py: real files that change as editors, Kubernetes and half-done copies change them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from operators.rules import RuleEvaluator
from pipeline.config import READS, load_settings
from pipeline.reload import RulesWatch

HEAD = """
purpose: a test
cameras:
  door: {url: "scene://smile", fps: 5, zones: {desk: {polygon: [[0, 0], [1, 0], [1, 1]]}}}
  gate: {url: "scene://neutral", fps: 5}
"""
RULES = """
rules:
  - {id: happy, when: "happiness >= 0.5", for: 2s}
"""
CHANGED = RULES.replace("2s", "3s")
WRONG = RULES.replace("happiness >= 0.5", "hapiness >= 0.5")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mien.yaml"
    path.write_text(HEAD + RULES)
    return path


def watching(path: Path) -> RulesWatch:
    """A watch that has found what the settings were read from."""
    watch = RulesWatch(path, load_settings(path))
    assert looks(watch) == []
    return watch


def looks(watch: RulesWatch, count: int = 4) -> list[RuleEvaluator]:
    return [found for _ in range(count) if (found := watch.look()) is not None]


def lengths(found: list[RuleEvaluator]) -> list[float]:
    """`for` of the first rule of each."""
    return [evaluator.ruleset.rules[0].for_ for evaluator in found]


def overwrite(path: Path, text: str) -> None:
    path.write_text(text)


def replace_atomically(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def keep_size_and_times(path: Path, text: str) -> None:
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


@pytest.mark.parametrize("write", [overwrite, replace_atomically, keep_size_and_times])
def test_a_change_is_found_once(path: Path, write: Callable[[Path, str], None]) -> None:
    watch = watching(path)
    write(path, HEAD + CHANGED)
    assert watch.look() is None, "it may still be written"
    assert lengths(looks(watch)) == [3.0]
    write(path, HEAD + RULES)
    assert lengths(looks(watch)) == [2.0]


def test_a_change_between_the_start_and_the_first_look_is_found(path: Path) -> None:
    watch = RulesWatch(path, load_settings(path))
    path.write_text(HEAD + CHANGED)
    assert lengths(looks(watch)) == [3.0]


def test_kubernetes_turns_a_symbolic_link_over(tmp_path: Path) -> None:
    """A mounted ConfigMap: the file is a link through `..data`, which is a link to a folder that is replaced."""
    for name, text in {"..one": HEAD + RULES, "..two": HEAD + CHANGED}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "mien.yaml").write_text(text)
        (tmp_path / name).chmod(0o555)
    (tmp_path / "..data").symlink_to("..one")
    path = tmp_path / "mien.yaml"
    path.symlink_to("..data/mien.yaml")
    watch = watching(path)
    (tmp_path / "..data_tmp").symlink_to("..two")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert lengths(looks(watch)) == [3.0]


def test_a_file_that_is_gone_for_a_moment_or_half_written_is_left_alone(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watching(path)
    path.unlink()
    assert watch.look() is None
    path.write_text(HEAD)
    assert watch.look() is None
    path.write_text(HEAD + CHANGED[: len(CHANGED) // 2])
    assert watch.look() is None
    path.write_text(HEAD + CHANGED)
    assert lengths(looks(watch)) == [3.0]
    assert (watch.refused, caplog.text) == (0, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + WRONG, "hapiness"),
        (HEAD + "rules: [", "mien.yaml:6:"),
        ("", "the file is empty"),
        (None, "no such file"),
        (HEAD + 'rules: [{id: happy, when: "happiness >= 0.5", where: {cameras: [attic]}}]', '"attic" is no camera'),
    ],
    ids=["a misspelt expression", "no YAML", "empty", "gone", "an unknown camera"],
)
def test_what_is_wrong_is_said_once_and_the_old_rules_go_on(
    path: Path, caplog: pytest.LogCaptureFixture, text: str | None, said: str
) -> None:
    watch = watching(path)
    path.unlink() if text is None else path.write_text(text)
    assert looks(watch) == []
    assert said in watch.error
    assert caplog.text.count(watch.error) == watch.refused == 1
    path.write_text(HEAD + RULES)
    assert looks(watch) == [], "these are the rules that run"
    assert watch.error == ""


def test_every_mistake_is_in_the_complaint(path: Path) -> None:
    watch = watching(path)
    path.write_text(HEAD + WRONG + '  - {id: happy, when: "feer >= 0.5"}\n')
    looks(watch)
    assert all(said in watch.error for said in ("hapiness", "feer", "also the id"))


def test_a_rules_file_is_watched_too(tmp_path: Path) -> None:
    path, rules = tmp_path / "mien.yaml", tmp_path / "rules.yaml"
    rules.write_text(RULES)
    path.write_text(HEAD + "rules: rules.yaml\n")
    watch = watching(path)
    replace_atomically(rules, CHANGED)
    assert lengths(looks(watch)) == [3.0]
    other = tmp_path / "other.yaml"
    other.write_text(RULES)
    path.write_text(HEAD + "rules: other.yaml\n")
    assert lengths(looks(watch)) == [2.0]
    other.write_text(CHANGED)
    assert lengths(looks(watch)) == [3.0]
    other.write_text(WRONG)
    assert looks(watch) == []
    assert watch.refused == 1


def test_a_wrong_rules_file_that_is_named_anew_is_refused_once(tmp_path: Path, path: Path) -> None:
    watch = watching(path)
    (tmp_path / "rules.yaml").write_text(WRONG)
    path.write_text(HEAD + "rules: rules.yaml\n")
    assert looks(watch, 8) == []
    assert watch.refused == 1


def test_what_needs_a_restart_is_said_in_one_line_and_the_rules_still_change(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watching(path)
    path.write_text(HEAD.replace("fps: 5", "fps: 9") + "sinks: [{type: stdout}]\n" + CHANGED)
    (found,) = looks(watch)
    assert lengths([found]) == [3.0]
    assert found.cameras["door"].interval == 0.2, "the camera goes on as it is"
    (line,) = [record.getMessage() for record in caplog.records]
    assert "restart to apply changed=cameras,sinks" in line


@pytest.mark.parametrize("where", ["{cameras: [attic]}", "{cameras: [door], zones: [bed]}"])
def test_rules_about_what_only_a_restart_would_bring_are_refused(path: Path, where: str) -> None:
    more = HEAD.replace("zones: {", "zones: {bed: {polygon: [[0, 0], [1, 0], [1, 1]]}, ") + '  attic: {url: "a.mp4"}\n'
    rules = RULES.replace("for: 2s", f"where: {where}")
    watch = watching(path)
    path.write_text(more + rules)
    assert looks(watch) == []
    assert "restart to apply" in watch.error
    assert load_settings(path).rules, "it is right for a restart"


def test_asked_for_it_reads_at_once_and_again(path: Path) -> None:
    watch = watching(path)
    path.write_text(HEAD + CHANGED)
    found = watch.look(now=True)
    assert found is not None
    assert lengths([found]) == [3.0]
    assert watch.look(now=True) is None
    path.write_text(HEAD + WRONG)
    assert [watch.look(now=True), watch.look(now=True)] == [None, None]
    assert watch.refused == 2, "who asks is answered"


def test_no_secret_is_in_the_complaint(path: Path) -> None:
    watch = watching(path)
    path.write_text(HEAD + 'sinks: [{type: webhook, url: "https://x.example", token: geheim1}]\n' + WRONG)
    looks(watch)
    assert "hapiness" in watch.error
    assert "geheim1" not in watch.error


def test_a_new_title_counts_as_a_change(path: Path) -> None:
    watch = watching(path)
    path.write_text(HEAD + RULES.replace("for: 2s", "for: 2s, title: Joy"))
    (found,) = looks(watch)
    assert found.ruleset.rules[0].title == "Joy"
    path.write_text("# a comment\n" + path.read_text())
    assert looks(watch) == []


def test_a_process_that_gets_no_other_secrets_applies_rules_as_well(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    head = HEAD + 'sinks: [{type: webhook, url: "https://x.example", token: {env: NOT_GIVEN_TO_THIS_PROCESS}}]\n'
    path.write_text(head + RULES)
    watch = RulesWatch(path, load_settings(path, reads=READS["evaluate"]))
    path.write_text(head + CHANGED)
    assert lengths(looks(watch)) == [3.0]
    assert "restart to apply" not in caplog.text


def test_a_section_that_may_hold_a_secret_is_not_changed_by_being_read(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rules are read without secrets: in their place stands something that is no secret."""
    path.write_text(HEAD + "console: {port: 0}\n" + RULES)
    watch = watching(path)
    overwrite(path, HEAD + "console: {port: 0}\n" + CHANGED)
    assert lengths(looks(watch)) == [3.0]
    assert "restart to apply" not in caplog.text
