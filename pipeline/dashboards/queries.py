"""What the dashboards ask Elasticsearch: queries in the form in which Grafana's Elasticsearch data source saves them.

Fields are those of connectors/elastic_templates.py. Which kind of document is meant is said by its dataset, so that
one data source can read all indices. In a Lucene query `$camera` and the like are the dashboard's variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.elastic_templates import Index

__all__ = [
    "CAMERA",
    "DATASOURCE",
    "LOOKED_AT",
    "RULE",
    "TIME",
    "WHOLE",
    "ZONE",
    "Json",
    "Metric",
    "documents",
    "each",
    "lucene",
    "over_time",
    "terms",
]

Json = dict[str, Any]
Metric = tuple[str, str] | str
"""`("avg", "mien.fps.in")`, or `count`."""

DATASOURCE: Json = {"type": "elasticsearch", "uid": "mien-elasticsearch"}
"""The one data source of all panels; its uid is fixed, so that dashboards find it in every Grafana."""
TIME = "@timestamp"
CAMERA, ZONE, RULE = "(observer.name:$camera)", "(observer.geo.name:$zone)", "(rule.id:$rule)"
WHOLE = "mien.scope:camera"
"""Roll-ups of a whole picture; those of its zones count the same faces again."""
LOOKED_AT = "mien.frames:>0"
"""Roll-ups of time in which frames were looked at: where there were none, no faces means nothing."""


def lucene(kind: Index, *parts: str) -> str:
    """The Lucene query for documents of one kind that meet every part."""
    return " AND ".join([f"event.dataset:mien.{kind}", *parts])


def over_time(query: str, metrics: Sequence[Metric], *, group: str = "", alias: str = "") -> Json:
    """A query for one line per metric and per value of `group`."""
    buckets = [_terms(group, number=len(metrics) + 1)] if group else []
    histogram = {
        "id": str(len(metrics) + len(buckets) + 1),
        "type": "date_histogram",
        "field": TIME,
        "settings": {"interval": "auto", "min_doc_count": "0", "trimEdges": "0"},
    }
    return _target(query, metrics, [*buckets, histogram], alias=alias)


def each(query: str, metrics: Sequence[Metric], group: str) -> Json:
    """A query for one line per value of `group`, which is called after that."""
    return over_time(query, metrics, group=group, alias=f"{{{{{group}}}}}")


def terms(query: str, metrics: Sequence[Metric], *, group: Sequence[str]) -> Json:
    """A query for one row per combination of values of the fields in `group`."""
    first = len(metrics) + 1
    return _target(query, metrics, [_terms(field, number=first + index) for index, field in enumerate(group)])


def documents(query: str, *, most: int = 100) -> Json:
    """A query for the newest documents themselves."""
    target = _target(query, [], [])
    target["metrics"] = [{"id": "1", "type": "raw_data", "settings": {"size": str(most)}}]
    return target


def _target(query: str, metrics: Sequence[Metric], buckets: Sequence[Json], *, alias: str = "") -> Json:
    return {
        "refId": "A",
        "datasource": DATASOURCE,
        "query": query,
        "timeField": TIME,
        "alias": alias,
        "metrics": [_metric(metric, number) for number, metric in enumerate(metrics, 1)],
        "bucketAggs": list(buckets),
    }


def _metric(metric: Metric, number: int) -> Json:
    if isinstance(metric, str):
        return {"id": str(number), "type": metric}
    kind, field = metric
    if kind == "percentiles":
        return {"id": str(number), "type": kind, "field": field, "settings": {"percents": ["50", "95", "99"]}}
    return {"id": str(number), "type": kind, "field": field}


def _terms(field: str, *, number: int) -> Json:
    settings = {"min_doc_count": "1", "size": "100", "order": "asc", "orderBy": "_key"}
    return {"id": str(number), "type": "terms", "field": field, "settings": settings}
