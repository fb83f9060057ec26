"""Roll-ups and health on their way to Elasticsearch: a bounded queue and a thread.

Nobody waits for it and nothing of it is kept on the disk: a chart that lacks an hour is no lost alert. When the server
is away for so long that the queue is full, the oldest documents make room, counted.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterable

from connectors.elastic import BATCH, Elastic
from connectors.elastic_documents import Entry
from connectors.elastic_settings import ElasticSettings
from operators.errors import SinkError

__all__ = ["ElasticWriter"]

log = logging.getLogger(__name__)

HELD = 10_000
"""Most documents that wait: up to 20 MB, half an hour of a process with 16 cameras."""
GATHER_S = 1.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0


class ElasticWriter:
    """Writes documents behind the caller's back: `start()`, `put(...)` from any thread, `close(...)`."""

    def __init__(self, settings: ElasticSettings, *, held: int = HELD) -> None:
        self._elastic = Elastic(settings)
        self._held = held
        self._waiting: deque[Entry] = deque()
        self._news = threading.Condition()
        self._ends_at: float | None = None
        self._discarded = self._failures = 0
        self._thread = threading.Thread(target=self._run, name="elastic-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, entries: Iterable[Entry]) -> None:
        """Queue documents; never waits."""
        with self._news:
            self._waiting.extend(entries)
            self._make_room()
            if len(self._waiting) >= BATCH:
                self._news.notify()

    def take_discarded(self) -> int:
        """How many documents were not written and never will be, since the last call."""
        with self._news:
            count, self._discarded = self._discarded, 0
        return count

    def close(self, deadline_s: float) -> None:
        """Write what waits within the deadline, and end."""
        with self._news:
            self._ends_at = time.monotonic() + deadline_s
            self._news.notify()
        self._thread.join(deadline_s)
        if self._thread.is_alive():
            log.warning("elasticsearch still busy at the end: some roll-ups and health are not written")
        else:
            self._elastic.close()

    def _make_room(self) -> None:
        over = len(self._waiting) - self._held
        if over > 0:
            self._discarded += over
            for _ in range(over):
                self._waiting.popleft()

    def _run(self) -> None:
        wait_s = self._write([])  # is it there, is it the right one: say so now, not with the first documents
        while True:
            batch = self._next(wait_s)
            stopping = self._ends_at is not None
            wait_s = self._write(batch) if batch else GATHER_S
            if stopping and (not batch or self._failures or time.monotonic() > (self._ends_at or 0)):
                return

    def _next(self, wait_s: float) -> list[Entry]:
        """The next batch, after a while in which more may come; at the end at once."""
        with self._news:
            if self._failures:
                self._news.wait_for(lambda: self._ends_at is not None, wait_s)  # news are no reason to ask earlier
            else:
                self._news.wait_for(lambda: self._ends_at is not None or len(self._waiting) >= BATCH, wait_s)
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _write(self, batch: list[Entry]) -> float:
        """Write one batch, or put it back; returns the seconds to wait before the next."""
        try:
            refused = self._elastic.write(batch)
        except SinkError as error:
            if error.retryable:
                return self._failed(batch, error)
            return self._lost(len(batch), str(error))
        if self._failures:
            log.info("elasticsearch works again failures=%d", self._failures)
        self._failures = 0
        return self._lost(len(refused), refused[0].reason) if refused else GATHER_S

    def _lost(self, count: int, reason: str) -> float:
        with self._news:
            self._discarded += count
        log.error("elasticsearch refuses roll-ups or health for good count=%d reason=%s", count, reason)
        return GATHER_S

    def _failed(self, batch: list[Entry], error: SinkError) -> float:
        with self._news:
            self._waiting.extendleft(reversed(batch))
            self._make_room()
        self._failures += 1
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 16))
        wait_s *= random.uniform(0.5, 1.0)  # noqa: S311 -- jitter, so that many senders don't return at once
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        log.log(level, "elasticsearch failed failures=%d next_s=%.1f error=%s", self._failures, wait_s, error)
        return wait_s
