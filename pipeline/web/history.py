"""What the cameras showed in the last hours, in stretches of time: bounded, and cheap enough for the analysis thread.

Each camera has two rings of figures: stretches of 1 s for the last twenty minutes, and of 10 s as far back as is kept.
A record costs 6 to 10 us, a third of what the roll-ups for Elasticsearch take; six hours of a camera are 190 KB
(`tests/benchmarks/console_memory.py`). Figures are counts and milliseconds, so any number of stretches make up a longer
one and nothing is lost.

A clock that goes back further than the rules bear was set anew: what the camera showed from that time on is forgotten.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from connectors.mailbox import MAX_STEP_BACK_S
from operators.records import Gap, Observation
from operators.rules import EXPRESSIONS
from operators.units import Seconds

__all__ = ["Counts", "History", "Stretches"]

FINE_MS = 1000
COARSE_MS = 10_000
FINE_FOR_S = 1200
"""How long stretches of 1 s are kept."""
LONGEST_STEP_MS = 10_000
"""Time between two frames that are further apart was not observed."""
MOST_GAPS = 2000
"""Gaps that are kept of one camera, of which neighbours of one reason count as one."""
NEIGHBOURS_S = 1.0
"""Gaps of one reason that are no further apart are one."""
WIDTHS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Widths that a person can read on an axis; each is a whole number of stretches."""

_FRAMES, _FACES, _UNREAD, _OBSERVED, _LABELS = range(5)
_NEVER = -(1 << 62)

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """What one camera showed in consecutive stretches of `width_s`, from `start` (seconds since the epoch) on.

    All are `(n,)`. `frames`, `faces` (of all frames together) and `unread` ones of them are counts, `observed_ms` is
    the time in which the camera was seen. `labels (n, k)` counts the faces that showed each of the history's k labels
    most.
    """

    width_s: int
    start: Counts
    frames: Counts
    faces: Counts
    unread: Counts
    observed_ms: Counts
    labels: Counts

    def __len__(self) -> int:
        return len(self.start)


