"""A producer that takes its time while the brokers are away.

aiokafka 0.14 asks for metadata again as soon as it was refused when it holds a record whose leader is gone: 2,000 times
a second, in the event loop that all roles share. Everything else is as Faust has it.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import aiokafka
from faust.transport.drivers.aiokafka import Producer, Transport
from faust.types.transports import ProducerT

__all__ = ["PacedTransport"]

AGAIN_S = 0.1


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
            await asyncio.sleep(AGAIN_S)
        return bool(updated)


class _Producer(Producer):
    @property
    def _producer_type(self) -> type[aiokafka.AIOKafkaProducer]:
        return _PacedProducer


class PacedTransport(Transport):
    """Faust's own, but for the producer."""

    Producer: ClassVar[type[ProducerT]] = _Producer
