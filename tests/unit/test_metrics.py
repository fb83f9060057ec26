from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from operators.errors import Cause, ConfigError
from operators.records import Alert, Scope, Severity
from operators.records import Status as AlertStatus
from operators.rules import Predicate, Rule
from pipeline.metrics import READINGS, STAGES, Metrics
from pipeline.status import CameraStatus, RoleStatus, RulesStatus, SinkStatus, Status

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
NOON = 1_763_726_400.0
STATUS = Status(
    uptime_s=12.0,
    cameras=(
        CameraStatus(
            "lobby",
            "live",
            frames=100,
            analysed=40,
            faces=2,
            age_s=0.25,
            drops={"overload": 5, "frozen": 1},
            reconnects={"timeout": 2},
        ),
        CameraStatus("gate", "backing off", cause="auth"),
    ),
    firing=3,
    sinks=(SinkStatus("hook", 4, "refused"), SinkStatus("file", 0)),
    rules=RulesStatus("5f1d0c7be2a9", reloads=2, refused=1, error="mien.yaml:3:1: rules: missing"),
)

Scrape = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(metrics: Metrics) -> Scrape:
    server = metrics.serve()
    try:
        text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", trust_env=False).text
    finally:
        server.stop()
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(found: Scrape, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def alert(status: AlertStatus = AlertStatus.FIRING, *, ts: float = NOON) -> Alert:
    return Alert("a", 1, "fear", Scope.TRACK, "lobby", status, "held", Severity.WARNING, ts, ts)


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("mien_frames_total", {"camera": "lobby"}, 100),
        ("mien_frames_analysed_total", {"camera": "lobby"}, 40),
        ("mien_frames_dropped_total", {"camera": "lobby", "stage": "analysis", "reason": "overload"}, 5),
        ("mien_frames_dropped_total", {"camera": "lobby", "stage": "capture", "reason": "frozen"}, 1),
        ("mien_reconnects_total", {"camera": "lobby", "cause": "timeout"}, 2),
        ("mien_camera_up", {"camera": "lobby"}, 1),
        ("mien_camera_up", {"camera": "gate"}, 0),
        ("mien_frame_age_seconds", {"camera": "lobby"}, 0.25),
        ("mien_frame_age_seconds", {"camera": "gate"}, None),
        ("mien_faces", {"camera": "lobby"}, 2),
        ("mien_alerts_firing", {}, 3),
        ("mien_sink_waiting", {"sink": "hook"}, 4),
        ("mien_sink_up", {"sink": "hook"}, 0),
        ("mien_sink_up", {"sink": "file"}, 1),
        ("mien_rules_info", {"version": "5f1d0c7be2a9"}, 1),
        ("mien_rules_up", {}, 0),
        ("mien_rules_reloads_total", {"result": "applied"}, 2),
        ("mien_rules_reloads_total", {"result": "refused"}, 1),
    ],
)
def test_a_scrape_shows_the_status(name: str, labels: dict[str, str], expected: float | None) -> None:
    metrics = Metrics()
    metrics.refresh(STATUS)
    metrics.refresh(STATUS)  # a status is read, not added up
    assert value(scrape(metrics), name, **labels) == expected


def rule(name: str) -> Rule:
    return Rule(id=name, when=Predicate(prob="fear", enter=0.6), for_=3.0)


