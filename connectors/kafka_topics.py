"""The topics of the distributed pipeline: what each must look like, and which partition a key belongs to. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from connectors.kafka_settings import KafkaSettings

__all__ = [
    "ALERTS",
    "DEAD_LETTERS",
    "FRAMES",
    "OBSERVATIONS",
    "RULE_STATE",
    "Topic",
    "partition_of",
    "topics",
]

FRAMES, OBSERVATIONS, ALERTS = "frames", "observations", "alerts"
DEAD_LETTERS, RULE_STATE = "dead-letters", "rule-state"

FRAMES_SEGMENT_BYTES = 32 * 1024 * 1024
"""Kafka deletes whole closed segments only: small ones let pictures go when their time is over."""
STATE_SEGMENT_BYTES = 16 * 1024 * 1024
"""Only closed segments are compacted, too, and every change of a rule's state is one more record."""
STATE_LAG_MS = 600_000
COMPRESSION = "gzip"
"""For JSON. The one that every client reads without another package: lz4 and zstd need cramjam in Faust's client."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be; `settings` are the broker's own names and values."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


def topics(settings: KafkaSettings) -> dict[str, Topic]:
    """Every topic by its short name, such as `frames`.

    All but the dead letters have the same number of partitions, so that a key has the same partition in each.
    """
    kept = {"cleanup.policy": "delete", "compression.type": COMPRESSION, "message.timestamp.type": "LogAppendTime"}
    frames = kept | {
        "compression.type": "uncompressed",  # a JPEG gets no smaller
        "retention.ms": _ms(settings.keep_frames),
        "segment.ms": _ms(settings.keep_frames),
        "segment.bytes": str(FRAMES_SEGMENT_BYTES),
    }
    alerts = kept | {"retention.ms": _ms(settings.keep_alerts)}
    state = {
        "cleanup.policy": "compact",
        "compression.type": COMPRESSION,
        "segment.bytes": str(STATE_SEGMENT_BYTES),
        "min.cleanable.dirty.ratio": "0.1",
        "max.compaction.lag.ms": str(STATE_LAG_MS),
    }
    return {
        FRAMES: _topic(settings, FRAMES, frames | {"min.insync.replicas": "1"}),
        OBSERVATIONS: _topic(settings, OBSERVATIONS, kept | {"retention.ms": _ms(settings.keep_observations)}),
        ALERTS: _topic(settings, ALERTS, alerts),
        DEAD_LETTERS: _topic(settings, DEAD_LETTERS, alerts, partitions=1),
        RULE_STATE: _topic(settings, RULE_STATE, state),
    }


def partition_of(key: str, count: int, cameras: Collection[str]) -> int:
    """The partition of a key, which is a camera, `group:NAME` or `site:`, in a topic of `count` partitions.

    The cameras of the configuration (all, enabled or not) each have one of their own while there are enough
    partitions. Every client asks here and never its own partitioner: the defaults differ from client to client.
    """
    if count < 1:
        raise ValueError(f"expected a topic with partitions, got {count}")
    spread = _spread(frozenset(cameras), count)
    return spread[key] if key in spread else _hash(key) % count


@lru_cache(maxsize=64)
def _spread(cameras: frozenset[str], count: int) -> Mapping[str, int]:
    """Each camera where its hash says or, if that is taken, in the next free partition.

    So a camera that is added or removed moves few others away from their rule state, where counting through the sorted
    names would move half of them. When all partitions are taken, one more round begins.
    """
    spread: dict[str, int] = {}
    free: set[int] = set()
    for camera in sorted(cameras, key=lambda name: (_hash(name), name)):
        free = free or set(range(count))
        wanted = _hash(camera) % count
        spread[camera] = min(free, key=lambda partition: (partition - wanted) % count)
        free.discard(spread[camera])
    return spread


def _topic(
    settings: KafkaSettings, name: str, topic_settings: Mapping[str, str], *, partitions: int | None = None
) -> Topic:
    """A topic that takes records as large as any other, and loses none while one of three brokers is away."""
    common = {
        "max.message.bytes": str(settings.max_message_bytes),
        "min.insync.replicas": "2" if settings.replication >= 3 else "1",
    }
    return Topic(
        settings.topic(name), partitions or settings.partitions, settings.replication, common | dict(topic_settings)
    )


def _hash(key: str) -> int:
    """The same in every process and version, unlike `hash`."""
    return zlib.crc32(key.encode())


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))
