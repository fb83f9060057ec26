"""Tests of rules as they are written down: `rules: alerts.yaml`, and what must happen when cameras see what.

See docs/rule-tests.md. The timelines are those of `pipeline.trace_notation`; `pipeline.rule_trials` runs the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, ValidationError

from operators.errors import ConfigError
from operators.records import Gap, Observation, Severity, Status
from operators.rules import RuleSet, Watched
from operators.units import Seconds, format_duration
from pipeline.complaints import Complaint, complaints, dotted, nearest
from pipeline.config import rules_and_labels
from pipeline.schema import tidy
from pipeline.sources import TESTS
from pipeline.trace_notation import CameraTrace, TraceError, length_ms, records
from pipeline.yaml_source import Document, Location, read_yaml

__all__ = ["Expectation", "Forbidden", "RuleTest", "RuleTestFile", "load_tests"]

Record = Observation | Gap
LABELS = ("rule", "camera", "zone", "group", "severity")
_HINT = "The format is explained in docs/rule-tests.md."


def parse_instant(value: object) -> int:
    """Milliseconds since the epoch from `2026-01-05T08:00:00+01:00` or `2026-01-05 08:00 Europe/Vienna`."""
    text, _, zone = str(value).rpartition(" ")
    try:
        named = ZoneInfo(zone) if "/" in zone or zone == "UTC" else None
        instant = datetime.fromisoformat(text).replace(tzinfo=named) if named else datetime.fromisoformat(str(value))
    except (ValueError, ZoneInfoNotFoundError):
        instant = None
    if instant is None or instant.tzinfo is None:
        raise ValueError(f'expected a time with its zone, such as "2026-01-05 08:00 Europe/Vienna", got {value!r}')
    return round(instant.timestamp() * 1000)


class _Instant:
    """Makes pydantic, by its duck-typed protocol, read a field through `parse_instant`."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Mapping[str, Any]:
        return {"type": "function-plain", "function": {"type": "no-info", "function": parse_instant}}

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> Mapping[str, Any]:
        return {"type": "string", "examples": ["2026-01-05 08:00 Europe/Vienna"]}


