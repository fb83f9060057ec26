"""The health endpoints, as a kubelet and Prometheus ask them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from socket import create_server

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from operators.errors import ConfigError
from pipeline.health import Health


def served(*, alive: Callable[[], str] = str, ready: Callable[[], str] = str) -> Health:
    registry = CollectorRegistry()
    Counter("cakes", "Cakes baked.", registry=registry).inc(3)
    return Health("127.0.0.1", 0, alive=alive, ready=ready, registry=registry)


def get(health: Health, path: str) -> tuple[int, str]:
    answer = httpx.get(f"http://{health.address}{path}", trust_env=False)
    return answer.status_code, answer.text


def test_well_and_ready():
    with served() as health:
        assert get(health, "/healthz") == get(health, "/readyz?verbose") == (200, "ok\n")
        status, text = get(health, "/metrics")
        assert (status, "cakes_total 3.0" in text) == (200, True)


def test_says_why_not():
    with served(alive=lambda: "3 records wait", ready=lambda: "evaluate has no partitions yet") as health:
        assert get(health, "/healthz") == (503, "3 records wait\n")
        assert get(health, "/readyz") == (503, "evaluate has no partitions yet\n")


def test_answers_nothing_else():
    with served() as health:
        assert get(health, "/tables") == (404, "expected /healthz, /readyz or /metrics\n")
        assert httpx.post(f"http://{health.address}/healthz", trust_env=False).status_code == 501


def test_a_port_that_is_taken_is_told():
    with closing(create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=r"worker\.port"):
            Health("127.0.0.1", port, alive=str, ready=str, registry=CollectorRegistry())
