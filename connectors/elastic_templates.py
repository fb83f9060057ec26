"""The indices in Elasticsearch: which there are, what a document may hold, when an old one goes. Pure.

    PREFIX-alerts-2026.11        every transition of every alert, by the month of the transition
    PREFIX-alert-state-2026.11   the last transition of each alert, by the month in which the alert began
    PREFIX-metrics-2026.11       what each camera and zone showed, per 10 s
    PREFIX-health-2026.11        how the pipeline itself was, per 10 s

Each kind has an alias without the month: PREFIX-alerts. The month is that of an event, never that of the writing, so
whatever comes again finds its first copy; and what is too old goes by the index.

The mappings below are the promise of what can be in a document: they are strict, so Elasticsearch itself refuses a
field that is not listed. Objects marked FIGURES take any name and numbers only, so that no text and no picture fits.
Names are those of the Elastic Common Schema where it has one, else they begin with `mien.`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from connectors.elastic_settings import ElasticSettings

__all__ = ["FIGURES", "MAPPINGS", "Index", "current", "expired", "index_of", "mapping", "templates"]


class Index(StrEnum):
    """The kinds of documents."""

    ALERTS = "alerts"
    STATE = "alert-state"
    METRICS = "metrics"
    HEALTH = "health"


_PRIORITY = 500
"""Above the templates that Elasticsearch brings along (100 to 200)."""
_NO_CLOCK = "1970.01"
"""The month of files without a wall clock, whose time counts from 0: no retention can say how old that is."""

KEYWORD, TEXT, DATE = "keyword", "text", "date"
LONG, INTEGER, BYTE, FLOAT = "long", "integer", "byte", "float"
LABELS = "flattened"
FIGURES = "figures"
"""An object of numbers under names that the rules or the model give."""

_COMMON = {
    "@timestamp": DATE,
    "ecs.version": KEYWORD,
    "event.kind": KEYWORD,  # alert, metric
    "event.dataset": KEYWORD,  # mien. and the kind of index: mien.alerts, mien.alert-state
    "observer.type": KEYWORD,  # camera
    "observer.name": KEYWORD,  # the camera; absent for a group, the site, and what belongs to no camera
}
_SEEN = {
    "observer.geo.name": KEYWORD,  # the zone; absent for a whole camera
    "mien.hour": BYTE,  # 0 to 23, in the time zone of the settings
    "mien.weekday": BYTE,  # 1 is Monday, 7 is Sunday
}
_ALERT = {
    **_COMMON,
    **_SEEN,
    "event.id": KEYWORD,  # the transition: alert id, sequence, status
    "event.action": KEYWORD,  # pending, broken, firing, resolved
    "event.reason": KEYWORD,
    "event.start": DATE,
    "event.end": DATE,  # absent until the alert has ended
    "event.duration": LONG,  # nanoseconds from start to end; absent until then
    "event.severity": LONG,  # 0 info, 1 notice, 2 warning, 3 critical
    "rule.id": KEYWORD,
    "rule.version": KEYWORD,  # of all rules together, as alerts carry it
    "message": TEXT,
    "tags": KEYWORD,  # rule, severity, place
    "labels": LABELS,
    "mien.alert.id": KEYWORD,
    "mien.alert.sequence": INTEGER,
    "mien.alert.fired_at": DATE,
    "mien.alert.severity": KEYWORD,  # the word
    "mien.alert.silenced_by": KEYWORD,  # absent for what was told
    "mien.alert.place": KEYWORD,  # the camera, `group NAME`, or `site`
    "mien.scope": KEYWORD,  # track, zone, camera, group, site
    "mien.evidence": FIGURES,
}
_METRICS = {
    **_COMMON,
    **_SEEN,
    "mien.scope": KEYWORD,  # camera, zone
    "mien.frames": INTEGER,
    "mien.fps": FLOAT,
    "mien.faces.mean": FLOAT,  # per frame
    "mien.faces.max": INTEGER,
    "mien.faces.seen": INTEGER,  # faces times frames
    "mien.faces.unknown": FLOAT,  # share of those that could not be read; absent without faces
    "mien.expression.share": FIGURES,  # of the faces that could be read, by expression
    "mien.expression.score": FIGURES,  # mean probability, by expression
    "mien.observed_s": FLOAT,
    "mien.gap_s": FIGURES,  # seconds that nobody saw, by reason
}
_HEALTH = {
    **_COMMON,
    "service.name": KEYWORD,  # mien
    "service.node.name": KEYWORD,  # which process
    "service.node.role": KEYWORD,  # run, capture, analyze, evaluate, notify, all
    "mien.kind": KEYWORD,  # process, camera, drop, stage, sink, queue, topic
    "mien.up": BYTE,  # 1 or 0: camera is live, sink works, store can be written
    "mien.uptime_s": FLOAT,
    "mien.firing": INTEGER,  # alerts that fire now
    "mien.rules": KEYWORD,  # version of the rules in force
    "mien.camera.state": KEYWORD,
    "mien.camera.cause": KEYWORD,
    "mien.camera.skew_s": FLOAT,
    "mien.fps.in": FLOAT,
    "mien.fps.out": FLOAT,
    "mien.frames.in": LONG,  # since the last document
    "mien.frames.out": LONG,
    "mien.frames.lost": LONG,
    "mien.frames.late": LONG,
    "mien.camera.reconnects": LONG,  # since the last document
    "mien.age_s": FLOAT,  # now minus the time of the newest frame, or of the oldest record that waits, or is kept
    "mien.reason": KEYWORD,  # of a drop
    "mien.count": LONG,  # drops, or calls of a stage, since the last document
    "mien.stage": KEYWORD,
    "mien.latency.p50": FLOAT,  # seconds
    "mien.latency.p95": FLOAT,
    "mien.latency.p99": FLOAT,
    "mien.sink": KEYWORD,
    "mien.queue": KEYWORD,
    "mien.waiting": LONG,  # transitions that a sink does not have yet, or records behind the end of a queue
    "mien.discarded": LONG,  # documents of roll-ups and health that found no room, since the last document
}
MAPPINGS: Mapping[Index, Mapping[str, str]] = {
    Index.ALERTS: _ALERT,
    Index.STATE: _ALERT,
    Index.METRICS: _METRICS,
    Index.HEALTH: _HEALTH,
}
"""Every field of every index, with its type."""


def index_of(prefix: str, kind: Index, ts: float) -> str:
    """The index of a document whose event was at `ts`."""
    return f"{prefix}-{kind}-{datetime.fromtimestamp(ts, UTC):%Y.%m}"


def current(prefix: str, now: float) -> list[str]:
    """The indices of this month; they exist from the start, so that nobody asks for one that isn't there."""
    return [index_of(prefix, kind, now) for kind in Index]


