from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from operators.errors import ConfigError
from operators.records import Alert, Scope, Severity
from operators.records import Status as AlertStatus
from pipeline.metrics import Metrics
from pipeline.status import CameraStatus, RulesStatus, SinkStatus, Status

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
            drops={"overload": 5, "lost": 1},
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
        ("mien_frames_dropped_total", {"camera": "lobby", "reason": "overload"}, 5),
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
        ("mien_uptime_seconds", {}, 12),
        ("mien_rules_info", {"version": "5f1d0c7be2a9"}, 1),
        ("mien_rules_up", {}, 0),
        ("mien_rules_reload_total", {"result": "applied"}, 2),
        ("mien_rules_reload_total", {"result": "refused"}, 1),
    ],
)
def test_a_scrape_shows_the_status(name: str, labels: dict[str, str], expected: float | None) -> None:
    metrics = Metrics()
    metrics.refresh(STATUS)
    metrics.refresh(STATUS)  # a status is read, not added up
    assert value(scrape(metrics), name, **labels) == expected


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


def test_the_page_and_the_metrics_agree() -> None:
    metrics = Metrics()
    metrics.refresh(STATUS)
    metrics.observe_stage("detect", 0.02)
    metrics.count_alert(alert())
    families = list(metrics.registry.collect())
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE)) == names


def test_no_label_names_a_face() -> None:
    metrics = Metrics()
    metrics.refresh(STATUS)
    metrics.observe_stage("detect", 0.02)
    metrics.count_alert(alert())
    labels = {label for family in metrics.registry.collect() for sample in family.samples for label in sample.labels}
    assert labels == {
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