def test_what_is_recorded_is_scraped() -> None:
    metrics = Metrics(provider="cuda", clock=lambda: NOON + 0.3)
    metrics.observe_stage("detect", 0.02)
    metrics.observe_stage("detect", 0.04)
    metrics.count_alert(alert())
    metrics.count_alert(alert(AlertStatus.RESOLVED))
    metrics.count_alert(replace(alert(), status=AlertStatus.RESOLVED, silenced_by="muted:night"))
    found = scrape(metrics)
    assert value(found, "mien_stage_seconds_count", stage="detect") == 2
    assert value(found, "mien_stage_seconds_sum", stage="detect") == pytest.approx(0.06)
    assert value(found, "mien_alerts_total", rule="fear", status="firing", severity="warning") == 1
    assert value(found, "mien_alerts_total", rule="fear", status="resolved", severity="warning") == 2
    assert value(found, "mien_alerts_silenced_total", rule="fear", cause="muted") == 1
    assert value(found, "mien_alert_latency_seconds_count") == 1
    assert value(found, "mien_alert_latency_seconds_sum") == pytest.approx(0.3)
    assert any(name == "mien_build_info" and ("provider", "cuda") in labels for name, labels in found)
    assert (value(found, "process_resident_memory_bytes") or 0) > 1e6


@pytest.mark.parametrize(
    ("ts", "count"),
    [(NOON - 2, 1), (NOON + 0.1, 1), (12.5, 0)],
    ids=["late", "a camera whose clock is ahead counts as 0", "a file's time is no wall clock"],
)
def test_latency_needs_a_wall_clock(ts: float, count: int) -> None:
    metrics = Metrics(clock=lambda: NOON)
    metrics.count_alert(alert(ts=ts))
    found = scrape(metrics)
    assert value(found, "mien_alert_latency_seconds_count") == count
    assert (value(found, "mien_alert_latency_seconds_sum") or 0) >= 0


def test_the_port_is_free_again_after_stop() -> None:
    first = Metrics().serve()
    port = first.port
    first.stop()
    second = Metrics().serve(port=port)
    assert second.port == port
    second.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def test_a_taken_port_says_what_to_do(taken: int) -> None:
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{taken}.*set metrics.port to a free port"):
        Metrics().serve(port=taken)


def test_a_host_of_another_machine_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:0.*metrics.host"):
        Metrics().serve("192.0.2.1")


def everything() -> Metrics:
    """Metrics of one process that shows all there are: a camera that is read, and a role of a worker."""
    metrics = Metrics()
    cameras = tuple(replace(camera, pid=None) for camera in STATUS.cameras)
    metrics.refresh(replace(STATUS, cameras=cameras, store="mien.sqlite"))
    metrics.observe_stage("detect", 0.02)
    metrics.count_alert(replace(alert(), silenced_by="muted:night"))
    return metrics


def labels_of(metrics: Metrics) -> set[str]:
    return {label for family in metrics.registry.collect() for sample in family.samples for label in sample.labels}


def test_the_page_and_the_metrics_agree() -> None:
    families = {
        f"{family.name}_total" if family.type == "counter" else family.name: family
        for family in everything().registry.collect()
    }
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    assert [name for name, _ in rows if name not in families] == []
    assert set(families) == {name for name, _ in rows}
    told = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    for reading in READINGS:
        assert told[reading.name] == set(reading.labels), reading.name
    for name, family in families.items():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == told[name], name


def test_every_metric_says_what_it_is_in_a_sentence() -> None:
    for family in everything().registry.collect():
        assert family.documentation.endswith("."), family.name


def test_no_label_names_a_face() -> None:
    assert labels_of(everything()) == {
        "camera",
        "reason",
        "cause",
        "sink",
        "stage",
        "rule",
        "status",
        "severity",
        "le",
        "version",
        "result",
        "provider",
    }


def test_16_cameras_and_20_rules_are_fewer_than_1000_series() -> None:
    """At the worst: every camera has had every reason to drop and every cause to reconnect, every rule was silenced."""
    rules = tuple(rule(f"rule-{number}") for number in range(20))
    cameras = tuple(
        CameraStatus(
            f"hall-{number}",
            "live",
            skew_s=0.1,
            pid=None,
            age_s=0.2,
            drops=dict.fromkeys(STAGES, 1),
            reconnects={cause.value: 1 for cause in Cause},
        )
        for number in range(16)
    )
    metrics = Metrics()
    metrics.refresh(replace(STATUS, cameras=cameras, store="s", rules=RulesStatus("5f1d0c7be2a9", rules)))
    for one, cause in product(rules, ("inhibited", "muted", "grouped")):
        metrics.count_alert(replace(alert(), rule=one.id, silenced_by=f"{cause}:x"))
    for stage in ("motion", "detect", "track", "crop", "enhance", "classify", "conclude", "rules", "journal"):
        metrics.observe_stage(stage, 0.01)
    series = len(scrape(metrics)) + 2 * len(cameras)  # memory and CPU time of their processes, which there are not here
    assert 500 < series < 1000


