"""Hours of the week: what is inside, when that changes, across midnight and summer time."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.rules import Schedule
from operators.rules.schedule import DAYS

VIENNA = ZoneInfo("Europe/Vienna")
OFFICE = Schedule("Europe/Vienna", hours=("08:00-18:00",), days=("mon", "tue", "wed", "thu", "fri"))
NIGHT = Schedule("Europe/Vienna", hours=("22:00-06:00",), days=("fri",))
SPLIT = Schedule("Europe/Vienna", hours=("08:00-12:00", "12:00-18:00"))
ALWAYS = Schedule("Europe/Vienna")


def ms(text: str) -> int:
    """Milliseconds of a local time in Vienna."""
    return round(datetime.fromisoformat(text).replace(tzinfo=VIENNA).timestamp() * 1000)


@pytest.mark.parametrize(
    ("schedule", "at", "inside", "until"),
    [
        (OFFICE, "2026-11-20T08:00", True, "2026-11-20T18:00"),  # a Friday
        (OFFICE, "2026-11-20T07:59:59.999", False, "2026-11-20T08:00"),
        (OFFICE, "2026-11-20T18:00", False, "2026-11-22T00:00"),  # nothing changes up to the horizon
        (OFFICE, "2026-11-22T12:00", False, "2026-11-23T08:00"),
        (NIGHT, "2026-11-20T23:00", True, "2026-11-21T06:00"),
        (NIGHT, "2026-11-21T05:59", True, "2026-11-21T06:00"),
        (NIGHT, "2026-11-20T05:59", False, "2026-11-20T22:00"),  # Thursday's night is not listed
        (SPLIT, "2026-11-20T09:00", True, "2026-11-20T18:00"),  # neighbours are one
        (OFFICE, "2026-03-30T08:00", True, "2026-03-30T18:00"),  # the first Monday of summer time
        (OFFICE, "2026-10-26T08:00", True, "2026-10-26T18:00"),
    ],
)
def test_inside_and_until_when(schedule: Schedule, at: str, inside: bool, until: str) -> None:
    assert schedule.span(ms(at)) == (inside, ms(until))


def test_a_night_over_the_change_of_the_clock_is_an_hour_shorter_or_longer() -> None:
    every_night = Schedule("Europe/Vienna", hours=("22:00-06:00",))
    for evening, hours in (("2026-03-28T22:00", 7), ("2026-10-24T22:00", 9), ("2026-11-20T22:00", 8)):
        inside, until = every_night.span(ms(evening))
        assert inside
        assert until - ms(evening) == hours * 3_600_000


def test_a_schedule_that_is_always_open_looks_two_days_ahead() -> None:
    inside, until = ALWAYS.span(ms("2026-11-20T09:00"))
    assert inside
    assert until == ms("2026-11-22T00:00")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"timezone": "Europe/Wien"}, "IANA"),
        ({"timezone": ""}, "IANA"),
        ({"timezone": "../etc/passwd"}, "IANA"),
        ({"timezone": "Europe"}, "IANA"),
        ({"hours": ("8-18",)}, 'hours such as "08:00-18:00"'),
        ({"hours": ("24:00-06:00",)}, 'hours such as "08:00-18:00"'),
        ({"hours": ("08:00-24:30",)}, 'hours such as "08:00-18:00"'),
        ({"hours": ("08:00-08:00",)}, "hours that last"),
        ({"hours": ()}, "at least one of the days"),
        ({"days": ()}, "at least one of the days"),
        ({"days": ("monday",)}, "days from mon"),
    ],
)
def test_impossible_schedules_are_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Schedule(**{"timezone": "Europe/Vienna", **settings})  # type: ignore[arg-type]


CLOCK = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
HOURS = st.tuples(CLOCK, CLOCK | st.just("24:00")).filter(lambda both: both[0] != both[1]).map("-".join)
SCHEDULES = st.builds(
    Schedule,
    st.sampled_from(["Europe/Vienna", "America/New_York", "Asia/Kolkata", "UTC"]),
    hours=st.lists(HOURS, min_size=1, max_size=3).map(tuple),
    days=st.lists(st.sampled_from(DAYS), min_size=1, unique=True).map(tuple),
)


@given(SCHEDULES, st.integers(0, 365 * 96))
def test_it_is_what_a_clock_on_the_wall_says(schedule: Schedule, quarters: int) -> None:
    """Asked every quarter of an hour of the next hours; the nights of clock changes are another test's."""
    zone = ZoneInfo(schedule.timezone)
    start = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")) + timedelta(minutes=15 * quarters)
    if len({(start + timedelta(days=day)).astimezone(zone).utcoffset() for day in (-2, -1, 0, 1, 2, 3)}) > 1:
        return
    inside, until = schedule.span(round(start.timestamp() * 1000))
    at = start
    while at.timestamp() * 1000 < until:
        assert _on_the_wall(schedule, at.astimezone(zone)) is inside
        at += timedelta(minutes=15)


def _on_the_wall(schedule: Schedule, at: datetime) -> bool:
    today, yesterday = DAYS[at.weekday()], DAYS[at.weekday() - 1]
    clock = at.strftime("%H:%M")
    for begin, end in (text.split("-") for text in schedule.hours):
        if begin < end and today in schedule.days and begin <= clock < end:
            return True
        if end < begin and (
            (today in schedule.days and clock >= begin) or (yesterday in schedule.days and clock < end)
        ):
            return True
    return False
