"""Who captures which camera: a consumer group on the frames topic that never fetches.

The group gives every partition to exactly one of its members, moves as few as possible when members come and go, and
takes them from a member that has gone silent. A member lets go of a partition before the next one gets it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Self

from connectors.kafka_client import connection, reached
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import FRAMES

if TYPE_CHECKING:
    from kafka import KafkaConsumer
    from kafka.cluster import ClusterMetadata
    from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor

__all__ = ["OWNED_S", "SESSION_S", "CaptureGroup"]

log = logging.getLogger(__name__)

SESSION_S = 8.0
"""A member that was not heard of for so long has died: the others take its partitions."""
HEARTBEAT_S = 1.0
OWNED_S = SESSION_S - 2 * HEARTBEAT_S
"""A member that stood still for less still has its partitions: its session runs from its last heartbeat, which may have
been that long before, and a little longer on its way."""
LONGEST_TURN_S = 30.0
CLOSE_S = 2.0

Change = Callable[[set[int]], None]


class CaptureGroup:
    """One member of the group of all capture workers; a context manager. Not for several threads.

    `used` are the partitions that have cameras, shared out evenly. `gained` and `lost` are called with partitions, from
    within `turn`: a partition is free for others once `lost` has returned.
    """

    def __init__(self, settings: KafkaSettings, *, used: Collection[int], gained: Change, lost: Change) -> None:
        self._settings, self._gained, self._lost = settings, gained, lost
        self._topic = settings.topic(FRAMES)
        self._held: set[int] = set()
        with reached(settings, "joining the capture workers"):
            self._consumer = _consumer(settings, _assignor(self._topic, used, self._held))
            self._consumer.subscribe([self._topic], listener=_listener(self))

    @property
    def joined(self) -> bool:
        """Whether this worker is a member, with partitions or without."""
        return bool(self._consumer.group_metadata().generation_id >= 0)

    def turn(self, timeout_s: float) -> None:
        """Take part in the group for so long; to be called again and again. Raises SinkError for what won't pass."""
        from kafka.errors import KafkaError  # noqa: PLC0415 - only who talks to Kafka needs it

        with reached(self._settings, "sharing out the cameras"):
            try:
                self._consumer.poll(timeout_ms=round(timeout_s * 1000))
            except KafkaError as error:
                if not error.retriable:
                    raise
                log.warning("the group of capture workers can't be asked now error=%s", type(error).__name__)

    def rejoin(self) -> None:
        """Come back after a silence in which others may have been given what this worker had; give that up before."""
        self._held.clear()
        with reached(self._settings, "joining the capture workers again"):
            self._consumer.unsubscribe()
            self._consumer.subscribe([self._topic], listener=_listener(self))

    def close(self) -> None:
        """Leave the group: others take over at once. Give up what is captured before."""
        from kafka.errors import KafkaError  # noqa: PLC0415

        try:
            self._consumer.close(autocommit=False, timeout_ms=round(CLOSE_S * 1000))
        except KafkaError as error:
            log.info("left the group without saying so error=%s", type(error).__name__)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_assigned(self, partitions: set[int]) -> None:
        self._consumer.pause(*self._consumer.assignment())
        self._held |= partitions
        self._gained(partitions)

    def _on_lost(self, partitions: set[int]) -> None:
        self._lost(partitions)
        self._held -= partitions


def _consumer(settings: KafkaSettings, assignor: AbstractPartitionAssignor) -> KafkaConsumer:
    from kafka import KafkaConsumer  # noqa: PLC0415

    return KafkaConsumer(
        **connection(settings),
        group_id=f"{settings.prefix}.capture",
        partition_assignment_strategy=[assignor],
        enable_auto_commit=False,
        auto_offset_reset="latest",
        session_timeout_ms=round(SESSION_S * 1000),
        heartbeat_interval_ms=round(HEARTBEAT_S * 1000),
        max_poll_interval_ms=round(LONGEST_TURN_S * 1000),
        request_timeout_ms=round(LONGEST_TURN_S * 1000) + 5000,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )


def _listener(group: CaptureGroup) -> object:
    from kafka import ConsumerRebalanceListener, TopicPartition  # noqa: PLC0415

    def numbers(partitions: Collection[TopicPartition]) -> set[int]:
        return {one.partition for one in partitions}

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
            group._on_assigned(numbers(assigned))

        def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
            group._on_lost(numbers(revoked))

        def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
            group._on_lost(numbers(lost))

    return Listener()


def _assignor(topic: str, used: Collection[int], held: Collection[int]) -> AbstractPartitionAssignor:
    """Kafka's cooperative sticky assignment, over the partitions that have cameras: evenly, and with few moves."""
    from kafka import TopicPartition  # noqa: PLC0415
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor  # noqa: PLC0415

    class Used:
        """The part of the cluster that is to be shared out."""

        def __init__(self, cluster: ClusterMetadata) -> None:
            self._cluster = cluster

        def topics(self) -> set[str]:
            return set(self._cluster.topics())

        def partitions_for_topic(self, topic: str) -> set[int] | None:
            every = self._cluster.partitions_for_topic(topic)
            return None if every is None else every & set(used)

    class CameraAssignor(CooperativeStickyAssignor):  # type: ignore[misc]
        name = "mien-cameras"

        def metadata(self, topics: Collection[str]) -> object:
            # What it really holds. Left alone, one that was missed for a while claims what others have by then, and two
            # that claim the same partition may both get it.
            self.member_assignment = [TopicPartition(topic, number) for number in sorted(held)]
            return super().metadata(topics)

        def assign(self, cluster: ClusterMetadata, members: object) -> object:
            return super().assign(Used(cluster), members)

    return CameraAssignor()
