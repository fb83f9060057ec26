"""Debian's Prometheus on real processes of mien: what it scrapes, and which alarms fire."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from tests.servers.java import NOT_HERE
from tests.servers.process import free_ports

ALARMS = Path(__file__).parents[1] / "helm" / "mien" / "alerts.yaml"
UNPACKED = Path(sys.prefix) / "debian" / "usr" / "bin"
"""Where tests/install-debian-packages.sh lays what it doesn't install."""
START_S = 30.0
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def find(program: str) -> str | None:
    """`prometheus` or `promtool`: that of the environment, else one on the PATH."""
    return shutil.which(program, path=UNPACKED) or shutil.which(program)


def require(program: str) -> str:
    """The path of the program. Skips where there is none; fails in CI, which must have it."""
    found = find(program)
    if found is not None:
        return found
    message = f"{NOT_HERE}: no {program}; make test fetches the packages of tests/debian-packages.txt on Debian"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def shortened(text: str, by: float) -> str:
    """Rules of Prometheus with every `for` and every range `[...]` so many times shorter, 1 s and 5 s at the least.

    Thresholds stay as they are.
    """

    def shorter(number: str, unit: str, *, least_s: int) -> str:
        return f"{max(least_s, round(int(number) * UNITS_S[unit] / by))}s"

    text = re.sub(r"\[(\d+)([smhd])\]", lambda found: f"[{shorter(found[1], found[2], least_s=5)}]", text)
    return re.sub(r"for: (\d+)([smhd])", lambda found: f"for: {shorter(found[1], found[2], least_s=1)}", text)


@dataclass(frozen=True, slots=True)
class Fired:
    """An alarm that fires."""

    name: str
    labels: Mapping[str, str]
    summary: str


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus; `targets` is the file in which it looks for what to scrape."""

    url: str
    targets: Path

    def scrape(self, **jobs: Sequence[str]) -> None:
        """Scrape these targets (host:port) of each job, and no others, from now on."""
        found = [{"targets": list(targets), "labels": {"job": job}} for job, targets in jobs.items()]
        half = self.targets.with_suffix(".part")
        half.write_text(json.dumps(found), encoding="utf-8")
        half.replace(self.targets)

    def get(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of its API."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, trust_env=False, timeout=10)
        answer.raise_for_status()
        return answer.json()["data"]

    def value(self, expression: str) -> float | None:
        """The first value of an expression now; None where there is none."""
        result = self.get("query", query=expression)["result"]
        return float(result[0]["value"][1]) if result else None

    def firing(self) -> list[Fired]:
        """The alarms that fire now."""
        return [
            Fired(one["labels"]["alertname"], one["labels"], one["annotations"]["summary"])
            for one in self.get("alerts")["alerts"]
            if one["state"] == "firing"
        ]

    def wait_for(self, alarm: str, *, seconds: float, **labels: str) -> Fired:
        """The alarm with these labels, as soon as it fires."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            for fired in self.firing():
                if fired.name == alarm and labels.items() <= fired.labels.items():
                    return fired
            time.sleep(0.2)
        raise AssertionError(f"{alarm} does not fire within {seconds:g} s; {[one.summary for one in self.firing()]} do")

    def wait_until_quiet(self, *alarms: str, seconds: float) -> None:
        """Until none of the alarms fires any more."""
        ends_at = time.monotonic() + seconds
        while loud := {fired.name for fired in self.firing()} & set(alarms):
            assert time.monotonic() < ends_at, f"{loud} still fires after {seconds:g} s"
            time.sleep(0.2)


@contextmanager
def prometheus(folder: Path, *, shorter: float) -> Iterator[Prometheus]:
    """Scrapes every second what it is told to, with mien's alarms `shorter` times as fast."""
    program = require("prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alerts.yaml").write_text(shortened(ALARMS.read_text(encoding="utf-8"), shorter), encoding="utf-8")
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [{"job_name": "mien", "file_sd_configs": [{"files": ["targets.json"]}]}],
    }
    YAML().dump(settings, folder / "prometheus.yml")
    (port,) = free_ports(1)
    command = [
        *(program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(port, process, folder / "log")
        yield Prometheus(f"http://127.0.0.1:{port}", folder / "targets.json")
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"prometheus does not start; it said:\n{log.read_text(errors='replace')[-2000:]}")
