"""Observations and gaps into Kafka from a process that analyses what it captures: nothing is lost, and little waits.

Each batch is acknowledged by the brokers before the next one is analysed. While they are away no memory grows here:
whoever captures drops frames meanwhile, and tells them as gaps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from connectors.kafka_client import check_checksums, connection, reached
from connectors.kafka_records import Record, encode_record
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import OBSERVATIONS, partition_of

if TYPE_CHECKING:
    from kafka.producer.future import FutureRecordMetadata

__all__ = ["ObservationProducer"]

FOREVER_MS = 2**31 - 1
REQUEST_S = 5.0
WAIT_S = 0.25


class ObservationProducer:
    """Sends records, each under the keys of its rule partitions. Not for several threads, but for `away`.

    `cameras` are all of the configuration. Raises SinkError where no broker answers at the start.
    """

    def __init__(self, settings: KafkaSettings, cameras: Collection[str]) -> None:
        self.away = ""
        """Why the brokers take nothing now, or empty."""
        self._settings, self._topic = settings, settings.topic(OBSERVATIONS)
        self._cameras = frozenset(cameras)
        check_checksums()
        from kafka import KafkaProducer  # noqa: PLC0415 - only who talks to Kafka needs it

        with reached(settings, "sending observations"):
            self._producer: Any = KafkaProducer(
                **connection(settings),
                acks="all",
                enable_idempotence=True,
                compression_type="gzip",
                max_request_size=settings.max_message_bytes,
                request_timeout_ms=round(REQUEST_S * 1000),
                delivery_timeout_ms=FOREVER_MS,  # the records of one batch wait for the brokers to come back
                max_block_ms=FOREVER_MS,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            self._producer.partitions_for(self._topic)

    def send(self, records: Iterable[Record], keys: Callable[[str], Sequence[str]], *, stop: threading.Event) -> bool:
        """Send records in order, to the rule partitions that `keys` names for a camera, and wait for the brokers.

        False when `stop` was set before they had all of them.
        """
        bodies = [(record.camera_id, encode_record(record)) for record in records]
        with reached(self._settings, "sending observations"):
            sent = [self._send(body, key) for camera_id, body in bodies for key in keys(camera_id)]
            return all(self._arrived(future, stop) for future in sent)

    def _send(self, body: bytes, key: str) -> FutureRecordMetadata:
        partition = partition_of(key, self._settings.partitions, self._cameras)
        return self._producer.send(self._topic, body, key=key.encode(), partition=partition)

    def _arrived(self, future: FutureRecordMetadata, stop: threading.Event) -> bool:
        """Wait until the brokers have a record; False when `stop` was set before."""
        from kafka.errors import KafkaTimeoutError  # noqa: PLC0415

        began = time.monotonic()
        while not future.is_done:
            if stop.is_set():
                return False
            with suppress(KafkaTimeoutError):
                future.get(timeout=WAIT_S)
            if time.monotonic() - began > REQUEST_S:
                self.away = "no acknowledgement"
        future.get(timeout=0)
        self.away = ""
        return True

    def close(self) -> None:
        """Give up what is on its way."""
        self._producer.close(timeout=0.5)
