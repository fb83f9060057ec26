"""What a role has done so far, and the watch that ends a worker which is alive and does nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.status import RoleStatus

__all__ = ["READY_WITHIN_S", "Partition", "Progress", "Watch"]

Partition = tuple[str, int]
"""A topic's full name, and the number of the partition."""

READY_WITHIN_S = 60.0
"""Longest time to join the group and to read the rule state back, while the brokers answer."""


@dataclass(slots=True, eq=False)
class Progress:
    """How far one role has come: written by its event loop, read by the watchdog and the health endpoints.

    `done` records were worked on, among them `dead` ones that went to the dead letters. `positions` has the next offset
    of each assigned partition, None before the first record. `ready` says that partitions were assigned (perhaps none)
    and their state was read back.
    """

    role: str
    topic: str
    done: int = 0
    dead: int = 0
    ready: bool = False
    waiting: int | None = None
    """Records in the brokers that were not worked on; None while those don't answer."""
    age_s: float | None = None
    """How long the oldest record of the last batch had waited."""
    backlog: Mapping[Partition, int] = field(default_factory=dict)
    """Of these waiting records, how many there are in each partition; empty while the brokers don't answer."""
    positions: dict[Partition, int | None] = field(default_factory=dict)

    def assigned(self, partitions: list[Partition]) -> None:
        """These partitions are ours now, and no others."""
        self.positions = dict.fromkeys(partitions)
        self.ready = True

    def revoked(self) -> None:
        """Nothing is ours until the next assignment."""
        self.ready, self.positions = False, {}

    def status(self) -> RoleStatus:
        """What the metrics tell; may be asked from any thread."""
        return RoleStatus(
            self.role, self.ready, len(self.positions), self.done, self.dead, waiting=self.waiting, age_s=self.age_s
        )


class Watch:
    """Tells when a role is stalled: it has work, the brokers answer, and for `limit_s` nothing was done.

    A consumer that has gone silent doesn't know that it has work, so `look` is told from outside how far the topic
    reaches. Times are seconds of a monotonic clock. `stalled` is what `look` said last.
    """

    def __init__(self, progress: Progress, limit_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress = progress
        self._limit_s = limit_s
        self._clock = clock
        self._mark = (progress.done, progress.ready)
        self._since = clock()
        self.stalled = ""

    def look(self, backlog: Mapping[Partition, int] | None) -> str:
        """Why the role is stalled, or nothing.

        `backlog` has the number of records that wait in each partition; None while the brokers can't be reached, which
        nobody can blame a worker for.
        """
        now, progress = self._clock(), self.progress
        mark = (progress.done, progress.ready)
        waiting = sum((backlog or {}).values())
        progress.waiting = None if backlog is None else waiting
        progress.backlog = backlog or {}
        if backlog is None or mark != self._mark or (progress.ready and not waiting):
            self._mark, self._since = mark, now
        idle_s = now - self._since
        self.stalled = ""
        if progress.ready and idle_s > self._limit_s:
            self.stalled = f"{waiting} records wait, and none was worked on for {idle_s:.0f} s"
        elif not progress.ready and idle_s > max(self._limit_s, READY_WITHIN_S):
            self.stalled = f"no partitions were assigned, or their state was not read back, for {idle_s:.0f} s"
        return self.stalled
