"""Every query of every dashboard, on a real Elasticsearch that a real run has filled, must find something."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.elastic_sink import ElasticSink
from connectors.elastic_writer import ElasticWriter
from connectors.grafana_settings import GrafanaSettings
from operators.records import Status as AlertStatus
from pipeline.config import Settings, load_settings
from pipeline.dashboards import all_dashboards
from pipeline.dashboards.provisioning import alerting
from pipeline.health_documents import Health, Queue
from pipeline.status import CameraStatus, Status
from tests.alerts import FEAR
from tests.grafana_source import Range, Source
from tests.servers.elasticsearch import Elasticsearch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

CONFIG = """
version: 1
purpose: a test of the dashboards on the built-in scene
cameras:
  smile:
    url: scene://smile
    fps: 6
    zones: {{middle: {{polygon: [[0.2, 0], [0.9, 0], [0.9, 1], [0.2, 1]]}}}}
  away: {{url: "rtsp://127.0.0.1:{closed_port}/none", fps: 5}}
rule_defaults: {{max_gap: 2s, max_dip: 1s, min_coverage: 0.1, keep_firing_for: 500ms, lost_after: 1s}}
rules:
  - id: happy
    severity: notice
    when: {{prob: happiness, enter: 0.5, exit: 0.3}}
    for: 1s
    title: Happiness on {{camera}}
  - id: happy-in-the-middle
    severity: warning
    when: {{prob: happiness, enter: 0.5, exit: 0.3}}
    scope: zone
    where: {{zones: [middle]}}
    for: 500ms
  - id: happy-for-long
    when: {{prob: happiness, enter: 0.5, exit: 0.3}}
    for: 1m
store: {{path: "{folder}/mien.sqlite"}}
sinks: []
elasticsearch: {{url: "{url}", prefix: "{prefix}"}}
"""
NEEDED = ("event.action:resolved", "event.action:broken", "event.dataset:mien.metrics", "mien.stage:decision")
"""What the run has to have written: the person has come, smiled and gone."""
LONGEST_RUN_S = 150.0
SPAN_S = 300.0

ALARMS = alerting(GrafanaSettings())["groups"][0]["rules"]
BOARDS = {board["uid"]: board for board in all_dashboards()}
PANELS = [
    pytest.param(board, panel, id=f"{board['uid']}-{panel['title']}")
    for board in BOARDS.values()
    for panel in board["panels"]
    if panel["targets"]
]


@dataclass(frozen=True)
class Filled:
    source: Source
    span: Range


@pytest.fixture(scope="module")
def filled(elastic: Elasticsearch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder, prefix = tmp_path_factory.mktemp("dashboards"), f"d{time.time_ns():x}"
    path = folder / "mien.yaml"
    path.write_text(CONFIG.format(folder=folder, url=elastic.url, prefix=prefix, closed_port=1))
    with closing(Source(elastic.url, f"{prefix}-*")) as source:
        run_until(source, path)
        make_happen(load_settings(path))
        httpx.post(f"{elastic.url}/{prefix}-*/_refresh").raise_for_status()
        yield Filled(source, span())
    httpx.delete(f"{elastic.url}/{prefix}-*", params={"expand_wildcards": "all"})


def span() -> Range:
    now = round(time.time() * 1000)
    return Range(now - round(SPAN_S * 1000), now)


def run_until(source: Source, config: Path) -> None:
    """`mien run`, as long as it takes to fill the indices."""
    command = [sys.executable, "-m", "pipeline.cli", "run", "--plain", "-c", str(config)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    ends_at = time.monotonic() + LONGEST_RUN_S
    try:
        while missing := [query for query in NEEDED if not source.count(query)]:
            assert process.poll() is None, "mien run ended by itself"
            assert time.monotonic() < ends_at, f"nothing is written of {missing}"
            time.sleep(0.5)
    finally:
        process.terminate()
        process.wait(30)


def make_happen(settings: Settings) -> None:
    """What half a minute with two cameras on one machine doesn't show, told by the same code that tells it there."""
    elastic = settings.elasticsearch
    assert elastic is not None
    now = time.time()
    busy = CameraStatus("smile", "live", skew_s=0.02, lost=2, drops={"overload": 7}, reconnects={"timeout": 1})
    queues = (Queue("analyze", waiting=3, age_s=1.5), Queue("evaluate", waiting=0, age_s=0.0))
    writer = ElasticWriter(elastic)
    writer.put(Health("analyze").documents(Status(1.0, (busy,)), now, queues=queues, kept_s=61.5))
    writer.start()
    writer.close(20.0)
    sink = ElasticSink(elastic)
    fires = replace(FEAR, camera_id="smile", ts=now - 5, starts_at=now - 8, fired_at=now - 5, silenced_by="muted:night")
    over = replace(fires, alert_id="over", rule="over")
    sink.deliver([fires, over, replace(over, seq=2, status=AlertStatus.RESOLVED, ts=now - 1, ends_at=now - 1)])
    sink.close()


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_every_query_finds_something(filled: Filled, board: dict[str, Any], panel: dict[str, Any]):
    for target in panel["targets"]:
        assert filled.source.panel(board, {**panel, "targets": [target], "transformations": []}, filled.span), target


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_every_panel_has_something_to_draw(filled: Filled, board: dict[str, Any], panel: dict[str, Any]):
    answer = filled.source.panel(board, panel, filled.span)
    assert answer
    if panel["type"] == "table":
        assert drawn(answer.rows) >= headings(panel)
    assert all("{{" not in series.name for series in answer.series)