def test_rules_count_their_alerts_from_0() -> None:
    """Else `increase()` would not see the first alert of each."""
    metrics = Metrics()
    metrics.refresh(replace(STATUS, rules=RulesStatus("5f1d0c7be2a9", (rule("fear"),))))
    assert value(scrape(metrics), "mien_alerts_total", rule="fear", status="firing", severity="warning") == 0
    metrics.count_alert(alert())
    metrics.refresh(replace(STATUS, rules=RulesStatus("another", (rule("fear"),))))
    assert value(scrape(metrics), "mien_alerts_total", rule="fear", status="firing", severity="warning") == 1


@pytest.mark.parametrize(("role", "told"), [("analyze", None), ("evaluate", 0)])
def test_only_who_evaluates_rules_counts_alerts(role: str, told: float | None) -> None:
    metrics = Metrics()
    rules = RulesStatus("5f1d0c7be2a9", (rule("fear"),))
    metrics.refresh(Status(1.0, (), rules=rules, roles=(RoleStatus(role, ready=True, partitions=1),)))
    assert value(scrape(metrics), "mien_alerts_total", rule="fear", status="firing", severity="warning") == told


def test_a_worker_that_only_has_the_frames_does_not_say_that_the_camera_is_up() -> None:
    metrics = Metrics()
    metrics.refresh(replace(STATUS, roles=(RoleStatus("analyze", ready=True, partitions=1),)))
    found = scrape(metrics)
    assert value(found, "mien_camera_up", camera="lobby") is None
    assert value(found, "mien_frames_total", camera="lobby") == 100
    assert value(found, "mien_frame_age_seconds", camera="lobby") == 0.25


def test_what_a_process_does_not_have_is_not_told() -> None:
    metrics = Metrics()
    metrics.refresh(Status(1.0, ()))
    names = {name for name, _ in scrape(metrics)}
    assert names.isdisjoint({"mien_store_up", "mien_rules_up", "mien_rules_info"})


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "sum(range(3_000_000)); input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_each_process_that_reads_a_camera_tells_its_memory_and_time(child: subprocess.Popen[bytes]) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    pids = {"lobby": child.pid, "gate": gone.pid, "quay": os.getppid(), "hall": None}
    metrics = Metrics()
    metrics.refresh(Status(1.0, tuple(CameraStatus(name, "live", pid=pid) for name, pid in pids.items())))
    found = scrape(metrics)
    told = {dict(labels)["camera"] for name, labels in found if name == "mien_capture_resident_memory_bytes"}
    assert told == {"lobby"}, "neither one that is gone, nor a process that is no child"
    assert (value(found, "mien_capture_resident_memory_bytes", camera="lobby") or 0) > 1e6
    while not value(scrape(metrics), "mien_capture_cpu_seconds_total", camera="lobby"):
        time.sleep(0.05)


def test_a_status_that_is_not_refreshed_grows_old() -> None:
    metrics = Metrics()
    metrics.refresh(STATUS)
    first = value(scrape(metrics), "mien_status_age_seconds")
    second = value(scrape(metrics), "mien_status_age_seconds")
    metrics.refresh(STATUS)
    third = value(scrape(metrics), "mien_status_age_seconds")
    assert first is not None
    assert second is not None
    assert third is not None
    assert 0 < first < second
    assert third < second
