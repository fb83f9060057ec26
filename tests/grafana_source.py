"""Grafana's Elasticsearch data source and a few of its transformations, as far as the dashboards use them.

Grafana's server can't be had from any registry here, so this says what it does, after its documentation and open
source (pkg/tsdb/elasticsearch and public/app/plugins/datasource/elasticsearch of grafana/grafana): which `_msearch`
a panel's target becomes, which tables come out of the answer, and how variables are put into a query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

Json = dict[str, Any]
Row = dict[str, Any]

MIN_INTERVAL_MS = 10_000
"""`timeInterval` of the data source."""
MAX_POINTS = 1000
METRIC_NAMES = {"count": "Count", "avg": "Average", "sum": "Sum", "max": "Max", "min": "Min"}
UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "y": 365 * 86_400_000}


@dataclass(frozen=True)
class Range:
    """From and to, in ms since the epoch."""

    start: int
    end: int

    def back(self, span: str) -> Range:
        return Range(self.end - int(span[:-1]) * UNITS_MS[span[-1]], self.end)

    @property
    def interval_ms(self) -> int:
        return max(MIN_INTERVAL_MS, (self.end - self.start) // MAX_POINTS // 1000 * 1000)


@dataclass(frozen=True)
class Series:
    """One line: its name, and (ms, value) per bucket; a value is None where a bucket has none."""

    name: str
    points: Sequence[tuple[int, float | None]]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.points if value is not None]


@dataclass(frozen=True)
class Answer:
    """What a panel has to draw: lines, or a table."""

    series: list[Series] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows) or any(series.values for series in self.series)


class Source:
    """The data source with uid `mien-elasticsearch`, on a real server."""

    def __init__(self, url: str, index: str) -> None:
        self.url = url
        self._index = index
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        self._http.close()

    def panel(self, dashboard: Json, panel: Json, span: Range, chosen: Mapping[str, Any] | None = None) -> Answer:
        """The panel's data, after its transformations."""
        span = span.back(panel["timeFrom"]) if "timeFrom" in panel else span
        answer = Answer()
        for target in panel["targets"]:
            found = self.target(interpolated(dashboard, target, chosen or {}), span)
            answer = Answer([*answer.series, *found.series], [*answer.rows, *found.rows])
        for step in panel["transformations"]:
            answer = TRANSFORMATIONS[step["id"]](answer, interpolated(dashboard, step["options"], chosen or {}))
        return answer

    def target(self, target: Json, span: Range) -> Answer:
        """The data of one target whose variables are replaced."""
        response = self._search(body_of(target, span))
        if target["metrics"][0]["type"] == "raw_data":
            return Answer(rows=[flat(hit["_source"]) | _first(hit["fields"]) for hit in response["hits"]["hits"]])
        if target["bucketAggs"][-1]["type"] == "date_histogram":
            return Answer(series=list(_series(target, response["aggregations"], {}, 0)))
        return Answer(rows=list(_rows(target, response["aggregations"], {}, 0)))

    def marks(self, dashboard: Json, annotation: Json, span: Range) -> list[Row]:
        """The annotations: time, timeEnd, text and tags, found by walking through the document.

        Grafana before 12.2.4 says `from` and `to` here, which Elasticsearch 9 refuses (grafana/grafana#113723).
        """
        start, end = annotation["timeField"], annotation["timeEndField"]
        ranges = [
            {"range": {name: {"gte": span.start, "lte": span.end, "format": "epoch_millis"}}} for name in (start, end)
        ]
        query = interpolated(dashboard, annotation["target"], {})["query"]
        wanted = [{"bool": {"should": ranges, "minimum_should_match": 1}}, {"query_string": {"query": query}}]
        response = self._search({"query": {"bool": {"filter": wanted}}, "size": 10_000})
        fields = {"time": start, "timeEnd": end, "text": annotation["textField"], "tags": annotation["tagsField"]}
        return [
            {name: _walk(hit["_source"], path) for name, path in fields.items()} for hit in response["hits"]["hits"]
        ]

    def choices(self, variable: Json, span: Range) -> list[str]:
        """The values that a variable of a dashboard offers."""
        find = json.loads(variable["query"])
        assert find["find"] == "terms"
        order = {"_key": "asc"}
        body = {
            "size": 0,
            "query": {"bool": {"filter": [_within(span), {"query_string": {"query": find["query"]}}]}},
            "aggs": {"1": {"terms": {"field": find["field"], "size": find["size"], "order": order}}},
        }
        return [str(bucket["key"]) for bucket in self._search(body)["aggregations"]["1"]["buckets"]]

    def count(self, query: str) -> int:
        """How many documents there are now, as far as the shards answer that are being made."""
        self._http.post(f"/{self._index}/_refresh")
        found = self._http.get(f"/{self._index}/_count", params={"q": query})
        return int(found.json()["count"]) if found.is_success else 0

    def _search(self, body: Json) -> Json:
        header = {"search_type": "query_then_fetch", "ignore_unavailable": True, "index": self._index}
        response = self._http.post(
            "/_msearch",
            params={"max_concurrent_shard_requests": 5},
            content=f"{json.dumps(header)}\n{json.dumps(body)}\n",
            headers={"Content-Type": "application/x-ndjson"},
        )
        (found,) = response.raise_for_status().json()["responses"]
        assert "error" not in found, found["error"]
        assert found["_shards"]["failed"] == 0, found["_shards"]
        return dict(found)


