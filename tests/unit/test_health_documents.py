"""What a process says about itself, as documents."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.elastic_documents import Entry
from connectors.elastic_templates import MAPPINGS, Index
from pipeline.health_documents import Health, Queue
from pipeline.status import CameraStatus, RulesStatus, SinkStatus, Status

LOBBY = CameraStatus(
    "lobby",
    "live",
    skew_s=0.2,
    fps_in=25.0,
    fps_analysed=5.0,
    age_s=0.1,
    frames=100,
    analysed=90,
    lost=2,
    late=1,
    drops={"overload": 7, "late": 0},
    reconnects={"timeout": 1, "eof": 2},
)
STATUS = Status(
    uptime_s=12.34,
    cameras=(LOBBY,),
    firing=3,
    sinks=(SinkStatus("hook", waiting=4, error="away"), SinkStatus("file", waiting=0)),
    rules=RulesStatus("5f1d0c7be2a9"),
)
NOW = 1_763_715_600.0


def of_kind(entries: list[Entry], kind: str) -> list[dict]:
    return [dict(entry.body) for entry in entries if entry.body["mien.kind"] == kind]


def only(entries: list[Entry], kind: str) -> dict:
    (body,) = of_kind(entries, kind)
    return {name: value for name, value in body.items() if name.startswith(("mien.", "observer."))}


def test_a_process():
    assert only(Health("run").documents(STATUS, NOW, discarded=8), "process") == {
        "mien.kind": "process",
        "mien.up": 1,
        "mien.uptime_s": 12.3,
        "mien.firing": 3,
        "mien.rules": "5f1d0c7be2a9",
        "mien.discarded": 8,
    }
    broken = replace(STATUS, store_error="the disk is full")
    assert only(Health("run").documents(broken, NOW), "process")["mien.up"] == 0


def test_a_camera():
    assert only(Health("run").documents(STATUS, NOW), "camera") == {
        "observer.type": "camera",
        "observer.name": "lobby",
        "mien.kind": "camera",
        "mien.up": 1,
        "mien.camera.state": "live",
        "mien.camera.skew_s": 0.2,
        "mien.camera.reconnects": 3,
        "mien.fps.in": 25.0,
        "mien.fps.out": 5.0,
        "mien.frames.in": 100,
        "mien.frames.out": 90,
        "mien.frames.lost": 2,
        "mien.frames.late": 1,
        "mien.age_s": 0.1,
    }


def test_a_camera_that_is_away():
    away = replace(LOBBY, state="backing off", cause="timeout", age_s=None, skew_s=None)
    body = only(Health("run").documents(replace(STATUS, cameras=(away,)), NOW), "camera")
    assert (body["mien.up"], body["mien.camera.cause"]) == (0, "timeout")
    assert not body.keys() & {"mien.age_s", "mien.camera.skew_s"}


def test_counts_are_what_was_added_since_the_last_document():
    health = Health("run")
    health.documents(STATUS, NOW)
    later = replace(LOBBY, frames=150, analysed=139, drops={"overload": 8, "late": 0})
    entries = health.documents(replace(STATUS, cameras=(later,)), NOW + 10)
    body = only(entries, "camera")
    assert (body["mien.frames.in"], body["mien.frames.out"], body["mien.frames.lost"]) == (50, 49, 0)
    assert only(entries, "drop") == {
        "observer.type": "camera",
        "observer.name": "lobby",
        "mien.kind": "drop",
        "mien.reason": "overload",
        "mien.count": 1,
    }
    anew = replace(LOBBY, frames=5, drops={})
    entries = health.documents(replace(STATUS, cameras=(anew,)), NOW + 20)
    assert only(entries, "camera")["mien.frames.in"] == 5
    assert not of_kind(entries, "drop")


def test_a_stage_tells_its_percentiles():
    times = {"detect": [number / 1000 for number in range(101)], "track": []}
    body = only(Health("run").documents(STATUS, NOW, times=times), "stage")
    assert body.pop("mien.stage") == "detect"
    assert body.pop("mien.kind") == "stage"
    assert body == pytest.approx(
        {"mien.count": 101, "mien.latency.p50": 0.05, "mien.latency.p95": 0.095, "mien.latency.p99": 0.099}
    )


def test_how_long_pictures_are_kept_is_told_where_it_is_known():
    (told,) = of_kind(Health("analyze").documents(STATUS, NOW, kept_s=61.52), "topic")
    assert (told["mien.queue"], told["mien.age_s"]) == ("frames", 61.5)
    assert of_kind(Health("analyze").documents(STATUS, NOW), "topic") == []


def test_sinks_and_queues():
    entries = Health("notify").documents(STATUS, NOW, queues=[Queue("alerts-0", 5, 1.5), Queue("alerts-1", 0)])
    sinks = {body["mien.sink"]: (body["mien.waiting"], body["mien.up"]) for body in of_kind(entries, "sink")}
    assert sinks == {"hook": (4, 0), "file": (0, 1)}
    queues = {body["mien.queue"]: (body["mien.waiting"], body.get("mien.age_s")) for body in of_kind(entries, "queue")}
    assert queues == {"alerts-0": (5, 1.5), "alerts-1": (0, None)}


def test_every_field_is_in_the_mapping_and_every_field_of_the_mapping_is_written():
    away = replace(LOBBY, camera_id="yard", state="stalled", cause="timeout")
    entries = Health("run", node="here").documents(
        replace(STATUS, cameras=(LOBBY, away)), NOW, times={"detect": [0.1]}, queues=[Queue("frames-0", 1)]
    )
    written = {name for entry in entries for name in entry.body}
    assert written == set(MAPPINGS[Index.HEALTH])
    assert {entry.body["service.node.name"] for entry in entries} == {"here"}
    assert len({entry.id for entry in entries}) == len(entries)
