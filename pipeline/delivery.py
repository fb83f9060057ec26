"""From the journal to the sinks: one thread per sink, each behind a cursor of its own.

A worker reads what comes after its cursor, delivers what its sink wants, then moves the cursor. It may therefore
deliver a batch twice (a crash in between), never lose one; transition ids make repeats harmless. A slow or dead sink
delays nobody else.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from connectors.sink import RetryAfterError, Sink
from connectors.store import Store
from operators.errors import SinkError
from operators.records import Alert
from pipeline.boundary import attempt, told
from pipeline.status import SinkStatus

__all__ = ["Delivery"]

_log = logging.getLogger(__name__)

BATCH = 50
"""Most transitions in one delivery: a live pipeline delivers one at a time, a backlog goes out in pages."""
POLL_S = 0.5
"""How often a worker looks at the journal when nobody wakes it: `mien` in another process may have appended."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
"""So soon after a receiver is back its backlog goes out; one that wants to be left alone for longer says so."""
HELD = 10_000
"""Most transitions held in memory while the store can't be written."""


class Delivery:
    """Delivers what the store holds to every sink, in order, until stopped.

    `accept` is the way in for the pipeline; what is appended to the store by other means is found as well.
    """

    def __init__(self, store: Store, sinks: Sequence[Sink]) -> None:
        twice = sorted(name for name, count in Counter(sink.name for sink in sinks).items() if count > 1)
        if twice:
            raise ValueError(f"expected a different name for every sink, got {', '.join(twice)} twice: set `name`")
        self._store = store
        self._held: list[Alert] = []
        self._states: dict[str, bytes] = {}
        self._error = ""
        self._stopping = threading.Event()
        self._ends_at = math.inf
        store.forget_sinks([sink.name for sink in sinks])
        self._workers = [Worker(store, sink) for sink in sinks]
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"sink-{worker.name}", daemon=True)
            for worker in self._workers
        ]

    @property
    def error(self) -> str:
        """Why the store can't be written now, or empty."""
        return self._error

    def start(self) -> None:
        """Start a thread per sink."""
        for thread in self._threads:
            thread.start()

    def accept(self, alerts: Sequence[Alert], states: Mapping[str, bytes] | None = None) -> bool:
        """Record alerts and rule states and wake the sinks; return whether all is on the disk.

        What a full disk refuses is held in memory and goes with the next call, so call this regularly, also without
        alerts. Raises SinkError when another try can't help.
        """
        self._held += alerts
        self._states.update(states or {})
        if not self._held and not self._states:
            return True
        try:
            self._store.append(self._held, self._states)
        except SinkError as error:
            if not error.retryable:
                raise
            self._hold(error)
            return False
        if self._error:
            _log.info("store can be written again alerts=%d", len(self._held))
        self._held, self._states, self._error = [], {}, ""
        for worker in self._workers:
            worker.wake.set()
        return True

    def status(self) -> tuple[SinkStatus, ...]:
        """Return what waits for each sink and why."""
        return tuple(worker.status() for worker in self._workers)

    def stop(self, deadline_s: float) -> None:
        """Deliver what can be delivered within the deadline and end; the rest is safe in the store.

        A sink in the middle of a slow delivery is left behind: that batch comes again after a restart.
        """
        self._ends_at = time.monotonic() + deadline_s
        self._write_last()  # before the workers may leave
        self._stopping.set()
        for worker in self._workers:
            worker.wake.set()
        for worker, thread in zip(self._workers, self._threads, strict=True):
            if thread.is_alive():
                thread.join(max(0.0, self._ends_at - time.monotonic()))
            if thread.is_alive():
                _log.warning("sink still busy at the end sink=%s", worker.name)
            else:
                worker.close()

    def _hold(self, error: SinkError) -> None:
        lost = max(0, len(self._held) - HELD)
        del self._held[:lost]
        if lost:
            _log.error("alerts lost, memory for them is full and so is the disk count=%d", lost)
        if not self._error:
            _log.error("store can't be written, alerts are held in memory error=%s", error)
        self._error = str(error)

    def _write_last(self) -> None:
        try:
            written = self.accept(())
        except SinkError:
            written = False
        if not written:
            _log.error("alerts lost, the store can't be written at the end count=%d", len(self._held))

    def _run(self, worker: Worker) -> None:
        while True:
            stopping = self._stopping.is_set()
            wait_s = worker.step()
            if stopping and (wait_s or time.monotonic() > self._ends_at):
                return
            if wait_s and worker.failing:
                self._stopping.wait(wait_s)  # new alerts are no reason to ask again earlier
            elif wait_s:
                worker.wake.wait(wait_s)
                worker.wake.clear()


