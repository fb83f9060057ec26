"""`notify`: alerts in, to the store and every sink. The store is the spool: what it has is no longer the brokers' care.

An alert is acknowledged when the store has it on the disk; a thread per sink delivers from there.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Self

from faust.types import AppT

from connectors.kafka_records import decode_alert
from connectors.store import Store
from operators.errors import DecodeError
from operators.records import Alert
from pipeline.build import build_sinks
from pipeline.config import Settings
from pipeline.delivery import Delivery
from pipeline.recorder import Recorder
from pipeline.status import Status
from pipeline.topics import kafka_of
from pipeline.worker.intake import Batch
from pipeline.worker.letters import DeadLetters
from pipeline.worker.progress import Progress

__all__ = ["LIMIT", "Notify"]

log = logging.getLogger(__name__)

LIMIT = 500
"""Most alerts in one batch, which is one transaction of the store."""
AGAIN_S = 1.0
"""How long to wait before the store is tried again, when its disk is full or somebody else holds it."""
LAST_DELIVERY_S = 1.0


class Notify:
    """The store and the sinks of this worker; a context manager around the first batch and the last."""

    def __init__(self, app: AppT, settings: Settings, *, recorder: Recorder, progress: Progress) -> None:
        self._recorder = recorder
        self._letters = DeadLetters(app, kafka_of(settings), progress)
        self._path = settings.store.path
        self._store = Store(settings.store)
        self._store.claim()
        self._delivery = Delivery(self._store, build_sinks(settings))

    def __enter__(self) -> Self:
        """Begin to deliver, first of all what an earlier run left in the store."""
        self._delivery.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Deliver what can be delivered within a second; the rest stays in the store."""
        self._delivery.stop(LAST_DELIVERY_S)
        self._store.close()

    def describe(self, status: Status) -> Status:
        """The status with what waits for each sink, and why."""
        store, error = str(self._path), self._delivery.error
        return replace(status, sinks=self._delivery.status(), store=store, store_error=error)

    async def work(self, batch: Batch) -> None:
        """Store a batch of alerts; while the disk is full nothing more is read."""
        alerts: list[Alert] = []
        for event in batch:
            try:
                alerts.append(decode_alert(event.message.value))
            except DecodeError as error:
                await self._letters.bury(event, str(error))
        with self._recorder.stage("journal"):
            stored = await asyncio.to_thread(self._delivery.accept, alerts)
            while not stored:
                await asyncio.sleep(AGAIN_S)
                stored = await asyncio.to_thread(self._delivery.accept, ())
        for alert in alerts:
            self._recorder.alerted(alert)
