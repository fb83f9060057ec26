"""Makes the topics and looks at them: what the brokers have, and how old the oldest readable frame is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectors.kafka_client import connection, reached
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import FRAMES, Topic, topics

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

__all__ = ["Brokers", "Found", "apply_topics", "delete_topics", "find_topics", "oldest_frames"]

READ_S = 10.0
CLEAN_UP_EVERY_S = 300.0
"""Kafka's own default."""


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the brokers have it."""

    partitions: int
    replication: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Brokers:
    """All that the brokers have of ours, by short name of the topic.

    `clean_up_every_s` is how often they look for what is old enough to be deleted.
    """

    topics: Mapping[str, Found]
    clean_up_every_s: float


def find_topics(settings: KafkaSettings) -> Brokers:
    """Look, change nothing. Raises SinkError where the brokers can't be reached or refuse."""
    with _admin(settings, "looking at the topics") as admin:
        return _found(admin, topics(settings))


def apply_topics(settings: KafkaSettings) -> list[str]:
    """Make what is missing and set what is different; one line for each thing done, none when all is well.

    Partitions and replication of a topic that exists stay as they are. Raises SinkError as `find_topics` does.
    """
    from kafka.admin import ConfigResource, ConfigResourceType  # noqa: PLC0415 - only who talks to Kafka needs it
    from kafka.errors import TopicAlreadyExistsError  # noqa: PLC0415

    wanted = topics(settings)
    done = []
    with _admin(settings, "making the topics") as admin:
        before = _found(admin, wanted).topics
        missing = {topic.name: _creation(topic) for name, topic in wanted.items() if name not in before}
        if missing:
            with suppress(TopicAlreadyExistsError):  # another process makes them at this very moment
                admin.create_topics(missing)
            admin.wait_for_topics(list(missing))
            done += [f"{name}: created" for name in missing]
        for name, found in before.items():
            different = {key: value for key, value in wanted[name].settings.items() if found.settings.get(key) != value}
            if different:
                admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, wanted[name].name, different)])
                done += [f"{wanted[name].name}: {key} is now {value}" for key, value in different.items()]
    return done


def delete_topics(settings: KafkaSettings) -> None:
    """Delete all topics of this prefix that there are, with everything in them. Raises SinkError as `find_topics`."""
    with _admin(settings, "deleting the topics") as admin:
        there = set(admin.list_topics()) & {topic.name for topic in topics(settings).values()}
        if there:
            admin.delete_topics(sorted(there))


def oldest_frames(settings: KafkaSettings) -> dict[int, float]:
    """Age in seconds of the oldest readable frame of each partition that holds any; raises SinkError."""
    from kafka import KafkaConsumer, TopicPartition  # noqa: PLC0415

    topic = settings.topic(FRAMES)
    reading = connection(settings) | {
        "group_id": None,
        "enable_auto_commit": False,
        "max_partition_fetch_bytes": 1,  # a broker gives one batch at least: pictures are large, and one is enough
    }
    ages: dict[int, float] = {}
    with reached(settings, "reading frames"), closing(KafkaConsumer(**reading)) as consumer:
        every = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        first, last = consumer.beginning_offsets(every), consumer.end_offsets(every)
        holding = {one for one in every if first[one] < last[one]}
        consumer.assign(sorted(holding))
        for one in holding:
            consumer.seek(one, first[one])
        ends_at = time.monotonic() + READ_S
        while holding and time.monotonic() < ends_at:
            for one, records in consumer.poll(timeout_ms=500).items():
                if one in holding:
                    ages[one.partition] = time.time() - records[0].timestamp / 1000
                    holding.discard(one)
                    consumer.pause(one)
    return ages


@contextmanager
def _admin(settings: KafkaSettings, doing: str) -> Iterator[KafkaAdminClient]:
    with reached(settings, doing):
        from kafka import KafkaAdminClient  # noqa: PLC0415

        with closing(KafkaAdminClient(**connection(settings))) as admin:
            yield admin


def _found(admin: KafkaAdminClient, wanted: Mapping[str, Topic]) -> Brokers:
    from kafka.admin import ConfigResource, ConfigResourceType  # noqa: PLC0415

    there = {topic["name"]: topic["partitions"] for topic in admin.describe_topics() if not topic["error_code"]}
    named = {name: topic.name for name, topic in wanted.items() if topic.name in there}
    node = str(admin.describe_cluster()["brokers"][0]["broker_id"])
    asked = [ConfigResource(ConfigResourceType.TOPIC, full) for full in named.values()]
    told = admin.describe_configs([*asked, ConfigResource(ConfigResourceType.BROKER, node)], config_filter="all")
    values = {
        full: {key: str(one["value"]) for key, one in told["topic"][full].items() if key in wanted[name].settings}
        for name, full in named.items()
    }
    cleaner = told["broker"][node].get("log.retention.check.interval.ms")  # not everybody may see it
    return Brokers(
        {
            name: Found(len(there[full]), len(there[full][0]["replica_nodes"]), values[full])
            for name, full in named.items()
        },
        clean_up_every_s=CLEAN_UP_EVERY_S if cleaner is None else float(cleaner["value"]) / 1000,
    )


def _creation(topic: Topic) -> dict[str, object]:
    return {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replication,
        "configs": dict(topic.settings),
    }
