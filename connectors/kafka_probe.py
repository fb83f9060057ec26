"""A look at the brokers from outside of any consumer: are they there, are the topics, how much waits for a group.

A consumer that has gone silent doesn't know it. So this is a connection of its own, for a thread of its own.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from typing import Any, Self

from connectors.kafka_client import connection, reached
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import topics
from operators.errors import ConfigError

__all__ = ["Partition", "Probe"]

Partition = tuple[str, int]
"""A topic's full name, and the number of the partition."""


class Probe:
    """Asks the brokers; every method raises SinkError where none answers within `within_s`. A context manager."""

    def __init__(self, settings: KafkaSettings, *, within_s: float = 5.0) -> None:
        self._settings = settings
        within = {"bootstrap_timeout_ms": round(within_s * 1000), "request_timeout_ms": round(within_s * 1000)}
        with reached(settings, "asking the brokers"):
            self._admin = _opened(connection(settings) | within)

    def check_topics(self, names: Iterable[str]) -> None:
        """Raise ConfigError where topics (by their short names) are missing, or have other partitions than expected."""
        known = topics(self._settings)
        wanted = {known[name].name: known[name].partitions for name in names}
        with reached(self._settings, "looking for the topics"):
            there = set(self._admin.list_topics()) & wanted.keys()
            found = self._admin.describe_topics(sorted(there)) if there else []
        counts = {topic["name"]: len(topic["partitions"]) for topic in found}
        wrong = sorted(name for name, count in wanted.items() if counts.get(name) != count)
        if wrong:
            expected = ", ".join(f"{name} with {wanted[name]} partitions" for name in wrong)
            got = ", ".join(f"{name} with {counts[name]}" for name in wrong if name in counts) or "none of these"
            raise ConfigError(
                f"expected topics {expected} at {', '.join(self._settings.bootstrap)}, got {got}: run "
                "`mien topics apply`, or set kafka.prefix and kafka.partitions to those that are there"
            )

    def backlog(self, group: str, positions: Mapping[Partition, int | None]) -> dict[Partition, int]:
        """How many records wait behind each position; where that is None, behind what the group has committed."""
        if not positions:
            return {}
        from kafka import TopicPartition  # noqa: PLC0415
        from kafka.admin import OffsetSpec  # noqa: PLC0415

        partitions = {TopicPartition(*partition): position for partition, position in positions.items()}
        with reached(self._settings, "asking how much waits"):
            ends = self._admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
            begins = self._admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
            committed = self._admin.list_group_offsets({group: list(partitions)})[group]
        return {
            (one.topic, one.partition): max(
                0, ends[one].offset - max(begins[one].offset, committed[one].offset if at is None else at)
            )
            for one, at in partitions.items()
        }

    def close(self) -> None:
        """Hang up."""
        self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - kafka-python has no types
    """A client; where no broker answers, none of it is left.

    kafka-python's own constructor leaves a thread then that tries on for ever, and the socket of each attempt to the
    garbage collection: a process that makes little garbage would be out of descriptors within an hour.
    """
    from kafka import KafkaAdminClient  # noqa: PLC0415 - only who talks to Kafka needs it
    from kafka.errors import KafkaError  # noqa: PLC0415

    client = KafkaAdminClient.__new__(KafkaAdminClient)
    try:
        client.__init__(**options)  # so that there is something to close where it raises
    except KafkaError:
        client._closed = False
        client.close()
        gc.collect()
        raise
    return client
