"""Tests of pipeline/delivery.py: one worker by hand, step by step, then the threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.memory import MemorySink
from connectors.sink import RetryAfterError
from connectors.store import Store, StoreSettings
from operators.errors import SinkError
from operators.records import Alert, Status
from pipeline.delivery import BATCH, LONGEST_WAIT_S, POLL_S, Delivery, Worker
from pipeline.status import SinkStatus
from tests.alerts import FEAR, alert, resolved

AGAIN = SinkError("come back later", retryable=True)
NEVER = SinkError("not for me", retryable=False)


@pytest.fixture
def store(tmp_path: Path):
    store = Store(StoreSettings(path=tmp_path / "mien.sqlite"))
    yield store
    store.close()


def soon(check: Callable[[], bool]) -> None:
    """Wait until it holds; only a test that fails takes long."""
    ends_at = time.monotonic() + 30
    while not check():
        assert time.monotonic() < ends_at, "did not happen within 30 s"
        time.sleep(0.01)


def drain(worker: Worker) -> None:
    while worker.step() == 0:
        pass


class Picky(MemorySink):
    """Refuses every batch that holds a certain alert."""

    def deliver(self, alerts: Sequence[Alert], /) -> None:
        if any(alert.alert_id == "alert-00003" for alert in alerts):
            raise NEVER
        super().deliver(alerts)


class Broken(MemorySink):
    def deliver(self, alerts: Sequence[Alert], /) -> None:
        raise KeyError("a bug")


class Stuck(MemorySink):
    """Hangs until it is let go."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.reached, self.let_go = threading.Event(), threading.Event()

    def deliver(self, alerts: Sequence[Alert], /) -> None:
        self.reached.set()
        self.let_go.wait(60)
        super().deliver(alerts)


def test_a_worker_delivers_in_order_and_then_waits(store):
    sink = MemorySink()
    worker = Worker(store, sink)
    alerts = [alert(number) for number in range(BATCH + 3)]
    store.append(alerts)
    assert worker.step() == 0
    assert len(sink.delivered) == BATCH
    assert worker.step() == 0
    assert worker.step() > 0
    assert sink.delivered == alerts
    assert worker.status() == SinkStatus("memory", waiting=0)


def test_a_sink_gets_the_statuses_it_wants_only(store):
    usual, curious = Worker(store, MemorySink("usual")), Worker(store, MemorySink("curious", statuses=tuple(Status)))
    pending = replace(FEAR, seq=0, status=Status.PENDING)
    store.append([pending, FEAR, resolved(FEAR), replace(pending, alert_id="x", status=Status.BROKEN)])
    drain(usual)
    drain(curious)
    assert [each.status for each in usual._sink.delivered] == ["firing", "resolved"]
    assert [each.status for each in curious._sink.delivered] == ["pending", "firing", "resolved", "broken"]
    assert store.cursor("usual") == store.cursor("curious")


def test_an_archive_gets_what_is_silenced_too(store):
    sink = MemorySink(statuses=tuple(Status), silenced=True)
    worker = Worker(store, sink)
    silenced = replace(FEAR, silenced_by="inhibited:camera-down")
    store.append([silenced])
    assert worker.status().waiting == 1
    drain(worker)
    assert sink.delivered == [silenced]
    assert worker.status().waiting == 0


def test_what_is_silenced_goes_to_no_sink_and_waits_for_none(store):
    sink = MemorySink(statuses=tuple(Status))
    worker = Worker(store, sink)
    silenced = replace(FEAR, silenced_by="inhibited:camera-down")
    released = replace(FEAR, seq=2, reason="released")
    store.append([silenced, released, replace(alert(1), silenced_by="grouped")])
    assert worker.status().waiting == 1
    drain(worker)
    assert sink.delivered == [released]
    assert worker.status().waiting == 0
    assert store.latest(3)[0] == silenced
    assert store.cursor("memory") == store.after(0, 10)[-1][0]


def test_a_failing_sink_is_tried_again_ever_more_slowly_and_loses_nothing(store):
    sink = MemorySink(failures=[AGAIN] * 12)
    worker = Worker(store, sink)
    store.append([FEAR])
    waits = [worker.step() for _ in range(12)]
    assert all(0.5 <= wait / min(LONGEST_WAIT_S, 0.5 * 2**number) <= 1 for number, wait in enumerate(waits))
    assert worker.failing
    assert worker.status() == SinkStatus("memory", waiting=1, error="come back later")
    drain(worker)
    assert sink.delivered == [FEAR]
    assert worker.status() == SinkStatus("memory", waiting=0)


def test_a_batch_that_failed_comes_again_as_it_was(store):
    class Fickle(MemorySink):
        seen: list[list[str]] = []  # noqa: RUF012 -- one test, one instance

        def deliver(self, alerts: Sequence[Alert], /) -> None:
            self.seen.append([alert.alert_id for alert in alerts])
            super().deliver(alerts)

    sink = Fickle(failures=[AGAIN])
    worker = Worker(store, sink)
    store.append([alert(1)])
    worker.step()
    store.append([alert(2)])
    drain(worker)
    assert sink.seen == [["alert-00001"], ["alert-00001"], ["alert-00002"]]


def test_the_wait_a_server_asks_for_is_given(store):
    worker = Worker(store, MemorySink(failures=[RetryAfterError("slow down", seconds=120)]))
    store.append([FEAR])
    assert worker.step() == 120


