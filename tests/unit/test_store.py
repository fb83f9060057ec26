"""Tests of connectors/store.py."""

from __future__ import annotations

import fcntl
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.store import Pruned, Store, StoreSettings
from connectors.store_reader import StoreReader, Wanted
from connectors.wire import encode
from operators.errors import SinkError
from operators.records import Severity, Status
from tests.alerts import FEAR, alert, made_up, resolved

DAY = 86400.0


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mien.sqlite"


@pytest.fixture
def store(path, clock):
    store = Store(StoreSettings(path=path), clock=clock)
    yield store
    store.close()


def ids(rows):
    return [found.alert_id for _, found in rows]


def test_what_is_appended_comes_back_in_order(store):
    alerts = [alert(number) for number in range(5)]
    assert store.append(alerts[:2]) == 2
    assert store.append(alerts[2:]) == 3
    assert [found for _, found in store.after(0, 10)] == alerts
    assert ids(store.after(0, 2)) == ["alert-00000", "alert-00001"]
    assert store.latest(2) == alerts[3:]


def test_a_transition_is_recorded_once(store):
    store.append([FEAR], {"rules": b"1"})
    assert store.append([FEAR, resolved(FEAR)], {"rules": b"2"}) == 1
    assert [found for _, found in store.after(0, 10)] == [FEAR, resolved(FEAR)]
    assert store.states() == {"rules": b"2"}


def test_everything_is_there_after_a_restart(store, path):
    store.append([FEAR], {"lobby": b"\x00state", "door": b""})
    store.cursor("hook")
    store.append([resolved(FEAR)], {"door": b"open"})
    store.close()
    again = Store(StoreSettings(path=path))
    assert again.states() == {"lobby": b"\x00state", "door": b"open"}
    assert [found for _, found in again.after(again.cursor("hook"), 10)] == [resolved(FEAR)]
    assert again.append([FEAR]) == 0
    again.close()


def test_states_and_alerts_are_written_both_or_neither(store):
    store.append([], {"rules": b"before"})
    with pytest.raises(SinkError):
        store.append([FEAR], {"rules": b"after", "other": object()})  # type: ignore[dict-item]
    assert store.states() == {"rules": b"before"}
    assert store.after(0, 10) == []


def test_a_sink_starts_at_the_end_and_only_moves_forward(store):
    store.append([alert(1)])
    start = store.cursor("new")
    assert store.after(start, 10) == []
    store.append([alert(2), alert(3)])
    (first, _), (last, _) = store.after(start, 10)
    store.advance("new", last)
    store.advance("new", first)
    assert store.cursor("new") == last
    assert store.cursor("newer") == last


def test_waiting_counts_what_the_sink_wants(store):
    store.cursor("hook")
    pending = replace(FEAR, seq=0, status=Status.PENDING)
    store.append([pending, FEAR, resolved(FEAR)])
    assert store.waiting("hook") == 2
    assert store.waiting("hook", tuple(Status)) == 3
    store.advance("hook", store.after(0, 10)[1][0])
    assert store.waiting("hook") == 1


def test_waiting_does_not_count_what_is_silenced(store):
    store.cursor("hook")
    store.append([alert(1), replace(alert(2), silenced_by="muted:night"), resolved(alert(1))])
    assert store.waiting("hook") == 2


def test_waiting_is_right_whatever_came_was_received_or_pruned_since(store, clock):
    store.cursor("hook")
    said = []
    for number in range(10):
        store.append([alert(number), replace(FEAR, alert_id=f"p{number}", seq=0, status=Status.PENDING)])
        if number % 3 == 0:
            store.advance("hook", store.after(0, 1000)[number][0])
        if number == 7:
            clock.now += 61 * DAY
            store.prune(clock.now)
        position = store.cursor("hook")
        waiting = [one for at, one in store.after(0, 1000) if at > position and one.status is Status.FIRING]
        said.append((store.waiting("hook"), len(waiting)))
    assert all(counted == real for counted, real in said), said
    assert len(dict(said)) > 3


def test_what_never_fired_is_kept_for_a_shorter_time(store, clock):
    store.cursor("hook")
    pending = [replace(FEAR, alert_id=f"p{number}", seq=0, status=Status.PENDING) for number in range(3)]
    store.append([*pending, FEAR, resolved(FEAR)])
    assert store.prune(clock.now + 1.5 * DAY) == Pruned(0, 0), "hook has not come so far"
    store.advance("hook", store.after(0, 10)[1][0])
    assert store.prune(clock.now + 1.5 * DAY) == Pruned(2, 0)
    assert store.prune(clock.now + 2.5 * DAY) == Pruned(1, 0), "twice as long, and not reported: it is for no sink"
    assert [found.status for _, found in store.after(0, 10)] == [Status.FIRING, Status.RESOLVED]


