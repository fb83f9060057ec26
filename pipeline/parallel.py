"""A long recording on all cores: each process takes some partitions (cameras, groups, the site) of the rules.

Partitions know nothing of each other, so each process reads the whole recording and evaluates its own. What they find
is put together in the order of the records, and is the same, to the byte, as what one process finds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import merge
from pathlib import Path

from connectors.recording import Recording, open_recording
from operators.records import Alert, Scope
from operators.rules import RuleEvaluator
from pipeline.evaluation import Evaluation
from pipeline.processes import in_processes

__all__ = ["Finding", "Found", "Part", "evaluate", "in_parallel", "shares"]

TELL_EVERY = 2000
"""Records between two signs of progress."""

Place = tuple[int, int, Alert]
"""A transition with the number of the record that brought it about, and its partition's place in the order there."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an evaluation came to: transitions in the order of the records, late records, damage in the recording."""

    alerts: tuple[Alert, ...]
    records: int
    late: int
    damaged: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one process does: some partitions of the rules, over the whole recording."""

    folder: Path
    evaluator: RuleEvaluator
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one process found."""

    places: list[Place]
    records: int
    late: int
    damaged: int


def shares(evaluator: RuleEvaluator, recording: Recording, processes: int) -> list[tuple[str, ...]]:
    """The partitions that each of at most so many processes takes, about the same work for each."""
    work = _work(evaluator, recording)
    loads = [0.0] * min(processes, len(work))
    taken: list[list[str]] = [[] for _ in loads]
    for name in sorted(work, key=lambda name: (-work[name], name)):
        least = loads.index(min(loads))
        loads[least] += work[name]
        taken[least].append(name)
    return [tuple(names) for names in taken]


def _work(evaluator: RuleEvaluator, recording: Recording) -> dict[str, float]:
    """How much there is to do for each partition: records, times rules, times cameras whose faces are read at each."""
    records: dict[str, dict[str, int]] = {}
    for file in recording.files():
        for name in evaluator.partitions(file.camera_id):
            members = records.setdefault(name, {})
            members[file.camera_id] = members.get(file.camera_id, 0) + file.records
    rules: dict[str, int] = {}
    for rule in evaluator.ruleset.rules:
        kind = rule.scope if rule.scope in (Scope.GROUP, Scope.SITE) else ""
        rules[kind] = rules.get(kind, 0) + 1
    return {
        name: sum(members.values()) * len(members) * (1 + rules.get(name.partition(":")[0] if ":" in name else "", 0))
        for name, members in records.items()
    }


def in_parallel(
    recording: Recording, evaluator: RuleEvaluator, processes: int, *, progress: Callable[[int], None]
) -> Found:
    """Evaluate the rules over the recorded observations; `progress` is called with records done so far."""
    parts = [Part(recording.folder, evaluator, names) for names in shares(evaluator, recording, processes)]
    found = in_processes(evaluate, parts, progress=lambda done: progress(int(min(done))))
    ordered = merge(*(one.places for one in found), key=lambda place: place[:2])
    return Found(
        alerts=tuple(alert for _, _, alert in ordered),
        records=found[0].records,
        late=sum(one.late for one in found),
        damaged=found[0].damaged,
    )


def evaluate(part: Part, tell: Callable[[float], None]) -> Finding:
    """What some partitions make of the recording; `tell` gets the records done so far."""
    evaluator, names = part.evaluator, part.names
    recording = open_recording(part.folder)
    runs = {name: Evaluation(evaluator, only=name) for name in names}
    wanted = {
        camera: [(rank, runs[name]) for rank, name in enumerate(evaluator.partitions(camera)) if name in runs]
        for camera in {file.camera_id for file in recording.files()}
    }
    places: list[Place] = []
    count = 0
    for count, record in enumerate(recording.records(), 1):
        for rank, run in wanted[record.camera_id]:
            places.extend((count, rank, alert) for alert in run.feed((record,)))
        if count % TELL_EVERY == 0:
            tell(count)
    order = sorted({name for camera in wanted for name in evaluator.partitions(camera)})
    for name in sorted(runs):
        places.extend((count + 1, order.index(name), alert) for alert in runs[name].flush())
    late = sum(run.late(camera) for run in runs.values() for camera in wanted)
    return Finding(places, count, late, recording.damaged)
