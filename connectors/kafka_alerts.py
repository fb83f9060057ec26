"""The alerts topic read back: what fires by it, for a rule state that can't say so any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import closing

from connectors.kafka_client import connection, reached
from connectors.kafka_records import decode_alert
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import ALERTS
from operators.errors import DecodeError, SinkError
from operators.records import Alert, Status

__all__ = ["firing_alerts"]

log = logging.getLogger(__name__)

WITHIN_S = 45.0
"""A month of many alerts; the watchdog waits for longer."""
POLL_MS = 500


def firing_alerts(settings: KafkaSettings, partitions: Collection[int]) -> list[Alert]:
    """The last transition of every alert that fires, by these partitions of the topic, which are read whole.

    Raises SinkError where the brokers can't be reached, or take too long.
    """
    last: dict[str, Alert] = {}
    for value in _values(settings, partitions):
        try:
            alert = decode_alert(value)
        except DecodeError as error:
            log.warning("an alert of the topic can't be read: %s", error)
            continue
        before = last.get(alert.alert_id)
        if before is None or before.seq <= alert.seq:
            last[alert.alert_id] = alert
    return [alert for alert in last.values() if alert.status is Status.FIRING]


def _values(settings: KafkaSettings, partitions: Collection[int]) -> Iterator[bytes | None]:
    """All that the partitions hold now."""
    from kafka import KafkaConsumer, TopicPartition  # noqa: PLC0415 - only who talks to Kafka needs it

    ends_at = time.monotonic() + WITHIN_S
    reading = {**connection(settings), "enable_auto_commit": False, "metrics_enabled": False}
    with reached(settings, "reading alerts"), closing(KafkaConsumer(**reading)) as consumer:
        wanted = [TopicPartition(settings.topic(ALERTS), number) for number in sorted(partitions)]
        consumer.assign(wanted)
        consumer.seek_to_beginning(*wanted)
        ends = consumer.end_offsets(wanted)
        while any(consumer.position(one) < ends[one] for one in wanted):
            if time.monotonic() > ends_at:
                raise SinkError(f"expected the alerts within {WITHIN_S:g} s, got only some of them", retryable=True)
            for records in consumer.poll(timeout_ms=POLL_MS).values():
                yield from (record.value for record in records)
