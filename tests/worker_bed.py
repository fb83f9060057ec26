"""A bed to test workers in: topics of their own, made-up observations going in, alerts coming out, real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from connectors.kafka_admin import apply_topics
from connectors.kafka_client import connection, hush
from connectors.kafka_probe import Probe
from connectors.kafka_records import Record, decode_alert, encode_alert, encode_record
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import partition_of
from connectors.recording import time_of
from operators.errors import SinkError
from operators.records import Alert, Gap, GapReason
from pipeline.build import build_evaluator
from pipeline.config import Settings, load_settings
from pipeline.replay import replay
from tests.recordings import START, night

ROOT = Path(__file__).parent.parent
PARTITIONS = 4
CONFIG = """
version: 1
purpose: a test of workers on made-up observations
cameras:
  lobby: {{url: "rtsp://127.0.0.1/lobby", fps: 5}}
  quay: {{url: "rtsp://127.0.0.1/quay", fps: 5}}
  stairs: {{url: "rtsp://127.0.0.1/stairs", fps: 5}}
groups:
  doors: {{cameras: [lobby, stairs]}}
rules:
  - id: fear
    when: {{prob: fear, enter: 0.5, exit: 0.4}}
    for: 3s
    max_gap: 700ms
    escalate: [{{after: 5s, severity: critical}}]
  - id: fear-at-doors
    scope: group
    group: doors
    when: {{prob: fear, enter: 0.5, exit: 0.4}}
    for: 2s
  - id: camera-down
    scope: camera
    absence: {{of: frames}}
    for: 10s
store: {{path: "{folder}/mien.sqlite"}}
sinks:
  - {{type: jsonl, path: "{folder}/alerts.jsonl"}}
