"""The servers that all tests of a run share, also those of other xdist workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from tests.servers.elasticsearch import Elasticsearch
from tests.servers.java import NOT_HERE, MissingError, locked
from tests.servers.kafka import Kafka
from tests.servers.proxy import Proxy

Server = TypeVar("Server", Kafka, Elasticsearch, Proxy)


def start_shared(server: type[Server], folder: Path) -> Server:
    """Start a server in the folder of the whole run, or find the one that another worker started.

    It ends with the run. Skips where this machine can't have it; in CI that is a failure.
    """
    with locked(folder.with_suffix(".lock")):
        started = make(server, folder, owner=run_pid())
        started.start()
    return started


def make(server: type[Server], folder: Path, *, owner: int | None = None, **options: Any) -> Server:
    """A server that is not started yet; skips where this machine can't have it, and fails in CI."""
    try:
        return server(folder, owner=owner, **options)
    except MissingError as error:
        go_without(str(error))


def go_without(reason: str) -> NoReturn:
    """Skip, but fail in CI, which must have every server."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{NOT_HERE}: {reason}")
    pytest.skip(f"{NOT_HERE}: {reason}")


def run_pid() -> int:
    """The process id of the test run: under xdist that of the controller, which outlives its workers."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of the test run, the same for all workers."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
