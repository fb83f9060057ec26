"""Laws of wire, store and delivery: nothing lost, nothing doubled, whatever fails and wherever it is cut."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.memory import MemorySink
from connectors.store import Store, StoreSettings
from connectors.wire import decode, encode, presentable
from operators.errors import SinkError
from operators.records import Alert, Observation
from pipeline.delivery import Worker
from tests.alerts import FEAR, alert, alerts, observations, patient

AGAIN = SinkError("later", retryable=True)


@patient
@given(alerts)
def test_a_presentable_alert_survives_the_wire(record):
    shown = presentable(record)
    assert decode(encode(shown), Alert) == shown
    assert presentable(shown) == shown
    assert all(math.isfinite(value) for value in shown.evidence.values())


@patient
@given(observations)
def test_an_observation_survives_the_wire(record):
    assert decode(encode(record), Observation) == record


events = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.integers(0, 20), max_size=5)),
        st.tuples(st.just("step"), st.sampled_from(["one", "two"])),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=40,
)


def numbered(number: int) -> Alert:
    """Every fifth one is silenced."""
    return alert(number, silenced_by="" if number % 5 else "muted:night")


@settings(patient, max_examples=60)
@given(events=events, failures=st.lists(st.sampled_from([None, AGAIN]), max_size=20))
def test_every_sink_gets_every_alert_once_and_in_order(events, failures):
    with tempfile.TemporaryDirectory() as folder:
        path = StoreSettings(path=Path(folder) / "mien.sqlite")
        sinks = {"one": MemorySink("one", failures=failures), "two": MemorySink("two")}
        store = Store(path)
        workers = {name: Worker(store, sink) for name, sink in sinks.items()}
        recorded: list[Alert] = []
        for what, argument in events:
            if what == "append":
                store.append([numbered(number) for number in argument])
                recorded += [numbered(number) for number in dict.fromkeys(argument) if numbered(number) not in recorded]
            elif what == "step":
                workers[argument].step()
                behind = store.after(store.cursor(argument), 1000)
                assert store.waiting(argument) == sum(not one.silenced_by for _, one in behind)
            else:
                store.close()
                store = Store(path)
                workers = {name: Worker(store, sink) for name, sink in sinks.items()}
        for worker in workers.values():
            for _ in range(len(failures) + len(recorded) + 1):
                worker.step()
        store.close()
        wanted = [one for one in recorded if not one.silenced_by]
        assert [sink.delivered for sink in sinks.values()] == [wanted, wanted]


@settings(patient, max_examples=40)
@given(cut=st.integers(0, 30), count=st.integers(1, 30))
def test_a_replay_from_any_point_after_a_restart_changes_nothing(cut, count):
    history = [replace(FEAR, alert_id=f"a{number // 3}", seq=number % 3) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = StoreSettings(path=Path(folder) / "mien.sqlite")
        store = Store(path)
        store.append(history, {"lobby": b"end"})
        store.close()
        store = Store(path)
        assert store.append(history[min(cut, count) :], {"lobby": b"end"}) == 0
        assert [found for _, found in store.after(0, 100)] == history
        store.close()
