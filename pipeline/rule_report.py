"""What tests of rules came to: lines for people, JUnit's XML for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from operators.records import Alert
from operators.rules import Probe, RuleSet
from operators.units import format_duration
from pipeline.rule_tests import Expectation, Forbidden, RuleTestFile
from pipeline.rule_trials import Law, Trial, rule_of
from pipeline.strip import LEGEND, clock, draw

__all__ = ["headline", "junit", "problems", "timeline", "transition"]

_STRIPS = 6
"""So many scopes of one rule are drawn."""


def headline(trial: Trial) -> str:
    """`✓ name  12 ms`."""
    return f"{'✓' if trial.passed else '✗'} {trial.test.name}  {trial.seconds * 1000:.0f} ms"


def problems(trial: Trial, rules: RuleSet) -> list[str]:
    """What was expected (-) and what came instead (+), in order of time, then the laws that were broken."""
    lines = [*_expected(trial, rules), *_came(trial, rules)]
    found = [line for _, line in sorted(lines, key=lambda pair: pair[0])]
    for law in trial.broken_laws:
        found += _law(law, trial)
    return found


def timeline(trial: Trial, rules: RuleSet) -> list[str]:
    """The signal of every scope of the rules that the test is about, with the transitions below."""
    begin = trial.test.start
    end = max([begin + trial.test.end_ms, *(round(alert.ts * 1000) for alert in trial.alerts)])
    lines = []
    for rule in sorted(_rules(trial, rules)):
        scopes = _scopes(probe for probe in trial.probes if probe.rule == rule)
        for (partition, key), probes in list(scopes.items())[:_STRIPS]:
            lines.append(" ".join(filter(None, (rule, partition, key))))
            lines += draw(probes, _of_scope(trial.alerts, probes), begin_ms=begin, end_ms=end)
        if len(scopes) > _STRIPS:
            lines.append(f"and {len(scopes) - _STRIPS} more of {rule}")
    return [*lines, LEGEND] if lines else ["no rule read a sample: check where, the names of cameras and zones"]


def transition(alert: Alert, zero_ms: int) -> str:
    """One transition in one line: `4s      firing    fear-sustained  condition  camera=cam-1`."""
    labels = " ".join(f"{key}={value}" for key, value in sorted(alert.labels.items()) if key != "rule")
    silenced = f"  silenced by {alert.silenced_by}" if alert.silenced_by else ""
    at = clock(round(alert.ts * 1000) - zero_ms)
    return f"{at:<8}{alert.status:<9} {alert.rule}  {alert.reason}  {labels}{silenced}"


def junit(outcomes: Iterable[tuple[Path, RuleTestFile, Sequence[Trial]]]) -> bytes:
    """All outcomes as JUnit's XML, a suite per file."""
    root = Element("testsuites", name="mien rules test")
    for path, tests, trials in outcomes:
        failed = sum(not trial.passed for trial in trials)
        seconds = sum(trial.seconds for trial in trials)
        suite = SubElement(
            root, "testsuite", name=str(path), tests=str(len(trials)), failures=str(failed), time=f"{seconds:.3f}"
        )
        for trial in trials:
            case = SubElement(suite, "testcase", classname=str(path), name=trial.test.name, time=f"{trial.seconds:.3f}")
            if not trial.passed:
                lines = [*problems(trial, tests.rules), "", *timeline(trial, tests.rules)]
                SubElement(case, "failure", message="transitions differ").text = "\n".join(lines)
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _expected(trial: Trial, rules: RuleSet) -> Iterator[tuple[int, str]]:
    for claim in trial.claims:
        if isinstance(claim.what, Expectation):
            at = round(claim.what.at * 1000)
            mark = "  " if claim.kept else "- "
            yield at, mark + _wanted(claim.what, rule_of(claim.what, trial.test, rules))


def _came(trial: Trial, rules: RuleSet) -> Iterator[tuple[int, str]]:
    """The transitions that nobody expected: + what should not have come, or came instead; else only to be seen."""
    expected = {id(claim.found) for claim in trial.claims if isinstance(claim.what, Expectation)}
    forbidden = {
        id(claim.found): f"never {claim.what.state}"
        for claim in trial.claims
        if isinstance(claim.what, Forbidden) and claim.found is not None
    }
    extra = {id(alert): "nothing else may fire or resolve" for alert in trial.extra}
    missing = {
        (rule_of(claim.what, trial.test, rules), claim.what.state)
        for claim in trial.claims
        if isinstance(claim.what, Expectation) and not claim.kept
    }
    about = _rules(trial, rules)
    for alert in trial.alerts:
        why = forbidden.get(id(alert)) or extra.get(id(alert), "")
        if (id(alert) in expected and not why) or (not why and alert.rule not in about):
            continue
        mark = "+ " if why or (alert.rule, alert.status) in missing else "  "
        line = mark + transition(alert, trial.test.start)
        yield round(alert.ts * 1000) - trial.test.start, f"{line}   <- {why}" if why else line


def _wanted(expected: Expectation, rule: str) -> str:
    at = clock(round(expected.at * 1000))
    labels = dict(expected.labels) | ({"severity": str(expected.severity)} if expected.severity else {})
    parts = [expected.reason, " ".join(f"{key}={value}" for key, value in sorted(labels.items()))]
    if expected.silenced_by is not None:
        parts.append(f"silenced by {expected.silenced_by}" if expected.silenced_by else "not silenced")
    if expected.within:
        parts.append(f"(within {format_duration(expected.within)})")
    return "  ".join(filter(None, [f"{at:<8}{expected.state:<9} {rule}", *parts]))


def _law(law: Law, trial: Trial) -> Iterator[str]:
    yield f"law broken: other transitions by {law.name}; this is a fault of mien, not of the rule"
    for mark, alerts in (("-", law.only_in_order), ("+", law.only_so)):
        for alert in alerts:
            yield f"{mark} {transition(alert, trial.test.start)}"


def _rules(trial: Trial, rules: RuleSet) -> set[str]:
    """The ids of the rules that the test is about."""
    if trial.test.rule:
        return {trial.test.rule, *(claim.what.rule for claim in trial.claims if claim.what.rule)}
    return {rule_of(claim.what, trial.test, rules) for claim in trial.claims} or {rule.id for rule in rules.rules}


def _of_scope(alerts: Iterable[Alert], probes: Sequence[Probe]) -> list[Alert]:
    """The alerts of the scope that the probes are of. One that fires and resolves at once leaves its id in no probe."""
    ids = {probe.alert_id for probe in probes}
    points = {(probe.rule, probe.ts) for probe in probes if probe.value and not probe.alert_id}
    return [alert for alert in alerts if alert.alert_id in ids or (alert.rule, round(alert.ts * 1000)) in points]


def _scopes(probes: Iterable[Probe]) -> dict[tuple[str, str], list[Probe]]:
    scopes: dict[tuple[str, str], list[Probe]] = {}
    for probe in probes:
        scopes.setdefault((probe.partition, probe.key), []).append(probe)
    return scopes
