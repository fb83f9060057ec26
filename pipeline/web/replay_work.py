"""The work of a replay: rules over a recording, what they find, and what other rules would have found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

from pydantic import Field

from connectors.recording import Recording, open_recording, time_of
from connectors.wire import presentable
from operators.errors import Cause, ConfigError, SourceError
from operators.records import Alert, Gap, Observation, Severity
from operators.rules import EXPRESSIONS, RuleEvaluator, RuleSet
from pipeline.config import load_rules
from pipeline.diff import Diff, Episode, difference, episodes
from pipeline.evaluation import Evaluation
from pipeline.replay import evaluator_for, labels_in, recorded_settings
from pipeline.sources import is_configuration
from pipeline.web.alerts import Transition
from pipeline.web.answers import Answer
from pipeline.web.history import History
from pipeline.web.replay_job import Job
from pipeline.web.timeline import Timeline, regions, strip_of

__all__ = ["ReplayedAlert", "Result", "replayed", "rules_of"]

MOST = 1000
"""Alerts, and changes of them, that are told one by one."""
TELL_EVERY = 2000
"""Records between two signs of progress."""
FILE = "rules.yaml"
"""What posted rules are called in complaints about them."""


Compared = Literal["in force", "recording"]
"""Whose rules the alerts are compared with: those in force, or those that the recording was made with."""


class ReplayedAlert(Transition):
    """An alert that fired: its last transition, and when it began."""

    started: float


class Life(Answer):
    """The whole life of an alert that fired."""

    starts_at: float
    fired_at: float | None
    ends_at: float
    severity: Severity
    reason: str
    silenced_by: str


class Changed(Answer):
    """An alert that is not the same with both rules: one that was `added` has no `old`, a `removed` one no `new`."""

    kinds: list[str]
    """added, removed, moved, duration, severity, silenced."""
    rule: str
    labels: dict[str, str]
    pending: bool
    """With the other rules it was at least pending at that time."""
    old: Life | None
    new: Life | None


class Difference(Answer):
    """What the replayed rules change. `fired` are the numbers of alerts before and after."""

    compared_with: Compared
    fired: tuple[int, int]
    same: int
    changes: list[Changed]
    """At most 1000, the earliest ones."""


class Result(Answer):
    """What a replay came to; empty until it is done."""

    from_: Annotated[float | None, Field(serialization_alias="from")] = None
    to: float | None = None
    records: int = 0
    damaged: int = 0
    """Places of the recording that can't be read."""
    rules_version: str = ""
    fired: int = 0
    pending_only: int = 0
    """Alerts that ended before they fired."""
    alerts: list[ReplayedAlert] = Field(default_factory=list)
    """Those that fired, in the order in which they began; at most 1000, the earliest ones."""
    timelines: dict[str, Timeline] = Field(default_factory=dict)
    """By camera."""
    diff: Difference | None = None
    """null where there is nothing to compare with."""


def replayed(job: Job, tell: Callable[[float], None]) -> Result:
    """Do the job; `tell` gets the share that is done.

    Raises SourceError for a recording that can't be read, ConfigError for rules that are wrong.
    """
    recording = _within(open_recording(job.folder), job)
    labels = labels_in(recording.manifest)
    rules = job.in_force if job.text is None else rules_of(job.text, labels)
    others, compared_with = _others(job, recording)
    runs = [_Run(evaluator_for(one, recording.manifest)) for one in (rules, others) if one is not None]
    begin, end = _span(recording, job)
    history = History(end - begin, labels)
    total, count = max(sum(file.records for file in recording.files()), 1), 0
    for count, record in enumerate(_records(recording, begin, end), 1):
        history.take((record,))
        for run in runs:
            run.feed(record)
        if count % TELL_EVERY == 0:
            tell(min(count / total, 1.0))
    lives = [run.end() for run in runs]
    fired = _fired(runs[0].alerts)
    return Result(
        from_=begin,
        to=end,
        records=count,
        damaged=recording.damaged,
        rules_version=rules.version,
        fired=len(fired),
        pending_only=len(lives[0]) - len(fired),
        alerts=[_alert(*one) for one in fired[:MOST]],
        timelines={
            name: Timeline(
                **dict(strip_of(history, name, begin, end, points=job.points)),
                from_=begin,
                to=end,
                alerts=regions(fired[:MOST], name, rules),
            )
            for name in sorted(recording.cameras)
        },
        diff=None if compared_with is None else _difference(difference(lives[1], lives[0]), compared_with),
    )