def test_silenced_transitions_that_go_are_no_loss(store, clock):
    store.cursor("hook")
    silenced = replace(FEAR, silenced_by="inhibited:camera-down")
    store.append([silenced, resolved(silenced), alert(1), resolved(alert(1))])
    assert store.prune(clock.now + 61 * DAY) == Pruned(deleted=4, undelivered=2)


def test_an_old_store_without_silence_is_read_as_before(store):
    store.cursor("hook")
    store.append([FEAR])
    store._connection.execute("UPDATE alerts SET body = json_remove(body, '$.silenced_by', '$.config')")
    assert store.waiting("hook") == 1
    assert store.firing() == [replace(FEAR, config="")]


def test_firing_is_the_last_word_on_each_alert(store):
    one, two = alert(1), alert(2)
    repeated = replace(two, seq=2, reason="repeat")
    store.append([one, two])
    store.append([resolved(one), repeated])
    store.append([one])  # a replay after a restart changes nothing
    assert store.firing() == [repeated]


def test_retention_counts_from_recording_and_spares_what_is_not_received_or_fires(store, clock):
    store.cursor("hook")
    old, undelivered, burning = alert(1), alert(2), alert(3)
    store.append([burning, old, resolved(old)])
    store.advance("hook", store.after(0, 10)[-1][0])
    store.append([undelivered, resolved(undelivered)])
    assert store.prune(clock.now + 29 * DAY) == Pruned(0, 0)
    assert store.prune(clock.now + 31 * DAY) == Pruned(2, 0)
    assert ids(store.after(0, 10)) == ["alert-00003", "alert-00002", "alert-00002"]
    assert store.prune(clock.now + 61 * DAY) == Pruned(2, 2)
    assert store.firing() == [burning]


def test_a_position_is_never_given_twice(store, clock):
    done = resolved(alert(1))
    store.append([done])
    position = store.cursor("hook")
    store.prune(clock.now + 61 * DAY)
    store.append([alert(2)])
    assert ids(store.after(position, 10)) == ["alert-00002"]


def test_append_prunes_once_an_hour(store, clock):
    store.append([resolved(alert(1))])
    clock.now += 61 * DAY
    store.append([resolved(alert(2))])
    assert ids(store.after(0, 10)) == ["alert-00002"]


def test_dead_letters_keep_the_alert_and_the_reason(store, clock):
    store.cursor("hook")
    store.append([FEAR])
    ((position, found),) = store.after(0, 10)
    store.bury("hook", position, alerts=[found], reason="answered 400")
    (letter,) = store.dead_letters()
    assert (letter.sink, letter.reason, letter.alert) == ("hook", "answered 400", FEAR)
    assert store.cursor("hook") == position


def test_a_full_disk_is_said_and_survived(store, path):
    store.append([FEAR], {"rules": b"1"})
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [alert(number) for number in range(500)]
    with pytest.raises(SinkError, match="the disk is full") as caught:
        store.append(many, {"rules": b"2"})
    assert caught.value.retryable
    assert store.latest(9) == [FEAR]
    assert store.states() == {"rules": b"1"}
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert store.append(many, {"rules": b"2"}) == 500


def test_a_locked_file_is_worth_another_try(store, path):
    store._connection.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SinkError, match="another process holds it") as caught:
        store.append([FEAR])
    assert caught.value.retryable
    other.execute("ROLLBACK")
    other.close()
    assert store.append([FEAR]) == 1


def open_and_fail(path: Path) -> SinkError:
    with pytest.raises(SinkError) as caught:
        Store(StoreSettings(path=path))
    assert str(path) in str(caught.value)
    assert not caught.value.retryable
    return caught.value


def test_a_missing_folder_is_named(tmp_path):
    assert "folder exists" in str(open_and_fail(tmp_path / "missing" / "mien.sqlite"))


def test_a_file_that_is_no_database_is_left_alone(path):
    path.write_text("dear diary, " * 100)
    assert "isn't an SQLite database" in str(open_and_fail(path))
    assert path.read_text().startswith("dear diary")


