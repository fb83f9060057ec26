"""Frames through a real broker: in order, counted, within the budget, whatever the broker does."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from kafka import KafkaConsumer, TopicPartition

from connectors.kafka_admin import apply_topics
from connectors.kafka_frames import decode_frame
from connectors.kafka_producer import CONGESTED, STALE, STOPPED, TOO_LARGE, UNSENT, FrameProducer, SendStatus
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import partition_of
from operators.errors import ConfigError
from operators.records import Clock, Frame, Gap, GapReason
from tests.servers.kafka import Kafka

# kafka-python leaves the sockets of attempts that were refused to the garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CAMERAS = ("lobby", "desk", "yard")


@pytest.fixture(autouse=True)
def sockets_go() -> Iterator[None]:
    """Within the test that made them."""
    yield
    gc.collect()


def settings_for(kafka: Kafka, prefix: str, **changes: object) -> KafkaSettings:
    settings = KafkaSettings(bootstrap=(kafka.bootstrap,), prefix=prefix, partitions=4, keep_frames=600.0)
    settings = replace(settings, **changes)
    apply_topics(settings)
    return settings


def noise(camera: str, seq: int, *, side: int = 64) -> Frame:
    """A picture that JPEG can't make small."""
    image = np.random.default_rng(seq).integers(0, 255, (side, side, 3), np.uint8)
    return Frame(camera, 1000, seq, 100.0 + seq / 10, Clock.STREAM, image)


def held(settings: KafkaSettings) -> dict[str, list[Frame | Gap]]:
    """All that the topic holds, in order, by camera; each camera only in its own partition."""
    items: dict[str, list[Frame | Gap]] = {}
    with closing(KafkaConsumer(bootstrap_servers=settings.bootstrap[0], auto_offset_reset="earliest")) as consumer:
        every = [TopicPartition(settings.topic("frames"), number) for number in range(settings.partitions)]
        consumer.assign(every)
        ends = consumer.end_offsets(every)
        while any(consumer.position(one) < ends[one] for one in every):
            for one, records in consumer.poll(timeout_ms=500).items():
                for record in records:
                    item = decode_frame(record.value)
                    assert record.key == item.camera_id.encode()
                    assert one.partition == partition_of(item.camera_id, settings.partitions, CAMERAS)
                    items.setdefault(item.camera_id, []).append(item)
    return items


def holes(items: Sequence[Frame | Gap]) -> list[tuple[float, float]]:
    """(from, to) of the times that neither frames nor gaps account for."""
    found = []
    told = items[0].to_ts if isinstance(items[0], Gap) else items[0].ts
    for item in items[1:]:
        from_ts, to_ts = (item.from_ts, item.to_ts) if isinstance(item, Gap) else (item.ts - 0.1, item.ts)
        # A frame follows the one before it, or the gap that ends with the frame before it.
        if from_ts > told + 1e-6:
            found.append((told, from_ts))
        # What a broker took just before it was killed is sent again.
        told = max(told, to_ts)
    return found


def taken(status: SendStatus) -> int:
    return status.sent + status.waiting + sum(status.drops.values())


@contextmanager
def steady(producer: FrameProducer) -> Iterator[None]:
    """Nothing that was given is unaccounted for, before and after."""
    assert all(status.taken == taken(status) for status in producer.status().values())
    yield
    assert all(status.taken == taken(status) for status in producer.status().values())


def test_every_frame_and_gap_arrives_in_order(kafka: Kafka, prefix: str) -> None:
    settings = settings_for(kafka, prefix)
    with FrameProducer(settings, CAMERAS, stale_after=30.0) as producer, steady(producer):
        for seq in range(30):
            for camera in CAMERAS:
                producer.put(noise(camera, seq))
        producer.put(Gap("desk", 102.9, 105.0, GapReason.DOWN))
    items = held(settings)
    assert {camera: [one.seq for one in got if isinstance(one, Frame)] for camera, got in items.items()} == {
        camera: list(range(30)) for camera in CAMERAS
    }
    assert items["desk"][-1] == Gap("desk", 102.9, 105.0, GapReason.DOWN)
    assert {status.sent for status in producer.status().values()} == {30}
    assert all(status.sent_bytes > 30 * 1000 for status in producer.status().values())


