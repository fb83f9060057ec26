"""Files of rule tests: what is wrong with one is said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.errors import ConfigError
from operators.records import Gap, Severity, Status
from pipeline.config import load_rules
from pipeline.rule_tests import load_tests, parse_instant
from pipeline.rule_trials import try_rules
from tests.networks import own_classifier

RULES = """\
version: 1
rules:
  - {id: fear, when: "fear >= 0.6", for: 1s}
  - {id: joy, when: "happiness >= 0.6", for: 1s}
"""
HEAD = """\
rules: rules.yaml
tests:
  - name: one
    rule: fear
"""
GOOD = (
    HEAD
    + """\
    cameras: {cam-1: {tracks: {t1: {fear: 0.8x20}}}}
    expect: [{at: 1s, state: firing, severity: warning, labels: {camera: cam-1}, within: 50ms}]
    never: [{rule: joy}]
"""
)


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str, rules: str = RULES) -> Path:
        (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
        path = tmp_path / "a.test.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_a_file_of_tests_is_read_with_its_rules(write) -> None:
    loaded = load_tests(write(GOOD))
    (test,) = loaded.tests
    assert [rule.id for rule in loaded.rules.rules] == ["fear", "joy"]
    assert (test.name, test.fps, test.only, test.flush) == ("one", 10.0, False, False)
    assert (test.expect[0].state, test.expect[0].severity) == (Status.FIRING, Severity.WARNING)
    assert (test.expect[0].at, test.expect[0].within) == (1.0, 0.05)
    assert test.never[0].state is Status.FIRING
    assert len(test.records) == 20
    assert test.end_ms == 2000
    assert test.watched["cam-1"].interval == 0.1


def test_a_whole_configuration_may_be_tested(write) -> None:
    rules = RULES.replace("version: 1\n", "purpose: a test\ncameras: {cam-1: {url: 'scene://smile'}}\n")
    assert len(load_tests(write(GOOD, rules)).rules.rules) == 2


def test_rules_may_have_their_tests_in_the_same_file(write) -> None:
    inline = write(RULES + GOOD.partition("\n")[2])
    loaded = load_tests(inline)
    assert ([rule.id for rule in loaded.rules.rules], len(loaded.tests)) == (["fear", "joy"], 1)
    assert load_rules(inline) == loaded.rules, "the tests are no part of the rules"
    with pytest.raises(ConfigError, match='defualts: unknown key, did you mean "defaults"'):
        load_tests(write("defualts: {}\n" + RULES + GOOD.partition("\n")[2]))


def test_a_file_without_tests_says_so(write) -> None:
    with pytest.raises(ConfigError, match=r"tests: missing; The tests\."):
        load_tests(write(RULES))


def test_cameras_have_rates_and_zones_of_their_own(write) -> None:
    text = GOOD.replace("{cam-1: {", "{cam-2: {frames: okx2s, fps: 25, zones: [door]}, cam-1: {")
    (test,) = load_tests(write(text)).tests
    assert test.watched["cam-2"].interval == 1 / 25
    assert test.watched["cam-2"].zones == ("door",)
    assert len(test.records) == 70


def test_records_come_when_they_are_known(write) -> None:
    text = GOOD.replace("cam-1: {", "cam-2: {frames: downx2s}, cam-1: {", 1)
    (test,) = load_tests(write(text)).tests
    known = [record.to_ts if isinstance(record, Gap) else record.ts for record in test.records]
    assert known == sorted(known)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("fear: 0.8x20", "feer: 0.8x20", '5:37: tests[0].cameras.cam-1.tracks.t1.feer: unknown key, did you'),
        ("state: firing", "state: fireing", 'expect[0].state: expected pending, broken, firing or resolved, got'),
        ("at: 1s", "at: 1", "tests[0].expect[0].at: expected a duration with a unit such as 300ms"),
        ("0.8x20", "0.8y20", "5:43: tests[0].cameras.cam-1.tracks.t1.fear: expected a number from 0 to 1"),
        ("rule: fear", "rule: feer", '4:11: tests[0].rule: "feer" is no rule of this file, did you mean "fear"?'),
        ("rule: joy", "rule: sorrow", '"sorrow" is no rule of this file; there are: fear, joy'),
        ("    rule: fear\n", "", "tests[0].expect[0]: missing rule: say it here, or rule: NAME for the whole test"),
        ("camera: cam-1", "kamera: cam-1", 'labels.kamera: "kamera" is no label, did you mean "camera"?'),
        ("camera: cam-1", "camera: cam-2", '"cam-2" is no camera of this test, did you mean "cam-1"?'),
        ("at: 1s", "at: 3s", "the trace ends at 2s, before this: make it longer, or write flush: true"),
        ("0.8x20", "0.8", "cameras.cam-1: expected a length: write a timeline such as fear: 0.8x20"),
        ("fear: 0.8x20", "fear: 0.8x20, joy: 1", 'tracks.t1.joy: unknown key'),
        ("rules: rules.yaml", "rules: rulse.yaml", "rulse.yaml: no such file"),
        ("name: one", "name: one\n    start: now", "start: expected a time with its zone, such as"),
        ("    cameras", "    fps: 0\n    cameras", "tests[0].fps: expected fps above 0 and up to 120"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place(write, old: str, new: str, line: str) -> None:
    path = write(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_tests(path)
    assert line in str(caught.value)


def test_all_mistakes_are_told_in_the_order_of_the_file(write) -> None:
    path = write(GOOD.replace("0.8x20", "0.8y20").replace("at: 1s", "at: soon"))
    with pytest.raises(ConfigError) as caught:
        load_tests(path)
    first, second, hint = str(caught.value).splitlines()
    assert first.startswith(f"{path}:5:")
    assert second.startswith(f"{path}:6:")
    assert hint == "The format is explained in docs/rule-tests.md."


def test_two_tests_of_one_name_are_refused(write) -> None:
    again = GOOD.partition("tests:\n")[2]
    with pytest.raises(ConfigError, match="also the name of"):
        load_tests(write(GOOD + again))


def test_a_test_that_cannot_fail_is_refused(write) -> None:
    text = HEAD + "    cameras: {cam-1: {tracks: {t1: {fear: 0.8x20}}}}\n"
    with pytest.raises(ConfigError, match="without them a test can't fail"):
        load_tests(write(text))


def test_flush_lets_expectations_come_after_the_trace(write) -> None:
    (test,) = load_tests(write(GOOD.replace("at: 1s", "at: 1m") + "    flush: true\n")).tests
    assert test.flush


def test_mistakes_of_the_rules_are_told_too(write) -> None:
    with pytest.raises(ConfigError, match=r"rules\.yaml:3:"):
        load_tests(write(GOOD, RULES.replace("for: 1s", "fro: 1s", 1)))


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-05T12:00:00+00:00", 1_767_614_400_000),
        ("2026-01-05T13:00:00+01:00", 1_767_614_400_000),
        ("2026-01-05 13:00 Europe/Vienna", 1_767_614_400_000),
        ("2026-07-05 14:00:00.250 Europe/Vienna", 1_783_252_800_250),
        ("2026-01-05 12:00 UTC", 1_767_614_400_000),
    ],
)
def test_instants(text: str, ms: int) -> None:
    assert parse_instant(text) == ms


@pytest.mark.parametrize("text", ["2026-01-05 12:00", "noon", 12, "2026-01-05 12:00 Europe/Wien", ""])
def test_instants_without_a_zone_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a time with its zone"):
        parse_instant(text)


OWN = """\
version: 1
purpose: a test of one's own network
cameras: {door: {url: video.mp4}}
models: {expression: {path: FILE}}
rules:
  - {id: fear, when: "bright >= 0.6", for: 1s}
