"""Faust's transport at our pace: quick where it waits for nothing, slow where it would ask for ever."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

import aiokafka
from faust.transport.drivers import aiokafka as driver
from faust.types.transports import ConsumerT, ProducerT
from typing_extensions import override

__all__ = ["PacedTransport"]

_LOG = logging.getLogger("faust.pacing")
"""A service of Faust tells each step in the log of the module that defines it; these are as quiet as Faust's own."""

FETCH_WAIT_MS = 50
"""aiokafka has one fetch at a broker at a time, without the partitions whose records are still in its hands. So a fetch
of quiet partitions holds up the others for as long as it may wait; Faust says 1.5 s."""
METADATA_AGAIN_S = 0.1
"""aiokafka 0.14 asks for metadata again as soon as it was refused while it holds a record whose leader is gone: 2,000
times a second, in the event loop that all roles share."""


class _PacedProducer(aiokafka.AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    """Asks for metadata ten times a second at most."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 -- aiokafka's own
        super().__init__(**options)
        self._update = type(self.client).force_metadata_update
        self._updating: asyncio.Future[bool] | None = None
        self.client.force_metadata_update = self._update_once

    def _update_once(self) -> asyncio.Future[bool]:
        """One update at a time, a refused one lasts a while; the client asks for one whenever it can't connect."""
        if self._updating is None or self._updating.done():
            self._updating = asyncio.ensure_future(self._paced())
        return asyncio.shield(self._updating)

    async def _paced(self) -> bool:
        updated = await self._update(self.client)
        if not updated:
            await asyncio.sleep(METADATA_AGAIN_S)
        return bool(updated)


class _Producer(driver.Producer):
    logger = _LOG

    @property
    @override
    def _producer_type(self) -> type[aiokafka.AIOKafkaProducer]:
        return _PacedProducer


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    logger = _LOG

    @override
    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class _Consumer(driver.Consumer):
    logger = _LOG

    @override
    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class PacedTransport(driver.Transport):
    """Faust's own, but for these."""

    Consumer: ClassVar[type[ConsumerT]] = _Consumer
    Producer: ClassVar[type[ProducerT]] = _Producer
