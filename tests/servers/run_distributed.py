"""`make run-distributed`: the built-in scene through a real Kafka, Faust workers and a real Elasticsearch.

Starts both servers, `mien capture` and one `mien worker` for each role, as an operator would; after a while it stops
them all and shows what can be found in the index of alerts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from ruamel.yaml import YAML

from pipeline.demo import CONFIG
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.java import MissingError
from tests.servers.kafka import Kafka
from tests.servers.process import ServerError

SECONDS = 60.0
STOP_S = 15.0
ROLES = ("analyze", "evaluate", "notify")
console = Console()


@dataclass(frozen=True)
class Part:
    """One process of the pipeline; what it says is in `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            console.print(f"{self.name} had to be killed")

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="mien-distributed-") as name, ExitStack() as stack:
        folder = Path(name)
        kafka, elastic = Kafka(folder / "kafka"), Elasticsearch(folder / "elasticsearch")
        with console.status("starting Kafka and Elasticsearch"):
            for server in (kafka, elastic):
                stack.callback(server.process.kill)
                server.start()
        console.print(f"Kafka at {kafka.bootstrap}, Elasticsearch at {elastic.url}")
        config = write_config(folder, kafka, elastic)
        applied = subprocess.run([*mien("topics", "apply"), "-c", str(config)], check=False)
        if applied.returncode:
            return applied.returncode
        parts = [start("capture", config)] + [start("worker", config, "--role", role) for role in ROLES]
        try:
            ended = watch(parts, elastic)
        finally:
            with console.status("stopping"):
                for part in parts:
                    part.stop()
        return report(parts, elastic, ended)


def write_config(folder: Path, kafka: Kafka, elastic: Elasticsearch) -> Path:
    """The scene's own configuration, with the two servers."""
    yaml = YAML()
    config = yaml.load(CONFIG)
    config["store"] = {"path": str(folder / "alerts.sqlite")}
    config["kafka"] = {"bootstrap": [kafka.bootstrap], "partitions": 4}
    config["elasticsearch"] = {"url": elastic.url}
    config["worker"] = {"port": 0}
    path = folder / "mien.yaml"
    yaml.dump(config, path)
    return path


def mien(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", *arguments]


def start(command: str, config: Path, *options: str) -> Part:
    name = options[-1] if options else command
    log = config.with_name(f"{name}.log")
    with log.open("wb") as file:
        process = subprocess.Popen([*mien(command), "-c", str(config), *options], stdout=file, stderr=file)
    return Part(name, process, log)


def watch(parts: Sequence[Part], elastic: Elasticsearch) -> list[Part]:
    """Wait a minute, telling what is there; returns the parts that ended before."""
    end = time.monotonic() + SECONDS
    columns = (
        TextColumn("capture, analyze, evaluate, notify"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=SECONDS, told="")
        while time.monotonic() < end and all(part.process.poll() is None for part in parts):
            time.sleep(1)
            alerts = len(search(elastic, "mien-alerts"))
            progress.update(
                task, completed=SECONDS - (end - time.monotonic()), told=f"{alerts} transitions in the index"
            )
    return [part for part in parts if part.process.poll() is not None]


def search(elastic: Elasticsearch, index: str) -> list[dict[str, Any]]:
    """The first thousand documents of an index, oldest first; none while it is being made, or nobody answers."""
    query = {"size": 1000, "sort": [{"@timestamp": "asc"}]}
    try:
        httpx.post(f"{elastic.url}/{index}-*/_refresh", timeout=10)
        answer = httpx.post(f"{elastic.url}/{index}-*/_search", json=query, timeout=10)
    except httpx.TransportError:
        return []
    return [hit["_source"] for hit in answer.json()["hits"]["hits"]] if answer.is_success else []


def report(parts: Sequence[Part], elastic: Elasticsearch, ended: Sequence[Part]) -> int:
    """Show the alerts found; 1 when there are none, or when a part didn't last."""
    alerts = search(elastic, "mien-alerts")
    table = Table("time (UTC)", "alert", "status", "what", title="Alerts found in Elasticsearch, index mien-alerts-*")
    for alert in alerts:
        rule, status = alert["rule"]["id"], alert["event"]["action"]
        table.add_row(alert["@timestamp"][11:23], rule, status, alert.get("message", ""))
    console.print(table)
    metrics, health = (len(search(elastic, f"mien-{kind}")) for kind in ("metrics", "health"))
    console.print(f"and {metrics} documents of what the cameras showed, {health} of how the pipeline was")
    for part in ended or (() if alerts else parts):
        console.print(f"\n{part.name} ({part.process.returncode}) said:\n{part.tail()}", markup=False)
    return 0 if alerts and not ended else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MissingError, ServerError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