"""


def own_rules(folder: Path) -> str:
    return OWN.replace("FILE", str(own_classifier(folder / "own.onnx")))


def test_the_classes_of_ones_own_network_have_timelines_too(write, tmp_path: Path) -> None:
    loaded = load_tests(
        write(
            GOOD.replace("fear: 0.8x20", "classes: {bright: 0.8x20}").replace("joy", "fear, reason: dip"),
            own_rules(tmp_path),
        )
    )
    (test,) = loaded.tests
    scores = test.records[0].faces[0].scores
    assert (scores["bright"], scores["dark"], test.records[0].faces[0].label) == (0.8, 0.0, "bright")
    assert try_rules(test, loaded.rules).passed


@pytest.mark.parametrize(
    ("face", "message"),
    [
        ("fear: 0.8x20", r't1\.fear: "fear" is no expression that the network reads; there are: dark, bright'),
        ("classes: {brihgt: 0.8x20}", r't1\.classes\.brihgt: "brihgt" is no .*did you mean "bright"'),
        ("classes: {fear: 0.8x20}", "expected fear beside classes, not in it"),
        ("classes: {bright: 0.8x20, dark: 0.5x20}", "add up to at most 1, got 1.3"),
    ],
)
def test_what_ones_own_network_does_not_read_is_no_timeline(write, tmp_path: Path, face: str, message: str) -> None:
    path = write(GOOD.replace("fear: 0.8x20", face).replace("rule: joy", "rule: fear"), own_rules(tmp_path))
    with pytest.raises(ConfigError, match=message):
        load_tests(path)


def test_classes_that_the_registrys_network_does_not_have_are_a_mistake(write) -> None:
    with pytest.raises(ConfigError, match=r'classes\.drowsy: "drowsy" is no expression that the network reads'):
        load_tests(write(GOOD.replace("fear: 0.8x20", "fear: 0.8x20, classes: {drowsy: 0.1}")))
