"""Grafana's own types, from its Foundation SDK: does it know every word of a JSON, and is every value of its type?

The SDK reads and writes without looking at types, and drops what it doesn't know; so what is lost on the way, and what
doesn't fit the declared types, is looked for here.
"""

from __future__ import annotations

import enum
import json
import types
import typing
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

with warnings.catch_warnings():
    # It prefers the model of Grafana 13; the classic one is read by that too, and by all Grafanas before it.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import units
    from grafana_foundation_sdk.models.alerting import Rule
    from grafana_foundation_sdk.models.dashboard import Dashboard
    from grafana_foundation_sdk.models.elasticsearch import Dataquery

__all__ = ["UNITS", "Dashboard", "Dataquery", "Rule", "misfits", "unknown"]

plugins.register_default_plugins()

UNITS = {value for value in vars(units).values() if isinstance(value, str)}


def unknown(data: dict[str, Any], kind: type[Any]) -> list[str]:
    """The paths that the SDK drops or changes; it may add defaults."""
    return list(_lost(data, json.loads(JSONEncoder().encode(kind.from_json(data))), ""))


def misfits(data: dict[str, Any], kind: type[Any]) -> list[str]:
    """The values that are not of the type that the SDK declares."""
    return list(_misfits(kind.from_json(data), kind, ""))


def _lost(before: Any, after: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from (f"{path}.{key}" for key in before if key not in after)
        for key in before.keys() & after.keys():
            yield from _lost(before[key], after[key], f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _lost(one, other, f"{path}[{number}]")
    elif before != after:
        yield f"{path}: {before!r} became {after!r}"


def _misfits(value: Any, hint: Any, path: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        found = [list(_misfits(value, one, path)) for one in arguments]
        if all(found):
            yield from (one for each in found for one in each)
    elif origin is list and isinstance(value, list):
        for number, one in enumerate(value):
            yield from _misfits(one, arguments[0], f"{path}[{number}]")
    elif isinstance(value, dict) and hasattr(hint, "from_json"):
        yield from _misfits(hint.from_json(value), hint, path)
    elif hasattr(value, "to_json"):
        for name, one in typing.get_type_hints(type(value)).items():
            yield from _misfits(getattr(value, name), one, f"{path}.{name}")
    elif not _fits(value, hint, arguments):
        yield f"{path}: {value!r} is no {hint}"


def _fits(value: Any, hint: Any, arguments: Iterable[Any]) -> bool:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return value in arguments
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in {one.value for one in hint}
    if hint is float:
        return isinstance(value, int | float)
    kind = origin or hint
    return not isinstance(kind, type) or kind is object or isinstance(value, kind)
