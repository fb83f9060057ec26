"""Reading the store beside the pipeline that writes it: a connection of its own, which waits for nobody.

The journal is in SQLite's write-ahead mode, so that readers never hold up the writer, nor the writer them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from connectors.store import readable, translated
from operators.records import Alert

__all__ = ["Episode", "Page", "StoreReader", "Wanted"]

_EPISODES = """
SELECT first, started, recorded_at, acknowledged_at, note, position, body FROM episodes JOIN alerts ON position = last
"""


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert as it is now: its latest transition. `position` is its place, in the order in which alerts began."""

    position: int
    alert: Alert
    started: float
    recorded_at: float
    acknowledged_at: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some alerts, and where the next page begins, if there is one."""

    episodes: tuple[Episode, ...]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which alerts: any of the values where there are several, all where there is none.

    `since` and `until` (seconds since the epoch) are met by what went on at some time between them.
    """

    statuses: Sequence[str] = ()
    rules: Sequence[str] = ()
    cameras: Sequence[str] = ()
    severities: Sequence[str] = ()
    since: float | None = None
    until: float | None = None
    acknowledged: bool | None = None


class StoreReader:
    """The alerts of a store that a `Store` has opened; may be used from many threads. Every method raises SinkError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with translated(path):
            self._connection = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=1.0, check_same_thread=False
            )

    def page(self, wanted: Wanted, *, limit: int, before: int | None = None) -> Page:
        """At most `limit` alerts, the one that began last first; `before` is what the page before gave as `next`.

        An alert keeps its position while it goes on, so that pages neither miss nor repeat one while others begin.
        """
        conditions, parameters = _conditions(wanted, before)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = self._rows(f"{_EPISODES} {where} ORDER BY first DESC LIMIT ?", (*parameters, limit + 1))
        return Page(_episodes(rows[:limit]), rows[limit - 1][0] if len(rows) > limit else None)

    def episode(self, alert_id: str) -> Episode | None:
        """One alert, or None where there is none of that id."""
        found = _episodes(self._rows(f"{_EPISODES} WHERE episodes.alert_id = ?", (alert_id,)))
        return found[0] if found else None

    def transitions(self, alert_id: str) -> list[Alert]:
        """All that is known of one alert, oldest first."""
        # Transition ids begin with the alert's and have the index; "." comes after the "-" that follows it.
        rows = self._rows(
            "SELECT position, body FROM alerts WHERE transition_id > ? AND transition_id < ? ORDER BY position",
            (f"{alert_id}-", f"{alert_id}."),
        )
        return [alert for _, alert in readable(rows)]

    def fired(self) -> dict[str, tuple[int, float]]:
        """How many alerts of each rule have fired, as far as they are kept, and when the one that began last did."""
        rows = self._rows(
            """SELECT rule, fired, body ->> 'fired_at' FROM (
              SELECT rule, count(*) AS fired, max(first), last FROM episodes
              WHERE status IN ('firing', 'resolved') GROUP BY rule
            ) JOIN alerts ON position = last""",
            (),
        )
        return {rule: (count, float(at)) for rule, count, at in rows if at is not None}

    def last(self) -> int:
        """The position of the newest transition, 0 where there is none."""
        ((position,),) = self._rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence", ())
        return int(position)

    def after(self, position: int, limit: int) -> list[tuple[int, Alert]]:
        """At most `limit` transitions behind a position, oldest first."""
        rows = self._rows(
            "SELECT position, body FROM alerts WHERE position > ? ORDER BY position LIMIT ?", (position, limit)
        )
        found = list(readable(rows))
        # A whole page of unreadable rows must not look like the end.
        return found if found or not rows else self.after(rows[-1][0], limit)

    def close(self) -> None:
        """Close the file; every later call raises SinkError."""
        with self._lock:
            self._connection.close()

    def _rows(self, query: str, parameters: Sequence[object]) -> list[Any]:
        with self._lock, translated(self._path):
            return self._connection.execute(query, parameters).fetchall()


def _episodes(rows: Iterable[Sequence[Any]]) -> tuple[Episode, ...]:
    """Rows of `_EPISODES`, without those that can't be read."""
    return tuple(Episode(first, alert, *more) for first, *more, at, body in rows for _, alert in readable([(at, body)]))


def _conditions(wanted: Wanted, before: int | None) -> tuple[list[str], list[object]]:
    """SQL over the columns of `episodes`, and its parameters."""
    conditions: list[str] = []
    parameters: list[object] = []

    def must(condition: str, *values: object) -> None:
        conditions.append(condition)
        parameters.extend(values)

    one = len(wanted.statuses) == 1
    listed = {
        # Of one status the index gives a page in order; of several it would have to sort all: scanning is faster.
        "episodes.status" if one else "+episodes.status": wanted.statuses,
        "rule": wanted.rules,
        "camera_id": wanted.cameras,
        "severity": wanted.severities,
    }
    for column, values in listed.items():
        if values:
            must(f"{column} IN ({', '.join('?' * len(values))})", *values)
    if before is not None:
        must("first < ?", before)
    if wanted.until is not None:
        must("started <= ?", wanted.until)
    if wanted.since is not None:
        must("coalesce(ended, 9e999) >= ?", wanted.since)
    if wanted.acknowledged is not None:
        must(f"acknowledged_at IS {'NOT ' if wanted.acknowledged else ''}NULL")
    return conditions, parameters
