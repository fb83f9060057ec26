"""The rules that we ship: they are checked, every one of them is tested, and the tests pass and can fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from operators.records import Status
from operators.rules import Rule, RuleSet
from pipeline.config import rules_report
from pipeline.rule_report import problems, timeline
from pipeline.rule_tests import RuleTest, load_tests
from pipeline.rule_trials import rule_of, try_rules

FOLDER = Path(__file__).parents[2] / "examples" / "rules"
FILES = {path.name.removesuffix(".test.yaml"): load_tests(path) for path in sorted(FOLDER.glob("*.test.yaml"))}
TESTS = [(tests.rules, test) for tests in FILES.values() for test in tests.tests]


def test_every_rules_file_has_its_tests() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml") if ".test" not in path.name} == FILES.keys()
    assert len(FILES) >= 9


@pytest.mark.parametrize("name", FILES)
def test_the_rules_are_without_fault(name: str) -> None:
    assert rules_report(FOLDER / f"{name}.yaml") == []


@pytest.mark.parametrize("name", FILES)
def test_every_rule_is_shown_to_fire_and_to_keep_quiet(name: str) -> None:
    tests = FILES[name]
    fires = {
        rule_of(claim, test, tests.rules)
        for test in tests.tests
        for claim in test.expect
        if claim.state is Status.FIRING
    }
    quiet = {rule_of(claim, test, tests.rules) for test in tests.tests for claim in test.never}
    quiet |= {test.rule or tests.rules.rules[0].id for test in tests.tests if test.only}
    assert fires == {rule.id for rule in tests.rules.rules}
    assert quiet


@pytest.mark.parametrize(("rules", "test"), TESTS, ids=[f"{test.name}" for _, test in TESTS])
def test_it_passes(rules: RuleSet, test: RuleTest) -> None:
    trial = try_rules(test, rules)
    assert trial.passed, "\n".join(["", *problems(trial, rules), *timeline(trial, rules)])


def slowed(rule: Rule) -> Rule:
    """The rule, or the steps of its sequence, wanting more than twice as long."""
    if rule.sequence:
        steps = tuple(replace(step, for_=2 * step.for_ + 0.7) for step in rule.sequence.steps)
        return replace(rule, sequence=replace(rule.sequence, steps=steps))
    return replace(rule, for_=2 * rule.for_ + 0.7, keep_firing_for=0.1)


@pytest.mark.parametrize("name", FILES)
def test_it_fails_with_other_rules(name: str) -> None:
    """Rules that want twice as long and remember nothing must not pass the same tests."""
    tests = FILES[name]
    slower = tuple(slowed(rule) for rule in tests.rules.rules)
    other = replace(tests.rules, rules=slower)
    assert any(not try_rules(test, other).passed for test in tests.tests)
