"""A signal over time as a few lines of text: how high it was, what it was, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from operators.records import Alert, Status
from operators.rules import Probe
from operators.units import format_duration

__all__ = ["LEGEND", "clock", "draw"]

LEGEND = "# TRUE  . FALSE  ? UNKNOWN  + several, blank: no sample;  p pending  b broken  F firing  R resolved"
MARKS = {Status.PENDING: "p", Status.BROKEN: "b", Status.FIRING: "F", Status.RESOLVED: "R"}
_VALUES = {True: "#", False: ".", None: "?"}
_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 100
_EVERY = 10
"""So many columns for a tick and its label."""
_STEPS = (
    *(each * unit for unit in (1, 10, 100, 1000, 10_000) for each in (1, 2, 5)),
    *(60_000 * minutes for minutes in (1, 2, 5, 10, 30, 60, 120, 360, 1440)),
)
"""Steps between ticks, in ms."""


def clock(ms: int) -> str:
    """Milliseconds as people write them: `4.25s`, `-2s`, `5m30s`."""
    if abs(ms) < 60_000:
        return f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return ("-" if ms < 0 else "") + format_duration(abs(ms) / 1000)


def draw(
    probes: Sequence[Probe], alerts: Iterable[Alert], *, begin_ms: int, end_ms: int, zero_ms: int | None = None
) -> list[str]:
    """Axis, levels, values and transitions of one scope, one column per sample or, where there are many, per stretch.

    `alerts` are those of the same scope. The times of the axis count from `zero_ms`, or `begin_ms`.
    """
    grid = _grid(probes, begin_ms, end_ms)
    columns: list[list[Probe]] = [[] for _ in range(grid.columns)]
    for probe in probes:
        columns[grid.column(probe.ts)].append(probe)
    lines = [
        grid.axis(begin_ms if zero_ms is None else zero_ms),
        _bars(columns),
        "".join(map(_value, columns)),
        *_marks(alerts, grid),
    ]
    return [line.rstrip() for line in lines if line.strip()]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Columns over a stretch of time; times in ms."""

    begin: int
    span: int
    columns: int

    def column(self, ms: int) -> int:
        return min(max(0, (ms - self.begin) * self.columns // self.span), self.columns - 1)

    def axis(self, zero: int) -> str:
        """Ticks at whole steps from `zero`, far enough apart for their labels."""
        step = next((step for step in _STEPS if step * self.columns >= _EVERY * self.span), _STEPS[-1])
        line = [" "] * self.columns
        for ms in range(-((zero - self.begin) // step) * step, self.begin + self.span - zero, step):
            column = self.column(zero + ms)
            label = f"|{clock(ms)}"
            line[column : column + len(label)] = label
        return "".join(line)


def _grid(probes: Sequence[Probe], begin_ms: int, end_ms: int) -> _Grid:
    """One column per sample where they fit."""
    span = max(1, end_ms - begin_ms)
    steps = [later.ts - earlier.ts for earlier, later in pairwise(probes) if later.ts > earlier.ts]
    needed = math.ceil(span / median(steps)) if steps else 1
    return _Grid(begin_ms, span, max(1, min(needed, _WIDEST)))


def _value(group: Sequence[Probe]) -> str:
    values = {_VALUES[probe.value] for probe in group}
    return " " if not values else values.pop() if len(values) == 1 else "+"


def _bars(columns: Sequence[Sequence[Probe]]) -> str:
    """The highest level of each column, on a scale from 0 to 1 or wider; blank where nothing has one."""
    peaks = [max((level for each in group if (level := _finite(each)) is not None), default=None) for group in columns]
    known = [peak for peak in peaks if peak is not None]
    low, high = min([0.0, *known]), max([1.0, *known])
    scale = (len(_BARS) - 1) / (high - low)
    return "".join(" " if peak is None else _BARS[round((peak - low) * scale)] for peak in peaks)


def _finite(probe: Probe) -> float | None:
    return probe.level if probe.level is not None and math.isfinite(probe.level) else None


def _marks(alerts: Iterable[Alert], grid: _Grid) -> list[str]:
    """A letter under the column of each transition, in as many rows as it takes."""
    rows: list[list[str]] = []
    for alert in alerts:
        column = grid.column(round(alert.ts * 1000))
        row = next((row for row in rows if row[column] == " "), None)
        if row is None:
            row = [" "] * grid.columns
            rows.append(row)
        row[column] = MARKS[alert.status]
    return ["".join(row) for row in rows]
