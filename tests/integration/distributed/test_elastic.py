"""Alerts, roll-ups and health in a real Elasticsearch: each once, none lost, nothing that should not be there."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from connectors.elastic import Elastic
from connectors.elastic_documents import alert_entries, health_entry, rollup_entry
from connectors.elastic_settings import ElasticSettings
from connectors.elastic_sink import ElasticSink
from connectors.elastic_templates import FIGURES, MAPPINGS, Index
from connectors.elastic_writer import ElasticWriter
from connectors.store import Store, StoreSettings
from operators.errors import SinkError
from operators.records import Alert, Clock, FaceTrack, Gap, GapReason, Observation, Status
from operators.rollup import Rollup
from pipeline.cli import app
from pipeline.config import Settings
from pipeline.delivery import Delivery
from pipeline.recorder import Recorder
from pipeline.status import CameraStatus, SinkStatus
from pipeline.status import Status as PipelineStatus
from pipeline.telemetry import Telemetry
from tests.alerts import FEAR, alert, resolved

pytestmark = pytest.mark.integration

NOVEMBER = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def settings(elastic) -> Iterator[ElasticSettings]:
    """Indices that tests share: what is theirs is of their own camera."""
    yield from made(elastic.url, f"t{uuid.uuid4().hex[:10]}")


@pytest.fixture
def own(elastic, prefix) -> Iterator[ElasticSettings]:
    """Indices of one test."""
    yield from made(elastic.url, prefix)


@pytest.fixture
def camera(prefix) -> str:
    return prefix


def made(url: str, prefix: str) -> Iterator[ElasticSettings]:
    yield ElasticSettings(url=url, prefix=prefix)
    httpx.delete(f"{url}/{','.join(indices(url, prefix)) or 'none'}", timeout=30)


def indices(url: str, prefix: str) -> list[str]:
    return sorted(httpx.get(f"{url}/{prefix}-*").json())


def documents(settings: ElasticSettings, index: str, camera: str = "") -> dict[str, Any]:
    """Every document of an alias, or those of one camera, by its id."""
    base = f"{settings.url}/{settings.prefix}-{index}"
    httpx.post(f"{base}/_refresh", timeout=30).raise_for_status()
    query = {"term": {"observer.name": camera}} if camera else {"match_all": {}}
    found = httpx.post(f"{base}/_search", json={"size": 10_000, "version": True, "query": query}).raise_for_status()
    hits = found.json()["hits"]
    assert hits["total"]["value"] == len(hits["hits"])
    return {hit["_id"]: {"_version": hit["_version"], **hit["_source"]} for hit in hits["hits"]}


def deliver(settings: ElasticSettings, alerts: Sequence[Alert]) -> None:
    sink = ElasticSink(settings)
    try:
        sink.deliver(alerts)
    finally:
        sink.close()


def of(camera: str, number: int = 0) -> Alert:
    """A firing alert of a camera."""
    return alert(number, alert_id=f"{camera}-{number:05d}", camera_id=camera)


def lives(camera: str, count: int) -> list[Alert]:
    """Alerts that fire and are resolved."""
    return [step for number in range(count) for step in (of(camera, number), resolved(of(camera, number)))]


def eventually(check: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it holds; only a test that fails takes long."""
    ends_at = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends_at, f"did not happen within {seconds:g} s"
        time.sleep(0.05)


def test_who_answers(settings):
    found = Elastic(settings).check()
    assert (found.version, found.health) == ("9.1.0", "green")  # of the nodes: there is no front page


def test_what_is_asked_for_exists_before_there_is_anything_in_it(own):
    Elastic(own).apply()
    for kind in Index:
        assert documents(own, kind) == {}


def test_the_same_alerts_again_give_the_same_documents(settings, camera):
    history = lives(camera, 40)
    deliver(settings, history)
    first = {kind: documents(settings, kind, camera) for kind in (Index.ALERTS, Index.STATE)}
    assert len(first[Index.ALERTS]) == 80
    assert {one["event"]["action"] for one in first[Index.STATE].values()} == {"resolved"}
    random.Random(7).shuffle(history)
    for begin in range(0, 80, 20):
        deliver(settings, history[begin : begin + 40])
    assert {kind: documents(settings, kind, camera) for kind in first} == first


def test_a_late_write_does_not_turn_a_state_back(settings, camera):
    firing = of(camera)
    for step in (resolved(firing), firing, replace(firing, seq=0, status=Status.PENDING)):
        deliver(settings, [step])
    (state,) = documents(settings, Index.STATE, camera).values()
    assert state["event"]["action"] == "resolved"
    transitions = documents(settings, Index.ALERTS, camera).values()
    assert {one["event"]["action"] for one in transitions} == {"pending", "firing", "resolved"}