def templates(settings: ElasticSettings) -> dict[str, dict[str, Any]]:
    """The body of each index template, by its name."""
    return {f"{settings.prefix}-{kind}": _template(settings, kind) for kind in Index}


def mapping(kind: Index) -> dict[str, Any]:
    """The strict mapping of a kind of index."""
    figures = [name for name, type_ in MAPPINGS[kind].items() if type_ == FIGURES]
    return {
        "dynamic": "strict",
        # Without coercion a text is refused, also one that looks like a number.
        "dynamic_templates": [
            {name: {"path_match": f"{name}.*", "mapping": {"type": "double", "coerce": False}}} for name in figures
        ],
        "properties": {name: _property(type_) for name, type_ in MAPPINGS[kind].items()},
    }


def expired(settings: ElasticSettings, names: Iterable[str], now: float) -> list[str]:
    """Those of the indices that are older than their retention; whole months, never the current one."""
    months = {
        Index.ALERTS: settings.keep_alerts_months,
        Index.STATE: settings.keep_alerts_months,
        Index.METRICS: settings.keep_metrics_months,
        Index.HEALTH: settings.keep_metrics_months,
    }
    oldest = {f"{settings.prefix}-{kind}-": _month_before(now, keep) for kind, keep in months.items()}
    return sorted(
        name
        for name in names
        for start, month in oldest.items()
        if name.startswith(start) and _is_month(name.removeprefix(start)) and name.removeprefix(start) < month
    )


def _template(settings: ElasticSettings, kind: Index) -> dict[str, Any]:
    alias = f"{settings.prefix}-{kind}"
    sizes = {"number_of_shards": 1, "number_of_replicas": settings.replicas}
    return {
        "index_patterns": [f"{alias}-*"],
        "priority": _PRIORITY,
        "template": {"settings": sizes, "mappings": mapping(kind), "aliases": {alias: {}}},
    }


def _property(type_: str) -> dict[str, Any]:
    return {"type": "object", "dynamic": True} if type_ == FIGURES else {"type": type_}


def _month_before(now: float, months: int) -> str:
    """The month so many before the current one, as it is written in a name; names sort by time."""
    today = datetime.fromtimestamp(now, UTC)
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return f"{year:04d}.{month + 1:02d}"


def _is_month(text: str) -> bool:
    """Whether an index is one of ours that may be dropped."""
    year, _, month = text.partition(".")
    return len(year) == 4 and len(month) == 2 and (year + month).isdecimal() and text != _NO_CLOCK
