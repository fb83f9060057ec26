"""A long recording on all cores: each process takes some partitions (cameras, groups, the site) of the rules.

Partitions know nothing of each other, so each process reads the whole recording and evaluates its own. What they find
is put together in the order of the records, and is the same, to the byte, as what one process finds.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from heapq import merge
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from connectors.recording import Recording, open_recording
from operators.records import Alert, Scope
from operators.rules import RuleEvaluator
from pipeline.evaluation import Evaluation
from pipeline.logs import set_up

__all__ = ["Found", "in_parallel", "shares"]

TELL_EVERY = 2000
"""Records between two signs of progress."""
COLLECT_EVERY = 500_000
"""New objects between two collections of garbage: nearly everything is freed without one."""

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
class _Part:
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
    parts = shares(evaluator, recording, processes)
    context = get_context("spawn")  # a fork would copy the threads of a progress bar in the middle of their work
    done = context.Array("q", len(parts))
    with ProcessPoolExecutor(len(parts), mp_context=context, initializer=_adopt, initargs=(done,)) as pool:
        futures = [
            pool.submit(_evaluate, number, recording.folder, evaluator, part) for number, part in enumerate(parts)
        ]
        while wait(futures, timeout=0.2).not_done:
            progress(min(done[:]))
        found = [future.result() for future in futures]
    ordered = merge(*(part.places for part in found), key=lambda place: place[:2])
    return Found(
        alerts=tuple(alert for _, _, alert in ordered),
        records=found[0].records,
        late=sum(part.late for part in found),
        damaged=found[0].damaged,
    )


_done: Any = None
"""In a process of the pool: the array of records that are done, one place per process."""


def _adopt(done: object) -> None:
    global _done  # noqa: PLW0603  # what a pool hands to its processes has no other home
    _done = done
    set_up()
    gc.set_threshold(COLLECT_EVERY)


def _evaluate(number: int, folder: Path, evaluator: RuleEvaluator, names: Sequence[str]) -> _Part:
    """What the partitions `names` make of the recording."""
    logging.getLogger("connectors.recording").disabled = number > 0  # damage is told once, not by every process
    recording = open_recording(folder)
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
            _done[number] = count
    order = sorted({name for camera in wanted for name in evaluator.partitions(camera)})
    for name in sorted(runs):
        places.extend((count + 1, order.index(name), alert) for alert in runs[name].flush())
    late = sum(runs[camera].late(camera) for camera in wanted if camera in runs)
    return _Part(places, count, late, recording.damaged)
