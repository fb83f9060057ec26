"""docs/rules.md says what the code does: its rules load, its traces and pictures come true, its tables are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import TypeAdapter

from operators.records import Alert, FaceTrack, TrackEvent, TrackEventKind
from operators.rules import (
    EvaluatorState,
    Group,
    Limits,
    Predicate,
    Routing,
    Rule,
    RuleEvaluator,
    RuleSet,
    Schedule,
)
from operators.rules.reading import ready
from operators.rules.signal import advance, held
from operators.rules.state import Signal
from operators.rules.template import NUMBERS, WORDS, Template
from operators.units import Seconds, format_duration
from pipeline.config import load_rules, load_settings
from pipeline.rule_report import timeline
from pipeline.rule_tests import RuleTest
from pipeline.rule_trials import Trial, try_rules
from tests.unit.test_rules_traces import RULE, frames, run

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
HEAD = """\
purpose: The documentation is tried.
cameras: {lobby: {url: lobby.mp4}}
"""
TESTS = TypeAdapter(RuleTest)
BLOCK = r"```yaml\n(?P<block>[\s\S]*?)```"
TABLE = r"(?P<table>(?:^\|[ -].*\n)+)"
PICTURE = r"\n(?:[A-Z].*:\n\n)?```\n(?P<picture>[\s\S]*?)```"


def section(title: str) -> str:
    """The text under a heading of the page."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str, *, under: str) -> list[list[str]]:
    """The cells of all tables whose first line begins with these cells."""
    found = []
    for table in re.findall(TABLE, text, re.MULTILINE):
        head, _, *lines = table.splitlines()
        if head.startswith(f"| {under} |"):
            found += [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return found


@cache
def rules_of(block: str) -> RuleSet:
    """The rules of a block of the page, read as a file of rules."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(block, encoding="utf-8")
        return load_rules(path)


# --- fields


def documented() -> Iterator[tuple[str, str]]:
    """Every field of a rule and of what rules share, as a file spells it, with its default."""
    yield from fields_of(Rule)
    for name, kind in {"groups": Group, "schedules": Schedule, "routing": Routing, "limits": Limits}.items():
        yield from fields_of(kind, f"{name}.")


def fields_of(kind: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        name = prefix + one.name.rstrip("_")
        yield name, shown(default(one), hints[one.name])
        inner = settings_in(hints[one.name])
        if inner is not None and (inner is not Predicate or name == "when"):
            yield from fields_of(inner, f"{name}.")


def settings_in(hint: Any) -> Any:
    """The dataclass that a type is made of, if there is one."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    return next((found for part in get_args(hint) if (found := settings_in(part))), None)


def default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


def shown(value: Any, hint: Any) -> str:
    if value is MISSING:
        return "**required**"
    if is_dataclass(value):
        return durations_of(value)
    if value in (None, "", ()):
        return "none"
    return f"`{format_duration(value) if hint == Seconds else plain(value)}`"


def plain(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(plain, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.value if isinstance(value, Enum) else value)


def durations_of(settings: Any) -> str:
    hints = get_type_hints(type(settings), include_extras=True)
    parts = [
        f"{one.name}: {format_duration(getattr(settings, one.name))}"
        for one in fields(settings)
        if hints[one.name] == Seconds
    ]
    return f"`{{{', '.join(parts)}}}`" if parts else "none"


def test_every_field_is_there_with_its_default() -> None:
    assert {name.strip("`"): value for name, value, _ in rows(TEXT, under="field")} == dict(documented())


def test_no_field_is_there_twice() -> None:
    names = [name for name, *_ in rows(TEXT, under="field")]
    assert len(names) == len(set(names))


# --- rules


@pytest.mark.parametrize("block", BLOCKS)
def test_every_rule_of_the_page_loads(block: str) -> None:
    assert all(f"id: {rule.id}\n" in block for rule in rules_of(block).rules)


def test_the_first_rule_stands_in_a_whole_configuration_too(tmp_path: Path) -> None:
    path = tmp_path / "mien.yaml"
    path.write_text(HEAD + BLOCKS[0], encoding="utf-8")
    assert load_settings(path).rules == rules_of(BLOCKS[0]).rules


def test_the_page_shows_the_rules_that_mien_ships() -> None:
    """But for who is told, which has its own part, and the first rule, which is shorter there."""
    page = [replace(rule, inhibit=()) for block in BLOCKS for rule in rules_of(block).rules]
    paths = [path for path in sorted((ROOT / "examples" / "rules").glob("*.yaml")) if ".test" not in path.name]
    shipped = [load_rules(path).rules[0] for path in paths if path.stem != "fear-sustained"]
    assert [rule.id for rule in shipped if replace(rule, inhibit=()) not in page] == []


def test_the_short_form_is_read_as_it_is_written() -> None:
    (rule,) = next(rules_of(block) for block in BLOCKS if "id: short\n" in block).rules
    assert f'when: "{rule.when}"' in TEXT


# --- texts


def test_every_name_of_the_texts_is_there() -> None:
    names = re.findall(r"\{([a-z.]+)\}", " ".join(name for name, _ in rows(section("Texts"), under="name")))
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
    hold, letters = 300, []
    reader = ready(Predicate(prob="fear", enter=0.6, exit=0.45), {}, max_gap=hold)
    memory, signal = reader.blank(), Signal()
    for number, level in enumerate(levels):
        ts = number * 100
        if level != "_":
            advance(signal, ts, reader.read(memory, [face(level)], ts)[0], hold)
        known = signal.known and ts - signal.at == held(signal, ts, hold)
        letters.append("U" if not known else "T" if signal.last else "F")
    assert "".join(letters) == "".join(drawn)


def face(level: str) -> FaceTrack:
    box = (10.0, 20.0, 50.0, 70.0)
    if level == "?":
        return FaceTrack("t1", 0.0, box, 0.9, 40.0, 0.0)
    return FaceTrack("t1", 0.0, box, 0.9, 40.0, 0.9, label="fear", scores={"fear": float(level)})


# --- traces and pictures


@dataclass(frozen=True)
class Trace:
    """A row of a table of traces, with the rules that stand above the table."""

    block: str
    head: str
    name: str
    sight: str
    expected: str
    picture: str = ""
    """Of the first row, where there is one under the table."""

    def trial(self) -> Trial:
        """What the rules make of it."""
        rules = rules_of(self.block)
        head = re.fullmatch(r"at (\d+) pictures a second(?: from (.+))?", self.head)
        assert head, f"expected `at N pictures a second` or `... from TIME`, got {self.head}"
        test = {
            "name": self.name,
            "rule": rules.rules[0].id,
            "fps": float(head[1]),
            "cameras": cameras(self.sight, zones=rules.rules[0].where.zones),
            "only": True,
            **({"start": head[2]} if head[2] else {}),
        }
        return try_rules(TESTS.validate_python(test), rules)


def cameras(sight: str, *, zones: tuple[str, ...]) -> dict[str, Any]:
    """What each camera sees, from `TRACK, CAMERA/TRACK: KEY TIMELINE<br>...`; one camera and one face need no name."""
    found: dict[str, Any] = {}
    for line in sight.split("<br>"):
        match = re.fullmatch(r"`(?:(.+): )?(\w+) (.+)`", line)
        assert match, f"expected `KEY TIMELINE` or `TRACKS: KEY TIMELINE`, got {line}"
        for name in (match[1] or "face").split(", "):
            camera_id, _, track = name.rpartition("/")
            camera = found.setdefault(camera_id or "cam", {"tracks": {}, "zones": zones})
            (camera if match[2] == "frames" else camera["tracks"].setdefault(track, {}))[match[2]] = match[3]
    return found


def told(trial: Trial) -> str:
    """`pending 1.0, firing 4.0, resolved 5.5 condition`, with the rule where more than one has something to say."""
    several = len({alert.rule for alert in trial.alerts}) > 1
    alerts = sorted(trial.alerts, key=lambda alert: (alert.ts, alert.starts_at, alert.seq))
    return ", ".join(_told(alert, trial.test.start, several=several) for alert in alerts) or "none"


def _told(alert: Alert, start: int, *, several: bool) -> str:
    words: list[str] = [alert.rule] if several else []
    words += [alert.status.value, str(round(alert.ts * 1000 - start) / 1000)]
    if alert.ends_at is not None or alert.reason != "condition":
        words.append(alert.reason)
    return " ".join([*words, *([f"({alert.silenced_by})"] if alert.silenced_by else [])])


def drawn(trace: Trace, trial: Trial) -> str:
    """The picture, without its head and its legend."""
    _, *lines, _ = timeline(trial, rules_of(trace.block))
    return "\n".join(lines) + "\n"


def all_traces() -> Iterator[Trace]:
    block = ""
    for match in re.finditer(f"{BLOCK}|{TABLE}(?:{PICTURE})?", TEXT, re.MULTILINE):
        if match["block"]:
            block = match["block"]
            continue
        head, _, *lines = match["table"].splitlines()
        if not head.endswith("| transitions |"):
            continue
        for number, line in enumerate(lines):
            name, sight, expected = (cell.strip() for cell in line.strip("|").split("|"))
            picture = "" if number else match["picture"] or ""
            yield Trace(block, head.split("|")[1].strip(), name, sight, expected, picture)


TRACES = list(all_traces())


@cache
def outcome(trace: Trace) -> Trial:
    return trace.trial()


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_every_trace_of_the_page_comes_true(trace: Trace) -> None:
    """In order, shuffled, in other batches, cut and resumed."""
    assert told(outcome(trace)) == trace.expected
    assert outcome(trace).broken_laws == ()


@pytest.mark.parametrize("trace", [trace for trace in TRACES if trace.picture], ids=lambda trace: trace.name)
def test_every_picture_is_what_mien_draws(trace: Trace) -> None:
    assert drawn(trace, outcome(trace)) == trace.picture


def test_the_worked_traces_of_the_design_are_there() -> None:
    assert [trace.name[0] for trace in TRACES if trace.block == sustained()] == list("ABCDEFGH")


def test_every_condition_has_traces() -> None:
    shown = {rule.condition for trace in TRACES for rule in rules_of(trace.block).rules}
    assert shown == {"sustained", "ratio", "count", "pulse", "sequence", "absence", "share", "change"}


def sustained() -> str:
    return next(block for block in BLOCKS if "- id: fear\n" in block)


# --- reasons


def test_every_reason_is_there_and_no_other() -> None:
    written = {
        (status, reason.strip("`"))
        for statuses, reason, _ in rows(section("The life cycle"), under="status")
        for status in re.findall(r"\w+", statuses)
    }
    assert {(str(alert.status), alert.reason) for alert in everything_that_happens()} == written


def everything_that_happens() -> list[Alert]:
    """Alerts with every reason there is."""
    alerts = [alert for trace in TRACES for alert in outcome(trace).alerts]
    alerts += run(replace(RULE, max_duration=0.5), frames("0.8x40"))
    alerts += twice_in_the_cooldown()
    for count in (10, 35):
        alerts += ended_by_the_configuration(count) + ended_by_a_merge(count)
    return alerts


def twice_in_the_cooldown() -> tuple[Alert, ...]:
    """A sequence that is complete again before it may fire again."""
    trace = next(trace for trace in TRACES if "sequence:" in trace.block)
    happiness, anger = re.findall(r"`\w+ (.*?)`", trace.sight)
    twice = f"`happiness {happiness} {happiness}`<br>`anger {anger} {anger}`"
    return replace(trace, sight=twice).trial().alerts


def ended_by_the_configuration(count: int) -> list[Alert]:
    *before, last = frames(f"0.8x{count}")
    state: EvaluatorState | None = None
    for observation in before:
        state, _ = RuleEvaluator(RuleSet((RULE,))).step(state, observation)
    return RuleEvaluator(RuleSet(())).step(state, last)[1]


def ended_by_a_merge(count: int) -> list[Alert]:
    """Both faces are high; the second one a picture later, so that it is the one that gives way."""
    first, second = frames(f"0.8x{count}"), frames(f"0.2x1 0.8x{count - 1}", track="t2")
    both = [replace(one, faces=one.faces + other.faces) for one, other in zip(first, second, strict=True)]
    merge = TrackEvent(TrackEventKind.MERGED, "t2", into="t1")
    return run(RULE, [*both[:-1], replace(first[-1], events=(merge,))])
