"""The watch over progress: who has work and does none is stalled, nobody else is."""

from __future__ import annotations

import pytest

from pipeline.worker.progress import READY_WITHIN_S, Progress, Watch

TP = ("t.observations", 0)
LIMIT_S = 20.0


class Time:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def progress() -> Progress:
    made = Progress("evaluate", "t.observations")
    made.assigned([TP])
    return made


def looks(watch: Watch, time: Time, seconds: float, backlog: dict[tuple[str, int], int] | None) -> str:
    """What the watch says after looking every two seconds."""
    said = watch.look(backlog)
    for _ in range(round(seconds / 2)):
        time.now += 2
        said = watch.look(backlog)
    return said


def test_work_without_progress_is_a_stall(progress: Progress, time: Time):
    watch = Watch(progress, LIMIT_S, clock=time)
    assert looks(watch, time, LIMIT_S, {TP: 3}) == ""
    said = looks(watch, time, 2, {TP: 3})
    assert said == "3 records wait, and none was worked on for 22 s"
    assert watch.stalled == said
    assert progress.waiting == 3


def test_progress_ends_a_stall(progress: Progress, time: Time):
    watch = Watch(progress, LIMIT_S, clock=time)
    assert looks(watch, time, LIMIT_S + 2, {TP: 3})
    progress.done += 1
    assert looks(watch, time, LIMIT_S, {TP: 3}) == ""


def test_nothing_to_do_is_no_stall(progress: Progress, time: Time):
    watch = Watch(progress, LIMIT_S, clock=time)
    assert looks(watch, time, 3600, {TP: 0}) == ""
    assert looks(watch, time, LIMIT_S, {TP: 1}) == "", "the time begins with the work"


def test_brokers_that_do_not_answer_are_nobodys_fault(progress: Progress, time: Time):
    watch = Watch(progress, LIMIT_S, clock=time)
    assert looks(watch, time, LIMIT_S, {TP: 3}) == ""
    assert looks(watch, time, 3600, None) == ""
    assert progress.waiting is None
    assert looks(watch, time, LIMIT_S, {TP: 3}) == "", "it has its time again when they are back"
    assert looks(watch, time, 2, {TP: 3}) != ""


def test_a_worker_that_gets_no_partitions_is_stalled_later(progress: Progress, time: Time):
    """Joining and reading the state back take longer than a batch; a spare worker has no partitions and is well."""
    progress.revoked()
    watch = Watch(progress, LIMIT_S, clock=time)
    assert looks(watch, time, READY_WITHIN_S, {}) == ""
    assert "no partitions were assigned" in looks(watch, time, 2, {})
    progress.assigned([])
    assert looks(watch, time, 3600, {}) == ""


def test_a_status_for_the_metrics(progress: Progress):
    progress.done, progress.dead, progress.waiting = 7, 1, 2
    status = progress.status()
    assert (status.role, status.ready, status.partitions) == ("evaluate", True, 1)
    assert (status.done, status.dead, status.waiting) == (7, 1, 2)