_MONDAY_NOON = parse_instant("2026-01-05T12:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Expectation:
    """A transition that must happen."""

    at: Seconds
    """Time since the start, exact to the millisecond."""
    state: Status
    """pending, broken, firing or resolved."""
    rule: str = ""
    """The rule; without it, the test's."""
    reason: str = ""
    """Why, such as dip, gap, lost or condition; without it, any."""
    severity: Severity | None = None
    """The severity; without it, any."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels that the alert must have: rule, camera, zone, group, severity."""
    silenced_by: str | None = None
    """Why it is not sent, such as inhibited:camera-down; "" says that it is sent. Without it, either."""
    within: Seconds = 0.0
    """How far from `at` is near enough."""


@dataclass(frozen=True, slots=True)
class Forbidden:
    """A transition that must not happen."""

    rule: str = ""
    """The rule; without it, the test's."""
    state: Status = Status.FIRING
    """pending, broken, firing or resolved."""
    reason: str = ""
    """Only with this reason; without it, any."""
    labels: dict[str, str] = field(default_factory=dict)
    """Only with these labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTest:
    """One test: what cameras see, and what must come of it."""

    name: str
    """What it shows, in a few words."""
    cameras: dict[str, CameraTrace]
    """What each camera sees."""
    rule: str = ""
    """The rule that it is about; not needed where the file has only one. All rules run all the same."""
    fps: float = 10.0
    """Frames per second of the cameras."""
    start: Annotated[int, _Instant()] = _MONDAY_NOON
    """Time of the first frame, for schedules: `2026-01-05 08:00 Europe/Vienna`; without it, that Monday at noon UTC."""
    expect: tuple[Expectation, ...] = ()
    """What must happen; other transitions may happen too."""
    never: tuple[Forbidden, ...] = ()
    """What must not happen."""
    only: bool = False
    """true: nothing else fires or resolves (of the rule, where the test names one)."""
    flush: bool = False
    """true: time runs on after the trace, without frames, until everything has ended, as in `mien analyze`."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("expected a name that says what the test shows")
        if not self.cameras:
            raise ValueError("expected at least one of cameras")
        if not 0 < self.fps <= 120:
            raise ValueError(f"expected fps above 0 and up to 120, got {self.fps:g}")
        if not (self.expect or self.never or self.only):
            raise ValueError("expected one of expect, never and only: true; without them a test can't fail")

    @property
    def watched(self) -> dict[str, Watched]:
        """What the rules must know of the cameras."""
        return {name: Watched(1 / self.fps_of(trace), trace.all_zones) for name, trace in self.cameras.items()}

    @property
    def end_ms(self) -> int:
        """Where the longest trace ends, in ms since the start: one frame after its last."""
        return max(length_ms(trace, self.fps_of(trace)) for trace in self.cameras.values())

    @property
    def records(self) -> list[Record]:
        """All records, as they become known: an observation at its time, a gap at its end. Raises TraceError."""
        found = [
            record
            for name, trace in self.cameras.items()
            for record in records(name, trace, fps=self.fps_of(trace), start_ms=self.start)
        ]
        return sorted(found, key=known_at)

    def read_as(self, labels: Sequence[str]) -> RuleTest:
        """The same test with its faces before a network that reads `labels`."""
        cameras = {name: trace.read_as(labels) for name, trace in self.cameras.items()}
        return replace(self, cameras=cameras)

    def fps_of(self, trace: CameraTrace) -> float:
        """Frames per second of one of the cameras."""
        return self.fps if trace.fps is None else trace.fps


@dataclass(frozen=True, slots=True)
class RuleTestFile:
    """A file of tests with the rules that it is about."""

    path: Path
    rules: RuleSet
    tests: tuple[RuleTest, ...]


class _Written(BaseModel):
    """A file of rule tests."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=False, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    version: Literal[1] = 1
    """Version of this file's format."""
    rules: str
    """Path of the rules file, or of a whole configuration, beside this file; or the rules themselves."""
    tests: tuple[RuleTest, ...]
    """The tests."""


def known_at(record: Record) -> float:
    """When a record can be known: a gap is told at its end."""
    return record.to_ts if isinstance(record, Gap) else record.ts


def load_tests(path: Path) -> RuleTestFile:
    """Read and check a file of tests and the rules that it names; ConfigError lists every mistake with its place."""
    document = read_yaml(path)
    data = dict(document.data)
    if isinstance(data.get("rules"), list):  # rules with their tests in one file: the rules are read as such, below
        data = {"rules": path.name} | {key: data[key] for key in ("version", TESTS) if key in data}
    try:
        written = _Written(**data)
    except ValidationError as error:
        raise ConfigError(_report(document, complaints(error.errors(), _schema(), document.data))) from None
    rules_path = path.parent / written.rules
    if not rules_path.is_file():
        raise ConfigError(document.message(("rules",), f"{rules_path}: no such file"))
    rules, labels = rules_and_labels(rules_path)
    tests = tuple(test.read_as(labels) for test in written.tests)
    found = [*_twice(tests), *(each for i, test in enumerate(written.tests) for each in _unread(i, test, labels))]
    found += (each for i, test in enumerate(tests) for each in _check(i, test, rules))
    if found:
        raise ConfigError(_report(document, found))
    return RuleTestFile(path, rules, tests)


@cache
def _schema() -> dict[str, Any]:
    return tidy(_Written.model_json_schema())


def _report(document: Document, found: Iterable[Complaint]) -> str:
    lines = set()
    for complaint in found:
        location = complaint.location
        position = document.key_position(location) if complaint.at_key else document.value_position(location)
        lines.add((position, f"{document.at(position)}: {dotted(location)}: {complaint.text}"))
    return "\n".join([*(line for _, line in sorted(lines)), _HINT])


def _twice(tests: Sequence[RuleTest]) -> Iterator[Complaint]:
    names = [test.name for test in tests]
    for i, name in enumerate(names):
        if name in names[:i]:
            yield Complaint(("tests", i, "name"), f'"{name}" is also the name of tests[{names.index(name)}]')


def _unread(index: int, test: RuleTest, labels: Sequence[str]) -> Iterator[Complaint]:
    """The expressions that no face can show, since the network doesn't read them."""
    for camera, trace in test.cameras.items():
        for track, face in trace.tracks.items():
            at: Location = ("tests", index, "cameras", camera, "tracks", track)
            for name in face.expressions:
                within = (*at, "classes", name) if name in face.classes else (*at, name)
                yield from (
                    Complaint(each.location, each.text, at_key=True)
                    for each in _known(within, name, labels, "expression that the network reads")
                )


def _check(index: int, test: RuleTest, rules: RuleSet) -> Iterator[Complaint]:
    """What only shows when a test is seen as a whole, and with its rules."""
    at: Location = ("tests", index)
    known = [rule.id for rule in rules.rules]
    if test.rule:
        yield from _known((*at, "rule"), test.rule, known, "rule of this file")
    claims: dict[str, tuple[Expectation | Forbidden, ...]] = {"expect": test.expect, "never": test.never}
    for key, group in claims.items():
        for i, claim in enumerate(group):
            yield from _check_claim((*at, key, i), claim, test, known)
    traces = list(_traces(at, test))
    yield from traces
    if not traces and not test.flush:
        yield from _too_late(at, test)


def _check_claim(
    at: Location, claim: Expectation | Forbidden, test: RuleTest, rules: Sequence[str]
) -> Iterator[Complaint]:
    if claim.rule:
        yield from _known((*at, "rule"), claim.rule, rules, "rule of this file")
    elif not test.rule and len(rules) > 1:
        yield Complaint(at, "missing rule: say it here, or rule: NAME for the whole test", at_key=True)
    for label, value in claim.labels.items():
        yield from (
            Complaint(each.location, each.text, at_key=True)
            for each in _known((*at, "labels", label), label, LABELS, "label")
        )
        if label == "camera":
            yield from _known((*at, "labels", label), value, test.cameras, "camera of this test")


def _known(at: Location, name: str, known: Iterable[str], kind: str) -> Iterator[Complaint]:
    if name not in known:
        yield Complaint(at, f'"{name}" is no {kind}{nearest(name, known) or "; there are: " + ", ".join(known)}')


def _traces(at: Location, test: RuleTest) -> Iterator[Complaint]:
    for name, trace in test.cameras.items():
        try:
            records(name, trace, fps=test.fps_of(trace), start_ms=test.start)
        except TraceError as error:
            yield Complaint((*at, "cameras", name, *error.location), str(error), at_key=True)


def _too_late(at: Location, test: RuleTest) -> Iterator[Complaint]:
    for i, claim in enumerate(test.expect):
        if round(claim.at * 1000) > test.end_ms:
            text = (
                f"the trace ends at {format_duration(test.end_ms / 1000)}, before this: make it longer, or write "
                "flush: true to let time run on without frames"
            )
            yield Complaint((*at, "expect", i, "at"), text)
