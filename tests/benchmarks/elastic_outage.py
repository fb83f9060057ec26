"""An outage of Elasticsearch while alerts come: `python -m tests.benchmarks.elastic_outage --away 60s --output x.json`.

A real server (as in tests/servers) is killed in the middle. Alerts go through the store and its delivery, roll-ups
through the writer, as in `mien run`. Reported: what is missing or twice, how long the backlog took once the server
answered again, how much memory the process gained, and how long the pipeline waited for `accept` and `put`.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from connectors.elastic_documents import Entry, rollup_entry
from connectors.elastic_settings import ElasticSettings
from connectors.elastic_sink import ElasticSink
from connectors.elastic_writer import ElasticWriter
from connectors.store import Store, StoreSettings
from operators.records import Alert
from operators.rollup import Rollup
from operators.units import parse_duration
from pipeline.delivery import Delivery
from tests.alerts import alert, resolved
from tests.servers.elasticsearch import Elasticsearch

CAMERAS = 16
LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


class Load:
    """So many alert transitions a second, and the roll-ups of 16 cameras."""

    def __init__(self, delivery: Delivery, writer: ElasticWriter, *, rate: float) -> None:
        self.alerts: list[Alert] = []
        self.rollups = 0
        self.waits: list[float] = []
        self._delivery, self._writer, self._rate = delivery, writer, rate
        self._due = time.monotonic()

    def run(self, seconds: float) -> None:
        """Go on for a while."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            number = len(self.alerts)
            now = time.time()
            firing = alert(number, ts=now, starts_at=now - 3, fired_at=now)
            lives = [firing, resolved(firing)]
            entries = list(self._rollups(now)) if number % 20 == 0 else []
            started = time.perf_counter()
            self._delivery.accept(lives)
            self._writer.put(entries)
            self.waits.append(time.perf_counter() - started)
            self.alerts += lives
            self._due += 2 / self._rate
            time.sleep(max(0.0, self._due - time.monotonic()))

    def _rollups(self, now: float) -> Iterator[Entry]:
        for camera in range(CAMERAS):
            self.rollups += 1
            yield rollup_entry(
                Rollup(
                    camera_id=f"camera-{camera}",
                    zone="",
                    start=now,
                    width=10.0,
                    frames=50,
                    faces_seen=75,
                    faces_max=2,
                    unknown=0.25,
                    shares=dict.fromkeys(LABELS, 0.125),
                    scores=dict.fromkeys(LABELS, 0.125),
                    observed_s=10.0,
                    gaps={},
                )
            )


@contextmanager
def running(folder: Path) -> Iterator[Elasticsearch]:
    server = Elasticsearch(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def measure(folder: Path, *, before: float, away: float, rate: float) -> dict[str, Any]:
    with running(folder / "elasticsearch") as server:
        settings = ElasticSettings(url=server.url)
        store = Store(StoreSettings(path=folder / "mien.sqlite"))
        delivery, writer = Delivery(store, [ElasticSink(settings)]), ElasticWriter(settings)
        delivery.start()
        writer.start()
        load = Load(delivery, writer, rate=rate)
        load.run(before)
        memory = psutil.Process().memory_info().rss
        server.kill()
        killed_at = time.monotonic()
        load.run(away)
        gained = psutil.Process().memory_info().rss - memory
        waiting = delivery.status()[0].waiting
        server.start()
        back_at = time.monotonic()
        while delivery.status()[0].waiting:
            time.sleep(0.01)
        caught_up = time.monotonic()
        delivery.stop(10)
        writer.close(30)
        store.close()
        found = transitions(server.url)
        expected = {each.transition_id for each in load.alerts}
        return {
            "away_s": round(back_at - killed_at, 1),
            "alerts": len(expected),
            "waiting_when_back": waiting,
            "missing": len(expected - found.keys()),
            "extra": len(found.keys() - expected),
            "written_twice": sum(version > 1 for version in found.values()),
            "rollups": load.rollups,
            "rollups_discarded": writer.take_discarded(),
            "catch_up_s": round(caught_up - back_at, 2),
            "memory_gained_mb": round(gained / 1e6, 1),
            "accept_p50_ms": round(float(np.percentile(load.waits, 50)) * 1000, 2),
            "accept_p99_ms": round(float(np.percentile(load.waits, 99)) * 1000, 2),
        }


def transitions(url: str) -> dict[str, int]:
    """Version of every transition in the index, by its id."""
    httpx.post(f"{url}/mien-alerts/_refresh", timeout=30).raise_for_status()
    found: dict[str, int] = {}
    after: list[Any] = []
    while True:
        body = {"size": 5000, "version": True, "_source": False, "sort": ["event.id"]}
        page = httpx.post(
            f"{url}/mien-alerts/_search", json=body | ({"search_after": after} if after else {}), timeout=30
        )
        hits = page.raise_for_status().json()["hits"]["hits"]
        if not hits:
            return found
        found |= {hit["_id"]: hit["_version"] for hit in hits}
        after = hits[-1]["sort"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=parse_duration, default=15.0)
    parser.add_argument("--away", type=parse_duration, default=60.0)
    parser.add_argument("--rate", type=float, default=50.0, help="alert transitions per second")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mien-outage-") as folder:
        figures = measure(Path(folder), before=arguments.before, away=arguments.away, rate=arguments.rate)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    machine = {"machine": f"{platform.machine()}, {psutil.cpu_count()} cores", "commit": commit.stdout.strip()}
    text = json.dumps(machine | {"rate": arguments.rate} | figures, indent=2)
    if arguments.output:
        arguments.output.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
