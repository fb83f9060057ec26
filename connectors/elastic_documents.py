"""Alerts and roll-ups as documents of Elasticsearch. Pure; the fields are those of `elastic_templates.MAPPINGS`.

Here a document is flat, `{"event.id": ...}`, so that its keys are the rows of the mapping; `action` nests it, as the
Elastic Common Schema and its readers have it. What is absent is left out, never null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from connectors.elastic_templates import Index, index_of
from connectors.wire import TEXT_LIMIT, alert_document, iso_time, place_of, presentable
from operators.records import Alert
from operators.rollup import Rollup

__all__ = ["ECS_VERSION", "Entry", "action", "alert_entries", "health_entry", "rollup_entry"]

ECS_VERSION = "8.17.0"
STATE = f"mien.{Index.STATE}"
"""The dataset of states, whose documents else look like those of transitions."""
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One document and where it goes; `ts` (seconds since the epoch) decides about the month.

    With a `version` the greatest one stays, whatever the order of arrival; without, the first one stays.
    """

    kind: Index
    ts: float
    id: str
    body: Body
    version: int | None = None


def alert_entries(alert: Alert, zone: tzinfo = UTC) -> tuple[Entry, Entry]:
    """The transition, which is written once, and the state of its alert, which never goes back."""
    body = _present(_alert(presentable(alert), zone))
    return (
        Entry(Index.ALERTS, alert.ts, alert.transition_id, body),
        Entry(Index.STATE, alert.starts_at, alert.alert_id, {**body, "event.dataset": STATE}, version=alert.seq),
    )


def rollup_entry(rollup: Rollup, zone: tzinfo = UTC) -> Entry:
    """One stretch of a camera or a zone; of two, that which knows more stays."""
    body = {
        **_header(rollup.start, "metrics", camera_id=rollup.camera_id, place=rollup.zone),
        **_hours(rollup.start, zone),
        "mien.scope": "zone" if rollup.zone else "camera",
        "mien.frames": rollup.frames,
        "mien.fps": round(rollup.fps, 4),
        "mien.faces.mean": round(rollup.faces_mean, 4),
        "mien.faces.max": rollup.faces_max,
        "mien.faces.seen": rollup.faces_seen,
        "mien.faces.unknown": None if rollup.unknown is None else round(rollup.unknown, 4),
        "mien.expression.share": _rounded(rollup.shares),
        "mien.expression.score": _rounded(rollup.scores),
        "mien.observed_s": rollup.observed_s,
        "mien.gap_s": {str(reason): seconds for reason, seconds in rollup.gaps.items()},
    }
    name = f"{rollup.camera_id}|{rollup.zone}|{round(rollup.start * 1000)}"
    return Entry(Index.METRICS, rollup.start, name, _present(body), version=rollup.known)


def health_entry(ts: float, key: str, body: Body, *, camera_id: str = "") -> Entry:
    """What one process says about itself, under a `key` that is its own, at `ts`."""
    whole = {**_header(ts, "health", camera_id=camera_id), "service.name": "mien", **body}
    return Entry(Index.HEALTH, ts, f"{key}|{round(ts * 1000)}", _present(whole))


def action(entry: Entry, prefix: str) -> dict[str, Any]:
    """The entry as `elasticsearch.helpers` take it: `create`, or `index` that refuses an older version."""
    place = {"_index": index_of(prefix, entry.kind, entry.ts), "_id": entry.id, "_source": nested(entry.body)}
    if entry.version is None:
        return {"_op_type": "create", **place}
    return {"_op_type": "index", "version": entry.version, "version_type": "external_gte", **place}


def nested(body: Body) -> dict[str, Any]:
    """`{"a.b": 1, "a.c": 2}` as `{"a": {"b": 1, "c": 2}}`."""
    whole: dict[str, Any] = {}
    for name, value in body.items():
        *parents, last = name.split(".")
        branch = whole
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = value
    return whole


def _header(ts: float, dataset: str, *, camera_id: str, place: str = "") -> dict[str, Any]:
    return {
        "@timestamp": iso_time(ts),
        "ecs.version": ECS_VERSION,
        "event.kind": "alert" if dataset == "alerts" else "metric",
        "event.dataset": f"mien.{dataset}",
        "observer.type": "camera" if camera_id else None,
        "observer.name": camera_id or None,
        "observer.geo.name": place or None,
    }


def _hours(ts: float, zone: tzinfo) -> dict[str, int]:
    local = datetime.fromtimestamp(ts, zone)
    return {"mien.hour": local.hour, "mien.weekday": local.isoweekday()}


def _alert(alert: Alert, zone: tzinfo) -> dict[str, Any]:
    document = alert_document(alert)
    place = place_of(alert)
    texts = [alert.annotations[name] for name in ("title", "summary") if alert.annotations.get(name)]
    return {
        **_header(alert.ts, "alerts", camera_id=alert.camera_id, place=alert.labels.get("zone", "")),
        **_hours(alert.ts, zone),
        "event.id": document["id"],
        "event.action": document["status"],
        "event.reason": document["reason"],
        "event.start": document["starts_at"],
        "event.end": document["ends_at"],
        "event.duration": None if alert.ends_at is None else _nanoseconds(alert.ends_at - alert.starts_at),
        "event.severity": alert.severity.rank,
        "rule.id": document["rule"],
        "rule.version": document["config"] or None,
        "message": (": ".join(texts) or f"{alert.rule} on {place}")[:TEXT_LIMIT],
        "tags": [alert.rule, str(alert.severity), place],
        "labels": document["labels"],
        "mien.alert.id": document["alert_id"],
        "mien.alert.sequence": document["seq"],
        "mien.alert.fired_at": document["fired_at"],
        "mien.alert.severity": document["severity"],
        "mien.alert.silenced_by": document["silenced_by"] or None,
        "mien.alert.place": place,
        "mien.scope": document["scope"],
        "mien.evidence": document["evidence"],
    }


def _nanoseconds(seconds: float) -> int:
    """The unit of `event.duration`; times are worth milliseconds."""
    return round(seconds * 1000) * 1_000_000


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _present(body: Body) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
