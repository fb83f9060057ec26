from __future__ import annotations

from collections import Counter

import pytest

from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import ALERTS, DEAD_LETTERS, FRAMES, OBSERVATIONS, RULE_STATE, partition_of, topics

CAMERAS = [f"cam-{number:02}" for number in range(16)]


def spread(cameras: list[str], count: int) -> dict[str, int]:
    return {camera: partition_of(camera, count, cameras) for camera in cameras}


@pytest.mark.parametrize("count", [16, 17, 32, 100])
def test_each_camera_has_a_partition_of_its_own(count: int) -> None:
    assert len(set(spread(CAMERAS, count).values())) == len(CAMERAS)
    assert all(0 <= partition < count for partition in spread(CAMERAS, count).values())


def test_more_cameras_than_partitions_share_them_evenly() -> None:
    shares = Counter(spread([f"cam-{number}" for number in range(30)], 8).values())
    assert sorted(shares.values()) == [3, 3, 4, 4, 4, 4, 4, 4]


def test_the_order_of_the_cameras_does_not_matter() -> None:
    assert spread(CAMERAS, 32) == spread(CAMERAS[::-1], 32)


def test_partitions_are_the_same_in_every_version() -> None:
    """Whoever changes this moves cameras away from their rule state: say so in the changelog."""
    assert spread(["desk", "entrance", "lobby"], 32) == {"desk": 6, "entrance": 9, "lobby": 23}
    assert [partition_of(key, 32, CAMERAS) for key in ("group:hall", "site:")] == [18, 23]


def test_a_new_camera_moves_few_others() -> None:
    before = spread(CAMERAS, 32)
    moved = [
        sum(spread([*CAMERAS, new], 32)[camera] != partition for camera, partition in before.items())
        for new in ("aisle", "door", "lobby", "roof", "yard")
    ]
    assert sum(moved) <= 5


def test_a_key_that_is_no_camera_of_ours_has_a_partition_too() -> None:
    assert 0 <= partition_of("a camera that was removed", 7, CAMERAS) < 7
    assert 0 <= partition_of("anything", 1, []) < 1


def test_a_topic_without_partitions_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a topic with partitions, got 0"):
        partition_of("lobby", 0, CAMERAS)


def test_a_key_has_the_same_partition_in_every_topic() -> None:
    wanted = topics(KafkaSettings(partitions=24, prefix="site"))
    assert {name: topic.partitions for name, topic in wanted.items()} == {
        FRAMES: 24,
        OBSERVATIONS: 24,
        ALERTS: 24,
        RULE_STATE: 24,
        DEAD_LETTERS: 1,
    }
    assert wanted[DEAD_LETTERS].name == "site.dead-letters"


def test_every_topic_takes_records_as_large_as_any_other() -> None:
    wanted = topics(KafkaSettings(max_message_bytes=5_000_000))
    assert {topic.settings["max.message.bytes"] for topic in wanted.values()} == {"5000000"}


def test_frames_go_when_their_time_is_over() -> None:
    frames = topics(KafkaSettings(keep_frames=90.0))[FRAMES].settings
    assert frames["retention.ms"] == frames["segment.ms"] == "90000"
    assert frames["compression.type"] == "uncompressed"
    assert frames["message.timestamp.type"] == "LogAppendTime"


def test_only_the_rule_state_is_compacted() -> None:
    policies = {name: topic.settings["cleanup.policy"] for name, topic in topics(KafkaSettings()).items()}
    assert [name for name, policy in policies.items() if policy == "compact"] == [RULE_STATE]
    assert set(policies.values()) == {"delete", "compact"}


@pytest.mark.parametrize(("replication", "least"), [(1, "1"), (2, "1"), (3, "2")])
def test_with_three_brokers_one_may_be_away(replication: int, least: str) -> None:
    wanted = topics(KafkaSettings(replication=replication))
    assert wanted[ALERTS].settings["min.insync.replicas"] == least
    assert wanted[FRAMES].settings["min.insync.replicas"] == "1", "a lost frame is a gap"
