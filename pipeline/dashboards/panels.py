"""Panels: a query, and what its answer looks like. JSON of Grafana's classic dashboard model, read since version 10.

https://grafana.com/docs/grafana/latest/visualizations/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict, Unpack

from pipeline.dashboards.queries import DATASOURCE, Json

__all__ = [
    "Look",
    "by",
    "coloured",
    "heat",
    "matrix",
    "names",
    "panel",
    "quotient",
    "states",
    "table",
    "tiles",
    "time_of",
    "time_series",
    "timeline",
    "words",
]


class Look(TypedDict, total=False):
    """What can be said of every panel."""

    says: Required[str]
    """Explains it to who looks at it."""
    width: int
    """In columns of 24; 12 by default."""
    height: int
    """In lines of 30 pixels; 8 by default."""
    unit: str
    """One of Grafana's units: short, s, percentunit, ..."""
    since: str
    """Look back so far, such as `30d`, whatever the dashboard shows."""
    defaults: Mapping[str, Any]
    """More of `fieldConfig.defaults`: `coloured(...)`, `states(...)`."""
    overrides: Sequence[Json]
    """Other looks for some fields: `by(...)`."""
    steps: Sequence[Json]
    """Transformations of the answer."""


def panel(kind: str, title: str, targets: Sequence[Json], *, options: Json, **look: Unpack[Look]) -> Json:
    """One panel of a kind that Grafana knows."""
    found: Json = {
        "type": kind,
        "title": title,
        "description": look["says"],
        "datasource": DATASOURCE,
        "gridPos": {"x": 0, "y": 0, "w": look.get("width", 12), "h": look.get("height", 8)},
        "targets": [{**target, "refId": chr(ord("A") + index)} for index, target in enumerate(targets)],
        "fieldConfig": {
            "defaults": {"unit": look.get("unit", "short"), **look.get("defaults", {})},
            "overrides": list(look.get("overrides", ())),
        },
        "options": options,
        "transformations": list(look.get("steps", ())),
    }
    return found | ({"timeFrom": look["since"], "hideTimeOverride": True} if "since" in look else {})


def time_series(
    title: str, *targets: Json, stack: str = "", bars: bool = False, from_zero: bool = True, **look: Unpack[Look]
) -> Json:
    """Lines, or bars, over time; `stack` is `normal` or `percent`."""
    custom: Json = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 80 if bars else 60 if stack else 10,
        "lineWidth": 0 if bars else 1,
        "showPoints": "never",
        "spanNulls": False if bars or stack else 60_000,
    }
    if stack:
        custom["stacking"] = {"mode": stack, "group": "A"}
    look["defaults"] = {"custom": custom, **({"min": 0} if from_zero else {}), **look.get("defaults", {})}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, targets, options=options, **look)


def tiles(title: str, *targets: Json, by_name: bool = False, calc: str = "lastNotNull", **look: Unpack[Look]) -> Json:
    """One value of each series in large figures, the latest; or `by_name` its name on the colour of the value."""
    options = {
        "reduceOptions": {"calcs": [calc], "fields": "", "values": False},
        "colorMode": "background" if by_name else "value",
        "graphMode": "none",
        "textMode": "name" if by_name else "auto",
    }
    return panel("stat", title, targets, options=options, **look)


def timeline(title: str, *targets: Json, **look: Unpack[Look]) -> Json:
    """One bar per series, in the colour of its state."""
    look["defaults"] = {"custom": {"fillOpacity": 80, "lineWidth": 0}, **look.get("defaults", {})}
    options = {
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "never",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
    }
    return panel("state-timeline", title, targets, options=options, **look)


def table(title: str, *targets: Json, columns: Mapping[str, str], newest: str = "", **look: Unpack[Look]) -> Json:
    """A table of these fields under these headings, in this order; sorted down by the heading `newest`."""
    look["steps"] = [*look.get("steps", ()), *_organized(columns)]
    options: Json = {"showHeader": True, "cellHeight": "sm"}
    if newest:
        options["sortBy"] = [{"displayName": newest, "desc": True}]
    return panel("table", title, targets, options=options, **look)


def matrix(
    title: str, target: Json, *, down: str, across: str, value: str, order: Sequence[str], **look: Unpack[Look]
) -> Json:  # fmt: skip
    """A table with one row per value of the field `down` and one column per value of `across`, in this `order`."""
    corner = f"{down}\\{across}"
    pivot = {"rowField": down, "columnField": across, "valueField": value, "emptyValue": "null"}
    places = {name: index for index, name in enumerate([corner, *order])}
    look["steps"] = [
        {"id": "groupingToMatrix", "options": pivot},
        {"id": "organize", "options": {"excludeByName": {}, "indexByName": places, "renameByName": {corner: " "}}},
    ]
    return panel("table", title, [target], options={"showHeader": True, "cellHeight": "sm"}, **look)


def words(title: str, text: str, **look: Unpack[Look]) -> Json:
    """A text in Markdown."""
    return panel("text", title, [], options={"mode": "markdown", "content": text}, **look)


def _organized(columns: Mapping[str, str]) -> list[Json]:
    keep = {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}}
    places = {name: index for index, name in enumerate(columns)}
    order = {"excludeByName": {}, "indexByName": places, "renameByName": dict(columns)}
    return [keep, {"id": "organize", "options": order}]


def by(matcher: str, name: str, properties: Mapping[str, Any]) -> Json:
    """Other looks for the fields that match: `by("byName", "Severity", {"unit": "none"})`."""
    looks = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": matcher, "options": name}, "properties": looks}


def coloured(*steps: tuple[float | None, str]) -> Json:
    """Colours from these values up; the first is None, below all others."""
    found = [{"value": value, "color": color} for value, color in steps]
    return {"thresholds": {"mode": "absolute", "steps": found}, "color": {"mode": "thresholds"}}


def states(*meanings: tuple[float, str, str]) -> Json:
    """What numbers mean: (value, text, colour)."""
    options = {
        f"{value:g}": {"index": index, "text": text, "color": color}
        for index, (value, text, color) in enumerate(meanings)
    }
    return {"mappings": [{"type": "value", "options": options}], "color": {"mode": "thresholds"}}


def heat(scheme: str) -> Json:
    """Cells of a table in the colour of their value: a `scheme` such as `continuous-blues`."""
    cells = {"cellOptions": {"type": "color-background", "mode": "basic"}, "width": 52, "align": "center"}
    return {"custom": cells, "color": {"mode": scheme}, "min": 0}


def quotient(over: str, under: str, name: str) -> Json:
    """A new column: one divided by the other."""
    binary = {"left": over, "operator": "/", "right": under}
    return {
        "id": "calculateField",
        "options": {"mode": "binary", "alias": name, "binary": binary, "replaceFields": False},
    }


def time_of(field: str) -> Json:
    """Read a column of texts as times."""
    conversion = {"targetField": field, "destinationType": "time"}
    return {"id": "convertFieldType", "options": {"fields": {}, "conversions": [conversion]}}


def names(pattern: str, shown: str = "$1") -> Json:
    """Rename series by a regular expression."""
    return {"id": "renameByRegex", "options": {"regex": pattern, "renamePattern": shown}}