kafka: {{bootstrap: ["{bootstrap}"], prefix: {prefix}, partitions: {partitions}}}
worker: {{port: 0, stalled_after: {stalled_after}, skip_older_than: 2s}}
"""


def made_up(minutes: float) -> list[Record]:
    """A made-up night of three cameras, by time, in which one of them is down for a while."""
    down = Gap("quay", START + 20, START + 40, GapReason.DOWN)
    records = [one for one in night(minutes=minutes).records() if not _within(one, down)]
    return sorted([*records, down], key=time_of)


def _within(record: Record, gap: Gap) -> bool:
    return record.camera_id == gap.camera_id and gap.from_ts < time_of(record) <= gap.to_ts


@dataclass(slots=True)
class Worker:
    """A running `mien worker`; its log grows in `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, words: str, *, seconds: float = 60.0) -> None:
        """Until the log says so."""
        until(lambda: words in self.text() or self.process.poll() is not None, seconds=seconds, what=words)
        assert words in self.text(), self.text()

    def get(self, path: str) -> httpx.Response:
        """Ask its health endpoints."""
        self.wait_for("health=")
        address = re.findall(r"health=(\S+)", self.text())[-1]
        return httpx.get(f"http://{address}{path}", trust_env=False)

    def kill(self) -> None:
        """Without warning."""
        self.process.kill()
        self.process.wait()

    def stop(self, *, seconds: float = 30.0) -> tuple[int, float]:
        """With SIGTERM; returns the exit status and how long it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        return status, time.monotonic() - began


@dataclass(slots=True)
class Bed:
    """Topics, a configuration, and the workers that were started on them; a context manager that ends them all."""

    folder: Path
    config: Path
    settings: Settings
    workers: list[Worker] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path, *, bootstrap: str, prefix: str, config: str = CONFIG, **values: Any) -> Self:
        """A bed with topics of its own."""
        values = {"stalled_after": "20s", "partitions": PARTITIONS} | values
        return cls.of(folder, config.format(folder=folder, bootstrap=bootstrap, prefix=prefix, **values))

    @classmethod
    def of(cls, folder: Path, config: str) -> Self:
        """A bed on the topics of that configuration, which are made."""
        hush()
        path = folder / "mien.yaml"
        path.write_text(config, encoding="utf-8")
        settings = load_settings(path)
        assert settings.kafka is not None
        apply_topics(settings.kafka)
        return cls(folder, path, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()

    @property
    def kafka(self) -> KafkaSettings:
        """Where the topics are."""
        assert self.settings.kafka is not None
        return self.settings.kafka

    def start(self, role: str, *, name: str = "", ready: bool = True) -> Worker:
        """One more worker, ready to work unless that isn't asked for."""
        worker = self._run("worker", "--role", role, *(["--name", name] if name else []))
        if ready:
            worker.wait_for("ready role=")
        return worker

    def capture(self) -> Worker:
        """A `mien capture`, which ends as a worker does."""
        return self._run("capture")

    def _run(self, command: str, *options: str) -> Worker:
        log = self.folder / f"worker-{len(self.workers)}.log"
        mien = [sys.executable, "-c", "from pipeline.cli import main; raise SystemExit(main())"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*mien, command, "-c", str(self.config), *options], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def keyed(self, records: Iterable[Record]) -> Iterator[tuple[bytes, bytes, int]]:
        """Key, value and partition of everything that `analyze` would send."""
        evaluator = build_evaluator(self.settings)
        for record in records:
            body = encode_record(record)
            for key in evaluator.partitions(record.camera_id):
                yield key.encode(), body, partition_of(key, self.kafka.partitions, self.settings.cameras)

    def send(self, records: Iterable[Record], *, per_s: float = 0.0, broken_every: int = 0) -> int:
        """Send records as observations, at that pace if any; returns how many broken ones were sent among them."""
        broken = 0
        began = time.monotonic()
        with self._producer() as producer:
            for number, (key, value, partition) in enumerate(self.keyed(records), 1):
                producer.send(self.kafka.topic("observations"), key=key, value=value, partition=partition)
                if broken_every and number % broken_every == 0:
                    junk = BROKEN[broken % len(BROKEN)]
                    producer.send(self.kafka.topic("observations"), key=key, value=junk, partition=partition)
                    broken += 1
                if per_s:
                    time.sleep(max(0.0, began + number / per_s - time.monotonic()))
        return broken

    def send_alerts(self, alerts: Iterable[Alert]) -> None:
        """Send alerts, as `evaluate` would."""
        with self.sender() as send:
            for alert in alerts:
                send(alert)

    @contextmanager
    def sender(self) -> Iterator[Callable[[Alert], None]]:
        """Sends alerts one by one, as `evaluate` would."""

        def send(alert: Alert) -> None:
            key = alert.camera_id
            partition = partition_of(key, self.kafka.partitions, self.settings.cameras)
            producer.send(self.kafka.topic("alerts"), key=key.encode(), value=encode_alert(alert), partition=partition)

        with self._producer() as producer:
            yield send

    def send_broken_frames(self, count: int) -> int:
        """Send what is no frame to the first camera; returns how many."""
        camera = sorted(self.settings.cameras)[0]
        partition = partition_of(camera, self.kafka.partitions, self.settings.cameras)
        with self._producer() as producer:
            for number in range(count):
                junk = b"mi1 no frame %d" % number
                producer.send(self.kafka.topic("frames"), key=camera.encode(), value=junk, partition=partition)
        return count

    @contextmanager
    def sending(self, records: Sequence[Record], *, per_s: float) -> Iterator[None]:
        """Records go in at a steady pace meanwhile; at the end all are in."""
        thread = threading.Thread(target=self.send, args=(records,), kwargs={"per_s": per_s})
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def values(self, topic: str) -> list[bytes]:
        """All that a topic holds, by partition in order."""
        name = self.kafka.topic(topic)
        found: list[bytes] = []
        with closing(KafkaConsumer(**connection(self.kafka), enable_auto_commit=False)) as consumer:
            every = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name)]
            consumer.assign(every)
            consumer.seek_to_beginning(*every)
            ends = consumer.end_offsets(every)
            while any(consumer.position(one) < ends[one] for one in every):
                for records in consumer.poll(timeout_ms=500).values():
                    found += [record.value for record in records]
        return found

    def alerts(self) -> list[Alert]:
        """All alerts that were sent, repeats included."""
        return [decode_alert(value) for value in self.values("alerts")]

    def letters(self) -> list[Mapping[str, Any]]:
        """All dead letters."""
        return [msgspec.json.decode(value) for value in self.values("dead-letters")]

    def backlog(self, role: str, topic: str = "observations") -> int:
        """Records that the group of a role has not committed."""
        name = self.kafka.topic(topic)
        with Probe(self.kafka) as probe:
            positions = {(name, number): None for number in range(self.kafka.partitions)}
            return sum(probe.backlog(f"{self.kafka.prefix}.{role}", positions).values())

    def drain(self, role: str = "evaluate", topic: str = "observations", *, seconds: float = 60.0) -> None:
        """Until the group has committed everything; brokers that come back can't say at once how far that is."""

        def done() -> bool:
            try:
                return self.backlog(role, topic) == 0
            except SinkError as error:
                if not error.retryable:
                    raise
                return False

        until(done, seconds=seconds, what=f"{role} to be done")

    @contextmanager
    def _producer(self) -> Iterator[Any]:
        with closing(KafkaProducer(**connection(self.kafka), acks="all", linger_ms=5)) as producer:
            yield producer
            producer.flush()


BROKEN = (b"", b"\xff\xd8\xff\xe0 not JSON", b"{}", b'{"observation": {"camera_id": 7}}', b"[" * 5000)
"""What no record is."""


def expected(settings: Settings, records: Iterable[Record]) -> dict[str, Alert]:
    """What `mien replay` makes of the records, by transition; none of it may need the end of the recording."""
    alerts = list(replay(build_evaluator(settings), records))
    return {alert.transition_id: alert for alert in alerts}


def found(alerts: Iterable[Alert]) -> dict[str, Alert]:
    """Alerts by transition; those that were sent twice were the same twice."""
    by_id: dict[str, Alert] = {}
    for alert in alerts:
        assert by_id.setdefault(alert.transition_id, alert) == alert
    return by_id


def difference(alerts: Sequence[Alert], wanted: Mapping[str, Alert]) -> dict[str, int]:
    """How what was told, repeats included, differs from what is wanted, by transition; `evidence` differs alone."""
    got = found(alerts)
    pairs = [(wanted[one], got[one]) for one in got.keys() & wanted.keys()]
    different = sum(replace(theirs, evidence=ours.evidence) != ours for theirs, ours in pairs)
    return {
        "expected": len(wanted),
        "missing": len(wanted.keys() - got.keys()),
        "extra": len(got.keys() - wanted.keys()),
        "different": different,
        "evidence": sum(theirs != ours for theirs, ours in pairs) - different,
        "sent_twice": len(alerts) - len(got),
    }


def until(done: Callable[[], bool], *, seconds: float, what: str) -> float:
    """Wait for something; returns how long it took."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
    return time.monotonic() - began


def memory_bytes(process: subprocess.Popen[bytes]) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
