"""What `mien topics check` makes of what the brokers have; against a real broker in integration/distributed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.kafka_admin import Brokers, Found
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import FRAMES, topics
from pipeline.topics import Report, judge

KAFKA = KafkaSettings(partitions=8, keep_frames=60.0)


def brokers(*, clean_up_every_s: float = 30.0, **changes: Found | None) -> Brokers:
    """Brokers that have everything as it should be, but for `changes` by topic."""
    right = {name: Found(topic.partitions, topic.replication, topic.settings) for name, topic in topics(KAFKA).items()}
    found = {name: changes.get(name, one) for name, one in right.items()}
    return Brokers({name: one for name, one in found.items() if one is not None}, clean_up_every_s)


def judged(found: Brokers, *, oldest: dict[int, float] | None = None, cameras: int = 4) -> Report:
    return judge(KAFKA, found, oldest or {}, cameras=cameras)


RIGHT = brokers().topics[FRAMES]


def test_all_is_well() -> None:
    report = judged(brokers(), oldest={0: 3.0, 7: 120.0})
    assert report.problems == ()
    assert report.notes == ()
    assert len(report.rows) == 5


@pytest.mark.parametrize(
    ("frames", "said", "advice"),
    [
        (None, "mien.frames is missing", "mien topics apply"),
        (replace(RIGHT, partitions=4), "has 4 partitions, expected 8", "set kafka.partitions to 4, or stop"),
        (replace(RIGHT, replication=0), "has 0 copies", "reassign its partitions"),
        (
            replace(RIGHT, settings={**RIGHT.settings, "retention.ms": "604800000"}),
            "retention.ms is 604800000, expected 60000",
            "mien topics apply",
        ),
        (
            replace(RIGHT, settings={**RIGHT.settings, "max.message.bytes": "1048588"}),
            "max.message.bytes is 1048588, expected 4194304",
            "mien topics apply",
        ),
        (replace(RIGHT, settings={}), "message.timestamp.type is nothing", "mien topics apply"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(frames: Found | None, said: str, advice: str) -> None:
    report = judged(brokers(frames=frames))
    assert any(said in problem and advice in problem for problem in report.problems), report.problems


def test_more_copies_than_asked_for_are_welcome() -> None:
    assert judged(brokers(frames=replace(RIGHT, replication=3))).problems == ()


def test_pictures_that_stay_too_long_are_wrong() -> None:
    report = judged(brokers(), oldest={1: 20.0, 3: 7200.0})
    assert len(report.problems) == 1
    assert "in partitions 3; the oldest is 2h old" in report.problems[0]


def test_cameras_need_a_partition_each_and_should_have_two() -> None:
    assert judged(brokers(), cameras=4).notes == ()
    assert "8 partitions for 5 cameras" in judged(brokers(), cameras=5).notes[0]
    report = judged(brokers(), cameras=9)
    assert "9 cameras share 8 partitions: set kafka.partitions to 18" in report.problems[0]


def test_brokers_that_delete_seldom_are_worth_a_note() -> None:
    report = judged(brokers(clean_up_every_s=300.0))
    assert report.problems == ()
    assert "only every 5m" in report.notes[0]
    assert report.oldest_allowed > 300
