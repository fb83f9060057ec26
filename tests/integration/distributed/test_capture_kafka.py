"""`mien capture` as a user runs it: several processes, a real broker, and both are killed."""

from __future__ import annotations

import gc
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from kafka import KafkaConsumer, TopicPartition

from connectors.kafka_admin import apply_topics
from connectors.kafka_frames import decode_frame
from connectors.kafka_group import SESSION_S
from operators.errors import SinkError
from operators.records import Frame, Gap, GapReason
from pipeline.capture import capture
from pipeline.config import load_settings
from pipeline.topics import kafka_of
from tests.servers.kafka import Kafka

pytestmark = pytest.mark.timeout(300)

CAMERAS = ("desk", "door", "hall", "yard")
CONFIG = """
version: 1
purpose: a test of capture
cameras:
  desk: {{url: {clip}, loop: true, fps: 10}}
  door: {{url: {clip}, loop: true, fps: 10}}
  hall: {{url: {clip}, loop: true, fps: 10, masks: [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]}}
  yard: {{url: {clip}, loop: true, fps: 10}}
  gone: {{url: {folder}/missing.mp4}}
  off: {{url: {clip}, enabled: false}}
kafka: {{bootstrap: ["{bootstrap}"], prefix: {prefix}, partitions: 12}}
worker: {{port: 0, stop_within: 8s}}
"""
START_S = 60.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of a bright, moving picture."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(40):
            image = np.full((120, 160, 3), 180, np.uint8)
            image[number : number + 20] = 90
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    return path


def configure(folder: Path, clip: Path, bootstrap: str, prefix: str) -> Path:
    path = folder / "mien.yaml"
    path.write_text(CONFIG.format(clip=clip, folder=folder, bootstrap=bootstrap, prefix=prefix))
    return path


class Worker:
    """One `mien capture`."""

    def __init__(self, config: Path, log: Path) -> None:
        self._log = log
        command = [sys.executable, "-c", "from pipeline.cli import main; raise SystemExit(main())"]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [*command, "capture", "-c", str(config)],
                cwd=Path(__file__).parents[3],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def cameras(self) -> set[str]:
        """The cameras it captures now, by its log."""
        here: set[str] = set()
        for line in self.output.splitlines():
            if found := re.search(r"captures partition=\d+ cameras=(\S+)", line):
                here |= set(found[1].split(","))
            elif found := re.search(r"captures no more partition=\d+ cameras=(\S+)", line):
                here -= set(found[1].split(","))
        return here

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.output
        assert "Traceback" not in self.output


@contextmanager
def worker(config: Path, name: str) -> Iterator[Worker]:
    one = Worker(config, config.with_name(f"{name}.log"))
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


def until(done: Callable[[], bool], what: Callable[[], object], *, seconds: float = START_S) -> None:
    ends_at = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends_at, what()
        time.sleep(0.1)


class Reader:
    """All that the frames topic holds so far, by camera, in order."""

    def __init__(self, config: Path) -> None:
        settings = kafka_of(load_settings(config))
        self._consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap[0], group_id=None, enable_auto_commit=False)
        self._consumer.assign([TopicPartition(settings.topic("frames"), number) for number in range(12)])
        self._consumer.seek_to_beginning()
        self.items: dict[str, list[Frame | Gap]] = {name: [] for name in (*CAMERAS, "gone")}

    def read(self) -> None:
        for records in self._consumer.poll(timeout_ms=200).values():
            for record in records:
                item = decode_frame(record.value)
                self.items[item.camera_id].append(item)

    def frames(self, camera: str) -> list[Frame]:
        return [item for item in self.items[camera] if isinstance(item, Frame)]

    def epochs(self) -> dict[str, int]:
        """The epoch of the newest frame of each camera."""
        return {name: self.frames(name)[-1].epoch for name in CAMERAS if self.frames(name)}

    def newer_than(self, epochs: dict[str, int], cameras: set[str]) -> bool:
        self.read()
        now = self.epochs()
        return all(now.get(name, 0) > epochs.get(name, 0) for name in cameras)

    def goes_on(self, camera: str) -> bool:
        """Whether there are frames behind a gap in which frames were dropped."""
        items = self.items[camera]
        gaps = [number for number, item in enumerate(items) if isinstance(item, Gap) and item.frames]
        return bool(gaps) and any(isinstance(item, Frame) for item in items[gaps[0] :])

    def close(self) -> None:
        self._consumer.close(autocommit=False)


def unbalanced(worker: Worker) -> list[str]:
    """Cameras of a worker that has ended whose captured frames are not all sent or dropped for a reason."""
    found = re.findall(r"^(\w+): (\d+) frames captured, (\d+) sent, dropped: (.*)$", worker.output, re.MULTILINE)
    assert found, worker.output
    return [
        name
        for name, frames, sent, drops in found
        if int(frames) != int(sent) + sum(map(int, re.findall(r"\d+", drops)))
    ]


