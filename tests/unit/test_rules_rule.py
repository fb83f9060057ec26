"""Rules as written: what is accepted, what is refused and why, and what a rule's version covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from operators.records import GapReason, Scope, Severity
from operators.rules import (
    Absence,
    Baseline,
    Between,
    Change,
    Count,
    Escalation,
    Flank,
    Inhibit,
    Predicate,
    Pulse,
    Ratio,
    Reacquire,
    Requires,
    Rule,
    Sequence,
    Share,
    Step,
    Where,
    with_defaults,
)

FEAR = Predicate(prob="fear", enter=0.6)
FRAMES = Absence(of="frames")
STEPS = Sequence((Step(FEAR), Step(FEAR)), within=4)


class File(BaseModel):
    """A configuration file as pipeline/config.py reads it."""

    model_config = ConfigDict(extra="forbid", alias_generator=lambda name: name.rstrip("_"), frozen=True)
    rules: tuple[Rule, ...]


def read(raw: dict[str, Any]) -> Rule:
    return File.model_validate({"rules": [raw]}).rules[0]


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Rule("No spaces", FEAR), "rule id"),
        (lambda: Rule("rule-limited", FEAR), "an id of its own"),
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
        (lambda: Rule("a"), "when: write for example"),
        (lambda: Rule("a", Predicate(prob="fear")), "when with enter"),
        (lambda: Rule("a", FEAR, scope=Scope.CAMERA, count=Count(3, 10), share=Share(0.4)), "got count and share"),
        (lambda: Rule("a", FEAR, scope=Scope.CAMERA, count=Count(3, 10, of="pulses")), "pulse beside count"),
        (lambda: Rule("a", FEAR, count=Count(3, 10), pulse=Pulse()), "pulses} beside pulse"),
        (lambda: Rule("a", FEAR, count=Count(3, 10)), "one face is no crowd"),
        (lambda: Rule("a", FEAR, share=Share(0.4)), "one face is no crowd"),
        (lambda: Rule("a", absence=Absence()), "one face is no crowd"),
        (lambda: Rule("a", FEAR, scope=Scope.CAMERA, absence=FRAMES), "no when beside absence of frames"),
        (lambda: Rule("a", scope=Scope.ZONE, absence=FRAMES), "scope: camera beside absence of frames"),
        (lambda: Rule("a", FEAR, sequence=STEPS), "no when beside sequence"),
        (lambda: Rule("a", FEAR, change=Change(zscore=3)), "no enter beside change"),
        (lambda: Rule("a", Predicate(not_=FEAR), change=Change(zscore=3)), "one number and no enter beside change"),
        (lambda: Rule("a", replace(FEAR, hold=1.0), pulse=Pulse()), "no smooth and no hold in the when of a pulse"),
        (lambda: Rule("a", FEAR, ratio=Ratio(0.7)), "for of at least ratio.bucket"),
        (lambda: Rule("a", FEAR, ratio=Ratio(0.7), for_=3600), "at most 240 ratio.buckets"),
        (lambda: Rule("a", FEAR, scope=Scope.GROUP), "scope: group and group: NAME together"),
        (lambda: Rule("a", FEAR, group="doors"), "scope: group and group: NAME together"),
        (lambda: Rule("a", FEAR, scope=Scope.SITE, where=Where(("lobby",))), "no where.cameras with scope: site"),
        (lambda: Requires(0), "requires.fps above 0"),
        (lambda: Inhibit(()), "rules to inhibit"),
        (lambda: Inhibit(("a",), equal=("room",)), "equal to name some of"),
        (lambda: Ratio(0), "ratio.at_least in"),
        (lambda: Ratio(0.5, bucket=0.05), "ratio.bucket of at least 100ms"),
        (lambda: Count(0, 10), "count.at_least from 1"),
        (lambda: Count(1, 0), "count.within of at least 1ms"),
        (lambda: Pulse(min=1, max=0.5), "pulse.min <= pulse.max"),
        (lambda: Flank(Predicate(prob="neutral")), "pulse.flank.when with enter"),
        (lambda: Flank(FEAR, within=0), "pulse.flank.within above 0s"),
        (lambda: Step(Predicate(prob="fear")), "sequence.steps.when with enter"),
        (lambda: Step(FEAR, -1), "the for of a step >= 0s"),
        (lambda: Between(FEAR, -1), "the for of not_between >= 0s"),
        (lambda: Sequence((Step(FEAR),), 4), "two to eight steps, got 1"),
        (lambda: Sequence((Step(FEAR, 2), Step(FEAR, 3)), 4), "at least the 5s that its steps last, got 4s"),
        (lambda: Sequence((Step(FEAR), Step(FEAR)), 4, max_pause=-1), "max_pause >= 0s"),
        (lambda: Absence(fewer_than=0), "fewer_than of at least 1"),
        (lambda: Absence(reasons=(GapReason.DOWN,)), "reasons only with absence of frames"),
        (lambda: Absence(of="frames", reasons=()), "at least one of the reasons"),
        (lambda: Share(0), "exit <= at_least <= 1"),
        (lambda: Share(0.4, exit=0.5), "exit <= at_least <= 1"),
        (lambda: Share(0.4, over=0), "share.over above 0s"),
        (Change, "change.zscore or change.absolute above 0"),
        (lambda: Baseline(over=10), "min_observed from 0s to over"),
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


@pytest.mark.parametrize(
    ("rule", "condition", "samples"),
    [
        (Rule("a", FEAR), "sustained", 5),
        (Rule("a", FEAR, min_samples=2), "sustained", 2),
        (Rule("a", FEAR, for_=60, ratio=Ratio(0.7)), "ratio", 5),
        (Rule("a", scope=Scope.CAMERA, count=Count(3, 10)), "count", 1),
        (Rule("a", FEAR, pulse=Pulse()), "pulse", 1),
        (Rule("a", FEAR, pulse=Pulse(), count=Count(4, 60, of="pulses")), "pulse", 1),
        (Rule("a", sequence=STEPS), "sequence", 1),
        (Rule("a", scope=Scope.CAMERA, absence=Absence()), "absence", 5),
        (Rule("a", scope=Scope.CAMERA, absence=FRAMES), "absence", 1),
        (Rule("a", FEAR, scope=Scope.SITE, share=Share(0.4)), "share", 5),
        (Rule("a", Predicate(value="valence"), change=Change(zscore=3)), "change", 5),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_rule_knows_its_condition_and_how_many_samples_it_needs(rule: Rule, condition: str, samples: int) -> None:
    assert (rule.condition, rule.samples_needed) == (condition, samples)


def test_the_predicates_of_a_rule_are_those_of_its_condition_too() -> None:
    calm, anger = Predicate(prob="neutral", enter=0.5), Predicate(prob="anger", enter=0.6)
    assert Rule("a", FEAR, pulse=Pulse(flank=Flank(calm))).predicates == (FEAR, calm)
    steps = Sequence((Step(FEAR), Step(anger)), within=4, not_between=Between(calm))
    assert Rule("a", sequence=steps).predicates == (FEAR, anger, calm)
