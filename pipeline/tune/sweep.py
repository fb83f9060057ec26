"""Replay a recording once for all settings of a rule, on several cores.

Every setting becomes a rule of its own under a number, beside the rules that inhibit it, so one pass over the recording
evaluates many. Each process has its share of the settings and reads the recording once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from connectors.recording import open_recording
from operators.records import Gap, Observation, Scope
from operators.rules import Inhibit, Rule, RuleSet
from pipeline.processes import in_processes
from pipeline.replay import evaluator_for, replay
from pipeline.tune.incidents import Incident
from pipeline.tune.score import Score, Tally, score

__all__ = ["Seen", "Task", "observed_at", "places", "sweep", "variants"]

Progress = Callable[[float], None]
"""Told the share that is done, in [0, 1]."""
PARALLEL_FROM = 40_000
"""Records times settings that are worth a process, which needs a second to start."""
_EVERY = 500
"""Records between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is replayed, and what it is measured against."""

    recording: Path
    ruleset: RuleSet
    rule: Rule
    settings: tuple[Rule, ...]
    """The rule as it would be, once per setting."""
    incidents: tuple[Incident, ...] = ()
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a recording holds: numbers of records and faces, first and last time, observed seconds by camera.

    `damaged` counts the files and lines that can't be read, or not to their end.
    """

    records: int
    faces: int
    first: float
    last: float
    observed: Mapping[str, float]
    damaged: int = 0


def sweep(task: Task, *, jobs: int = 1, progress: Progress = lambda _: None) -> tuple[list[Score], Seen]:
    """Score every setting, in their order; up to `jobs` processes share them. Raises SourceError."""
    records = sum(file.records for file in open_recording(task.recording).files())
    most = max(1, records * len(task.settings) // PARALLEL_FROM)
    jobs = max(1, min(jobs, len(task.settings), most))
    shares = [replace(task, settings=task.settings[index::jobs]) for index in range(jobs)]
    if jobs == 1:
        done = [_replay(shares[0], progress)]
    else:
        done = in_processes(_replay, shares, progress=lambda told: progress(sum(told) / len(told)))
    scores = [scores[index] for index in range(len(done[0][0])) for scores, _ in done if index < len(scores)]
    return scores, done[0][1]


def variants(task: Task) -> RuleSet:
    """The rules to evaluate: every setting under its number, and what inhibits the rule."""
    copies = tuple(
        replace(rule, id=_name(index), inhibit=(), title="", summary="") for index, rule in enumerate(task.settings)
    )
    inhibitors = []
    for rule in task.ruleset.rules:
        if task.rule.id in task.ruleset.inhibited_by(rule):
            ours = [one for one in rule.inhibit if task.rule.id in one.rules or "*" in one.rules]
            named = tuple(Inhibit(tuple(copy.id for copy in copies), one.equal) for one in ours)
            inhibitors.append(replace(rule, id=f"inhibitor-{rule.id}", inhibit=named))
    ruleset = task.ruleset
    return RuleSet(
        (*copies, *inhibitors),
        signals=ruleset.signals,
        groups=ruleset.groups,
        schedules=ruleset.schedules,
        limits=ruleset.limits,
    )


def places(rule: Rule, cameras: Iterable[str]) -> list[str]:
    """Where alerts of a rule may be: cameras, the group, or the site."""
    if rule.scope is Scope.GROUP:
        return [rule.group]
    if rule.scope is Scope.SITE:
        return [str(Scope.SITE)]
    return [camera for camera in cameras if not rule.where.cameras or camera in rule.where.cameras]


def observed_at(task: Task, seen: Seen) -> dict[str, float]:
    """Observed seconds of each place of the rule; a group was observed while its best-seen camera was."""
    rule, observed = task.rule, seen.observed
    if rule.scope not in (Scope.GROUP, Scope.SITE):
        return {camera: observed[camera] for camera in places(rule, observed)}
    members = task.ruleset.groups[rule.group].cameras if rule.group else tuple(observed)
    longest = max((observed.get(camera, 0.0) for camera in members), default=0.0)
    return dict.fromkeys(places(rule, observed), longest)


def _name(index: int) -> str:
    return f"setting-{index}"


def _replay(task: Task, progress: Progress) -> tuple[list[Score], Seen]:
    recording = open_recording(task.recording)
    tallies = {_name(index): Tally(task.incidents, task.tolerance) for index in range(len(task.settings))}
    counter = _Counter()
    first, last = recording.span
    records = _reported(counter.count(recording.records()), first, max(last - first, 1.0), progress)
    for alert in replay(evaluator_for(variants(task), recording.manifest), records):
        if alert.rule in tallies:
            tallies[alert.rule].add(alert)
    seen = replace(counter.seen(), damaged=recording.damaged)
    observed = observed_at(task, seen)
    return [score(tally, observed) for tally in tallies.values()], seen


def _reported(
    records: Iterator[Observation | Gap], first: float, length: float, progress: Progress
) -> Iterator[Observation | Gap]:
    for index, record in enumerate(records):
        if index % _EVERY == 0:
            progress(min(1.0, max(0.0, (_from(record) - first) / length)))
        yield record
    progress(1.0)


class _Counter:
    """Counts records as they pass."""

    def __init__(self) -> None:
        self.records = 0
        self.faces = 0
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.unseen: dict[str, float] = {}
        self.unseen_until: dict[str, float] = {}

    def count(self, records: Iterable[Observation | Gap]) -> Iterator[Observation | Gap]:
        for record in records:
            self.records += 1
            camera, begin = record.camera_id, _from(record)
            self.first.setdefault(camera, begin)
            if isinstance(record, Gap):
                self._miss(record)
            else:
                self.faces += len(record.faces)
            end = record.to_ts if isinstance(record, Gap) else record.ts
            self.last[camera] = max(end, self.last.get(camera, end))
            yield record

    def seen(self) -> Seen:
        observed = {
            camera: max(0.0, self.last[camera] - first - self.unseen.get(camera, 0.0))
            for camera, first in sorted(self.first.items())
        }
        first, last = min(self.first.values(), default=0.0), max(self.last.values(), default=0.0)
        return Seen(self.records, self.faces, first, last, observed)

    def _miss(self, gap: Gap) -> None:
        """Gaps may overlap: no second is missed twice."""
        begin = max(gap.from_ts, self.unseen_until.get(gap.camera_id, gap.from_ts))
        self.unseen[gap.camera_id] = self.unseen.get(gap.camera_id, 0.0) + max(0.0, gap.to_ts - begin)
        self.unseen_until[gap.camera_id] = max(begin, gap.to_ts)


def _from(record: Observation | Gap) -> float:
    return record.from_ts if isinstance(record, Gap) else record.ts