def test_a_broker_that_stops_costs_frames_and_no_memory(
    own_kafka: Kafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are dropped, counted and told as gaps in their place; when it is back, frames flow again by themselves."""
    monkeypatch.setattr("connectors.kafka_producer.REQUEST_TIMEOUT_S", 2.0)
    monkeypatch.setattr("connectors.kafka_producer.DELIVERY_TIMEOUT_S", 3.0)
    settings = settings_for(own_kafka, prefix)
    with FrameProducer(settings, CAMERAS, stale_after=0.5) as producer:
        seq = 0

        def run(seconds: float) -> Iterator[int]:
            nonlocal seq
            ends_at = time.monotonic() + seconds
            while time.monotonic() < ends_at:
                for camera in CAMERAS:
                    producer.put(noise(camera, seq))
                seq += 1
                yield max(status.waiting for status in producer.status().values())
                time.sleep(0.02)

        with steady(producer):
            list(run(0.5))
            own_kafka.kill()
            waiting = max(run(5.0))
            assert producer.away
            assert producer.quality == settings.least_jpeg_quality
            own_kafka.start()
            before = producer.status()
            for _ in run(30.0):
                now = producer.status()
                if all(now[camera].sent > before[camera].sent + 3 for camera in CAMERAS):
                    break
            assert not producer.away
    # half a second of frames of each camera, and the one that was handed over
    assert waiting <= 0.5 / 0.02 + 2
    status = producer.status()
    assert all(one.waiting == 0 and one.taken == seq == one.sent + sum(one.drops.values()) for one in status.values())
    assert all(one.drops[STALE] > 100 and one.drops[UNSENT] >= 1 for one in status.values())
    for items in held(settings).values():
        assert not holes(items)
        assert sum(item.frames for item in items if isinstance(item, Gap)) > 100


def test_the_oldest_go_when_the_budget_is_full(own_kafka: Kafka, prefix: str) -> None:
    settings = settings_for(own_kafka, prefix, in_flight_bytes=400_000, max_message_bytes=100_000)
    producer = FrameProducer(settings, CAMERAS, stale_after=60.0)
    own_kafka.kill()
    try:
        for seq in range(60):
            for camera in CAMERAS:
                producer.put(noise(camera, seq, side=128))
            held_bytes = sum(line.size for line in producer._lines.values())
            assert held_bytes <= settings.in_flight_bytes
        assert held_bytes > settings.in_flight_bytes / 2
        assert producer.quality < settings.jpeg_quality
        assert all(one.drops[CONGESTED] > 10 for one in producer.status().values())
    finally:
        own_kafka.start()
        producer.close(within_s=20.0)
    for camera, items in held(settings).items():
        assert not holes(items)
        last = items[-1]
        assert isinstance(last, Frame), camera
        assert last.seq == 59, "the newest are kept"


def test_a_camera_that_is_given_up_leaves_nothing_behind(own_kafka: Kafka, prefix: str) -> None:
    settings = settings_for(own_kafka, prefix)
    with FrameProducer(settings, CAMERAS, stale_after=60.0) as producer, steady(producer):
        producer.put(noise("lobby", 0))
        while not producer.status()["lobby"].sent:
            time.sleep(0.01)
        own_kafka.kill()
        for seq in range(1, 5):
            producer.put(noise("lobby", seq))
        producer.give_up("lobby")
        assert producer.status()["lobby"].drops[STOPPED] >= 3
        own_kafka.start()
        producer.put(noise("desk", 0))
        ends_at = time.monotonic() + 30
        while not producer.status()["desk"].sent and time.monotonic() < ends_at:
            time.sleep(0.1)
    items = held(settings)
    assert len(items["desk"]) == 1
    assert len(items["lobby"]) <= 2, "the first, and the one that was on its way"
    assert all(isinstance(item, Frame) for item in items["lobby"])


def test_a_picture_that_is_too_large_is_a_gap_in_its_place(kafka: Kafka, prefix: str) -> None:
    settings = settings_for(kafka, prefix, max_message_bytes=20_000)
    with FrameProducer(settings, CAMERAS, stale_after=30.0) as producer, steady(producer):
        for seq, side in enumerate((64, 512, 64)):
            producer.put(noise("lobby", seq, side=side))
    first, gap, last = held(settings)["lobby"]
    assert isinstance(first, Frame)
    assert isinstance(last, Frame)
    assert gap == Gap("lobby", 100.0, 100.1, GapReason.OVERLOAD, 1)
    assert producer.status()["lobby"].drops == {TOO_LARGE: 1}


def test_a_topic_that_is_missing_or_other_than_configured_is_said(kafka: Kafka, prefix: str) -> None:
    settings = settings_for(kafka, prefix)
    with pytest.raises(ConfigError, match=r"frames with 5 partitions .* got .*frames with 4: run"):
        FrameProducer(replace(settings, partitions=5), CAMERAS)
    with pytest.raises(ConfigError, match=f"{prefix}x.frames with 4 .* run `mien topics apply`"):
        FrameProducer(replace(settings, prefix=prefix + "x"), CAMERAS)