def test_a_document_that_is_refused_becomes_a_dead_letter_and_the_others_go_on(settings, camera, tmp_path):
    history = [of(camera, number) for number in range(7)]
    history[3] = replace(history[3], seq=2**40)  # no integer of the mapping
    store = Store(StoreSettings(path=tmp_path / "mien.sqlite"))
    delivery = Delivery(store, [ElasticSink(settings)])
    delivery.start()
    delivery.accept(history)
    eventually(lambda: delivery.status()[0].waiting == 0)
    delivery.stop(10)
    (letter,) = store.dead_letters()
    store.close()
    assert (letter.sink, letter.alert) == ("elasticsearch", history[3])
    assert "document_parsing_exception" in letter.reason
    assert "mien.alert.sequence" in letter.reason
    assert sorted(documents(settings, Index.ALERTS, camera)) == [one.transition_id for one in history if one.seq == 1]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"mien.embedding": 0.5}, "strict_dynamic_mapping_exception"),
        ({"crop": "iVBORw0KGgo"}, "strict_dynamic_mapping_exception"),
        ({"mien.evidence": {"crop": "iVBORw0KGgo"}}, "crop"),
        ({"mien.evidence": {"crop": {"data": 1.0}}}, "crop"),
        ({"@timestamp": "yesterday"}, "failed to parse field [@timestamp]"),
    ],
)
def test_what_is_not_in_the_mapping_is_refused(settings, camera, extra, said):
    good, _ = alert_entries(of(camera))
    bad = replace(good, id=f"{camera}-bad", body={**good.body, **extra})
    (refusal,) = Elastic(settings).write([bad, good])
    assert refusal.entry == bad
    assert said in refusal.reason
    assert sorted(documents(settings, Index.ALERTS, camera)) == [good.id]


def test_the_mapping_is_the_promise(settings, camera):
    """What the server holds after data of every kind is what the table says, and numbers under open names."""
    deliver(settings, lives(camera, 2))
    Elastic(settings).write([rollup_entry(a_rollup(camera))])
    for index, body in httpx.get(f"{settings.url}/{settings.prefix}-*/_mapping").json().items():
        kind = next(kind for kind in Index if index.startswith(f"{settings.prefix}-{kind}-"))
        opened = [name for name, type_ in MAPPINGS[kind].items() if type_ == FIGURES]
        fields = dict(leaves(body["mappings"]))
        promised = {name: type_ for name, type_ in fields.items() if not name.startswith(tuple(opened))}
        assert promised == {name: type_ for name, type_ in MAPPINGS[kind].items() if name not in opened}
        assert {type_ for name, type_ in fields.items() if name not in promised} <= {"double", "object"}


