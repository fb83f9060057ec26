"""The alarms of Prometheus: promtool has no complaint, and each one fires when it should and not when it shouldn't."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from tests.benchmarks.alarms import WORKER_FAULTS
from tests.faults import FAULTS
from tests.prometheus import ALARMS, require, shortened
from tests.unit.test_metrics import PAGE, everything

STORIES = Path(__file__).parents[1] / "golden" / "alarms" / "tests.yaml"
NAMES = [rule["alert"] for group in YAML(typ="safe").load(ALARMS)["groups"] for rule in group["rules"]]


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """What it says; fails where it complains."""
    done = subprocess.run(
        [require("promtool"), *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_takes_the_alarms() -> None:
    assert f"{len(NAMES)} rules found" in promtool("check", "rules", ALARMS)


def test_the_alarms_fire_in_the_stories_where_they_should() -> None:
    promtool("test", "rules", STORIES)


@pytest.mark.parametrize("name", NAMES)
def test_every_alarm_fires_in_a_story_and_is_quiet_in_one(name: str) -> None:
    checks: list[dict[str, Any]] = [
        check
        for story in YAML(typ="safe").load(STORIES)["tests"]
        for check in story["alert_rule_test"]
        if check["alertname"] == name
    ]
    assert {bool(check.get("exp_alerts")) for check in checks} == {True, False}


def test_every_alarm_has_a_fault_that_sets_it_off() -> None:
    """`python -m tests.benchmarks.alarms` brings them about."""
    alarms = {alarm.partition(" ")[0] for fault in (*FAULTS, *WORKER_FAULTS) for alarm in fault.alarms}
    assert alarms == set(NAMES)


def test_the_example_of_the_page_is_a_configuration_of_prometheus(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(# prometheus.yml\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(example, encoding="utf-8")
    (tmp_path / "alerts.yaml").write_text(ALARMS.read_text(encoding="utf-8"), encoding="utf-8")
    assert f"{len(NAMES)} rules found" in promtool("check", "config", tmp_path / "prometheus.yml")


def test_a_scrape_goes_by_the_conventions() -> None:
    """Names, units, types and help of all metrics, read over HTTP as Prometheus reads them."""
    server = everything().serve()
    try:
        scrape = httpx.get(f"http://127.0.0.1:{server.port}/metrics", trust_env=False).text
    finally:
        server.stop()
    assert "mien_capture_resident_memory_bytes" in scrape
    assert promtool("check", "metrics", text=scrape) == ""


def test_promtool_would_complain() -> None:
    with pytest.raises(AssertionError, match="no help text"):
        promtool("check", "metrics", text="# TYPE mien_x gauge\nmien_x 1\n")


def test_alarms_are_shortened_in_their_durations_alone() -> None:
    rules = "expr: x[30m] > 5 and y > 30 # [1d]\nfor: 10m\nfor: 30s"
    assert shortened(rules, 30) == "expr: x[60s] > 5 and y > 30 # [2880s]\nfor: 20s\nfor: 1s"
    assert shortened(rules, 1) == "expr: x[1800s] > 5 and y > 30 # [86400s]\nfor: 600s\nfor: 30s"