def rules_of(text: str, labels: Sequence[str] = EXPRESSIONS) -> RuleSet:
    """The rules of a rules file by its text, about `labels`.

    Raises ConfigError with all mistakes, as `mien rules check` tells them.
    """
    with TemporaryDirectory(prefix="mien-rules-") as folder:
        path = Path(folder) / FILE
        path.write_text(text, encoding="utf-8")
        try:
            whole = is_configuration(path)
            rules = RuleSet() if whole else load_rules(path, labels=labels)
        except ConfigError as error:
            raise ConfigError(str(error).replace(f"{folder}/", "")) from None  # nobody knows that folder
    if whole:
        raise ConfigError(f"{FILE}: expected a rules file (version, defaults, rules), got a whole configuration")
    return rules


@dataclass(slots=True)
class _Run:
    """Rules on their way through the recording, and what they told."""

    evaluator: RuleEvaluator
    alerts: list[Alert] = field(default_factory=list)
    evaluation: Evaluation = field(init=False)

    def __post_init__(self) -> None:
        self.evaluation = Evaluation(self.evaluator)

    def feed(self, record: Observation | Gap) -> None:
        self.alerts += self.evaluation.feed((record,))

    def end(self) -> list[Episode]:
        """Time runs out for all that waits; returns the lives of all alerts."""
        self.alerts += self.evaluation.flush()
        return episodes(self.alerts)


def _others(job: Job, recording: Recording) -> tuple[RuleSet | None, Compared | None]:
    """The rules to compare with, and whose; none where the recording was made without any that can be read."""
    if job.text is not None:
        return job.in_force, "in force"
    try:
        recorded = recorded_settings(recording.manifest).rule_set
    except ConfigError:
        return None, None
    return (recorded, "recording") if recorded.rules else (None, None)


def _within(recording: Recording, job: Job) -> Recording:
    """The recording with those of its files that hold something of the time asked for."""
    begin, end = _asked(job)
    files = tuple(
        file
        for file in recording.manifest.files
        if file.first_ts is not None and file.last_ts is not None and file.first_ts <= end and file.last_ts >= begin
    )
    found = Recording(recording.folder, replace(recording.manifest, files=files))
    if not found.files():
        raise SourceError("the recording holds no observations of this time", cause=Cause.NOT_FOUND)
    return found


def _asked(job: Job) -> tuple[float, float]:
    return (-math.inf if job.begin is None else job.begin), (math.inf if job.end is None else job.end)


def _span(recording: Recording, job: Job) -> tuple[float, float]:
    """The time that is replayed, as far as the recording goes."""
    (begin, end), (first, last) = _asked(job), recording.span
    return max(begin, first), min(end, last)


def _records(recording: Recording, begin: float, end: float) -> Iterator[Observation | Gap]:
    return (record for record in recording.records() if begin <= time_of(record) <= end)


def _fired(alerts: Iterable[Alert]) -> list[tuple[float, Alert]]:
    """The alerts that fired, each by its last transition, with the time of its first one."""
    first: dict[str, float] = {}
    last: dict[str, Alert] = {}
    for alert in alerts:
        first.setdefault(alert.alert_id, alert.ts)
        last[alert.alert_id] = alert
    return [(first[alert_id], presentable(alert)) for alert_id, alert in last.items() if alert.fired_at is not None]


def _alert(started: float, alert: Alert) -> ReplayedAlert:
    return ReplayedAlert(**Transition.of(alert).model_dump(), started=started)


def _difference(found: Diff, compared_with: Compared) -> Difference:
    changes = [
        Changed(
            kinds=list(change.kinds),
            rule=change.alert.rule,
            labels=dict(change.alert.labels),
            pending=change.pending,
            old=_life(change.old),
            new=_life(change.new),
        )
        for change in found.changes[:MOST]
    ]
    return Difference(compared_with=compared_with, fired=found.fired, same=found.same, changes=changes)


def _life(life: Episode | None) -> Life | None:
    return None if life is None else Life.model_validate(life, from_attributes=True)