def interpolated(dashboard: Json, part: Any, chosen: Mapping[str, Any]) -> Any:
    """A part of the dashboard with each `$name` replaced by chosen values, or by what All stands for, unquoted."""
    if isinstance(part, Mapping):
        return {key: interpolated(dashboard, value, chosen) for key, value in part.items()}
    if isinstance(part, list):
        return [interpolated(dashboard, value, chosen) for value in part]
    if not isinstance(part, str):
        return part
    for variable in dashboard["templating"]["list"]:
        name = variable["name"]
        part = re.sub(rf"\${name}\b", lambda _, v=variable, n=name: _value(v, chosen.get(n)), part)
    return part


def _value(variable: Json, chosen: Any) -> str:
    if variable["type"] == "custom":
        return str(chosen or variable["current"]["value"])
    if chosen is None:
        return str(variable["allValue"])
    return "(" + " OR ".join(f'"{value}"' for value in chosen) + ")"


def body_of(target: Json, span: Range) -> Json:
    """The search that a target becomes."""
    filters: list[Json] = [_within(span)]
    if target["query"]:
        filters.append({"query_string": {"analyze_wildcard": True, "query": target["query"]}})
    body: Json = {"size": 0, "query": {"bool": {"filter": filters}}}
    if target["metrics"][0]["type"] == "raw_data":
        sort = [{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}]
        size = int(target["metrics"][0]["settings"]["size"])
        return body | {"size": size, "sort": sort, "docvalue_fields": ["@timestamp"]}
    return body | {"aggs": _aggregations(target, target["bucketAggs"], span)}


def _within(span: Range) -> Json:
    return {"range": {"@timestamp": {"gte": span.start, "lte": span.end, "format": "epoch_millis"}}}


def _aggregations(target: Json, buckets: Sequence[Json], span: Range) -> Json:
    if not buckets:
        metrics = [metric for metric in target["metrics"] if metric["type"] != "count"]
        return {
            metric["id"]: {metric["type"]: {"field": metric["field"]} | metric.get("settings", {})}
            for metric in metrics
        }
    bucket, *inner = buckets
    found = _histogram(bucket, span) if bucket["type"] == "date_histogram" else _terms(bucket)
    return {bucket["id"]: found | {"aggs": _aggregations(target, inner, span)}}


def _histogram(bucket: Json, span: Range) -> Json:
    settings = bucket["settings"]
    interval = f"{span.interval_ms}ms" if settings["interval"] == "auto" else settings["interval"]
    return {
        "date_histogram": {
            "field": bucket["field"],
            "fixed_interval": interval,
            "min_doc_count": int(settings["min_doc_count"]),
            "extended_bounds": {"min": span.start, "max": span.end},
            "format": "epoch_millis",
        }
    }


def _terms(bucket: Json) -> Json:
    settings = bucket["settings"]
    order = {settings["orderBy"]: settings["order"]}
    size = int(settings["size"]) or 500
    min_count = int(settings["min_doc_count"])
    return {"terms": {"field": bucket["field"], "size": size, "min_doc_count": min_count, "order": order}}


def _series(target: Json, answer: Json, labels: Mapping[str, str], depth: int) -> Iterable[Series]:
    bucket = target["bucketAggs"][depth]
    found = answer[bucket["id"]]["buckets"]
    if bucket["type"] == "date_histogram":
        for metric in target["metrics"]:
            for name, values in _lines(metric, found):
                points = [(one["key"], value) for one, value in zip(found, values, strict=True)]
                yield Series(_alias(target, metric, name, labels), points)
        return
    for one in found:
        key = str(one.get("key_as_string", one["key"]))
        yield from _series(target, one, {**labels, bucket["field"]: key}, depth + 1)


