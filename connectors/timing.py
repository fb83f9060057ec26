"""When a picture was taken, which pictures to analyse, and what is missing between them. Pure: time is passed in.

A stream's own time (`pts`) runs evenly but starts anywhere; arrival is absolute but jitters. `StreamClock` adds a
slowly moving offset to `pts`: towards the camera's wall clock where its sender reports are sane, else towards the least
delayed arrivals of the last seconds (a windowed minimum: arrival can be late, never early).
"""

from __future__ import annotations

from dataclasses import dataclass

from operators.records import Clock

__all__ = ["Holes", "Pacer", "Stamp", "StreamClock"]

MAX_SKEW_S = 5.0
"""A sender clock further from ours than this is wrong: its time is not used, its skew is reported."""
MAX_EARLY_S = 1.0
MAX_LATE_S = 10.0
"""Stream time outside [arrival - late, arrival + early] has jumped: arrival is used instead."""
PROBATION = 10
"""Sane pictures in a row before a stream that jumped is trusted again."""
SLEW = 0.05
"""The offset moves by at most this share of elapsed time: durations stay right within 5 %, order is kept."""
WINDOW_S = 10.0
LEAST_STEP_S = 0.001


@dataclass(frozen=True, slots=True)
class Stamp:
    """Time of a picture in seconds since the Unix epoch, where it came from, and sender clock - ours if known."""

    ts: float
    clock: Clock
    skew_s: float | None = None


class StreamClock:
    """Turns the raw times of one connection into strictly growing time stamps."""

    def __init__(self) -> None:
        self._last: Stamp | None = None
        self._pts = 0.0
        self._offset: float | None = None
        self._probation = 0
        self._window_start = 0.0
        self._least = self._least_before = float("inf")

    def stamp(self, *, pts: float | None, sender: float | None, received: float) -> Stamp:
        """`pts` seconds of the stream, `sender` the camera's wall clock, `received` ours, both since the Unix epoch."""
        skew = None if sender is None else sender - received
        trusted = sender if skew is not None and abs(skew) <= MAX_SKEW_S else None
        ts = None if pts is None else self._from_stream(pts, trusted, received)
        if ts is None:
            stamp = Stamp(self._after_last(received), Clock.RECEIVE, skew)
        else:
            stamp = Stamp(self._after_last(ts), Clock.STREAM if trusted is None else Clock.SENDER, skew)
        self._last = stamp
        return stamp

    def _after_last(self, ts: float) -> float:
        return ts if self._last is None else max(ts, self._last.ts + LEAST_STEP_S)

    def _from_stream(self, pts: float, trusted: float | None, received: float) -> float | None:
        """Time by the stream, or None while it is not to be trusted."""
        elapsed, self._pts = pts - self._pts, pts
        if self._offset is None:
            self._anchor(received - pts if trusted is None else trusted - pts, received)
            return pts + (self._offset or 0.0)
        ts = pts + self._offset
        # Sliced key frames may come out as two pictures of one time: elapsed 0 is no jump.
        if elapsed < 0 or not received - MAX_LATE_S <= ts <= received + MAX_EARLY_S:
            self._anchor(received - pts, received)
            self._probation = PROBATION
            return None
        self._observe(received - pts, received)
        target = min(self._least, self._least_before) if trusted is None else trusted - pts
        room = SLEW * elapsed
        self._offset += min(room, max(-room, target - self._offset))
        if self._probation:
            self._probation -= 1
            return None
        return pts + self._offset

    def _anchor(self, offset: float, received: float) -> None:
        self._offset = offset
        self._least, self._least_before = received - self._pts, float("inf")
        self._window_start = received

    def _observe(self, delay: float, received: float) -> None:
        if received - self._window_start > WINDOW_S:
            self._least_before, self._least = self._least, float("inf")
            self._window_start = received
        self._least = min(self._least, delay)


class Pacer:
    """Picks pictures for `fps` a second of stream time from any faster stream, evenly; slower ones pass whole."""

    def __init__(self, fps: float) -> None:
        self._interval = 1 / fps
        self._due: float | None = None

    def picks(self, ts: float) -> bool:
        """Whether the picture at `ts` is to be analysed."""
        early = 0.1 * self._interval
        if self._due is None or ts >= self._due + self._interval:
            self._due = ts
        if ts < self._due - early:
            return False
        self._due += self._interval
        return True


class Holes:
    """Counts the pictures missing in a stream by its own time, and learns its frame rate."""

    def __init__(self) -> None:
        self._pts: float | None = None
        self._interval = 0.0

    @property
    def fps(self) -> float:
        """Pictures a second, 0 while unknown."""
        return 1 / self._interval if self._interval > 0 else 0.0

    def missing(self, pts: float) -> int:
        """How many pictures a camera with an even rate would have sent since the last one; backward steps count 0."""
        step = 0.0 if self._pts is None else pts - self._pts
        self._pts = pts
        if step <= 0:
            return 0
        if not self._interval:
            self._interval = step
            return 0
        missing = round(step / self._interval) - 1 if step > 1.75 * self._interval else 0
        # A camera that slows down for the night looks like holes at first: the rate follows, within some pictures.
        self._interval += 0.1 * (min(step, 4 * self._interval) - self._interval)
        return missing
