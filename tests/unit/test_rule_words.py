"""Rules as people read them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from operators.rules import Rule, RuleSet
from pipeline.config import Settings, load_rules
from pipeline.rule_words import file_of, sentence_of, yaml_of
from tests.conftest import ROOT
from tests.rule_stories import rules

EXAMPLES = ROOT / "examples" / "rules"
KINDS = ("sustained", "ratio", "count", "pulse", "pulses", "sequence", "absence", "frames", "share", "change")
SAID = {
    "affect-shift": "Fires when valence of a face falls by 0.25 and 3 deviations from what was usual in the 1m before "
    "for 1s500ms.",
    "camera-down": "Fires when there is no usable picture (down) for 5s on a camera.",
    "camera-frozen": "Fires when there is no usable picture (frozen or black) for 30s on a camera.",
    "confusion-long": "Fires when some face shows confusion >= 0.3 for 70% of 5m in zone kiosk during opening.",
    "crowd-negative": "Fires when 40% of the faces, of 6 or more, show anger|fear|sadness|disgust >= 0.5 within 10s, "
    "for 20s in the group lobby.",
    "fear-crowd": "Fires when at least 3 faces show fear >= 0.55 within 10s on a camera.",
    "fear-sustained": "Fires when a face shows fear >= 0.6 for 3s.",
    "micro-burst": "Fires when a face shows fear|disgust|anger|contempt >= 0.55 only briefly (80ms to 500ms) with "
    "neutral >= 0.5 before and after, 4 times within 1m.",
    "nobody-at-desk": "Fires when no face is seen for 10m in zone desk during opening.",
    "smile-then-anger": "Fires when a face shows happiness >= 0.7 for 500ms, then anger >= 0.6 for 500ms, all within "
    "4s and not neutral >= 0.8 in between.",
}


def read_back(text: str) -> tuple[Rule, ...]:
    data = {"purpose": "a test", "cameras": {}, "rules": YAML(typ="safe").load(text)}
    return Settings.model_validate(data).rules


def example_rules() -> dict[str, Rule]:
    files = [path for path in sorted(EXAMPLES.glob("*.yaml")) if not path.name.endswith(".test.yaml")]
    return {rule.id: rule for path in files for rule in load_rules(path).rules}


def test_the_rules_that_are_shipped_say_what_they_do():
    assert {rule_id: sentence_of(rule) for rule_id, rule in example_rules().items()} == SAID


def test_the_yaml_of_the_rules_that_are_shipped_says_the_same():
    for rule in example_rules().values():
        assert read_back(yaml_of(rule)) == (rule,)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "{id: a, when: fear >= 0.6 and not anger >= 0.2}",
            "Fires when a face shows fear >= 0.6 and not anger >= 0.2.",
        ),
        (
            "{id: a, scope: zone, when: {prob: fear, enter: 0.6, aggregate: mean}, for: 2s}",
            "Fires when the average face shows fear >= 0.6 for 2s in a zone.",
        ),
        (
            "{id: a, scope: site, when: {any: [{prob: fear, enter: 0.6, aggregate: mean}, anger >= 0.2]}}",
            "Fires when what the faces show together shows fear >= 0.6 or anger >= 0.2 on all cameras together.",
        ),
        (
            "{id: a, scope: camera, where: {cameras: [lobby, quay], zones: [desk]}, count: {at_least: 1, within: 3s}}",
            "Fires when a face is seen within 3s in zone desk on cameras lobby or quay.",
        ),
        (
            "{id: a, scope: camera, when: fear >= 0.6, absence: {fewer_than: 2}, for: 1m}",
            "Fires when fewer than 2 faces are seen that would show fear >= 0.6 for 1m on a camera.",
        ),
    ],
)
def test_what_the_parts_of_a_rule_add(written: str, said: str):
    (rule,) = read_back(f"- {written}")
    assert sentence_of(rule) == said


def test_yaml_holds_what_was_written_and_no_more():
    rule = load_rules(EXAMPLES / "fear-sustained.yaml").rules[0]
    assert yaml_of(rule) == (
        "- id: fear-sustained\n"
        "  when: {enter: 0.6, exit: 0.45, prob: fear}\n"
        "  escalate:\n"
        "  - {after: 10s, severity: critical}\n"
        "  for: 3s\n"
        "  max_gap: 700ms\n"
        "  min_quality: 0.4\n"
        "  title: Sustained fear on {camera}\n"
        "  summary: '{camera}/{zone}: fear for {duration}, peak {value.max:.2f}, {coverage:.0%} of it observed'\n"
    )


def test_a_whole_file_says_the_same(tmp_path: Path):
    for path in [path for path in sorted(EXAMPLES.glob("*.yaml")) if not path.name.endswith(".test.yaml")]:
        rules = load_rules(path)
        again = tmp_path / path.name
        again.write_text(file_of(rules), encoding="utf-8")
        assert load_rules(again) == rules


def test_a_file_has_what_rules_name_and_how_alerts_are_sent(tmp_path: Path):
    path = tmp_path / "rules.yaml"
    path.write_text(
        "signals: {upset: {fear: 1, anger: 0.5}}\n"
        "groups: {hall: {cameras: [lobby, quay], zones: [desk]}}\n"
        "schedules: {night: {timezone: Europe/Vienna, hours: ['22:00-06:00'], days: [mon, sun]}}\n"
        "routing: {group_wait: 2s, mute: [{schedule: night, severity_below: critical}]}\n"
        "limits: {max_active_per_rule: 20}\n"
        "rules: [{id: upset, when: upset >= 0.5, scope: group, group: hall, schedule: night, for: 2s}]\n"
    )
    rules = load_rules(path)
    path.write_text(file_of(rules), encoding="utf-8")
    assert load_rules(path) == rules
    assert file_of(load_rules(path)).splitlines()[0] == "version: 1"
    path.write_text(file_of(RuleSet()), encoding="utf-8")
    assert load_rules(path) == RuleSet()


def test_an_empty_condition_is_written_too(tmp_path: Path):
    (rule,) = read_back("[{id: a, scope: camera, absence: {}, for: 1m}]")
    assert "absence: {}" in yaml_of(rule)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=5)
def test_any_rule_reads_back_as_it_was_written_and_has_a_sentence(kind: str, data: st.DataObject):
    rule = data.draw(rules(kind, "main"))
    text = yaml_of(rule)
    assert yaml_of(*read_back(text)) == text
    said = sentence_of(rule)
    assert said.startswith("Fires when ")
    assert said.endswith(".")
    assert not any(wrong in said for wrong in ("None", "  ", " .", "..", ",."))
