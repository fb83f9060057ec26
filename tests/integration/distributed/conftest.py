"""Real servers for tests: one Kafka and one Elasticsearch for the whole run, and others that a test may break.

Tests that share a server keep apart by `prefix`; never stop a shared one.
"""

from __future__ import annotations

import gc
import uuid
import warnings
from collections.abc import Iterator

import pytest

from tests.servers.elasticsearch import Elasticsearch
from tests.servers.kafka import Kafka
from tests.servers.shared import make, run_folder, start_shared

SERVERS = {"kafka", "elastic", "own_kafka", "own_elastic"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a server."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")


@pytest.fixture(scope="module", autouse=True)
def _sockets_of_clients() -> Iterator[None]:
    """kafka-python leaves sockets open when a broker goes away: they go here, and not in the midst of another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def prefix() -> str:
    """For the topics and indices of this test alone."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Kafka:
    """The broker that all tests share: `kafka.bootstrap` is host:port."""
    return start_shared(Kafka, run_folder(tmp_path_factory) / "kafka")


@pytest.fixture(scope="session")
def elastic(tmp_path_factory: pytest.TempPathFactory) -> Elasticsearch:
    """The Elasticsearch that all tests share: `elastic.url`."""
    return start_shared(Elasticsearch, run_folder(tmp_path_factory) / "elasticsearch")


@pytest.fixture(scope="module")
def module_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """What `own_kafka` is made of."""
    server = make(Kafka, tmp_path_factory.mktemp("kafka"))
    yield server
    server.kill()


@pytest.fixture
def own_kafka(module_kafka: Kafka) -> Kafka:
    """A broker of this file's own, running at the start of each test: `stop()`, `kill()` and `start()` it at will.

    Its data survives all three.
    """
    module_kafka.start()
    return module_kafka


@pytest.fixture(scope="module")
def module_elastic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elasticsearch]:
    """What `own_elastic` is made of."""
    server = make(Elasticsearch, tmp_path_factory.mktemp("elasticsearch"))
    yield server
    server.kill()


@pytest.fixture
def own_elastic(module_elastic: Elasticsearch) -> Elasticsearch:
    """As `own_kafka`, for Elasticsearch."""
    module_elastic.start()
    return module_elastic