def drawn(rows: list[dict[str, Any]]) -> set[str]:
    return {name for row in rows for name, value in row.items() if value is not None}


def headings(panel: dict[str, Any]) -> set[str]:
    """What the table calls its columns; those of a matrix depend on the data."""
    organize = panel["transformations"][-1]["options"]["renameByName"]
    return set(organize.values())


@pytest.mark.parametrize("board", [pytest.param(board, id=uid) for uid, board in BOARDS.items()])
def test_every_choice_offers_something_and_can_be_chosen(filled: Filled, board: dict[str, Any]):
    for variable in board["templating"]["list"]:
        if variable["type"] != "query":
            continue
        offered = filled.source.choices(variable, filled.span)
        assert offered
        everything = {variable["name"]: offered}
        for panel in board["panels"]:
            if f"${variable['name']}" in str(panel["targets"]):
                assert filled.source.panel(board, panel, filled.span, everything), (everything, panel["title"])
        none = {variable["name"]: ["nobody calls it so"]}
        for panel in board["panels"]:
            if f"${variable['name']}" in str(panel["targets"]):
                answer = filled.source.panel(board, panel, filled.span, none)
                assert not answer.rows
                assert not any(value for series in answer.series for value in series.values)


def test_alerts_are_marked_from_start_to_end(filled: Filled):
    for board in BOARDS.values():
        (annotation,) = board["annotations"]["list"]
        marks = filled.source.marks(board, annotation, filled.span)
        ended = [mark for mark in marks if mark["timeEnd"]]
        assert ended
        assert all(mark["time"] < mark["timeEnd"] for mark in ended)
        assert all(mark["text"] and mark["tags"] for mark in marks)
        assert "Happiness on smile" in {mark["text"] for mark in ended}


def test_what_fires_now_is_what_has_not_been_resolved(filled: Filled):
    live = BOARDS["mien-live"]
    (panel,) = [panel for panel in live["panels"] if panel["title"] == "Fires now"]
    rows = filled.source.panel(live, panel, filled.span).rows
    assert "fear-sustained" in [row["Rule"] for row in rows]
    assert "over" not in [row["Rule"] for row in rows]
    (count,) = [panel for panel in live["panels"] if panel["title"] == "Firing now"]
    (series,) = filled.source.panel(live, count, filled.span).series
    assert sum(series.values) == len(rows)


REDUCERS = {"last": lambda values: values[-1], "sum": sum, "mean": lambda values: sum(values) / len(values)}
EXCEED = {"gt": lambda value, limit: value > limit, "lt": lambda value, limit: value < limit}


def alarming(source: Source, alarm: dict[str, Any], at: Range) -> dict[str, bool]:
    """Whether each series of an alarm is beyond its limit: query, reduction and threshold, as Grafana takes them."""
    values, latest, limit = (step["model"] for step in alarm["data"])
    evaluator = limit["conditions"][0]["evaluator"]
    series = source.target(values, at.back(f"{alarm['data'][0]['relativeTimeRange']['from']}s")).series
    return {
        one.name: EXCEED[evaluator["type"]](REDUCERS[latest["reducer"]](one.values), evaluator["params"][0])
        for one in series
        if one.values
    }


def test_every_alarm_has_something_to_judge(filled: Filled):
    found = {alarm["uid"]: alarming(filled.source, alarm, filled.span) for alarm in ALARMS}
    assert all(found.values())
    assert found["mien-camera-down"] == {"away": True, "smile": False}
    assert found["mien-time-missed"]["away"]
    assert not any(found["mien-sink-down"].values())
    assert not any(found["mien-silent"].values())


def test_silence_is_an_alarm(filled: Filled):
    (silent,) = [alarm for alarm in ALARMS if alarm["uid"] == "mien-silent"]
    a_day_ago = Range(filled.span.start - 86_400_000, filled.span.end - 86_400_000)
    assert all(alarming(filled.source, silent, a_day_ago).values())
    assert silent["noDataState"] == "Alerting"


def test_shares_of_expressions_come_from_what_was_seen(filled: Filled):
    board = BOARDS["mien-expressions"]
    (panel,) = [panel for panel in board["panels"] if panel["title"] == "Share of each expression"]
    found = {series.name: max(series.values) for series in filled.source.panel(board, panel, filled.span).series}
    assert found["happiness"] > 0.5
    assert found["happiness"] > found["fear"]
