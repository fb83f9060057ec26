"""Frames through Kafka and the networks: what `analyze` sees is what the analyzer sees without Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaProducer

from connectors.kafka_frames import decode_frame, encode_frame
from connectors.kafka_records import decode_record
from connectors.kafka_topics import partition_of
from connectors.scene import load_figure, render
from operators.records import Clock, Frame, Gap, GapReason, Observation
from pipeline.build import build_analyzer
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

FPS = 5
CAMERAS = ("lobby", "quay")
MOMENT_S = 10.0
"""The person is in front of the camera."""
DOWN = Gap("lobby", 100.0, 100.2, GapReason.DOWN)


@pytest.fixture
def bed(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Bed]:
    with Bed.make(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix) as made:
        yield made


def frames(count: int) -> list[bytes]:
    """A few moments of two cameras, by time, as capture sends them."""
    figures = {"lobby": load_figure("smile"), "quay": load_figure("neutral")}
    return [
        encode_frame(Frame(name, 1000, seq, 100.2 + seq / FPS, Clock.MEDIA, render(figure, MOMENT_S + seq / FPS)))
        for seq in range(count)
        for name, figure in figures.items()
    ]


def send(bed: Bed, items: Sequence[tuple[str, bytes]]) -> None:
    with closing(KafkaProducer(bootstrap_servers=list(bed.kafka.bootstrap))) as producer:
        for camera, body in items:
            partition = partition_of(camera, bed.kafka.partitions, bed.settings.cameras)
            producer.send(bed.kafka.topic("frames"), key=camera.encode(), value=body, partition=partition)
        producer.flush()


def named(bodies: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [(decode_frame(body).camera_id, body) for body in bodies]


def test_what_is_seen_is_what_is_seen_without_kafka(bed: Bed):
    """In order, a gap in its place, a copy for the group; what is no frame goes to the dead letters."""
    bodies = frames(6)
    worker = bed.start("analyze")
    send(bed, [("lobby", encode_frame(DOWN)), ("lobby", b"\xff\xd8 no frame"), *named(bodies)])
    bed.drain("analyze", "frames")
    records = [decode_record(value) for value in bed.values("observations")]
    decoded = [one for one in map(decode_frame, bodies) if isinstance(one, Frame)]
    _, wanted = build_analyzer(bed.settings).step({}, decoded)
    assert any(one.faces for one in wanted)
    for camera, copies in (("lobby", 2), ("quay", 1)):
        seen = [one for one in records if one.camera_id == camera and isinstance(one, Observation)]
        mine = [one for one in wanted if one.camera_id == camera]
        assert sorted(seen, key=lambda one: one.seq) == sorted(mine * copies, key=lambda one: one.seq)
    gaps = [one for one in records if isinstance(one, Gap)]
    assert [one for one in gaps if one.camera_id in CAMERAS] == [DOWN, DOWN]
    others = {(one.camera_id, one.reason) for one in gaps if one.camera_id not in CAMERAS}
    assert others <= {("stairs", GapReason.DOWN)}, "nothing comes of it"
    (letter,) = bed.letters()
    assert (letter["stage"], letter["bytes"]) == ("analyze", 11)
    assert worker.stop()[0] == 0, worker.text()


def test_a_backlog_is_skipped_to_the_newest_and_told(bed: Bed):
    """Frames that waited while nobody analysed: each is accounted for, and hardly one is looked at."""
    bodies = frames(12)
    send(bed, named(bodies))
    time.sleep(2.5)  # longer than skip_older_than
    bed.start("analyze")
    bed.drain("analyze", "frames")
    records = [decode_record(value) for value in bed.values("observations")]
    for camera in CAMERAS:
        mine = [one for one in records if one.camera_id == camera]
        seen = {(one.seq, one.ts) for one in mine if isinstance(one, Observation)}
        gaps = {one for one in mine if isinstance(one, Gap)}
        assert {one.reason for one in gaps} == {GapReason.OVERLOAD}
        assert sum(one.frames for one in gaps) + len(seen) == 12
        assert max(seq for seq, _ in seen) == 11
        assert len(seen) <= 2
        assert max(one.to_ts for one in gaps) < max(ts for _, ts in seen)


def test_tracks_begin_anew_with_another_worker(bed: Bed):
    """In the middle of a capture's epoch: no track of the second worker has a name that the first one gave."""
    bodies = frames(8)
    first = bed.start("analyze")
    send(bed, named(bodies[:8]))
    bed.drain("analyze", "frames")
    first.stop()
    bed.start("analyze")
    send(bed, named(bodies[8:]))
    bed.drain("analyze", "frames")
    tracks: dict[bool, set[str]] = {True: set(), False: set()}
    for one in map(decode_record, bed.values("observations")):
        if isinstance(one, Observation):
            tracks[one.seq < 4] |= {face.track_id for face in one.faces}
    assert tracks[True]
    assert tracks[False]
    assert not tracks[True] & tracks[False]
