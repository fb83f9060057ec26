"""Running tests of rules: what passes, what fails and how it is told, and that the laws are really looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from operators.records import Gap, Observation, Severity, Status, Tick
from operators.rules import Inhibit, Predicate, Rule, RuleEvaluator, RuleSet
from pipeline import rule_trials
from pipeline.rule_report import headline, junit, problems, timeline
from pipeline.rule_tests import Expectation, Forbidden, RuleTest, RuleTestFile
from pipeline.rule_trials import Trial, try_rules
from pipeline.trace_notation import CameraTrace, FaceTrace, parse_levels, parse_picture

FEAR = Rule("fear", Predicate(prob="fear", enter=0.6, exit=0.45), for_=1.0, max_gap=0.7, cooldown=5.0)
RULES = RuleSet((FEAR,))
FIRES = Expectation(2.0, Status.FIRING)
ENDS = Expectation(3.5, Status.RESOLVED)


def see(fear: str = "0.2x10 0.8x15 0.2x20", **more: object) -> RuleTest:
    cameras = {"cam": CameraTrace(tracks={"t": FaceTrace(fear=parse_levels(fear))})}
    return RuleTest(name="a test", cameras=cameras, **{"expect": (FIRES,), **more})


def tried(test: RuleTest, rules: RuleSet = RULES) -> Trial:
    return try_rules(test, rules)


# --- what a test says


@pytest.mark.parametrize(
    "more",
    [
        {"expect": (FIRES,)},
        {"expect": (FIRES, ENDS), "only": True},
        {"expect": (replace(FIRES, severity=Severity.WARNING, labels={"camera": "cam"}, reason="condition"),)},
        {"expect": (replace(FIRES, silenced_by=""),)},
        {"expect": (replace(FIRES, at=2.2, within=0.2),)},
        {"expect": (), "never": (Forbidden(state=Status.BROKEN),)},
        {"expect": (), "never": (Forbidden(labels={"camera": "other"}),)},
    ],
)
def test_what_is_so_passes(more: dict[str, object]) -> None:
    assert tried(see(**more)).passed


@pytest.mark.parametrize(
    "more",
    [
        {"expect": (replace(FIRES, at=2.001),)},
        {"expect": (replace(FIRES, at=2.2, within=0.1),)},
        {"expect": (replace(FIRES, severity=Severity.CRITICAL),)},
        {"expect": (replace(FIRES, labels={"camera": "other"}),)},
        {"expect": (replace(FIRES, reason="repeat"),)},
        {"expect": (replace(FIRES, silenced_by="muted:night"),)},
        {"expect": (FIRES, FIRES)},
        {"expect": (FIRES,), "only": True},
        {"expect": (), "never": (Forbidden(),)},
        {"expect": (), "never": (Forbidden(state=Status.PENDING),)},
        {"expect": (), "only": True},
    ],
)
def test_what_is_not_so_fails(more: dict[str, object]) -> None:
    assert not tried(see(**more)).passed


def test_every_expectation_takes_a_transition_of_its_own() -> None:
    tracks = {name: FaceTrace(fear=parse_levels("0.2x10 0.8x15")) for name in "ab"}
    two = RuleTest(name="two faces", cameras={"cam": CameraTrace(tracks=tracks)}, expect=(FIRES, FIRES), only=True)
    assert tried(two).passed


def test_a_vague_expectation_leaves_the_exact_one_its_transition() -> None:
    vague = replace(FIRES, at=2.3, within=1.0)
    late = {"late": CameraTrace(tracks={"t": FaceTrace(fear=parse_levels("0.2x12 0.8x15 0.2x18"))})}
    test = see(expect=(vague, FIRES))
    assert tried(replace(test, cameras=test.cameras | late)).passed


def test_only_is_about_the_rule_of_the_test() -> None:
    rules = RuleSet((FEAR, replace(FEAR, id="any", when=Predicate(value="intensity", enter=0.6))))
    test = see(expect=(FIRES, ENDS), only=True, rule="fear")
    assert tried(test, rules).passed
    named = tuple(replace(expected, rule="fear") for expected in test.expect)
    assert not tried(replace(test, rule="", expect=named), rules).passed


def test_silence_can_be_expected() -> None:
    loud = Rule("loud", Predicate(prob="fear", enter=0.6), for_=0.5, inhibit=(Inhibit(("fear",)),))
    quiet = replace(FIRES, silenced_by="inhibited:loud")
    assert tried(see(expect=(quiet,), rule="fear"), RuleSet((FEAR, loud))).passed


# --- the end of the trace


def test_time_stops_with_the_trace() -> None:
    assert [alert.status for alert in tried(see("0.2x10 0.8x15")).alerts] == [Status.PENDING, Status.FIRING]


def test_what_is_due_at_the_very_end_still_happens() -> None:
    assert tried(see("0.2x10 0.8x15 0.2x10", expect=(FIRES, ENDS))).passed


def test_with_flush_time_runs_on_until_everything_has_ended() -> None:
    alerts = tried(see("0.2x10 0.8x15", flush=True)).alerts
    assert (alerts[-1].status, alerts[-1].reason) == (Status.RESOLVED, "lost")


def test_an_outage_at_the_end_goes_on() -> None:
    trial = tried(RuleTest(name="down", cameras={"cam": CameraTrace(frames=parse_picture("downx3s"))}, only=True))
    assert trial.passed


# --- the laws


class Forgetful(RuleEvaluator):
    """Breaks the law of arrival: it has no buffer."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **{**options, "out_of_order": 0.0})


