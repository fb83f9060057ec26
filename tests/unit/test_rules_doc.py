"""docs/rules.md says what the code does: its rules load, its traces run, its tables are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from operators.records import Alert, Severity, TrackEvent, TrackEventKind
from operators.rules import Escalation, Predicate, Reacquire, Rule, RuleEvaluator, RuleSet, Where
from operators.rules.evaluator import EvaluatorState
from operators.rules.signal import Signal, advance, held, reads_true
from operators.rules.template import NUMBERS, WORDS, Template
from operators.units import Seconds, format_duration
from pipeline.config import load_settings
from tests.unit.test_rules_traces import frames, run, told

TEXT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
HEAD = """\
purpose: The documentation is tried.
cameras: {lobby: {url: lobby.mp4}}
"""
NESTED = {"when": Predicate, "where": Where, "escalate": Escalation, "reacquire": Reacquire}


def section(title: str) -> str:
    """The text under a heading of the page."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the tables under a heading, without their first two lines."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def loaded(block: str, folder: Path) -> Rule:
    path = folder / "mien.yaml"
    path.write_text(HEAD + block, encoding="utf-8")
    (rule,) = load_settings(path).rules
    return rule


# --- fields


def documented() -> Iterator[tuple[str, str]]:
    """Every field of a rule as the configuration spells it, with its default."""
    for prefix, kind in [("", Rule), *((f"{name}.", nested) for name, nested in NESTED.items())]:
        hints = get_type_hints(kind, include_extras=True)
        for one in fields(kind):
            yield prefix + one.name.rstrip("_"), shown(default(one), hints[one.name])


def default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


def shown(value: Any, hint: Any) -> str:
    if value is MISSING:
        return "**required**"
    if is_dataclass(value):
        hints = get_type_hints(type(value), include_extras=True)
        parts = [
            f"{one.name}: {format_duration(getattr(value, one.name))}"
            for one in fields(value)
            if hints[one.name] == Seconds
        ]
        return f"`{{{', '.join(parts)}}}`" if parts else "none"
    if value in (None, "", ()):
        return "none"
    return f"`{format_duration(value) if hint == Seconds else value.value if isinstance(value, Enum) else value}`"


def test_every_field_is_there_with_its_default() -> None:
    assert {name.strip("`"): value for name, value, _ in rows("Every field")} == dict(documented())


def test_no_field_is_there_twice() -> None:
    names = [name for name, *_ in rows("Every field")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("block", BLOCKS)
def test_every_rule_of_the_page_loads(block: str, tmp_path: Path) -> None:
    assert loaded(block, tmp_path).id in block


def test_the_short_form_is_the_one_of_the_page(tmp_path: Path) -> None:
    assert loaded(BLOCKS[1], tmp_path).when == Predicate(prob="fear", enter=0.6)


# --- texts


def test_every_name_of_the_texts_is_there() -> None:
    names = re.findall(r"\{([a-z.]+)\}", " ".join(name for name, _ in rows("Texts")))
    assert sorted(names) == sorted(WORDS + NUMBERS)


@pytest.mark.parametrize(("text", "result"), re.findall(r"\(?`(\{[a-z.]+:\S+?\})` is `(\S+?)`", section("Texts")))
def test_every_format_of_the_page_gives_what_it_says(text: str, result: str) -> None:
    assert Template.parse(text).render({}, {"value.max": 0.812, "coverage": 0.97}) == result


# --- the signal


def test_the_timeline_is_what_the_signal_does() -> None:
    """Ten pictures a second, max_gap of three pictures, enter 0.6, exit 0.45."""
    levels, drawn = (
        line.split()[1:] for line in section("The signal").splitlines() if line.startswith(("fear ", "signal "))
    )
    signal, hold, letters = Signal(), 300, []
    for number, level in enumerate(levels):
        ts = number * 100
        if level == "?":
            signal = advance(signal, ts, None, hold)
        elif level != "_":
            signal = advance(
                signal, ts, reads_true(signal, float(level), at=ts, enter=0.6, exit_=0.45, hold=hold), hold
            )
        known = signal.known and ts - signal.at == held(signal, ts, hold)
        letters.append("U" if not known else "T" if signal.last else "F")
    assert "".join(letters) == "".join(drawn)


# --- traces and reasons

TRACES = rows("Worked traces")


@pytest.mark.parametrize(("signal", "expected"), [trace[1:] for trace in TRACES], ids=[trace[0] for trace in TRACES])
def test_every_trace_of_the_page_comes_true(signal: str, expected: str, tmp_path: Path) -> None:
    rule = loaded(BLOCKS[-1], tmp_path)
    assert told(run(rule, frames(signal.strip("`")))) == expected


def test_all_eight_traces_are_there() -> None:
    assert [name[0] for name, *_ in TRACES] == list("ABCDEFGH")


def test_every_reason_is_there_and_no_other(tmp_path: Path) -> None:
    written = {
        (status, reason.strip("`"))
        for statuses, reason, _ in rows("The life cycle")
        for status in re.findall(r"\w+", statuses)
    }
    rule = loaded(BLOCKS[-1], tmp_path)
    assert {(str(alert.status), alert.reason) for alert in everything_that_happens(rule)} == written


def everything_that_happens(rule: Rule) -> list[Alert]:
    """Alerts with every reason there is."""
    alerts = [alert for trace in TRACES for alert in run(rule, frames(trace[1].strip("`")))]
    changed = [
        replace(rule, max_duration=0.5),
        replace(rule, repeat_every=0.2),
        replace(rule, escalate=(Escalation(3.2, Severity.CRITICAL),)),
    ]
    for other in changed:
        alerts += run(other, frames("0.8x40"))
    for count in (10, 35):
        alerts += ended_by_the_configuration(rule, count) + ended_by_a_merge(rule, count)
    return alerts


def ended_by_the_configuration(rule: Rule, count: int) -> list[Alert]:
    *before, last = frames(f"0.8x{count}")
    state: EvaluatorState | None = None
    for observation in before:
        state, _ = RuleEvaluator(RuleSet((rule,))).step(state, observation)
    return RuleEvaluator(RuleSet(())).step(state, last)[1]


def ended_by_a_merge(rule: Rule, count: int) -> list[Alert]:
    """Both faces are high; the second one a picture later, so that it is the one that gives way."""
    first, second = frames(f"0.8x{count}"), frames(f"0.2x1 0.8x{count - 1}", track="t2")
    both = [replace(one, faces=one.faces + other.faces) for one, other in zip(first, second, strict=True)]
    merge = TrackEvent(TrackEventKind.MERGED, "t2", into="t1")
    return run(rule, [*both[:-1], replace(first[-1], events=(merge,))])