def test_the_database_of_another_program_is_left_alone(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    assert "another program" in str(open_and_fail(path))


def test_a_newer_schema_is_refused(store, path):
    store._connection.execute("PRAGMA user_version = 99")
    assert "schema 99" in str(open_and_fail(path))


SCHEMA_1 = """
CREATE TABLE alerts (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  transition_id TEXT NOT NULL UNIQUE,
  alert_id TEXT NOT NULL,
  status TEXT NOT NULL,
  recorded_at REAL NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE TABLE firing (alert_id TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE states (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE cursors (sink TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE dead_letters (
  sink TEXT NOT NULL,
  transition_id TEXT NOT NULL,
  recorded_at REAL NOT NULL,
  reason TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (sink, transition_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_recorded_at ON alerts (recorded_at);
PRAGMA application_id = 1835623790;
PRAGMA user_version = 1;
INSERT INTO states VALUES ('lobby', x'00ff');
INSERT INTO cursors VALUES ('hook', 2);
"""
"""The store as mien 0.1.0 made it first."""


@pytest.fixture
def old(path):
    """A store of schema 1 with alerts in every state, and two rows that nobody can read."""
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA_1)
    for one in [*made_up(100, cameras=("lobby", "quay"), rules={"afraid": Severity.WARNING}, until=1e6), alert(0)]:
        row = (one.transition_id, one.alert_id, one.status, 1e6, encode(one).decode())
        connection.execute("INSERT INTO alerts VALUES (NULL, ?, ?, ?, ?, ?)", row)
    for number, body in enumerate(("nonsense", "{}")):
        connection.execute("INSERT INTO alerts VALUES (NULL, ?, ?, 'firing', 1e6, ?)", (f"x{number}", "x", body))
    connection.commit()
    connection.close()
    return path


def test_an_old_store_is_brought_up_to_date_in_place(old, tmp_path):
    store = Store(StoreSettings(path=old), clock=lambda: 1e6)
    new = Store(StoreSettings(path=tmp_path / "new.sqlite"), clock=lambda: 1e6)
    kept = [one for _, one in store.after(0, 1000)]
    new.append(kept)
    readers = [StoreReader(path) for path in (old, tmp_path / "new.sqlite")]
    pages = [reader.page(Wanted(), limit=1000).episodes for reader in readers]
    assert len(kept) > 200
    assert pages[0] == pages[1]
    assert store.states() == {"lobby": b"\x00\xff"}
    assert store.cursor("hook") == 2
    assert store.acknowledge(kept[0].alert_id)
    for one in (*readers, new, store):
        one.close()
    again = Store(StoreSettings(path=old))
    assert again.append(kept) == 0
    again.close()


def test_a_store_on_which_an_older_mien_runs_stays_as_it_is(old):
    with old.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "an older mien runs" in str(open_and_fail(old))
    store = Store(StoreSettings(path=old))
    other = Store(StoreSettings(path=old))
    other.claim()
    other.close()
    store.close()


def test_a_store_that_cannot_be_brought_up_to_date_stays_as_it_was(old):
    other = sqlite3.connect(old, isolation_level=None)
    other.execute("CREATE TABLE episodes (a)")  # a half-finished one, from whatever
    other.execute("PRAGMA application_id")
    with pytest.raises(SinkError):
        Store(StoreSettings(path=old))
    assert other.execute("PRAGMA user_version").fetchone() == (1,)
    other.execute("DROP TABLE episodes")
    other.close()
    Store(StoreSettings(path=old)).close()


def test_damage_is_found_at_the_start(store, path):
    store.append([alert(number) for number in range(500)])
    store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    data = bytearray(path.read_bytes())
    data[4096 * 6 : 4096 * 12] = b"\xa5" * 4096 * 6
    path.write_bytes(data)
    assert "damaged" in str(open_and_fail(path))


def test_a_row_that_cannot_be_read_blocks_nobody(store):
    store.append([alert(1), alert(2), alert(3)])
    store._connection.execute("UPDATE alerts SET body = '{}' WHERE position < 3")
    assert ids(store.after(0, 1)) == ["alert-00003"]


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(SinkError, match="closed"):
        store.append([FEAR])


@pytest.mark.parametrize("key", ["retention", "pending_retention"])
def test_a_retention_of_nothing_is_refused(key):
    with pytest.raises(ValueError, match=f"a {key} of at least 1m"):
        StoreSettings(**{key: 1.0})


def test_one_pipeline_at_a_time_runs_on_a_store(store, path):
    store.claim()
    second = Store(StoreSettings(path=path))
    with pytest.raises(SinkError, match="another mien runs"):
        second.claim()
    assert second.states() == {}, "reading needs no claim"
    store.close()
    second.claim()
    second.close()


def test_a_sink_that_is_no_longer_configured_holds_nothing_back(store, clock):
    for sink in ("hook", "gone"):
        store.cursor(sink)
    store.append([FEAR, resolved(FEAR)])
    store.advance("hook", store.after(0, 10)[-1][0])
    clock.now += 31 * DAY
    assert store.prune(clock.now).deleted == 0, "gone has not received it"
    store.forget_sinks(["hook"])
    assert store.prune(clock.now) == Pruned(deleted=2, undelivered=0)
    assert store.waiting("hook") == 0
