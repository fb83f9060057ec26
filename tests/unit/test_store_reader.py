"""Tests of connectors/store_reader.py: pages of alerts beside a writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.store import Store, StoreSettings
from connectors.store_reader import StoreReader, Wanted
from operators.errors import SinkError
from operators.records import Alert, Severity, Status
from tests.alerts import FEAR, alert, made_up, resolved

NOW = 1_800_000_000.0
RULES = {"smiling": Severity.NOTICE, "afraid": Severity.WARNING, "angry": Severity.CRITICAL}
CAMERAS = ("lobby", "quay", "door", "hall")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a folder?with=odd#name.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(StoreSettings(path=path), clock=lambda: NOW)
    yield store
    store.close()


@pytest.fixture
def reader(path: Path, store: Store) -> Iterator[StoreReader]:
    reader = StoreReader(path)
    yield reader
    reader.close()


def ids(reader: StoreReader, *, limit: int = 1000, **wanted: object) -> list[str]:
    return [one.alert.alert_id for one in reader.page(Wanted(**wanted), limit=limit).episodes]  # type: ignore[arg-type]


def by_hand(transitions: list[Alert], **wanted: object) -> list[str]:
    """What a page should hold, found by looking at every transition."""
    first = {one.alert_id: one for one in reversed(transitions)}
    last = {one.alert_id: one for one in transitions}
    known = list(dict.fromkeys(one.alert_id for one in transitions))
    found = []
    for alert_id in reversed(known):
        now, began = last[alert_id], first[alert_id].ts
        ended = now.ts if now.status in (Status.RESOLVED, Status.BROKEN) else float("inf")
        tests = {
            "statuses": lambda values, now=now: now.status in values,
            "rules": lambda values, now=now: now.rule in values,
            "cameras": lambda values, now=now: now.camera_id in values,
            "severities": lambda values, now=now: now.severity in values,
            "since": lambda since, ended=ended: ended >= since,
            "until": lambda until, began=began: began <= until,
            "acknowledged": lambda acknowledged: not acknowledged,
        }
        if all(tests[name](value) for name, value in wanted.items()):
            found.append(alert_id)
    return found


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"statuses": ["firing"]},
        {"statuses": ["firing", "resolved"]},
        {"rules": ["afraid"]},
        {"cameras": ["quay", "door"], "severities": ["critical"]},
        {"since": NOW - 600.0},
        {"until": NOW - 3000.0},
        {"since": NOW - 3000.0, "until": NOW - 2000.0, "cameras": ["lobby"]},
        {"acknowledged": False},
        {"acknowledged": True},
        {"rules": ["no such rule"]},
    ],
    ids=str,
)
def test_filters_find_what_looking_at_every_transition_finds(store, reader, wanted):
    transitions = list(made_up(200, cameras=CAMERAS, rules=RULES, until=NOW))
    store.append(transitions)
    assert ids(reader, **wanted) == by_hand(transitions, **wanted)


def test_pages_miss_none_and_repeat_none_while_alerts_come_and_go_on(store, reader):
    transitions = list(made_up(60, cameras=CAMERAS, rules=RULES, until=NOW))
    store.append(transitions)
    before = ids(reader)
    going_on = store.firing()
    found, cursor, number = [], None, 0
    while True:
        page = reader.page(Wanted(), limit=7, before=cursor)
        found += [one.alert.alert_id for one in page.episodes]
        if page.next is None:
            break
        cursor, number = page.next, number + 1
        store.append([alert(number), *map(resolved, going_on[number : number + 1])])
    assert found == before


def test_an_alert_is_its_latest_transition_and_knows_when_it_began(store, reader):
    pending = replace(FEAR, seq=0, status=Status.PENDING, ts=FEAR.ts - 3)
    store.append([pending, FEAR])
    store.append([alert(1), resolved(FEAR)])
    newest, oldest = reader.page(Wanted(), limit=5).episodes
    assert newest.alert == alert(1)
    assert (oldest.alert, oldest.started, oldest.recorded_at) == (resolved(FEAR), FEAR.ts - 3, NOW)
    assert reader.episode(FEAR.alert_id) == oldest
    assert reader.transitions(FEAR.alert_id) == [pending, FEAR, resolved(FEAR)]
    assert reader.episode("none") is None


def test_an_id_that_begins_like_another_is_another(store, reader):
    longer = replace(FEAR, alert_id=FEAR.alert_id + "9")
    store.append([FEAR, longer])
    assert reader.transitions(FEAR.alert_id) == [FEAR]
    assert reader.transitions(longer.alert_id) == [longer]


def test_an_acknowledgement_stays_when_the_alert_goes_on_and_can_be_taken_back(store, reader):
    store.append([FEAR])
    assert store.acknowledge(FEAR.alert_id, "a delivery")
    store.append([resolved(FEAR)])
    found = reader.episode(FEAR.alert_id)
    assert (found.acknowledged_at, found.note, found.alert.status) == (NOW, "a delivery", "resolved")
    assert ids(reader, acknowledged=True) == [FEAR.alert_id]
    assert store.unacknowledge(FEAR.alert_id)
    assert ids(reader, acknowledged=False) == [FEAR.alert_id]
    assert reader.episode(FEAR.alert_id).note == ""
    assert not store.acknowledge("none")


def test_transitions_are_read_behind_a_place(store, reader):
    assert reader.last() == 0
    store.append([alert(1), alert(2), alert(3)])
    assert reader.last() == 3
    assert [place for place, _ in reader.after(1, 10)] == [2, 3]
    assert [one for _, one in reader.after(0, 2)] == [alert(1), alert(2)]
    assert reader.after(3, 10) == []


def test_a_row_that_cannot_be_read_ends_no_page_and_no_stream(store, reader, path):
    store.append([alert(number) for number in range(5)])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alerts SET body = 'nonsense' WHERE position IN (2, 3)")
    connection.close()
    page = reader.page(Wanted(), limit=4)
    assert [one.position for one in page.episodes] == [5, 4]
    assert [one.position for one in reader.page(Wanted(), limit=4, before=page.next).episodes] == [1]
    assert [place for place, _ in reader.after(1, 2)] == [4, 5]


def test_what_is_forgotten_is_in_no_page(path):
    clock = [NOW]
    store = Store(StoreSettings(path=path), clock=lambda: clock[0])
    store.append([FEAR, resolved(FEAR), alert(1)])
    store.acknowledge(FEAR.alert_id)
    clock[0] += 40 * 86400
    store.append([alert(2)])  # prunes
    reader = StoreReader(path)
    assert ids(reader) == ["alert-00002", "alert-00001"]  # what fires stays
    reader.close()
    store.close()


def test_reading_waits_for_no_writer_and_writes_nothing(store, reader, path):
    store.append([FEAR])
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    assert ids(reader) == [FEAR.alert_id]
    writer.execute("ROLLBACK")
    writer.close()
    with pytest.raises(SinkError, match="can't be written"):
        reader._rows("DELETE FROM alerts", ())


def test_a_store_that_is_not_there_or_closed_says_so(tmp_path, store, reader):
    with pytest.raises(SinkError, match="can't be opened"):
        StoreReader(tmp_path / "none.sqlite").last()
    reader.close()
    with pytest.raises(SinkError, match="closed"):
        reader.last()