def test_workers_share_the_cameras_and_take_over_from_one_that_is_silent_or_killed(
    tmp_path: Path, clip: Path, kafka: Kafka, prefix: str
) -> None:
    config = configure(tmp_path, clip, kafka.bootstrap, prefix)
    apply_topics(kafka_of(load_settings(config)))
    everything = {*CAMERAS, "gone"}
    with closing(Reader(config)) as reader, worker(config, "first") as first:
        until(lambda: reader.newer_than({}, set(CAMERAS)), lambda: first.output)
        assert first.cameras() == everything
        alone = reader.epochs()

        with worker(config, "second") as second:
            until(lambda: len(second.cameras()) == 2, lambda: second.output)
            assert first.cameras() | second.cameras() == everything
            assert not first.cameras() & second.cameras()
            moved = second.cameras() & set(CAMERAS)
            until(lambda: reader.newer_than(alone, moved), lambda: (reader.epochs(), second.output))
            shared = reader.epochs()
            stayed = set(CAMERAS) - moved
            assert {name: shared[name] for name in stayed} == {name: alone[name] for name in stayed}, "undisturbed"

            first.process.send_signal(signal.SIGSTOP)
            until(lambda: reader.newer_than(shared, stayed), lambda: (reader.epochs(), second.output))
            assert second.cameras() == everything
            first.process.send_signal(signal.SIGCONT)  # and doesn't know that it was missed
            until(lambda: "captures no more partition" in first.output.split("took no part")[-1], lambda: first.output)
            back = reader.epochs()
            until(lambda: len(first.cameras()) == 2, lambda: first.output)
            assert not first.cameras() & second.cameras()
            until(lambda: reader.newer_than(back, first.cameras() & set(CAMERAS)), lambda: first.output)

            second.process.kill()
            orphans, killed_at = second.cameras() & set(CAMERAS), time.monotonic()
            before = reader.epochs()
            until(lambda: reader.newer_than(before, orphans), lambda: (reader.epochs(), first.output))
            assert time.monotonic() - killed_at > SESSION_S / 2, "missed when its session is over, not before"
            assert first.cameras() == everything
            first.stop()
            assert not unbalanced(first)
        reader.read()
        items, seen = reader.items, {name: reader.frames(name) for name in CAMERAS}

    for name, frames in seen.items():
        assert [one.epoch for one in frames] == sorted(one.epoch for one in frames), f"{name} was captured twice"
        for epoch in {one.epoch for one in frames}:
            seqs = [one.seq for one in frames if one.epoch == epoch]
            assert seqs == sorted(set(seqs))
    assert "off" not in items
    outage = items["gone"]
    assert outage
    assert all(isinstance(item, Gap) and item.reason is GapReason.DOWN for item in outage)
    hall, desk = seen["hall"][-1].image, seen["desk"][-1].image
    assert hall[:, :70].max() < 30, "the mask is painted before the picture leaves the capture process"
    assert hall[:, 90:].min() > 60
    assert desk.min() > 60


def test_a_broker_that_is_killed_costs_frames_and_no_memory_and_no_stop(
    tmp_path: Path, clip: Path, own_kafka: Kafka, prefix: str
) -> None:
    config = configure(tmp_path, clip, own_kafka.bootstrap, prefix)
    apply_topics(kafka_of(load_settings(config)))
    with worker(config, "one") as one:
        with closing(Reader(config)) as reader:
            until(lambda: reader.newer_than({}, set(CAMERAS)), lambda: one.output)
        before = psutil.Process(one.process.pid).memory_info().rss
        own_kafka.kill()
        until(lambda: "the broker takes no frames" in one.output, lambda: one.output)
        grown = psutil.Process(one.process.pid).memory_info().rss - before
        own_kafka.start()
        until(lambda: "the broker takes frames again" in one.output, lambda: one.output)
        with closing(Reader(config)) as reader:
            until(lambda: reader.read() is None and all(map(reader.goes_on, CAMERAS)), lambda: one.output)
        own_kafka.kill()
        one.stop()
        assert not unbalanced(one)
        assert "stale" in one.output
    assert grown < 64e6
    assert one.process.returncode == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # kafka-python forgets the sockets
def test_a_broker_that_is_not_there_is_said(
    tmp_path: Path, clip: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.process.BROKERS_WITHIN_S", 0.0)
    settings = load_settings(configure(tmp_path, clip, "127.0.0.1:1", prefix))
    with pytest.raises(SinkError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        capture(settings)
    gc.collect()
