"""What really happened, from a CSV file that people wrote: `camera,start,end`, and if they like `rule` and `label`.

Times are ISO 8601 with a time zone, or seconds as the recording counts them (a file without a wall clock begins at 0).
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path

from operators.errors import ConfigError
from pipeline.complaints import nearest

__all__ = ["Incident", "read_incidents"]

_PLACE = ("camera", "group")
_COLUMNS = (*_PLACE, "start", "end", "rule", "label")
_EXAMPLE = "camera,start,end,label\nlobby,2026-11-20T22:10:05Z,2026-11-20T22:10:12Z,a fall"


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that the rule should tell: where, and from when to when, in seconds as the recording counts."""

    place: str
    """Camera id, or the name of the group."""
    start: float
    end: float
    label: str = ""


def read_incidents(path: Path, *, rule: str, places: Collection[str]) -> list[Incident]:
    """Read the incidents of a rule in order of time; rows of other rules are passed over.

    `places` are the cameras or groups that may be named. Raises ConfigError with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read as a CSV file in UTF-8: {error}") from error
    lines = text.splitlines()
    delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    reader = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
    _check_header(path, [name.strip() for name in reader.fieldnames or ()])
    incidents = list(_rows(path, reader, rule=rule, places=places))
    return sorted(incidents, key=lambda incident: (incident.start, incident.end, incident.place))


def _rows(path: Path, reader: csv.DictReader[str], *, rule: str, places: Collection[str]) -> Iterator[Incident]:
    for row in reader:
        where = f"{path}:{reader.line_num}"
        if None in row:
            raise ConfigError(f"{where}: more values than columns; put a text with a comma in quotes")
        cells = {name.strip(): (value or "").strip() for name, value in row.items()}
        if cells.get("rule") in (None, "", rule):
            yield _incident(where, cells, places)


def _incident(where: str, cells: Mapping[str, str], places: Collection[str]) -> Incident:
    place = cells.get("camera") or cells.get("group") or ""
    if place not in places:
        near = nearest(place, places) or f"; expected one of {', '.join(sorted(places))}"
        raise ConfigError(f"{where}: the rule doesn't look at {place!r} in this recording{near}")
    start, end = _time(where, "start", cells["start"]), _time(where, "end", cells["end"])
    if end < start:
        raise ConfigError(f"{where}: expected an end after the start, got {cells['start']} to {cells['end']}")
    return Incident(place, start, end, cells.get("label", ""))


def _time(where: str, column: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return _instant(where, column, text)
    if not isfinite(seconds):
        raise ConfigError(f"{where}: expected a finite {column}, got {text}")
    return seconds


def _instant(where: str, column: str, text: str) -> float:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{where}: expected {column} as 2026-11-20T22:10:05Z or in seconds as the recording counts, got {text!r}"
        ) from None
    if instant.tzinfo is None:
        raise ConfigError(f"{where}: expected {column} with a time zone, such as {text}Z or {text}+01:00")
    return instant.timestamp()


def _check_header(path: Path, names: list[str]) -> None:
    unknown = [name for name in names if name not in _COLUMNS]
    missing = [name for name in ("start", "end") if name not in names]
    if not set(names) & set(_PLACE):
        missing.insert(0, "camera")
    if missing or unknown:
        said = [f"no column {name!r}" for name in missing]
        said += [f"unknown column {name!r}{nearest(name, _COLUMNS)}" for name in unknown]
        raise ConfigError(f"{path}:1: {'; '.join(said)}. Expected for example:\n{_EXAMPLE}")
