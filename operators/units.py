"""Durations as people write them: `300ms`, `3s`, `5m`, `1h30m`, `2d`. Always with a unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

__all__ = ["Seconds", "format_duration", "parse_duration"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
PATTERN = rf"^(?:{_PART.pattern})+$"


def parse_duration(value: object) -> float:
    """Seconds from `"1m30s"`; raises ValueError for numbers without a unit and anything else."""
    if isinstance(value, str) and re.fullmatch(PATTERN, value):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    raise ValueError(f"expected a duration with a unit such as 300ms, 3s, 5m or 1h30m, got {value!r}")


def format_duration(seconds: float) -> str:
    """Shortest exact spelling in ms resolution: 90 -> `1m30s`, 0.3 -> `300ms`."""
    left = round(seconds * 1000)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        size = round(_UNITS[unit] * 1000)
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


class _Duration:
    """Makes pydantic, by its duck-typed protocol, read a float field through `parse_duration`."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Mapping[str, Any]:
        return {"type": "function-plain", "function": {"type": "no-info", "function": parse_duration}}

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> Mapping[str, Any]:
        return {"type": "string", "pattern": PATTERN, "examples": ["300ms", "3s", "1h30m"]}


Seconds = Annotated[float, _Duration()]
"""A float in seconds that a configuration file writes with a unit."""