def test_one_bad_alert_is_buried_and_the_others_arrive(store):
    sink = Picky()
    worker = Worker(store, sink)
    store.append([alert(number) for number in range(6)])
    drain(worker)
    assert [each.alert_id[-1] for each in sink.delivered] == ["0", "1", "2", "4", "5"]
    (letter,) = store.dead_letters()
    assert (letter.sink, letter.alert, letter.reason) == ("memory", alert(3), "not for me")


def test_a_refusal_stays_visible_until_the_next_success(store):
    sink = Picky()
    worker = Worker(store, sink)
    store.append([alert(3)])
    drain(worker)
    assert worker.status().error == "not for me"
    store.append([alert(4)])
    drain(worker)
    assert worker.status().error == ""


def test_a_sink_with_a_bug_fills_the_dead_letters_and_nothing_else(store):
    worker = Worker(store, Broken())
    store.append([FEAR])
    drain(worker)
    (letter,) = store.dead_letters()
    assert letter.reason == "KeyError: 'a bug'"


def test_a_cursor_that_cannot_be_saved_does_not_repeat_the_delivery(store):
    sink = MemorySink()
    worker = Worker(store, sink)
    store.append([FEAR])
    store._connection.execute("PRAGMA query_only = ON")
    assert worker.step() > 0
    assert worker.step() > 0
    store._connection.execute("PRAGMA query_only = OFF")
    drain(worker)
    assert sink.delivered == [FEAR]
    assert Worker(store, sink).step() > 0
    assert sink.delivered == [FEAR]


def test_a_restart_goes_on_where_delivery_stopped(store):
    first, second = MemorySink("hook"), MemorySink("hook")
    worker = Worker(store, first)
    store.append([alert(1)])
    drain(worker)
    store.append([alert(2)])
    drain(Worker(store, second))
    assert (first.delivered, second.delivered) == ([alert(1)], [alert(2)])


def test_accepted_alerts_reach_every_sink(store):
    sinks = [MemorySink("one"), MemorySink("two")]
    delivery = Delivery(store, sinks)
    delivery.start()
    assert delivery.accept([FEAR], {"lobby": b"1"})
    soon(lambda: all(sink.delivered == [FEAR] for sink in sinks))
    soon(lambda: delivery.status() == (SinkStatus("one", waiting=0), SinkStatus("two", waiting=0)))
    delivery.stop(5)
    assert all(sink.closed for sink in sinks)
    assert store.states() == {"lobby": b"1"}


def test_a_stuck_sink_delays_neither_the_others_nor_the_pipeline_nor_the_end(store):
    stuck, quick = Stuck("stuck"), MemorySink("quick")
    delivery = Delivery(store, [stuck, quick])
    delivery.start()
    alerts = [alert(number) for number in range(200)]
    for each in alerts:
        delivery.accept([each])
    soon(lambda: quick.delivered == alerts)
    assert stuck.reached.wait(30)
    assert delivery.status() == (SinkStatus("stuck", waiting=200), SinkStatus("quick", waiting=0))
    delivery.stop(0.2)
    assert (stuck.closed, quick.closed) == (False, True)
    assert store.waiting("stuck") == 200
    stuck.let_go.set()
    soon(lambda: not any(thread.is_alive() for thread in delivery._threads))


def test_stop_delivers_what_is_still_there(store):
    sink = MemorySink()
    delivery = Delivery(store, [sink])
    alerts = [alert(number) for number in range(5 * BATCH)]
    store.append(alerts)
    delivery.start()
    delivery.stop(30)
    assert sink.delivered == alerts


def test_what_a_slow_disk_takes_at_the_end_is_delivered_too(store, monkeypatch):
    append = store.append

    def refuse(*_):
        raise AGAIN

    def slow(*arguments):
        time.sleep(4 * POLL_S)
        return append(*arguments)

    sink = MemorySink()
    delivery = Delivery(store, [sink])
    delivery.start()
    monkeypatch.setattr(store, "append", refuse)
    assert not delivery.accept([FEAR])
    monkeypatch.setattr(store, "append", slow)
    delivery.stop(60)
    assert sink.delivered == [FEAR]


def test_stop_does_not_wait_for_a_sink_that_is_down(store):
    def failures():
        while True:
            yield AGAIN

    delivery = Delivery(store, [MemorySink(failures=failures())])
    delivery.start()
    delivery.accept([FEAR])
    soon(lambda: delivery.status()[0].error != "")
    delivery.stop(60)
    assert store.waiting("memory") == 1


def test_what_a_full_disk_refuses_is_held_and_written_later(store, caplog):
    sink = MemorySink()
    delivery = Delivery(store, [sink])
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [alert(number) for number in range(500)]
    assert not delivery.accept(many, {"lobby": b"1"})
    assert not delivery.accept([FEAR], {"lobby": b"2"})
    assert "the disk is full" in delivery.error
    assert caplog.text.count("store can't be written") == 1
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert delivery.accept(())
    assert delivery.error == ""
    assert store.states() == {"lobby": b"2"}
    delivery.start()
    delivery.stop(30)
    assert sink.delivered == [*many, FEAR]


def test_a_store_that_is_beyond_help_is_not_hidden(store):
    delivery = Delivery(store, [])
    store.close()
    with pytest.raises(SinkError, match="closed"):
        delivery.accept([FEAR])


def test_two_sinks_of_one_name_are_refused(store):
    with pytest.raises(ValueError, match="hook twice"):
        Delivery(store, [MemorySink("hook"), MemorySink("hook")])
