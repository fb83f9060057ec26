"""More frames than the networks can do, and none at all: what is not seen is counted, and rules know of it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from kafka import KafkaProducer

from connectors.kafka_frames import encode_frame
from connectors.kafka_records import Record, decode_record
from connectors.kafka_topics import partition_of
from connectors.recording import time_of
from connectors.scene import load_figure, render
from operators.records import Alert, Clock, Frame, Gap, GapReason, Observation, Status
from tests.servers.kafka import Kafka
from tests.worker_bed import ROOT, Bed, Worker, expected, found, until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CAMERAS = ("lobby", "quay")
FPS, SECONDS = 200, 3
BROKEN_EVERY = 50
CONFIG = """
version: 1
purpose: a test of cameras that nobody captures any more
cameras:
  smile: {{url: "scene://smile", fps: 2}}
  neutral: {{url: "scene://neutral", fps: 2, enabled: false}}
rules:
  - id: camera-down
    scope: camera
    absence: {{of: frames}}
    for: 2s
    cooldown: 0s
store: {{path: "{folder}/mien.sqlite"}}
sinks:
  - {{type: jsonl, path: "{folder}/alerts.jsonl"}}
kafka: {{bootstrap: ["{bootstrap}"], prefix: {prefix}, partitions: {partitions}}}
worker: {{port: 0, stalled_after: {stalled_after}}}
"""


@pytest.fixture
def bed(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Bed]:
    with Bed.make(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix) as made:
        yield made


@pytest.fixture
def scene_bed(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Bed]:
    with Bed.make(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix, config=CONFIG) as made:
        yield made


def flood(bed: Bed) -> tuple[int, int]:
    """Send far more than can be done, at the cameras' pace; returns how many frames, and how many were broken."""
    image = render(load_figure("smile"), 10.0, width=320, height=180)
    frames, broken, began = 0, 0, time.time()
    with closing(KafkaProducer(bootstrap_servers=list(bed.kafka.bootstrap))) as producer:
        for seq in range(FPS * SECONDS):
            time.sleep(max(0.0, began + seq / FPS - time.time()))
            for camera in CAMERAS:
                body = encode_frame(Frame(camera, 1000, seq, time.time(), Clock.RECEIVE, image))
                if seq % BROKEN_EVERY == BROKEN_EVERY // 2:
                    body, broken = body[:-1], broken + 1
                partition = partition_of(camera, bed.kafka.partitions, bed.settings.cameras)
                producer.send(bed.kafka.topic("frames"), key=camera.encode(), value=body, partition=partition)
                frames += 1
        producer.flush()
    return frames, broken


def metric(worker: Worker, name: str) -> int:
    """The sum of a metric over its labels."""
    samples = re.findall(rf"^{name}{{[^}}]*}} (\S+)$", worker.get("/metrics").text, re.MULTILINE)
    return round(sum(map(float, samples)))


def records(bed: Bed, camera: str) -> list[Record]:
    decoded = map(decode_record, bed.values("observations"))
    return list({repr(one): one for one in decoded if one.camera_id == camera}.values())  # groups have copies


def test_an_overload_is_counted_and_keeps_the_order(bed: Bed):
    worker = bed.start("analyze")
    frames, broken = flood(bed)
    bed.drain("analyze", "frames")
    until(lambda: metric(worker, "mien_frames_total") == frames - broken, seconds=20, what="the counters")
    analysed, dropped = metric(worker, "mien_frames_analysed_total"), metric(worker, "mien_frames_dropped_total")
    assert analysed + dropped + broken == frames
    assert dropped > 0, "this machine does more than the test thinks: send more"
    assert len(bed.letters()) == broken
    seen = 0
    for camera in CAMERAS:
        told = records(bed, camera)
        looked = [one for one in told if isinstance(one, Observation)]
        seen += len(looked)
        assert all(before.seq < after.seq for before, after in pairwise(looked))
        assert looked[-1].seq == FPS * SECONDS - 1, "the newest is looked at"
        times = [time_of(one) for one in told if not isinstance(one, Gap) or one.reason is GapReason.OVERLOAD]
        assert times == sorted(times)
    assert seen == analysed


def test_a_camera_whose_capture_is_killed_is_told_as_down(scene_bed: Bed):
    """Nobody else captures it: the rule about silent cameras fires, and the recording says the same."""
    bed = scene_bed
    bed.start("analyze+evaluate")
    command = [sys.executable, "-c", "from pipeline.cli import main; raise SystemExit(main())", "capture"]
    with (bed.folder / "capture.log").open("wb") as log:
        capture = subprocess.Popen([*command, "-c", str(bed.config)], cwd=ROOT, stdout=log, stderr=log)
    try:
        until(lambda: is_well(bed), seconds=60, what="pictures of a camera that isn't down any more")
    finally:
        capture.kill()
        capture.wait()
    seen_ts = max(time_of(one) for one in records(bed, "smile") if is_seen(one))
    until(lambda: any(fires(one, after=seen_ts) for one in bed.alerts()), seconds=60, what="the alert")
    bed.workers[0].kill()
    told = records(bed, "smile")
    wanted = expected(bed.settings, told)
    assert all(wanted[name] == one for name, one in found(bed.alerts()).items())
    assert isinstance(told[-1], Gap)
    assert not records(bed, "neutral"), "nobody should capture it"


def is_well(bed: Bed) -> bool:
    """Whether the camera is seen, and an alert from before its first picture is over."""
    last = {one.alert_id: one.status for one in sorted(bed.alerts(), key=lambda one: one.seq)}
    return sum(map(is_seen, records(bed, "smile"))) > 4 and Status.FIRING not in last.values()


def is_seen(record: Record) -> bool:
    return isinstance(record, Observation)


def fires(alert: Alert, *, after: float) -> bool:
    return (alert.rule, alert.camera_id, alert.status) == ("camera-down", "smile", Status.FIRING) and alert.ts > after
