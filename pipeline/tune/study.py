"""A question about a rule, and its answer: settings tried on a recording, their scores, and a proposal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.recording import Manifest, open_recording
from operators.errors import ConfigError
from operators.records import Scope
from operators.rules import Rule, RuleSet
from pipeline.complaints import nearest
from pipeline.tune.incidents import Incident, read_incidents
from pipeline.tune.propose import Candidates, Proposal, propose
from pipeline.tune.sweep import Progress, Seen, Task, observed_at, places, sweep
from pipeline.tune.vary import Setting, Skipped, field_of, parse_vary, settings

__all__ = ["Question", "Study", "study"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a recording."""

    recording: Path
    ruleset: RuleSet
    rule: str
    vary: tuple[str, ...]
    """As on the command line: `when.enter=0.4:0.9:0.05`."""
    labels: Path | None = None
    tolerance: float = 0.0
    """Seconds that an alert may lie beside an incident and still detect it."""


@dataclass(frozen=True, slots=True)
class Study:
    """What came out.

    `observed` is the observed time of each camera (or group) of the rule in seconds; `outside` incidents lie before or
    after the recording and do not count.
    """

    question: Question
    rule: Rule
    manifest: Manifest
    seen: Seen
    observed: Mapping[str, float]
    incidents: tuple[Incident, ...]
    outside: int
    candidates: Candidates
    skipped: tuple[Skipped, ...]
    proposal: Proposal


def study(question: Question, *, jobs: int = 1, progress: Progress = lambda _: None) -> Study:
    """Replay the recording once per setting; raises ConfigError for a wrong question, SourceError for the recording."""
    rule = _rule(question)
    varies = tuple(parse_vary(text, rule) for text in question.vary)
    made, skipped = settings(rule, varies)
    tried, current = _with_current(made, Setting(tuple(field_of(rule, vary.path) for vary in varies), rule, {}))
    recording = open_recording(question.recording)
    incidents, outside = _incidents(question, places(rule, recording.cameras), recording.span)
    task = Task(
        recording=question.recording,
        ruleset=question.ruleset,
        rule=rule,
        settings=tuple(setting.rule for setting in tried),
        incidents=incidents,
        tolerance=question.tolerance,
    )
    scores, seen = sweep(task, jobs=jobs, progress=progress)
    place = str(rule.scope) if rule.scope in (Scope.GROUP, Scope.SITE) else "camera"
    candidates = Candidates(varies, tuple(tried), tuple(scores), current, place)
    return Study(
        question=question,
        rule=rule,
        manifest=recording.manifest,
        seen=seen,
        observed=observed_at(task, seen),
        incidents=incidents,
        outside=outside,
        candidates=candidates,
        skipped=tuple(skipped),
        proposal=propose(candidates),
    )


def _rule(question: Question) -> Rule:
    rules = {rule.id: rule for rule in question.ruleset.rules}
    if question.rule not in rules:
        near = nearest(question.rule, rules) or f"; known here: {', '.join(rules) or 'none'}"
        raise ConfigError(f"--rule {question.rule}: no such rule{near}")
    return rules[question.rule]


def _with_current(made: Sequence[Setting], current: Setting) -> tuple[list[Setting], int]:
    """The settings and the index of the current one, which is added where it is none of them."""
    for index, setting in enumerate(made):
        if setting.rule == current.rule:
            return list(made), index
    return [*made, current], len(made)


def _incidents(question: Question, named: Sequence[str], span: tuple[float, float]) -> tuple[tuple[Incident, ...], int]:
    if question.labels is None:
        return (), 0
    labels, slack = question.labels, question.tolerance
    read = read_incidents(labels, rule=question.rule, places=named)
    inside = [one for one in read if one.end + slack >= span[0] and one.start - slack <= span[1]]
    if not inside:
        raise ConfigError(
            f"{labels}: expected at least one incident of {question.rule} inside the recording, got {len(read)} "
            "outside; if nothing happened in it, leave --labels out: every alert is then a false alarm"
        )
    return tuple(inside), len(read) - len(inside)
