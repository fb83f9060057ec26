"""The store: one SQLite file that is the journal of all alerts and the memory of the rules.

`append` writes alert transitions and rule states in one transaction, so a crash leaves both or neither, and a replay
after it finds its transitions already there. Every sink reads the journal behind a cursor of its own: a sink that is
down for hours loses nothing and costs no memory.

One connection behind one lock: appends are rare (alerts, not frames), and the readers' queries take microseconds.
"""

from __future__ import annotations

import fcntl
import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from connectors.sink import NOTIFIED, WAITED
from connectors.wire import decode, encode, presentable
from operators.errors import DecodeError, SinkError
from operators.records import Alert, Status
from operators.units import Seconds

__all__ = ["DeadLetter", "Pruned", "Store", "StoreSettings", "readable", "translated"]

_log = logging.getLogger(__name__)

_APPLICATION_ID = 0x6D69656E  # "mien" in the file's header, so that another program's database is never touched
_SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS alerts (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  transition_id TEXT NOT NULL UNIQUE,
  alert_id TEXT NOT NULL,
  status TEXT NOT NULL,
  recorded_at REAL NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS firing (alert_id TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS cursors (sink TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters (
  sink TEXT NOT NULL,
  transition_id TEXT NOT NULL,
  recorded_at REAL NOT NULL,
  reason TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (sink, transition_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS alerts_recorded_at ON alerts (recorded_at);
CREATE TABLE IF NOT EXISTS episodes (
  first INTEGER PRIMARY KEY,
  alert_id TEXT NOT NULL UNIQUE,
  last INTEGER NOT NULL,
  rule TEXT NOT NULL,
  camera_id TEXT NOT NULL,
  severity TEXT NOT NULL,
  status TEXT NOT NULL,
  started REAL NOT NULL,
  ended REAL,
  acknowledged_at REAL,
  note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS episodes_status ON episodes (status, first);
"""
"""`episodes` has one row per alert, for whoever pages through them: where its first and its latest transition are, and
what people said to it. All else in it can be made anew from `alerts`."""
_FILL_EPISODES = """
INSERT OR IGNORE INTO episodes (first, alert_id, last, rule, camera_id, severity, status, started, ended)
SELECT known.first, known.alert_id, known.last, newest.body ->> 'rule', newest.body ->> 'camera_id',
  newest.body ->> 'severity', newest.status, oldest.body ->> 'ts',
  iif(newest.status IN ('resolved', 'broken'), newest.body ->> 'ts', NULL)
FROM (
  SELECT alert_id, min(position) AS first, max(position) AS last FROM alerts
  WHERE CASE WHEN json_valid(body) THEN
    (body ->> 'rule') || (body ->> 'camera_id') || (body ->> 'severity') || (body ->> 'ts')
  END NOT NULL
  GROUP BY alert_id
) AS known
JOIN alerts AS oldest ON oldest.position = known.first
JOIN alerts AS newest ON newest.position = known.last
ORDER BY known.first
"""
_ENDED = (Status.RESOLVED, Status.BROKEN)
_SENT = "CASE WHEN json_valid(body) THEN coalesce(body ->> 'silenced_by', '') = '' ELSE true END"
"""Not silenced; transitions from before there was silence say nothing about it, nor do rows that can't be read."""
_PRUNE_EVERY_S = 3600.0
_ADVICE = {
    "SQLITE_FULL": "the disk is full: free some space, recording then goes on by itself",
    "SQLITE_IOERR": "reading or writing failed: check the disk and the mount",
    "SQLITE_BUSY": "another process holds it: stop the other one, or wait",
    "SQLITE_LOCKED": "another process holds it: stop the other one, or wait",
    "SQLITE_READONLY": "it can't be written to: check the owner and the mode of the file and its folder",
    "SQLITE_PERM": "it can't be written to: check the owner and the mode of the file and its folder",
    "SQLITE_CANTOPEN": "it can't be opened: check that the folder exists and can be written to",
    "SQLITE_CORRUPT": "it is damaged: move it aside and start again, `sqlite3 FILE .recover` saves what can be saved",
    "SQLITE_NOTADB": "it isn't an SQLite database: name another file",
}
_RETRYABLE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The file that remembers alerts, rule states and what each sink has received."""

    path: Path = Path("mien.sqlite")
    """The SQLite file; created when missing, in a folder that exists. Two more files appear beside it."""
    retention: Seconds = 30 * 86400.0
    """How long a transition is kept after it was recorded; twice as long while a sink has not received it."""
    pending_retention: Seconds = 86400.0
    """The same for what never fired (pending, broken), of which noisy rules make much; at most `retention` counts."""

    def __post_init__(self) -> None:
        """Refuse a retention that would drop alerts before a sink could read them."""
        for name in ("retention", "pending_retention"):
            if getattr(self, name) < 60:
                raise ValueError(f"expected a {name} of at least 1m, got {getattr(self, name):g} s")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one `prune` deleted; `undelivered` of them should have reached some sink and never did."""

    deleted: int
    undelivered: int

    def __add__(self, other: Pruned) -> Pruned:
        """Both together."""
        return Pruned(self.deleted + other.deleted, self.undelivered + other.undelivered)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A transition that a sink refused for good, and why."""

    sink: str
    recorded_at: float
    reason: str
    alert: Alert


class Store:
    """The journal and the rule states; may be used from many threads. Every method raises SinkError.

    `retryable` errors (disk full, file locked) leave the store as it was: call again with the same arguments.
    """

    def __init__(self, settings: StoreSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._path = settings.path
        waited = min(settings.pending_retention, settings.retention)
        self._retentions: dict[tuple[Status, ...], float] = {NOTIFIED: settings.retention, WAITED: waited}
        self._waiting: dict[tuple[str, tuple[Status, ...], bool], tuple[int, int, int]] = {}
        """What `waiting` has counted for a sink: the count, from where to where."""
        self._clock = clock
        self._lock = threading.Lock()
        self._pruned_at = -math.inf
        self._claim: BinaryIO | None = None
        with self._translated():
            self._connection = sqlite3.connect(
                settings.path,
                timeout=5.0,  # other processes only read, or write a row; 5 s is a stuck disk
                isolation_level=None,  # transactions are written out below
                check_same_thread=False,
            )
        try:
            self._prepare()
        except SinkError:
            self.close()
            raise

    def claim(self) -> None:
        """Make this the one pipeline that runs on the store, until `close`; two would deliver every alert twice.

        Raises SinkError where another process has claimed it. Reading needs no claim.
        """
        if not self._claimed():
            raise SinkError(
                f"another mien runs on the store {self._path}: stop it, or name another file under store.path",
                retryable=False,
            )

    def append(self, alerts: Sequence[Alert], states: Mapping[str, bytes] | None = None) -> int:
        """Record transitions and the rule states they left behind, both or neither; return how many were new.

        A transition that is already there is passed over. When this returns, both survive a power cut.
        """
        now = self._clock()
        with self._transaction() as connection:
            added = sum(_insert(connection, presentable(alert), now=now) for alert in alerts)
            connection.executemany("INSERT OR REPLACE INTO states VALUES (?, ?)", (states or {}).items())
        if now - self._pruned_at > _PRUNE_EVERY_S:
            self._pruned_at = now
            self.prune(now)
        return added

    def states(self) -> dict[str, bytes]:
        """Return the rule states by name, as last appended."""
        return {name: bytes(body) for name, body in self._rows("SELECT name, body FROM states")}

    def after(self, cursor: int, limit: int) -> list[tuple[int, Alert]]:
        """Return at most `limit` transitions behind position `cursor`, oldest first."""
        rows = self._rows(
            "SELECT position, body FROM alerts WHERE position > ? ORDER BY position LIMIT ?", (cursor, limit)
        )
        found = list(readable(rows))
        # A whole batch of unreadable rows must not look like the end of the journal.
        return found if found or not rows else self.after(rows[-1][0], limit)

    def cursor(self, sink: str) -> int:
        """Return the position up to which `sink` has everything; a sink seen for the first time starts at the end."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO cursors SELECT ?, coalesce((SELECT max(seq) FROM sqlite_sequence), 0)", (sink,)
            )
            (position,) = connection.execute("SELECT position FROM cursors WHERE sink = ?", (sink,)).fetchone()
            return int(position)

    def forget_sinks(self, kept: Sequence[str]) -> None:
        """Drop the positions of all sinks but these, so that the journal is not kept for a sink nobody configures."""
        with self._transaction() as connection:
            connection.execute(f"DELETE FROM cursors WHERE sink NOT IN ({_marks(kept)})", tuple(kept))  # noqa: S608

    def advance(self, sink: str, position: int) -> None:
        """Note that `sink` has everything up to `position`; it never moves back."""
        with self._transaction() as connection:
            _advance(connection, sink, position)

    def waiting(self, sink: str, statuses: Sequence[Status] = NOTIFIED, *, silenced: bool = False) -> int:
        """Return how many transitions of these statuses `sink` has not received; silenced ones only if it wants them.

        Asked several times a second, so it counts only what came or was received since the last time.
        """
        key = (sink, tuple(statuses), silenced)
        with self._lock, self._translated():
            (last,) = self._connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
            found = self._connection.execute("SELECT position FROM cursors WHERE sink = ?", (sink,)).fetchone()
            cursor = int(found[0]) if found else 0
            count, received, counted = self._waiting.get(key, (0, cursor, cursor))
            count += self._count(statuses, counted, last, silenced=silenced)
            count -= self._count(statuses, received, cursor, silenced=silenced)
            self._waiting[key] = (count, cursor, last)
        return count

    def firing(self) -> list[Alert]:
        """Return the last transition of every alert that fires now, oldest first."""
        return [
            alert
            for _, alert in readable(
                self._rows("SELECT position, body FROM firing JOIN alerts USING (position) ORDER BY position")
            )
        ]

    def latest(self, count: int) -> list[Alert]:
        """Return the last `count` transitions, newest last."""
        rows = self._rows("SELECT position, body FROM alerts ORDER BY position DESC LIMIT ?", (count,))
        return [alert for _, alert in readable(reversed(rows))]

    def acknowledge(self, alert_id: str, note: str = "") -> bool:
        """Note that a person has seen an alert, and what they said; return whether there is such an alert."""
        return self._said(alert_id, self._clock(), note)

    def unacknowledge(self, alert_id: str) -> bool:
        """Take that back; return whether there is such an alert."""
        return self._said(alert_id, None, "")

    def history(self, prefix: str) -> list[Alert]:
        """Return the transitions of all alerts whose id begins with `prefix`, oldest first."""
        # Ids are hexadecimal, so "g" comes after all that begin so; transition ids begin with them and have the index.
        rows = self._rows(
            "SELECT position, body FROM alerts WHERE transition_id >= ? AND transition_id < ? ORDER BY position",
            (prefix, prefix + "g"),
        )
        return [alert for _, alert in readable(rows)]

    def bury(self, sink: str, position: int, *, alerts: Iterable[Alert], reason: str) -> None:
        """Keep what `sink` refused as dead letters and advance it to `position`, in one transaction."""
        now = self._clock()
        rows = [(sink, alert.transition_id, now, reason, encode(alert).decode()) for alert in alerts]
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?)", rows)
            _advance(connection, sink, position)

    def dead_letters(self) -> list[DeadLetter]:
        """Return what sinks refused, oldest first."""
        rows = self._rows("SELECT sink, recorded_at, reason, body FROM dead_letters ORDER BY recorded_at")
        return [DeadLetter(sink, at, reason, decode(body, Alert)) for sink, at, reason, body in rows]

    def prune(self, now: float) -> Pruned:
        """Delete what is older than its retention; `append` does this once an hour.

        What a sink has not received stays for twice the retention, what fires stays until it is resolved.
        """
        pruned = Pruned(0, 0)
        with self._transaction() as connection:
            (received,) = connection.execute("SELECT coalesce(min(position), 1 << 62) FROM cursors").fetchone()
            for statuses, retention_s in self._retentions.items():
                pruned += _prune(connection, statuses, received, keep_after=now - retention_s, retention_s=retention_s)
            oldest = now - self._retentions[NOTIFIED]
            connection.execute("DELETE FROM dead_letters WHERE recorded_at < ?", (oldest,))
            if pruned.deleted:
                connection.execute("DELETE FROM episodes WHERE last NOT IN (SELECT position FROM alerts)")
            self._waiting.clear()
        if pruned.undelivered:
            _log.error("retention dropped alerts that a sink never received count=%d", pruned.undelivered)
        return pruned

    def close(self) -> None:
        """Close the file; every later call raises SinkError."""
        with self._lock:
            self._connection.close()
        if self._claim is not None:
            self._claim.close()

    def _prepare(self) -> None:
        """Check that the file is ours and sound, and create the tables in a new one."""
        with self._translated():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # an acknowledged alert survives a power cut
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            self._create()
        elif application != _APPLICATION_ID:
            raise SinkError(f"store {self._path} belongs to another program: name another file", retryable=False)
        elif version > _SCHEMA_VERSION:
            raise SinkError(
                f"store {self._path} was written by a newer mien (schema {version}, this one reads up to "
                f"{_SCHEMA_VERSION}): upgrade mien, or name another file",
                retryable=False,
            )
        else:
            self._check()
            if version < _SCHEMA_VERSION:
                self._migrate(version)

    def _claimed(self) -> bool:
        """Whether this is the one that runs on the store now."""
        # Open until the end: a file that is closed takes SQLite's locks along. Those don't see flock, nor flock them.
        self._claim = self._claim or self._path.open("rb")
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _migrate(self, version: int) -> None:
        """Bring a file of an older mien up to date, wholly or not at all; none that still writes to it as it was."""
        if not self._claimed():
            raise SinkError(f"an older mien runs on the store {self._path}: stop it first", retryable=False)
        assert self._claim is not None  # noqa: S101 -- it is ours
        with self._transaction() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(_FILL_EPISODES)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        fcntl.flock(self._claim, fcntl.LOCK_UN)
        _log.info("store is brought up to date path=%s schema=%d->%d", self._path, version, _SCHEMA_VERSION)

    def _create(self) -> None:
        with self._transaction() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    def _check(self) -> None:
        ((found,),) = self._rows("PRAGMA quick_check(1)")
        if found != "ok":
            raise SinkError(f"store {self._path}: {_ADVICE['SQLITE_CORRUPT']} ({found})", retryable=False)

    def _count(self, statuses: Sequence[Status], after: int, until: int, *, silenced: bool) -> int:
        """Transitions for sinks in a stretch of the journal; the caller holds the lock."""
        (count,) = self._connection.execute(
            f"""SELECT count(*) FROM alerts WHERE position > ? AND position <= ?
            AND status IN ({_marks(statuses)}) AND (? OR {_SENT})""",  # noqa: S608 -- only marks
            (after, until, *statuses, silenced),
        ).fetchone()
        return int(count)

    def _said(self, alert_id: str, at: float | None, note: str) -> bool:
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE episodes SET acknowledged_at = ?, note = ? WHERE alert_id = ?", (at, note, alert_id)
            )
            return changed.rowcount > 0

    def _rows(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        with self._lock, self._translated():
            return self._connection.execute(query, parameters).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self._path)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the store at `path` into SinkError with advice."""
    try:
        yield
    except sqlite3.Error as error:
        # Extended codes (SQLITE_IOERR_WRITE) share the advice of their family.
        code = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
        advice = _ADVICE.get(code, str(error))
        raise SinkError(f"store {path}: {advice}", retryable=code in _RETRYABLE) from error


def readable(rows: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Alert]]:
    """Decode rows; one that can't be read (written by hand, or by a newer version) is said and passed over."""
    for position, body in rows:
        try:
            yield position, decode(body, Alert)
        except DecodeError as error:
            _log.error("alert in the store can't be read position=%d error=%s", position, error)


def _insert(connection: sqlite3.Connection, alert: Alert, *, now: float) -> int:
    """Insert one transition unless it is there, keep the table of firing alerts in step; return 1 if it was new."""
    cursor = connection.execute(
        "INSERT OR IGNORE INTO alerts (transition_id, alert_id, status, recorded_at, body) VALUES (?, ?, ?, ?, ?)",
        (alert.transition_id, alert.alert_id, alert.status, now, encode(alert).decode()),
    )
    if not cursor.rowcount:
        return 0
    ended = alert.ts if alert.status in _ENDED else None
    connection.execute(
        """INSERT INTO episodes (first, alert_id, last, rule, camera_id, severity, status, started, ended)
        VALUES (?1, ?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (alert_id) DO UPDATE
        SET last = excluded.last, severity = excluded.severity, status = excluded.status, ended = excluded.ended""",
        (cursor.lastrowid, alert.alert_id, alert.rule, alert.camera_id, alert.severity, alert.status, alert.ts, ended),
    )
    if alert.status is Status.FIRING:
        connection.execute("INSERT OR REPLACE INTO firing VALUES (?, ?)", (alert.alert_id, cursor.lastrowid))
    else:
        connection.execute("DELETE FROM firing WHERE alert_id = ?", (alert.alert_id,))
    return 1


def _prune(
    connection: sqlite3.Connection, statuses: Sequence[Status], received: int, *, keep_after: float, retention_s: float
) -> Pruned:
    """Delete old transitions of these statuses; `received` is the position up to which every sink has everything."""
    give_up_before = keep_after - retention_s
    old = f"""FROM alerts WHERE recorded_at < ? AND status IN ({_marks(statuses)})
        AND position NOT IN (SELECT position FROM firing)"""  # noqa: S608 -- only marks
    undelivered = 0
    if statuses == NOTIFIED:  # hardly a sink wants the others
        query = f"SELECT count(*) {old} AND position > ? AND {_SENT}"
        (undelivered,) = connection.execute(query, (give_up_before, *statuses, received)).fetchone()
    deleted = connection.execute(f"DELETE {old} AND position <= ?", (keep_after, *statuses, received)).rowcount
    deleted += connection.execute(f"DELETE {old}", (give_up_before, *statuses)).rowcount
    return Pruned(deleted, undelivered)


def _advance(connection: sqlite3.Connection, sink: str, position: int) -> None:
    connection.execute(
        """INSERT INTO cursors VALUES (?, ?)
        ON CONFLICT (sink) DO UPDATE SET position = max(position, excluded.position)""",
        (sink, position),
    )


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