class Careless(RuleEvaluator):
    """Breaks the law of cuts: it counts in a place that isn't saved."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.count = 0

    def apply(self, state, item: Observation | Gap | Tick, /):
        self.count += 1
        return [replace(alert, reason=f"after {self.count} records") for alert in super().apply(state, item)]


@pytest.mark.parametrize(("evaluator", "law"), [(Forgetful, "order of arrival"), (Careless, "cut and resumed")])
def test_an_engine_that_breaks_a_law_is_found_out(evaluator: type, law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_trials, "RuleEvaluator", evaluator)
    trial = tried(see())
    assert all(claim.kept for claim in trial.claims)
    assert not trial.passed
    assert any(broken.name.startswith(law) for broken in trial.broken_laws)
    assert any("this is a fault of mien, not of the rule" in line for line in problems(trial, RULES))


# --- how it is told


def test_a_failure_shows_what_was_expected_and_what_came() -> None:
    trial = tried(see(expect=(replace(FIRES, at=2.5),), never=(Forbidden(state=Status.RESOLVED),)))
    assert headline(trial).startswith("✗ a test  ")
    assert problems(trial, RULES) == [
        "  1s      pending   fear  condition  camera=cam severity=warning",
        "+ 2s      firing    fear  condition  camera=cam severity=warning",
        "- 2.5s    firing    fear",
        "+ 3.5s    resolved  fear  condition  camera=cam severity=warning   <- never resolved",
    ]


def test_the_timeline_shows_signal_and_transitions() -> None:
    assert timeline(tried(see("0.2x10 0.8x12 ?x2 _x2 0.5x4 0.2x10")), RULES)[:-1] == [
        "fear cam t",
        "|0s       |1s       |2s       |3s",
        "▂▂▂▂▂▂▂▂▂▂▇▇▇▇▇▇▇▇▇▇▇▇    ▅▅▅▅▂▂▂▂▂▂▂▂▂▂",
        "..........############??  ####..........",
        "          p         F                  R",
    ]


def test_the_timeline_says_when_nothing_was_read() -> None:
    elsewhere = RuleSet((replace(FEAR, where=replace(FEAR.where, cameras=("other",))),))
    assert timeline(tried(see(), elsewhere), elsewhere) == [
        "no rule read a sample: check where, the names of cameras and zones"
    ]


def test_a_point_in_time_is_drawn_too() -> None:
    rules = RuleSet((replace(FEAR, momentary=True),))
    assert timeline(tried(see(), rules), rules)[4].count("F") == 1


def test_junit_has_a_case_per_test() -> None:
    passing, failing = see(), replace(see(expect=(replace(FIRES, at=2.5),)), name="<another>")
    tests = RuleTestFile(Path("a.yaml"), RULES, (passing, failing))
    root = ET.fromstring(junit([(tests.path, tests, [tried(passing), tried(failing)])]))
    (suite,) = root
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("a.yaml", "2", "1")
    good, bad = suite
    assert (good.get("name"), good.find("failure")) == ("a test", None)
    assert bad.get("name") == "<another>"
    text = bad.findtext("failure")
    assert "- 2.5s" in text
    assert "|0s" in text
