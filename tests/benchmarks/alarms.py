"""Which fault sets off which alarm, and how soon: `python -m tests.benchmarks.alarms -o out.json`.

Each fault is brought about on running processes of mien, which a Prometheus scrapes: a `mien run` with an RTSP camera
and the built-in scene (tests/faults.py), and `mien worker` with a Kafka of its own. An alarm that doesn't fire is a
failure.

To end within some minutes, all durations in the alarms (`for`, ranges) are 15 times shorter (`--shorter`), 1 s and 5 s
at the least, and Prometheus scrapes and evaluates every second. Thresholds are those of the file. So in production an
alarm takes as long as its `for`, up to two scrapes, and what the process itself takes to notice: that is measured here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from connectors.kafka_records import Record
from operators.records import Clock, FaceTrack, Observation
from tests.faults import FAULTS, Bed, again_and_again, held_up, other_process
from tests.prometheus import Prometheus, prometheus
from tests.recordings import night
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed as WorkerBed
from tests.worker_bed import Worker, until

PATIENCE_S = 240.0
BEHIND_S = 8.0
FLOOD_MINUTES = 30.0
Row = dict[str, Any]


@dataclass(slots=True)
class Workers:
    """Workers on topics of their own."""

    bed: WorkerBed
    kafka: Kafka
    watching: Prometheus
    targets: list[str] = field(default_factory=list)

    def start(self, role: str, *, ready: bool = True) -> Worker:
        """One more worker, which is scraped."""
        worker = self.bed.start(role, ready=ready)
        worker.wait_for("health=")
        self.targets.append(worker.text().rpartition("health=")[2].split()[0])
        self.watching.scrape(workers=self.targets)
        return worker


@contextmanager
def damaged(workers: Workers) -> Iterator[None]:
    """Records come that are none."""
    workers.start("evaluate")
    dead = "mien_worker_dead_letters_total"
    until(lambda: workers.watching.value(dead) is not None, seconds=PATIENCE_S, what="a scrape")
    workers.bed.send(night(minutes=0.2).records(), broken_every=50)
    yield


@contextmanager
def behind(workers: Workers) -> Iterator[None]:
    """Observations come 8 s after their pictures were taken."""
    sent_to = time.time() - BEHIND_S

    def send() -> None:
        nonlocal sent_to
        begin, sent_to = sent_to, time.time() - BEHIND_S
        workers.bed.send(_faces(begin, sent_to))

    with again_and_again(send, every_s=0.5):
        yield


@contextmanager
def starved(workers: Workers) -> Iterator[None]:
    """A worker gets little time, and there is much to do."""
    worker = workers.bed.workers[-1]
    workers.bed.send(list(night(minutes=FLOOD_MINUTES).records()))
    with held_up(worker.process.pid):
        yield


@contextmanager
def brokers_away(workers: Workers) -> Iterator[None]:
    """A worker has just begun when the brokers stand still."""
    pid = workers.kafka.process.pid
    assert pid is not None
    workers.start("evaluate", ready=False)
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class WorkerFault:
    """A fault of workers, and its alarms."""

    bring_about: Callable[[Workers], AbstractContextManager[None]]
    alarms: Sequence[str]


WORKER_FAULTS = (
    WorkerFault(damaged, ("MienDeadLetters",)),
    WorkerFault(behind, ("MienAlertsSlow",)),
    WorkerFault(starved, ("MienBacklog",)),
    WorkerFault(brokers_away, ("MienWorkerNotReady",)),
)


def _faces(begin: float, end: float) -> list[Record]:
    """A face, five times a second: every 9 s it is another one, and is afraid for the first 6 s."""
    records: list[Record] = []
    for number in range(round(begin * 5), round(end * 5)):
        ts = number / 5
        fear = 0.9 if ts % 9 < 6 else 0.1
        name = f"t{ts // 9:.0f}"
        face = FaceTrack(name, ts // 9 * 9, (0, 0, 40, 40), 0.9, 40, 0.9, label="fear", scores={"fear": fear})
        records.append(Observation("lobby", 1, number, ts, Clock.STREAM, (face,)))
    return records


def provoked(watching: Prometheus, what: str, fault: AbstractContextManager[None], alarms: Sequence[str]) -> list[Row]:
    """One row for each alarm: how long it took to bring the fault about, and after how many more seconds it fired."""
    rows: list[Row] = []
    watching.wait_until_quiet(*(alarm.partition(" ")[0] for alarm in alarms), seconds=PATIENCE_S)
    began = time.monotonic()
    with fault:
        broken = time.monotonic()
        for alarm in alarms:
            name, _, reason = alarm.partition(" ")
            fired = watching.wait_for(name, seconds=PATIENCE_S, **({"reason": reason} if reason else {}))
            took = {"fault_s": round(broken - began, 1), "alarm_s": round(time.monotonic() - broken, 1)}
            rows.append({"fault": what, "alarm": alarm, **took, "said": fired.summary})
            print(f"{name:<20}{took['fault_s']:>6} +{took['alarm_s']:>6} s  {fired.summary}", flush=True)
    return rows


def on_one_machine(folder: Path, *, shorter: float) -> tuple[list[Row], Row]:
    """The faults of a `mien run`, and what its scrape costs."""
    rows: list[Row] = []
    with Bed.make(folder / "bed") as bed, prometheus(folder / "prometheus", shorter=shorter) as watching:
        bed.main.wait_for('mien_camera_up{camera="door"} 1', seconds=PATIENCE_S)
        cost = scrape_cost(bed.main.target)
        for fault in FAULTS:
            other = [bed.other.target] if fault.bring_about is other_process else []
            watching.scrape(mien=[bed.main.target, *other])
            rows += provoked(watching, fault.what, fault.bring_about(bed), fault.alarms)
            bed.main.wait_for('mien_camera_up{camera="door"} 1', seconds=PATIENCE_S)
    return rows, cost


def on_workers(folder: Path, *, shorter: float) -> list[Row]:
    """The faults of workers."""
    rows: list[Row] = []
    kafka = Kafka(folder / "kafka")
    kafka.start()
    (folder / "workers").mkdir()
    try:
        with (
            WorkerBed.make(folder / "workers", bootstrap=kafka.bootstrap, prefix="alarms") as bed,
            prometheus(folder / "prometheus-workers", shorter=shorter) as watching,
        ):
            workers = Workers(bed, kafka, watching)
            for fault in WORKER_FAULTS:
                what = (fault.bring_about.__doc__ or "").strip()
                rows += provoked(watching, what, fault.bring_about(workers), fault.alarms)
    finally:
        kafka.kill()
    return rows


def scrape_cost(target: str) -> Row:
    """Size and time of a scrape."""
    times: list[float] = []
    with httpx.Client(trust_env=False) as client:
        for _ in range(20):
            began = time.perf_counter()
            text = client.get(f"http://{target}/metrics").text
            times.append(time.perf_counter() - began)
    series = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {"series": len(series), "bytes": len(text), "median_ms": round(sorted(times)[10] * 1000, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shorter", type=float, default=15.0, help="how many times shorter durations are")
    parser.add_argument("--only", choices=["run", "workers"], help="half of it")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends, too
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    result: Row = {
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores",
        "load_at_start": os.getloadavg()[0],
        "commit": commit.stdout.strip(),
        "input": "the built-in scene, a clip of it over RTSP, made-up observations",
        "shorter": arguments.shorter,
        "alarms": [],
    }
    with tempfile.TemporaryDirectory(prefix="mien-alarms-") as name:
        if arguments.only != "workers":
            rows, result["scrape"] = on_one_machine(Path(name), shorter=arguments.shorter)
            result["alarms"] += rows
        if arguments.only != "run":
            result["alarms"] += on_workers(Path(name), shorter=arguments.shorter)
    if "scrape" in result:
        print(json.dumps(result["scrape"]))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