class Worker:
    """One sink and its place in the journal. `step` is one attempt; nothing here waits."""

    def __init__(self, store: Store, sink: Sink) -> None:
        self.name = sink.name
        self.wake = threading.Event()
        self._store = store
        self._sink = sink
        self._cursor = self._saved = store.cursor(sink.name)
        self._batch: list[tuple[int, Alert]] = []
        self._limit = BATCH
        self._failures = 0
        self._error = ""

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed and is to be made again."""
        return self._failures > 0

    def step(self) -> float:
        """Deliver the next batch; return the seconds to wait before the next step, 0 when there may be more."""
        try:
            self._save()
            # A batch that failed comes again as it was, so that receivers can tell it by its idempotency key.
            self._batch = self._batch or self._store.after(self._cursor, self._limit)
            if self._batch:
                self._deliver()
                return 0.0
        except SinkError as error:
            return self._failed(error)
        if self.failing:
            self._succeeded()
        return POLL_S

    def status(self) -> SinkStatus:
        """Return what waits and why."""
        try:
            waiting = self._store.waiting(self.name, self._sink.statuses, silenced=self._sink.silenced)
        except SinkError as error:
            return SinkStatus(self.name, waiting=0, error=str(error))
        return SinkStatus(self.name, waiting=waiting, error=self._error)

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()

    def _deliver(self) -> None:
        """Deliver the batch and move behind it; raises SinkError when it should come again."""
        position = self._batch[-1][0]
        wanted = [one for _, one in self._batch if self._wants(one)]
        refusal = self._attempt(wanted) if wanted else ""
        if not refusal:
            self._cursor, self._batch = position, []
            self._limit = min(BATCH, self._limit * 2)
            if wanted:
                self._succeeded()
            self._save()
        elif len(self._batch) > 1:
            self._limit, self._batch = 1, []  # one by one, to find the bad one
        else:
            self._store.bury(self.name, position, alerts=wanted, reason=refusal)
            self._cursor, self._saved, self._batch = position, position, []
            self._error = refusal
            _log.error("alert refused for good sink=%s id=%s reason=%s", self.name, wanted[0].transition_id, refusal)

    def _wants(self, alert: Alert) -> bool:
        return alert.status in self._sink.statuses and (self._sink.silenced or not alert.silenced_by)

    def _attempt(self, alerts: Sequence[Alert]) -> str:
        """Deliver; return why the sink will never take these, or nothing. Raises SinkError when it may yet."""
        failed = attempt(self._sink.deliver, alerts)
        if isinstance(failed, SinkError) and failed.retryable:
            raise failed
        if isinstance(failed, SinkError):
            return str(failed)
        if isinstance(failed, Exception):
            _log.error("sink broke sink=%s", self.name, exc_info=failed)
            return told(failed)
        return ""

    def _save(self) -> None:
        """Write the cursor down. A full disk fails here, after the delivery: only the writing is tried again."""
        if self._saved != self._cursor:
            self._store.advance(self.name, self._cursor)
            self._saved = self._cursor

    def _failed(self, error: SinkError) -> float:
        self._failures += 1
        self._error = str(error)
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 16))
        wait_s *= random.uniform(0.5, 1.0)  # noqa: S311 -- jitter, so that many senders don't return at once
        if isinstance(error, RetryAfterError):
            wait_s = max(wait_s, error.seconds)
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        _log.log(
            level, "sink failed sink=%s failures=%d next_s=%.1f error=%s", self.name, self._failures, wait_s, error
        )
        return wait_s

    def _succeeded(self) -> None:
        if self.failing:
            _log.info("sink works again sink=%s failures=%d", self.name, self._failures)
        self._failures, self._error = 0, ""
