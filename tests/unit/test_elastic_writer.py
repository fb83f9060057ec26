"""The queue of roll-ups and health: bounded, never in anybody's way, and honest about what it threw away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from connectors.elastic import Refusal
from connectors.elastic_documents import Entry, health_entry
from connectors.elastic_settings import ElasticSettings
from connectors.elastic_writer import ElasticWriter
from operators.errors import SinkError

NOWHERE = ElasticSettings(url="http://127.0.0.1:1")


def entries(*numbers: int) -> list[Entry]:
    return [health_entry(number, "here", {"mien.count": number}) for number in numbers]


def soon(check: Callable[[], bool]) -> None:
    """Wait until it holds; only a test that fails takes long."""
    ends_at = time.monotonic() + 30
    while not check():
        assert time.monotonic() < ends_at, "did not happen within 30 s"
        time.sleep(0.01)


class Server:
    """Takes what it is given, fails so often as it is told, and refuses odd numbers if it is picky."""

    def __init__(self, failures: int = 0, *, picky: bool = False, limit: int = 0) -> None:
        self.failures, self.picky, self.limit = failures, picky, limit
        self.written: list[int] = []
        self.let_go = threading.Event()
        self.let_go.set()

    def write(self, batch: Sequence[Entry]) -> list[Refusal]:
        self.let_go.wait(30)
        if self.failures:
            self.failures -= 1
            raise SinkError("away", retryable=True)
        if self.limit and len(batch) > self.limit:
            raise SinkError("too large", retryable=False)
        odd = [one for one in batch if self.picky and one.body["mien.count"] % 2]
        self.written += [one.body["mien.count"] for one in batch if one not in odd]
        return [Refusal(one, "odd") for one in odd]

    def close(self) -> None:
        pass


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("connectors.elastic_writer.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("connectors.elastic_writer.GATHER_S", 0.01)


def writer_to(server: Server, held: int = 100) -> ElasticWriter:
    writer = ElasticWriter(NOWHERE, held=held)
    writer._elastic = server  # type: ignore[assignment]
    return writer


def test_documents_are_written_in_order(quick):
    server = Server()
    writer = writer_to(server)
    writer.start()
    writer.put(entries(1, 2))
    writer.put(entries(3))
    soon(lambda: server.written == [1, 2, 3])
    writer.close(10)
    assert writer.take_discarded() == 0


def test_what_waits_is_written_at_the_end():
    server = Server()
    writer = writer_to(server, held=2000)
    writer.start()
    writer.put(entries(*range(1700)))
    writer.close(10)
    assert server.written == [*range(1700)]


def test_a_failure_loses_nothing_and_keeps_the_order(quick):
    server = Server(failures=3)
    writer = writer_to(server)
    writer.start()
    writer.put(entries(1, 2))
    writer.put(entries(3))
    soon(lambda: server.written == [1, 2, 3])
    writer.close(10)


def test_when_it_is_full_the_oldest_make_room_and_are_counted():
    writer = writer_to(Server(), held=3)
    writer.put(entries(1, 2, 3, 4))
    writer.put(entries(5))
    assert writer.take_discarded() == 2
    assert writer.take_discarded() == 0
    writer.start()
    writer.close(10)
    assert writer._elastic.written == [3, 4, 5]  # type: ignore[attr-defined]


def test_what_failed_makes_room_for_what_came_meanwhile(quick):
    server = Server(failures=1)
    writer = writer_to(server, held=3)
    server.let_go.clear()
    writer.start()
    writer.put(entries(1, 2, 3))
    server.let_go.set()
    writer.put(entries(4))
    soon(lambda: server.written == [2, 3, 4])
    writer.close(10)
    assert writer.take_discarded() == 1


def test_refused_documents_are_counted_and_the_others_written(quick, caplog):
    server = Server(picky=True)
    writer = writer_to(server)
    writer.start()
    writer.put(entries(1, 2, 3, 4))
    writer.close(10)
    assert server.written == [2, 4]
    assert writer.take_discarded() == 2
    assert "refuses roll-ups or health for good count=2 reason=odd" in caplog.text


def test_a_request_that_is_refused_as_a_whole_does_not_come_again(quick):
    server = Server(limit=1)
    writer = writer_to(server)
    writer.put(entries(1, 2))
    writer.start()
    soon(lambda: not writer._waiting)
    writer.put(entries(3))
    writer.close(10)
    assert server.written == [3]
    assert writer.take_discarded() == 2


def test_a_server_that_is_away_is_told_at_once_and_once_and_the_end_is_not_delayed(caplog):
    caplog.set_level(logging.WARNING)
    writer = ElasticWriter(NOWHERE)
    writer.start()
    soon(lambda: "can't be reached" in caplog.text)
    writer.put(entries(1))
    writer.close(30)
    assert not writer._thread.is_alive()
    assert caplog.text.count("can't be reached") == 1
