"""Rules as written: what is accepted, what is refused and why, and what a rule's version covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from operators.records import Scope, Severity
from operators.rules import (
    Escalation,
    Predicate,
    Reacquire,
    Rule,
    RuleSet,
    Where,
    parse_predicate,
    rule_version,
    with_defaults,
)

FEAR = Predicate(prob="fear", enter=0.6)


class File(BaseModel):
    """A configuration file as pipeline/config.py reads it."""

    model_config = ConfigDict(extra="forbid", alias_generator=lambda name: name.rstrip("_"), frozen=True)
    rules: tuple[Rule, ...]


def read(raw: dict[str, Any]) -> Rule:
    return File.model_validate({"rules": [raw]}).rules[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fear >= 0.6", {"prob": "fear", "enter": 0.6}),
        ("  fear>=.6 ", {"prob": "fear", "enter": 0.6}),
        ("intensity >= 1", {"value": "intensity", "enter": 1.0}),
    ],
)
def test_compact_predicates_become_mappings(text: str, expected: dict[str, object]) -> None:
    assert parse_predicate(text) == expected


@pytest.mark.parametrize(
    "text", ["", "fear", "fear > 0.6", "fear >= high", "fear >= 0.6 and anger >= 0.2", "0.6 <= fear"]
)
def test_other_texts_are_no_predicates(text: str) -> None:
    with pytest.raises(ValueError, match="expected NAME >= NUMBER"):
        parse_predicate(text)


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Predicate(prob="fear", enter=0.5, exit=0.6), "exit <= enter"),
        (lambda: Predicate(prob="fear", enter=1.5), "enter <= 1"),
        (lambda: Predicate(enter=0.5), "one of prob, prob_any and value"),
        (lambda: Predicate(enter=0.5, prob="fear", value="intensity"), "one of prob, prob_any and value"),
        (lambda: Predicate(enter=0.5, value="valence"), "value to be one of intensity"),  # type: ignore[arg-type]
        (lambda: Predicate(enter=0.5, prob="fear", aggregate="sum"), "aggregate"),  # type: ignore[arg-type]
        (lambda: Rule("No spaces", FEAR), "rule id"),
        (lambda: Rule("a", FEAR, for_=-1), "for >= 0s"),
        (lambda: Rule("a", FEAR, max_gap=0), "max_gap of at least 1ms"),
        (lambda: Rule("a", FEAR, max_dip=-0.1), "max_dip"),
        (lambda: Rule("a", FEAR, repeat_every=0), "repeat_every of at least 1ms"),
        (lambda: Rule("a", FEAR, reacquire=Reacquire(-1)), "reacquire.within"),
        (lambda: Rule("a", FEAR, min_coverage=60), "min_coverage in"),
        (lambda: Rule("a", FEAR, min_samples=0), "min_samples >= 1"),
        (lambda: Rule("a", FEAR, escalate=(Escalation(5, Severity.INFO),)), "rise in time and severity"),
        (lambda: Rule("a", FEAR, escalate=(Escalation(0, Severity.CRITICAL),)), "rise in time and severity"),
        (lambda: Rule("a", FEAR, title="{camera.__class__}"), "expected one of"),
        (lambda: RuleSet((Rule("a", FEAR), Rule("a", FEAR))), "a more than once"),
        (lambda: RuleSet((), version=2), "version 1"),
        (lambda: with_defaults({"when": "fear >= 0.6"}, {"id": "a"}), "without an id"),
    ],
)
def test_impossible_values_are_refused(build: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build()


def test_a_file_gives_the_rule_that_the_code_would() -> None:
    raw = {
        "id": "fear-sustained",
        "severity": "warning",
        "escalate": [{"after": "10s", "severity": "critical"}],
        "scope": "zone",
        "where": {"zones": ["desk"], "cameras": ["lobby"]},
        "when": {"prob": "fear", "enter": 0.6, "exit": 0.45},
        "for": "3s",
        "reacquire": {"within": "1500ms"},
    }
    expected = Rule(
        "fear-sustained",
        Predicate(prob="fear", enter=0.6, exit=0.45),
        escalate=(Escalation(10.0, Severity.CRITICAL),),
        scope=Scope.ZONE,
        where=Where(cameras=("lobby",), zones=("desk",)),
        for_=3.0,
        reacquire=Reacquire(1.5),
    )
    assert read(raw) == expected


def test_a_file_may_use_the_compact_predicate() -> None:
    assert read({"id": "a", "when": "fear >= 0.6"}).when == FEAR


@pytest.mark.parametrize(
    "raw",
    [
        {"id": "a", "when": "fear >= 0.6", "fro": "3s"},
        {"id": "a", "when": {"prob": "fear", "enter": 0.6, "exot": 0.4}},
        {"id": "a", "when": "fear >= 0.6", "for": 3},
        {"id": "a", "when": "fear is high"},
    ],
    ids=["unknown key", "unknown key below", "duration without a unit", "no predicate"],
)
def test_a_file_with_a_mistake_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(raw)


def test_defaults_fill_what_a_rule_leaves_out_and_nothing_else() -> None:
    defaults = {"for": "3s", "reacquire": {"within": "2s"}}
    filled = with_defaults({"id": "a", "for": "5s"}, defaults)
    assert filled == {"id": "a", "for": "5s", "reacquire": {"within": "2s"}}
    assert defaults == {"for": "3s", "reacquire": {"within": "2s"}}


def test_the_version_covers_what_decides_and_no_texts() -> None:
    rule = Rule("a", FEAR, title="one")
    assert rule_version(replace(rule, title="two", summary="three")) == rule_version(rule)
    assert rule_version(replace(rule, for_=0.1)) != rule_version(rule)
    assert rule_version(replace(rule, where=Where(zones=("desk",)))) != rule_version(rule)
    assert rule_version(replace(rule, when=replace(FEAR, enter=0.61))) != rule_version(rule)


def test_a_field_at_its_default_is_no_part_of_the_version() -> None:
    """So that a field which a later release adds changes no alert's id."""
    assert rule_version(Rule("a", FEAR)) == "5a8102e16669"
