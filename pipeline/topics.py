"""`mien topics`: are the topics as the configuration wants them, and what to do where they are not?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from connectors.kafka_admin import Brokers, Found, apply_topics, find_topics, oldest_frames
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import FRAMES, Topic, topics
from operators.errors import ConfigError
from operators.units import format_duration
from pipeline.config import Settings

__all__ = ["Report", "Row", "apply", "check", "judge", "kafka_of"]

MARGIN_S = 30.0
"""Deleting takes the brokers a moment, too."""


@dataclass(frozen=True, slots=True)
class Row:
    """One topic: what it should be, what it is (None: it isn't there), and each difference that matters."""

    wanted: Topic
    found: Found | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The topics against the configuration.

    `oldest` is the age in seconds of the oldest readable frame by partition, and `oldest_allowed` what it may be.
    `problems` make the check fail; each says what to do. `notes` are worth knowing.
    """

    rows: tuple[Row, ...]
    oldest: Mapping[int, float] = field(default_factory=dict)
    oldest_allowed: float = 0.0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def kafka_of(settings: Settings) -> KafkaSettings:
    """The section about Kafka; ConfigError where there is none."""
    if settings.kafka is None:
        raise ConfigError("expected a section `kafka`, got none: add `kafka: {bootstrap: [HOST:9092]}`")
    return settings.kafka


def apply(settings: Settings) -> list[str]:
    """Make and set the topics; what was done, line by line. Raises SinkError where the brokers can't be reached."""
    return apply_topics(kafka_of(settings))


def check(settings: Settings) -> Report:
    """Compare the brokers with the configuration; raises SinkError where they can't be reached."""
    kafka = kafka_of(settings)
    brokers = find_topics(kafka)
    oldest = oldest_frames(kafka) if FRAMES in brokers.topics else {}
    return judge(kafka, brokers, oldest, cameras=len(settings.cameras))


def judge(kafka: KafkaSettings, brokers: Brokers, oldest: Mapping[int, float], *, cameras: int) -> Report:
    """What is wrong, and what is worth knowing, of what was found."""
    rows = tuple(_row(topic, brokers.topics.get(name)) for name, topic in topics(kafka).items())
    # A segment is closed when it is as old as frames get, and goes when its last frame is that old.
    allowed = 2 * kafka.keep_frames + brokers.clean_up_every_s + MARGIN_S
    problems = [problem for row in rows for problem in row.problems]
    problems += _too_old(oldest, allowed)
    if cameras > kafka.partitions:
        problems.append(
            f"{cameras} cameras share {kafka.partitions} partitions: set kafka.partitions to {2 * cameras}; topics "
            "that exist keep theirs, so stop the pipeline, delete them and run `mien topics apply`"
        )
    return Report(rows, oldest, allowed, tuple(problems), tuple(_notes(kafka, brokers, cameras=cameras)))


def _row(wanted: Topic, found: Found | None) -> Row:
    if found is None:
        return Row(wanted, None, (f"{wanted.name} is missing: run `mien topics apply`",))
    return Row(wanted, found, tuple(_differences(wanted, found)))


def _differences(wanted: Topic, found: Found) -> Iterator[str]:
    for key, value in wanted.settings.items():
        got = found.settings.get(key, "nothing")
        if got != value:
            yield f"{wanted.name}: {key} is {got}, expected {value}: run `mien topics apply`"
    if found.partitions != wanted.partitions:
        advice = (
            f"set kafka.partitions to {found.partitions}, or stop the pipeline, delete the topic and run `mien topics "
            "apply`"
        )
        yield f"{wanted.name} has {found.partitions} partitions, expected {wanted.partitions}: {advice}"
    if found.replication < wanted.replication:
        yield (
            f"{wanted.name} has {found.replication} copies of each partition, expected {wanted.replication}: reassign "
            f"its partitions (kafka-reassign-partitions), or set kafka.replication to {found.replication}"
        )


def _too_old(oldest: Mapping[int, float], allowed: float) -> Iterator[str]:
    late = {partition: age for partition, age in oldest.items() if age > allowed}
    if late:
        worst = max(late, key=late.__getitem__)
        yield (
            f"pictures are readable for longer than {format_duration(round(allowed))} in partitions "
            f"{', '.join(map(str, sorted(late)))}; the oldest is {format_duration(round(late[worst]))} old: look in "
            "the broker's log for errors of its log cleaner, and at the free space of its disk"
        )


def _notes(kafka: KafkaSettings, brokers: Brokers, *, cameras: int) -> Iterator[str]:
    if cameras <= kafka.partitions < 2 * cameras:
        yield (
            f"{kafka.partitions} partitions for {cameras} cameras: plan two for each, since a topic keeps the number "
            "that it was made with"
        )
    if brokers.clean_up_every_s > kafka.keep_frames:
        yield (
            f"the brokers delete what is old only every {format_duration(brokers.clean_up_every_s)}, so pictures may "
            f"outlast their {format_duration(kafka.keep_frames)} by that: set log.retention.check.interval.ms there to "
            f"{round(kafka.keep_frames * 1000)} or less"
        )