def leaves(mapping: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, field in mapping.get("properties", {}).items():
        if "properties" in field:
            yield from leaves(field, f"{path}{name}.")
        else:
            yield f"{path}{name}", field["type"]


def test_indices_of_an_older_version_learn_the_new_fields(own):
    elastic = Elastic(own, clock=lambda: NOVEMBER)
    old = f"{own.url}/{own.prefix}-alerts-2025.11"
    mappings = {"dynamic": "strict", "properties": {"@timestamp": {"type": "date"}}}
    httpx.put(old, json={"mappings": mappings, "aliases": {f"{own.prefix}-alerts": {}}}).raise_for_status()
    assert elastic.write(alert_entries(FEAR)) == []
    assert list(documents(own, Index.ALERTS)) == [FEAR.transition_id]


def test_a_cluster_that_makes_no_index_by_itself(own):
    def allow(value: str | None) -> None:
        body = {"persistent": {"action.auto_create_index": value}}
        httpx.put(f"{own.url}/_cluster/settings", json=body).raise_for_status()

    elastic = Elastic(own, clock=lambda: NOVEMBER)
    allow(f"-{own.prefix}*,+*")
    try:
        with pytest.raises(SinkError, match="index_not_found_exception") as caught:
            elastic.write(alert_entries(FEAR))  # of another month, whose indices are made now
        assert caught.value.retryable
        assert elastic.write(alert_entries(FEAR)) == []
    finally:
        allow(None)
    assert list(documents(own, Index.ALERTS)) == [FEAR.transition_id]


def test_a_client_of_another_age_is_answered_as_we_expect(elastic):
    """What unit tests answer for an 8.x server to a client of 9.x, from this one to a client of 7.x."""
    accept = {"Accept": "application/vnd.elasticsearch+json; compatible-with=7"}
    answer = httpx.get(f"{elastic.url}/_cluster/health", headers=accept)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "media_type_header_exception"


def test_an_index_that_does_not_fit_is_named(own):
    body = {"mappings": {"properties": {"message": {"type": "keyword"}}}}
    httpx.put(f"{own.url}/{own.prefix}-alerts-2025.11", json=body).raise_for_status()
    with pytest.raises(SinkError, match=r"mapper.*message.* cannot be changed from type") as caught:
        deliver(own, [FEAR])
    assert caught.value.retryable  # alerts wait until somebody has moved it away


def test_whole_months_go_when_their_retention_is_over(own):
    kept, gone = ("1970.01", "2026.09", "2026.11"), ("2025.12", "2026.08")
    own = replace(own, keep_alerts_months=2, keep_metrics_months=1)
    elastic = Elastic(own, clock=lambda: NOVEMBER)
    for month in (*kept, *gone):
        ts = datetime.strptime(month, "%Y.%m").replace(tzinfo=UTC).timestamp()
        elastic.write(alert_entries(alert(1, ts=ts, starts_at=ts, fired_at=ts)))
        elastic.write([rollup_entry(replace(a_rollup("lobby"), start=ts))])
    applied = elastic.apply()
    prefix = own.prefix
    assert set(applied.dropped) == {
        *(f"{prefix}-{kind}-{month}" for kind in ("alerts", "alert-state") for month in gone),
        *(f"{prefix}-metrics-{month}" for month in (*gone, "2026.09")),
    }
    assert indices(own.url, prefix) == sorted(
        [
            *(f"{prefix}-{kind}-{month}" for kind in ("alerts", "alert-state") for month in kept),
            *(f"{prefix}-metrics-{month}" for month in kept if month != "2026.09"),
            f"{prefix}-health-2026.11",
        ]
    )
    assert elastic.apply().dropped == ()


@pytest.mark.timeout(300)  # it starts a server twice
def test_nothing_is_lost_or_doubled_when_the_server_is_killed_in_the_middle(own_elastic, prefix, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.delivery.LONGEST_WAIT_S", 2.0)
    settings = ElasticSettings(url=own_elastic.url, prefix=prefix, timeout=5.0)
    store = Store(StoreSettings(path=tmp_path / "mien.sqlite"))
    delivery, writer = Delivery(store, [ElasticSink(settings)]), ElasticWriter(settings)
    delivery.start()
    writer.start()
    history = lives("lobby", 500)
    rollups = [replace(a_rollup("lobby"), start=NOVEMBER + 10 * number) for number in range(300)]

    def accept(part: int) -> None:
        """A third of all, so that some alerts are resolved before they fire."""
        delivery.accept(history[part::3])
        writer.put(map(rollup_entry, rollups[part::3]))

    accept(0)
    eventually(lambda: store.cursor("elasticsearch") > 50)
    own_elastic.kill()  # with half of it
    accept(1)
    eventually(lambda: "can't be reached" in delivery.status()[0].error)
    assert delivery.status()[0].waiting > 300
    own_elastic.start()
    accept(2)
    eventually(lambda: delivery.status() == (SinkStatus("elasticsearch", waiting=0),))
    delivery.stop(10)
    writer.close(40)
    store.close()
    transitions, states = documents(settings, Index.ALERTS), documents(settings, Index.STATE)
    assert set(transitions) == {one.transition_id for one in history}
    assert {one["_version"] for one in transitions.values()} == {1}
    assert len(states) == 500
    assert {one["event"]["action"] for one in states.values()} == {"resolved"}
    assert len(documents(settings, Index.METRICS)) == 300
    assert writer.take_discarded() == 0


def a_rollup(camera: str) -> Rollup:
    return Rollup(
        camera_id=camera,
        zone="desk",
        start=NOVEMBER,
        width=10.0,
        frames=50,
        faces_seen=75,
        faces_max=2,
        unknown=0.25,
        shares={"fear": 1.0},
        scores={"fear": 0.75},
        observed_s=9.8,
        gaps={GapReason.LOST: 0.2},
    )


def test_of_two_roll_ups_of_one_stretch_that_which_knows_more_stays(settings, camera):
    whole = a_rollup(camera)
    half = replace(whole, frames=25, observed_s=5.0)
    elastic = Elastic(settings)
    for one in (half, whole, half, half):
        assert elastic.write([rollup_entry(one)]) == []
    (found,) = documents(settings, Index.METRICS, camera).values()
    assert found["mien"]["frames"] == 50


def test_what_a_pipeline_tells_can_be_found(settings, camera, monkeypatch):
    """Roll-ups and health, from records and a status to documents."""
    monkeypatch.setattr("pipeline.telemetry.CLOSE_S", 60.0)
    now = [NOVEMBER]
    whole = Settings(version=1, purpose="test", cameras={camera: {"url": "scene://smile"}})  # type: ignore[call-arg]
    recorder = Recorder()
    status = PipelineStatus(uptime_s=1.0, cameras=(CameraStatus(camera, "live", frames=50, analysed=50, age_s=0.2),))
    with Telemetry(whole, settings, role=camera, clock=lambda: now[0]) as telemetry:
        telemetry.observe(seen(camera, NOVEMBER + step) for step in range(5))
        telemetry.observe([Gap(camera, NOVEMBER + 4, NOVEMBER + 13, GapReason.DOWN)])
        with recorder.stage("detect"):
            pass
        telemetry.report(status, recorder)  # too early
        now[0] += 10
        telemetry.report(status, recorder)
        telemetry.report(status, recorder)  # once per 10 s
    found = documents(settings, Index.METRICS, camera)
    start = round(NOVEMBER * 1000)
    first = found[f"{camera}||{start}"]["mien"]
    assert (first["frames"], first["observed_s"], first["gap_s"]) == (5, 4.0, {"down": 6.0})
    assert found[f"{camera}|desk|{start}"]["observer"] == {"type": "camera", "name": camera, "geo": {"name": "desk"}}
    assert found[f"{camera}||{start + 10_000}"]["mien"]["gap_s"] == {"down": 3.0}
    health = [one for one in documents(settings, Index.HEALTH).values() if one["service"]["node"]["role"] == camera]
    assert sorted(one["mien"]["kind"] for one in health) == ["camera", "process", "stage"]
    assert {one["@timestamp"] for one in health} == {"2026-11-21T12:00:10.000Z"}


def seen(camera: str, ts: float) -> Observation:
    face = FaceTrack("secret", ts, (0, 0, 9, 9), 0.9, 9.0, 0.9, label="fear", scores={"fear": 0.9}, zones=("desk",))
    return Observation(camera, 1, round(ts), ts, Clock.STREAM, (face,))


def test_a_figure_can_be_charted(settings, camera):
    """What Grafana asks for: a date histogram by camera with a mean in it."""
    Elastic(settings).write([rollup_entry(replace(a_rollup(camera), start=NOVEMBER + 10 * step)) for step in range(12)])
    mean = {"fear": {"avg": {"field": "mien.expression.score.fear"}}}
    over_time = {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}, "aggs": mean}
    body = {
        "size": 0,
        "query": {"query_string": {"query": f"observer.name:{camera} AND mien.scope:zone"}},
        "aggs": {"camera": {"terms": {"field": "observer.name"}, "aggs": {"time": over_time}}},
    }
    assert len(documents(settings, Index.METRICS, camera)) == 12  # refreshes, too
    url = f"{settings.url}/{settings.prefix}-metrics/_search"
    (found,) = httpx.post(url, json=body).json()["aggregations"]["camera"]["buckets"]
    assert found["key"] == camera
    assert [(one["doc_count"], one["fear"]["value"]) for one in found["time"]["buckets"]] == [(6, 0.75), (6, 0.75)]


def test_more_than_one_request_holds(settings, camera):
    entries = [health_entry(NOVEMBER, f"{camera}|{number}", {}, camera_id=camera) for number in range(1700)]
    assert Elastic(settings).write(entries) == []
    assert len(documents(settings, Index.HEALTH, camera)) == 1700


def test_the_commands(own, tmp_path):
    path = tmp_path / "mien.yaml"
    section = f"elasticsearch: {{url: {own.url}, prefix: {own.prefix}}}"
    path.write_text(f"version: 1\npurpose: test\ncameras: {{lobby: {{url: scene://smile}}}}\n{section}\n")

    def say(command: str) -> str:
        result = CliRunner().invoke(app, ["elastic", command, "-c", str(path)])
        assert result.exit_code == 0, result.output
        return result.output

    assert "no indices yet" in say("check")
    httpx.put(f"{own.url}/{own.prefix}-alerts-2020.01").raise_for_status()
    assert f"dropped: {own.prefix}-alerts-2020.01" in say("apply")
    deliver(own, [FEAR])
    documents(own, Index.ALERTS)  # refreshes
    said = say("check")
    assert f"elasticsearch {own.url}: cluster tests, version 9.1.0, green" in said
    assert f"1  {own.prefix}-alerts-2025.11" in said