class History:
    """What the cameras showed in the last `keep` seconds, of `labels`. Filled by one thread at a time, read by any."""

    def __init__(self, keep: Seconds, labels: Sequence[str] = EXPRESSIONS) -> None:
        self.keep_s = keep
        self.labels = tuple(labels)
        self._column = {label: number for number, label in enumerate(self.labels, _LABELS)}
        self._columns = _LABELS + len(self.labels)
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}

    def take(self, records: Iterable[Observation | Gap]) -> None:
        """Take in what was seen, each camera's records in order."""
        with self._lock:
            for record in records:
                camera = self._cameras.get(record.camera_id)
                if camera is None:
                    camera = self._cameras[record.camera_id] = _Camera(self.keep_s, self._column)
                camera.take(record)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras of which anything is known."""
        return tuple(self._cameras)

    def newest(self, camera_id: str) -> float | None:
        """Time of a camera's last record, or None before its first."""
        camera = self._cameras.get(camera_id)
        return None if camera is None or camera.now == _NEVER else camera.now / 1000

    def stretches(self, camera_id: str, begin: float, end: float, *, points: int) -> Stretches:
        """What a camera showed from `begin` to `end`, in about `points` stretches at most.

        The first and the last one are those in which something was seen, and may reach a little beyond; where nothing
        is known, there is none.
        """
        with self._lock:
            camera = self._cameras.get(camera_id)
            if camera is None:
                return _summed(1, np.empty(0, np.int64), np.empty((0, self._columns), np.int64))
            camera.close()
            fine = begin * 1000 >= camera.now - FINE_FOR_S * 1000
            ring = camera.fine if fine else camera.coarse
            numbers, figures = ring.between(begin, end)
        return _summed(width(end - begin, points, least=ring.width // 1000), numbers * (ring.width // 1000), figures)

    def gaps(self, camera_id: str, begin: float, end: float, *, apart: float = NEIGHBOURS_S) -> list[Gap]:
        """When a camera was not seen, and why, in order; gaps of one reason less than `apart` seconds apart are one."""
        with self._lock:
            camera = self._cameras.get(camera_id)
            known = [] if camera is None else [gap for gap in camera.gaps if gap.to_ts > begin and gap.from_ts < end]
        joined: deque[Gap] = deque()
        for gap in known:
            _append(joined, gap, apart)
        return list(joined)


def width(span: float, points: int, *, least: int = 1) -> int:
    """Seconds of a stretch, of which about `points` at most make up `span` seconds; `least` or more."""
    fitting = (each for each in WIDTHS_S if each >= least and span <= each * points)
    return next(fitting, -(-int(span) // (points * WIDTHS_S[-1])) * WIDTHS_S[-1])


class _Camera:
    """One camera: the second that goes on, the rings that it ends up in, and gaps."""

    def __init__(self, keep_s: float, column: Mapping[str, int]) -> None:
        self._column, self._none = column, [0] * (_LABELS + len(column))
        self.fine = _Ring(FINE_MS, FINE_FOR_S * 1000, len(self._none))
        self.coarse = _Ring(COARSE_MS, max(round(keep_s * 1000), FINE_FOR_S * 1000), len(self._none))
        self.gaps: deque[Gap] = deque(maxlen=MOST_GAPS)
        self.now = _NEVER
        self._seen_ms = _NEVER
        self._epoch = -1
        self._second = _NEVER
        self._figures = list(self._none)

    def take(self, record: Observation | Gap) -> None:
        if isinstance(record, Gap):
            self._miss(record)
        else:
            self._look(record)

    def close(self) -> None:
        """Put what the second has shown so far into the rings."""
        if any(self._figures):
            self.fine.add(self._second // FINE_MS, self._figures)
            self.coarse.add(self._second // COARSE_MS, self._figures)
            self._figures = list(self._none)

    def _look(self, observation: Observation) -> None:
        ts = round(observation.ts * 1000)
        self._move_to(ts)
        if observation.epoch == self._epoch:
            self._observe(ts)
        self._seen_ms, self._epoch = max(self._seen_ms, ts), observation.epoch
        figures = self._of(ts)
        figures[_FRAMES] += 1
        for face in observation.faces:
            figures[_FACES] += 1
            figures[self._column.get(face.label, _UNREAD)] += 1

    def _miss(self, gap: Gap) -> None:
        begin, end = round(gap.from_ts * 1000), round(gap.to_ts * 1000)
        self._move_to(end)
        self._observe(begin)  # until then it was seen
        self._seen_ms = max(self._seen_ms, end)
        _append(self.gaps, gap, NEIGHBOURS_S)

    def _move_to(self, ts: int) -> None:
        if ts < self.now - MAX_STEP_BACK_S * 1000:
            self._forget_from(ts)
        self.now = max(self.now, ts)

    def _observe(self, until: int) -> None:
        """The time since the last record was seen, if it is not too long."""
        at = self._seen_ms
        if until - at > LONGEST_STEP_MS:
            return
        while at < until:
            border = min(until, (at // FINE_MS + 1) * FINE_MS)
            self._of(at)[_OBSERVED] += border - at
            at = border

    def _of(self, ts: int) -> list[int]:
        """The figures of the second in which `ts` is."""
        second = ts // FINE_MS * FINE_MS
        if second != self._second:
            self.close()
            self._second = second
        return self._figures

    def _forget_from(self, ts: int) -> None:
        self.close()
        self.fine.forget_from(ts)
        self.coarse.forget_from(ts)
        before = [replace(gap, to_ts=min(gap.to_ts, ts / 1000)) for gap in self.gaps if gap.from_ts * 1000 < ts]
        self.gaps = deque(before, maxlen=MOST_GAPS)
        self.now = self._seen_ms = ts


class _Ring:
    """The last stretches of `width` ms: row `number % size` is that of stretch `number`, where `numbers` says so."""

    def __init__(self, width: int, keep_ms: int, columns: int) -> None:
        self.width = width
        size = -(-keep_ms // width) + 1
        self._numbers = np.full(size, _NEVER, np.int64)
        self._figures = np.zeros((size, columns), np.uint32)

    def add(self, number: int, figures: list[int]) -> None:
        row = number % len(self._numbers)
        there = self._numbers[row]
        if there == number:
            self._figures[row] += np.array(figures, np.uint32)
        elif there < number:
            self._numbers[row] = number
            self._figures[row] = figures

    def between(self, begin: float, end: float) -> tuple[Counts, Counts]:
        """Numbers and figures of the stretches that `begin` to `end` (seconds) touches, in order of time."""
        first, last = begin * 1000 / self.width - 1, end * 1000 / self.width
        rows = np.flatnonzero((self._numbers > first) & (self._numbers < last))
        rows = rows[np.argsort(self._numbers[rows])]
        return self._numbers[rows], self._figures[rows].astype(np.int64)

    def forget_from(self, ts: int) -> None:
        self._numbers[self._numbers >= ts // self.width] = _NEVER


def _append(gaps: deque[Gap], gap: Gap, apart: float) -> None:
    """Add a gap; one that follows a gap of the same reason at once lengthens it."""
    last = gaps[-1] if gaps else None
    if last is not None and last.reason is gap.reason and gap.from_ts - last.to_ts <= apart:
        to_ts = max(last.to_ts, gap.to_ts)
        gaps[-1] = replace(last, from_ts=min(last.from_ts, gap.from_ts), to_ts=to_ts, frames=last.frames + gap.frames)
    else:
        gaps.append(gap)


def _summed(width_s: int, starts: Counts, figures: Counts) -> Stretches:
    """Stretches put together to such of `width_s`, from the first to the last in which something was seen."""
    places = starts // width_s
    first = int(places[0]) if len(places) else 0
    count = int(places[-1]) - first + 1 if len(places) else 0
    sums = np.zeros((count, figures.shape[1]), np.int64)
    np.add.at(sums, places - first, figures)
    return Stretches(
        width_s=width_s,
        start=(np.arange(count) + first) * width_s,
        frames=sums[:, _FRAMES],
        faces=sums[:, _FACES],
        unread=sums[:, _UNREAD],
        observed_ms=sums[:, _OBSERVED],
        labels=sums[:, _LABELS:],
    )
