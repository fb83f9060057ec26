"""What the pipeline does when things break, on servers of its own: `python -m tests.benchmarks.reliability -o x.json`.

Made-up observations go through `mien worker --role evaluate`, and what comes out is compared with `mien replay`:

    kill      kill -9 at a random moment, started again: alerts missing or extra, time to the first new output (R2, R5)
    member    the same, as a static member of its group (--name), which others needn't wait for
    broker    the broker stopped for 1 to 60 s: alerts missing or extra, memory gained, time to catch up (R2, R6)
    rebalance a second worker comes and goes: alerts missing or extra (R2)
    two       records per second through one worker, and through two that share them
    stop      SIGTERM with a healthy broker, a dead one, and in a rebalance: time to the end (R7)
    poison    1 record in 1,000 is broken: dead letters, longest pause between two outputs, with and without (R8)
    stall     the store can't be written, for ever: time until the worker ends itself (R15)

The whole pipeline, from the built-in scene to the sinks (tests/benchmarks/whole_pipeline.py):

    account   captured = processed + dropped + dead-lettered, without and with kill -9 of the analyser (R1)
    privacy   the allow-list over every record of topics, indices, store and file (R13)
    sinks     how late one sink is while another is slow, and while it is away (R16)
    elastic   Elasticsearch away for 60 s: documents missing, memory gained, time to catch up (R6)

Times depend on the machine and on what else runs on it; counts must be 0. With `--markdown docs/reliability.md` the
figures also become its table; `--from x.json` makes it of an earlier run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from connectors.kafka_client import connection
from operators.errors import SinkError
from tests.alerts import alert as made_alert
from tests.benchmarks import whole_pipeline
from tests.benchmarks.elastic_outage import measure as elastic_away
from tests.benchmarks.elastic_outage import running
from tests.benchmarks.reliability_table import as_markdown, insert
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed, difference, expected, made_up, memory_bytes, until

MINUTES = 5.0
PER_S = 600.0
"""Records that go in per second, copies for groups included: some 80 cameras of 5 fps."""
BROKER_AWAY_S = (1.0, 5.0, 15.0, 30.0, 60.0)
BACKLOG_MINUTES = 45.0
PATIENCE_S = 180.0
IN_FLIGHT_S = 0.5
"""What a worker sent before it was killed is seen so long after at most; none starts in less."""
Figures = dict[str, Any]


@dataclass(slots=True)
class Outputs:
    """When states and alerts were written: the end offsets of their topics are looked at all the time."""

    bed: Bed
    times: list[float] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def first_after(self, moment: float) -> float | None:
        """The first output after a moment (monotonic)."""
        return next((at for at in self.times if at > moment), None)

    def run(self) -> None:
        """Look until it is over."""
        names = [self.bed.kafka.topic(name) for name in ("rule-state", "alerts")]
        with closing(KafkaConsumer(**connection(self.bed.kafka), enable_auto_commit=False)) as consumer:
            every = [TopicPartition(name, one) for name in names for one in consumer.partitions_for_topic(name)]
            before = consumer.end_offsets(every)
            while not self._over.wait(0.02):
                with suppress(KafkaError, KeyError):  # while the broker is away; kafka-python looks for its answer
                    ends = consumer.end_offsets(every, timeout_ms=1000)
                    if ends != before:
                        self.times.append(time.monotonic())
                    before = ends

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look meanwhile."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


class Campaign:
    """Runs on one broker."""

    def __init__(self, kafka: Kafka, folder: Path, *, seed: int) -> None:
        self._kafka, self._folder = kafka, folder
        self._rng = random.Random(seed)
        self._records = made_up(MINUTES)
        self._lasts_s = 0.0

    @contextmanager
    def bed(self, **values: str) -> Iterator[Bed]:
        """Topics and a folder of their own."""
        name, folder = self._place()
        with Bed.make(folder, bootstrap=self._kafka.bootstrap, prefix=name, **values) as bed:
            self._lasts_s = sum(1 for _ in bed.keyed(self._records)) / PER_S
            yield bed

    def kill(self, *, runs: int, member: bool) -> Figures:
        """Kill at a random moment and start again at once."""
        recoveries: list[float] = []
        differences: list[Figures] = []
        for number in range(runs):
            name = f"w{number}" if member else ""
            with self.bed() as bed:
                worker = bed.start("evaluate", name=name)
                outputs = Outputs(bed)
                with outputs.watched(), bed.sending(self._records, per_s=PER_S):
                    time.sleep(self._rng.uniform(0.5, self._lasts_s * 0.8))
                    worker.kill()
                    killed_at = time.monotonic()
                    quiet_at = killed_at + IN_FLIGHT_S
                    bed.start("evaluate", name=name)
                    until(lambda: outputs.first_after(quiet_at) is not None, seconds=PATIENCE_S, what="output")  # noqa: B023
                recoveries.append((outputs.first_after(quiet_at) or 0.0) - killed_at)
                differences.append(self._compared(bed))
        return {"runs": runs, "recovery_s": _spread(recoveries), **_summed(differences)}

    def broker(self, away: Sequence[float]) -> list[Figures]:
        """Stop the broker for a while in mid-stream."""
        rows = []
        for seconds in away:
            with self.bed() as bed:
                worker = bed.start("evaluate")
                outputs = Outputs(bed)
                memory = memory_bytes(worker.process)
                most = memory
                with outputs.watched(), bed.sending(self._records, per_s=PER_S):
                    time.sleep(self._lasts_s * 0.3)
                    memory = memory_bytes(worker.process)
                    self._kafka.stop()
                    for _ in range(round(seconds * 10)):
                        time.sleep(0.1)
                        most = max(most, memory_bytes(worker.process)) if worker.process.poll() is None else most
                    self._kafka.start()
                    back_at = time.monotonic()
                    survived = worker.process.poll() is None
                    if not survived:
                        bed.start("evaluate")
                    until(lambda: outputs.first_after(back_at) is not None, seconds=PATIENCE_S, what="output")  # noqa: B023
                differences = self._compared(bed)
                caught_up_s = time.monotonic() - back_at
                most = max(most, memory_bytes(worker.process)) if survived else most
                rows.append(
                    {
                        "away_s": seconds,
                        "worker_survived": survived,
                        "first_output_s": round((outputs.first_after(back_at) or 0.0) - back_at, 2),
                        "all_done_s": round(caught_up_s, 2),
                        "memory_gained_mb": round((most - memory) / 1e6, 1),
                        **differences,
                    }
                )
        return rows

    def rebalance(self, *, runs: int) -> Figures:
        """A second worker comes at a random moment, and one of the two goes at another."""
        differences, pauses = [], []
        for _ in range(runs):
            with self.bed() as bed:
                workers = [bed.start("evaluate")]
                outputs = Outputs(bed)
                with outputs.watched(), bed.sending(self._records, per_s=PER_S):
                    began = time.monotonic()
                    time.sleep(self._rng.uniform(0.5, self._lasts_s * 0.3))
                    workers.append(bed.start("evaluate"))
                    time.sleep(self._rng.uniform(0.5, self._lasts_s * 0.3))
                    self._rng.choice(workers).stop()
                pauses.append(_longest_pause([at for at in outputs.times if at > began]))
                differences.append(self._compared(bed))
        return {"runs": runs, "longest_pause_s": _spread(pauses), **_summed(differences)}

    def stop(self, *, runs: int) -> Figures:
        """SIGTERM in three situations."""
        took: dict[str, list[float]] = {"healthy": [], "dead_broker": [], "in_rebalance": []}
        for _ in range(runs):
            with self.bed() as bed, bed.sending(self._records[: len(self._records) // 3], per_s=PER_S):
                took["healthy"].append(bed.start("all").stop()[1])
            with self.bed() as bed, bed.sending(self._records[: len(self._records) // 3], per_s=PER_S):
                first = bed.start("evaluate")
                bed.start("evaluate", ready=False).wait_for("health=")
                time.sleep(self._rng.uniform(0.0, 1.0))
                took["in_rebalance"].append(first.stop()[1])
            with self.bed() as bed:
                worker = bed.start("all")
                bed.send(self._records[: len(self._records) // 3])
                self._kafka.kill()
                time.sleep(self._rng.uniform(0.0, 3.0))
                took["dead_broker"].append(worker.stop()[1])
                self._kafka.start()
        return {"runs": runs, **{f"{name}_s": _spread(times) for name, times in took.items()}}

    def poison(self) -> Figures:
        """The same stream with and without broken records."""
        figures: Figures = {}
        for name, every in (("clean", 0), ("poison", 1000)):
            with self.bed() as bed:
                bed.start("evaluate")
                outputs = Outputs(bed)
                with outputs.watched():
                    broken = bed.send(self._records, per_s=PER_S, broken_every=every)
                figures[name] = {
                    "records": len(self._records),
                    "broken": broken,
                    **self._compared(bed),
                    "dead_letters": len(bed.letters()),
                    "longest_pause_ms": round(_longest_pause(outputs.times) * 1000),
                }
        return figures

    def stall(self) -> Figures:
        """Somebody else holds the store, for ever."""
        with self.bed() as bed:
            worker = bed.start("notify")
            with closing(sqlite3.connect(bed.folder / "mien.sqlite", isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                bed.send_alerts([made_alert(1)])
                began = time.monotonic()
                status = worker.process.wait(PATIENCE_S)
                return {
                    "stalled_after_s": bed.settings.worker.stalled_after,
                    "ended_after_s": round(time.monotonic() - began, 1),
                    "exit_status": status,
                }

    def two(self) -> Figures:
        """How fast one worker, and two together, work off what waits for them."""
        records = made_up(BACKLOG_MINUTES)
        rates: dict[str, float] = {}
        for name, count in (("one", 1), ("two", 2)):
            with self.bed() as bed:
                bed.send(records)
                for _ in range(count):
                    bed.start("evaluate", ready=False)
                rates[name] = _rate(bed)
        return {f"{name}_per_s": round(rate) for name, rate in rates.items()}

    def account(self, *, kills: int) -> list[Figures]:
        """Where every frame went, without and with kills."""
        rows = []
        for count in (0, kills):
            name, folder = self._place()
            rows.append(whole_pipeline.account(self._kafka, folder, name, kills=count))
        return rows

    def privacy(self) -> Figures:
        """What is in everything that was written."""
        name, folder = self._place()
        with running(folder / "elasticsearch") as elastic:
            return whole_pipeline.privacy(self._kafka, elastic, folder, name)

    def sinks(self) -> Figures:
        """One sink in trouble, and the other."""
        name, folder = self._place()
        return whole_pipeline.sinks(self._kafka, folder, name)

    def elastic(self) -> Figures:
        """Elasticsearch away for a minute."""
        _, folder = self._place()
        return elastic_away(folder, before=15.0, away=60.0, rate=50.0)

    def _place(self) -> tuple[str, Path]:
        """A name for topics and indices, and a folder."""
        name = f"r{uuid.uuid4().hex[:8]}"
        folder = self._folder / name
        folder.mkdir()
        return name, folder

    def _compared(self, bed: Bed) -> Figures:
        bed.drain(seconds=PATIENCE_S)
        alerts = bed.alerts()
        return difference(alerts, expected(bed.settings, self._records))


def _summed(rows: Sequence[Figures]) -> Figures:
    return {key: sum(row[key] for row in rows) for key in rows[0]}


def _spread(values: Sequence[float]) -> Figures:
    return {
        "median": round(statistics.median(values), 2),
        "largest": round(max(values), 2),
        "all": [round(value, 2) for value in values],
    }


def _rate(bed: Bed) -> float:
    """Records per second from half of the backlog to a twentieth of it."""
    whole = bed.backlog("evaluate")

    def reached(share: float) -> float:
        until(lambda: bed.backlog("evaluate") < whole * share, seconds=PATIENCE_S, what=f"{share:.0%} of the backlog")
        return time.monotonic()

    began, ended = reached(0.5), reached(0.05)
    return whole * 0.45 / (ended - began)


def _longest_pause(times: Sequence[float]) -> float:
    return max((after - before for before, after in pairwise(times)), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="of kill")
    parser.add_argument("--members", type=int, default=3, help="runs of member")
    parser.add_argument("--rebalances", type=int, default=1, help="runs of rebalance")
    parser.add_argument("--stops", type=int, default=3, help="runs of stop")
    parser.add_argument("--kills", type=int, default=3, help="of the analyser, in account")
    parser.add_argument("--away", type=float, nargs="*", default=BROKER_AWAY_S, help="seconds without a broker")
    parser.add_argument("--only", nargs="*", help="parts to run, of those above")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--markdown", type=Path, help="a page whose table is made anew")
    parser.add_argument("--from", dest="earlier", type=Path, help="run nothing: take the figures of an earlier run")
    arguments = parser.parse_args()
    result = json.loads(arguments.earlier.read_text(encoding="utf-8")) if arguments.earlier else _run(arguments)
    if arguments.markdown:
        insert(arguments.markdown, as_markdown(result))


def _run(arguments: argparse.Namespace) -> Figures:
    """Run the parts that were asked for; what is done is on the disk after each."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    result: Figures = {
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores",
        "load_at_start": os.getloadavg()[0],
        "commit": commit.stdout.strip(),
        "input": f"tests.recordings.night(minutes={MINUTES:g}, seed=5), {PER_S:g} records/s",
        "seed": arguments.seed,
    }
    took: dict[str, int] = {}
    result["took_s"] = took
    with tempfile.TemporaryDirectory(prefix="mien-reliability-") as name:
        folder = Path(name)
        kafka = Kafka(folder / "kafka")
        kafka.start()
        try:
            campaign = Campaign(kafka, folder, seed=arguments.seed)
            parts: dict[str, Callable[[], object]] = {
                "kill": lambda: campaign.kill(runs=arguments.runs, member=False),
                "member": lambda: campaign.kill(runs=arguments.members, member=True),
                "broker": lambda: campaign.broker(arguments.away),
                "rebalance": lambda: campaign.rebalance(runs=arguments.rebalances),
                "two": campaign.two,
                "stop": lambda: campaign.stop(runs=arguments.stops),
                "poison": campaign.poison,
                "stall": campaign.stall,
                "account": lambda: campaign.account(kills=arguments.kills),
                "privacy": campaign.privacy,
                "sinks": campaign.sinks,
                "elastic": campaign.elastic,
            }
            for part, run in parts.items():
                if not arguments.only or part in arguments.only:
                    kafka.start()  # where a part has left it dead
                    began = time.monotonic()
                    result[part] = _measured(run)
                    took[part] = round(time.monotonic() - began)
                    print(json.dumps({part: result[part]}), flush=True)
                    if arguments.output:
                        arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        finally:
            kafka.kill()
    return result


def _measured(run: Callable[[], object]) -> object:
    """The figures of one part; one that fails must not take the others along."""
    try:
        return run()
    except (AssertionError, RuntimeError, KafkaError, SinkError, subprocess.TimeoutExpired) as error:
        return {"failed": f"{type(error).__name__}: {error}"[-1000:]}


if __name__ == "__main__":
    main()
