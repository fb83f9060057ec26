"""A dashboard around its panels: where they are, what can be chosen, and the marks of alerts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from connectors.elastic_templates import Index
from pipeline.dashboards.queries import CAMERA, DATASOURCE, Json, lucene

__all__ = ["CAMERAS", "RULES", "ZONES", "alert_marks", "choice", "dashboard", "options"]

SCHEMA_VERSION = 41
GRID = 24
"""Columns of a dashboard."""


def choice(name: str, label: str, field: str, *, kind: Index, everything: str = "") -> Json:
    """A variable with the values of a field, for queries such as `(observer.name:$camera)`, in parentheses.

    `everything` is what All stands for there; by default all documents, those without the field too.
    """
    find = json.dumps({"find": "terms", "field": field, "query": lucene(kind), "size": 500})
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": find,
        "definition": find,
        "refresh": 2,  # whenever the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": everything or f"* OR (NOT _exists_:{field})",
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def options(name: str, label: str, values: Sequence[str], *, first: str) -> Json:
    """A variable with one of these values, and the one that it has at first."""
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ",".join(values),
        "multi": False,
        "includeAll": False,
        "current": {"text": first, "value": first},
        "options": [{"text": value, "value": value, "selected": value == first} for value in values],
    }


CAMERAS = choice("camera", "Camera", "observer.name", kind=Index.METRICS)
ZONES = choice("zone", "Zone", "observer.geo.name", kind=Index.ALERTS)
RULES = choice("rule", "Rule", "rule.id", kind=Index.ALERTS)


def alert_marks() -> Json:
    """Marks from the start to the end of what fired; a query, so they can be neither doubled nor forgotten.

    The annotation query walks through the document by the parts of a name, so documents hold objects, not dotted names.
    """
    query = lucene(Index.STATE, "(event.action:firing OR event.action:resolved)", CAMERA)
    return {
        "name": "Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "target": {"refId": "annotation_query", "query": query},
        "timeField": "event.start",
        "timeEndField": "event.end",
        "textField": "message",
        "tagsField": "tags",
    }


def dashboard(
    uid: str,
    title: str,
    says: str,
    *,
    variables: Sequence[Json],
    rows: Sequence[Sequence[Json]],
    span: str = "6h",
    refresh: str = "30s",
) -> Json:
    """A dashboard of rows of panels, top to bottom; `span` is how far it looks back at first."""
    return {
        "uid": uid,
        "title": title,
        "description": says,
        "tags": ["mien"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,  # the cross-hair is shared by all panels
        "timezone": "browser",
        "time": {"from": f"now-{span}", "to": "now"},
        "refresh": refresh,
        "templating": {"list": list(variables)},
        "annotations": {"list": [alert_marks()]},
        "links": [
            {
                "title": "mien",
                "type": "dashboards",
                "tags": ["mien"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "icon": "external link",
                "tooltip": "",
                "targetBlank": False,
                "url": "",
            }
        ],
        "panels": list(_laid_out(rows)),
    }


def _laid_out(rows: Sequence[Sequence[Json]]) -> Iterator[Json]:
    """Give each panel its number and its place."""
    number = top = 0
    for panels in rows:
        left = 0
        for one in panels:
            number += 1
            size = one["gridPos"]
            yield {"id": number, **one, "gridPos": {**size, "x": left, "y": top}}
            left += size["w"]
        if left > GRID:
            raise ValueError(f"expected panels of {GRID} columns in a row, got {left}: {panels[0]['title']!r}")
        top += max(one["gridPos"]["h"] for one in panels)
