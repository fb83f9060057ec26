"""Records of one topic in batches: whatever came while the last batch was worked on.

A quiet stream is worked on record by record without delay, a busy one in large batches. A record is acknowledged, so
that its offset may be committed, when the work on its batch is over; what a crash leaves comes again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from faust.types import AppT, StreamT

from operators.errors import SinkError
from pipeline.worker.app import Event, make_topic
from pipeline.worker.progress import Progress

__all__ = ["Batch", "Intake"]

log = logging.getLogger(__name__)

Batch = Sequence[Event]
Work = Callable[[Batch], Awaitable[None]]
Step = Callable[[], Awaitable[None]]

REVOKED_WAIT_S = 6.0
"""How long a rebalance waits for the batch in hand: well within the group's rebalance timeout of 10 s."""
LOOK_S = 0.5
"""How often to see whether the application has crashed."""
WATCH_S = 1.0


class Intake:
    """Feeds `work` with batches of at most `limit` records of a topic, one batch at a time.

    `restore` is called whenever partitions were assigned, before their first record; `watch` every second, between two
    batches. `start`, then `run` until it is cancelled, then `stop`. `run` raises what these raise (they deal with bad
    records by themselves, so that is a reason to end the process), and SinkError where Faust has ended.
    """

    def __init__(
        self,
        app: AppT,
        progress: Progress,
        *,
        limit: int,
        work: Work,
        restore: Step | None = None,
        watch: Step | None = None,
    ) -> None:
        self.progress = progress
        self.between_batches = asyncio.Lock()
        """Held while a batch is worked on."""
        self._app = app
        self._work = work
        self._restore = restore
        self._watch = watch
        self._limit = limit
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(maxsize=limit)
        app.on_partitions_revoked.connect(self._revoked)
        app.on_rebalance_complete.connect(self._assigned)
        app.agent(make_topic(app, progress.topic), name=progress.role)(self._receive)

    async def start(self) -> None:
        """Join the group; returns when Faust runs, which may be before partitions are assigned."""
        await self._app.start()

    async def run(self) -> None:
        """Work on what comes."""
        working = [asyncio.create_task(self._run()), asyncio.create_task(self._watch_time())]
        try:
            while not self._app.should_stop:
                done, _ = await asyncio.wait(working, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    one.result()
        finally:
            for one in working:
                one.cancel()
        reason = self._app.crash_reason
        raise SinkError(f"role {self.progress.role}: Faust has stopped: {reason!r}", retryable=True) from reason

    async def stop(self) -> None:
        """Leave the group, when the batch in hand is done; there is no other after it."""
        await self.between_batches.acquire()
        await self._app.stop()

    async def _run(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            async with self.between_batches:
                while len(batch) < self._limit and not self._waiting.empty():
                    batch.append(self._waiting.get_nowait())
                await self._take(batch)

    async def _watch_time(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            if self._watch is not None:
                async with self.between_batches:
                    if self.progress.ready:
                        await self._watch()

    async def _take(self, batch: list[Event]) -> None:
        """Work on the events of the present assignment: earlier ones come again, in their order."""
        generation = self._app.consumer_generation_id
        batch = [event for event in batch if event.message.generation_id == generation]
        if not batch:
            return
        progress = self.progress
        progress.age_s = max(0.0, time.time() - batch[0].message.timestamp)
        await self._work(batch)
        for event in batch:
            event.ack()
            message = event.message
            if (message.topic, message.partition) in progress.positions:
                progress.positions[message.topic, message.partition] = message.offset + 1
        progress.done += len(batch)

    async def _receive(self, stream: StreamT[bytes]) -> None:
        """The Faust agent: it hands every event on, and leaves the acknowledging to us."""
        async for event in stream.noack().events():  # type: ignore[attr-defined]  # Faust's own protocol lacks it
            await self._waiting.put(event)

    async def _revoked(self, *_: object, **__: object) -> None:
        """Partitions go: forget what waits, let the batch in hand come to its end, and commit that."""
        self.progress.revoked()
        while not self._waiting.empty():
            self._waiting.get_nowait()
        try:
            async with asyncio.timeout(REVOKED_WAIT_S), self.between_batches:
                await self._app.consumer.commit()
        except TimeoutError:
            log.warning("a batch is still worked on while its partitions go role=%s", self.progress.role)

    async def _assigned(self, *_: object, **__: object) -> None:
        """Partitions came, and tables were read back."""
        # Faust would deliver records now, then go back to what was committed and deliver them again. Its accounts of
        # what is acknowledged then hold offsets twice, and every commit goes on by one record only. It resumes itself.
        self._app.consumer.stop_flow()
        topic = self.progress.topic
        self.progress.assigned(
            [(topic, one.partition) for one in self._app.consumer.assignment() if one.topic == topic]
        )
        if self._restore is not None:
            await self._restore()
        log.info("ready role=%s partitions=%d", self.progress.role, len(self.progress.positions))
