"""Schedules: the hours of a week in a named time zone, in event time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["DAYS", "Hours", "Schedule"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Hours of the week; `"22:00-06:00"` ends on the next day."""

    timezone: str
    """IANA name such as Europe/Vienna; summer time is its own affair."""
    hours: tuple[str, ...] = ("00:00-24:00",)
    """From-to on each of the days: `"08:00-18:00"`, quoted. One that ends earlier than it begins ends a day later."""
    days: tuple[Day, ...] = DAYS  # type: ignore[assignment]  # mypy widens the tuple's literals
    """Days on which the hours begin: mon, tue, wed, thu, fri, sat, sun."""

    def __post_init__(self) -> None:
        try:
            _zone(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the folder Europe is no zone
            raise ValueError(
                f"expected timezone to be an IANA name such as Europe/Vienna, got {self.timezone!r}"
            ) from error
        for text in self.hours:
            if not _HOURS.fullmatch(text):
                raise ValueError(f'expected hours such as "08:00-18:00" or "22:00-06:00", got {text!r}')
            if text[:5] == text[6:]:
                raise ValueError(f'expected hours that last, got {text!r}; all day is "00:00-24:00"')
        unknown = [day for day in self.days if day not in DAYS]
        if unknown:
            raise ValueError(f"expected days from {', '.join(DAYS)}, got {unknown[0]!r}")
        if not self.days or not self.hours:
            raise ValueError("expected at least one of the days and one stretch of hours")

    def span(self, ms: int) -> tuple[bool, int]:
        """Whether `ms` (since the epoch) is inside, and the ms at which that may change next: at most two days on."""
        here = datetime.fromtimestamp(ms / 1000, _zone(self.timezone)).date()
        edges: list[int] = []
        inside = False
        for offset in (-1, 0, 1, 2):
            for begin, end in self._stretches(here + timedelta(days=offset)):
                inside = inside or begin <= ms < end
                edges += (begin, end)
        horizon = _instant(here + timedelta(days=2), time(), self.timezone)
        return inside, min((edge for edge in edges if edge > ms and self._changes(edge)), default=horizon)

    def _stretches(self, day: date) -> list[tuple[int, int]]:
        if DAYS[day.weekday()] not in self.days:
            return []
        return [self._stretch(day, text) for text in self.hours]

    def _stretch(self, day: date, text: str) -> tuple[int, int]:
        begin, end = text.split("-")
        over = timedelta(days=end == "24:00" or end < begin)
        last = time() if end == "24:00" else time.fromisoformat(end)
        return (
            _instant(day, time.fromisoformat(begin), self.timezone),
            _instant(day + over, last, self.timezone),
        )

    def _changes(self, edge: int) -> bool:
        """Whether the answer differs on the two sides of an edge; neighbours such as 08-12 and 12-18 touch."""
        return self._inside(edge - 1) != self._inside(edge)

    def _inside(self, ms: int) -> bool:
        here = datetime.fromtimestamp(ms / 1000, _zone(self.timezone)).date()
        return any(
            begin <= ms < end for offset in (-1, 0) for begin, end in self._stretches(here + timedelta(days=offset))
        )


class Hours:
    """A schedule that remembers its last answer: most questions are about the same hour."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._begin = self._end = 0
        self._inside = False

    def span(self, ms: int) -> tuple[bool, int]:
        """As `Schedule.span`."""
        if not self._begin <= ms < self._end:
            self._begin = ms
            self._inside, self._end = self._schedule.span(ms)
        return self._inside, self._end


@lru_cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _instant(day: date, at: time, timezone: str) -> int:
    return round(datetime.combine(day, at, _zone(timezone)).timestamp() * 1000)