def _lines(metric: Json, buckets: Sequence[Json]) -> Iterable[tuple[str, list[float | None]]]:
    number = metric["id"]
    if metric["type"] == "count":
        yield METRIC_NAMES["count"], [one["doc_count"] for one in buckets]
    elif metric["type"] == "percentiles":
        for at in sorted(buckets[0][number]["values"]) if buckets else ():
            yield f"p{at}", [one[number]["values"][at] for one in buckets]
    else:
        yield METRIC_NAMES[metric["type"]], [one[number]["value"] for one in buckets]


def _alias(target: Json, metric: Json, metric_name: str, labels: Mapping[str, str]) -> str:
    known = {**labels, "metric": metric_name, "field": metric.get("field", "")}
    if target["alias"]:
        return re.sub(r"\{\{([\s\S]+?)\}\}", lambda found: known.get(found[1], found[0]), target["alias"])
    name = f"{metric_name} {metric.get('field', '')}".strip()
    return " ".join(labels[key] for key in sorted(labels)) or name


def _rows(target: Json, answer: Json, before: Row, depth: int) -> Iterable[Row]:
    bucket = target["bucketAggs"][depth]
    last = depth == len(target["bucketAggs"]) - 1
    for one in answer[bucket["id"]]["buckets"]:
        if last:
            yield {**before, bucket["field"]: one["key"], **_cells(target, one)}
        else:
            yield from _rows(target, one, {**before, bucket["field"]: str(one["key"])}, depth + 1)


def _cells(target: Json, bucket: Json) -> Row:
    cells = {}
    for metric in target["metrics"]:
        same = [other for other in target["metrics"] if other["type"] == metric["type"]]
        name = METRIC_NAMES[metric["type"]] + (f" {metric['field']}" if len(same) > 1 else "")
        cells[name] = bucket["doc_count"] if metric["type"] == "count" else bucket[metric["id"]]["value"]
    return cells


def _first(fields: Mapping[str, Sequence[Any]]) -> Row:
    return {name: values[0] for name, values in fields.items()}


def flat(source: Json, before: str = "") -> Row:
    found: Row = {}
    for key, value in source.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def _walk(source: Any, path: str) -> Any:
    for part in path.split("."):
        source = source.get(part)
        if not source:
            return None
    return source


def _columns(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _filter_fields(answer: Answer, options: Json) -> Answer:
    names = options["include"]["names"]
    return Answer(answer.series, [{name: row[name] for name in names if name in row} for row in answer.rows])


def _organize(answer: Answer, options: Json) -> Answer:
    """Order and rename columns; those without a place come last."""
    places, shown = options["indexByName"], options["renameByName"]
    names = sorted(_columns(answer.rows), key=lambda name: places.get(name, len(places)))
    return Answer(answer.series, [{shown.get(name, name): row.get(name) for name in names} for row in answer.rows])


def _matrix(answer: Answer, options: Json) -> Answer:
    """One row per value of `rowField`; the first row decides about the order of columns."""
    down, across, value = options["rowField"], options["columnField"], options["valueField"]
    columns = dict.fromkeys(str_of(row[across]) for row in answer.rows)
    table: dict[str, Row] = {}
    for row in answer.rows:
        table.setdefault(row[down], {f"{down}\\{across}": row[down], **columns})[str_of(row[across])] = row[value]
    return Answer(rows=list(table.values()))


def _calculate(answer: Answer, options: Json) -> Answer:
    binary = options["binary"]
    assert binary["operator"] == "/"
    rows = []
    for row in answer.rows:
        over, under = row.get(binary["left"]), row.get(binary["right"])
        rows.append(row | {options["alias"]: over / under if over is not None and under else None})
    return Answer(answer.series, rows)


def _rename(answer: Answer, options: Json) -> Answer:
    pattern, shown = re.compile(options["regex"]), options["renamePattern"].replace("$", "\\")
    return Answer([Series(pattern.sub(shown, one.name), one.points) for one in answer.series], answer.rows)


def str_of(value: Any) -> str:
    """A cell's value as the name of a column."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _convert(answer: Answer, options: Json) -> Answer:
    """Read texts as times, which are ms since the epoch."""
    names = {one["targetField"] for one in options["conversions"] if one["destinationType"] == "time"}
    rows = [
        {name: _ms(value) if name in names and value else value for name, value in row.items()} for row in answer.rows
    ]
    return Answer(answer.series, rows)


def _ms(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1000


TRANSFORMATIONS = {
    "convertFieldType": _convert,
    "filterFieldsByName": _filter_fields,
    "organize": _organize,
    "groupingToMatrix": _matrix,
    "calculateField": _calculate,
    "renameByRegex": _rename,
}
