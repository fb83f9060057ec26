"""Alerts and roll-ups as documents."""

from __future__ import annotations

import json
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.elastic_documents import ECS_VERSION, Entry, action, alert_entries, health_entry, nested, rollup_entry
from connectors.elastic_templates import MAPPINGS, Index
from operators.records import GapReason, Scope
from operators.rollup import Rollup
from tests.alerts import FEAR, alert, alerts, resolved

LOBBY = Rollup(
    camera_id="lobby",
    zone="",
    start=1_763_715_600.0,
    width=10.0,
    frames=50,
    faces_seen=75,
    faces_max=2,
    unknown=0.25,
    shares={"fear": 1.0},
    scores={"fear": 0.87654321},
    observed_s=9.8,
    gaps={GapReason.LOST: 0.2},
)


def test_a_firing_alert():
    transition, state = alert_entries(replace(FEAR, silenced_by="muted:night"), ZoneInfo("Europe/Berlin"))
    assert transition.body == {
        "@timestamp": "2025-11-21T09:00:04.000Z",
        "ecs.version": ECS_VERSION,
        "event.kind": "alert",
        "event.dataset": "mien.alerts",
        "event.id": "a1b2c3-1-firing",
        "event.action": "firing",
        "event.reason": "for",
        "event.start": "2025-11-21T09:00:01.000Z",
        "event.severity": 2,
        "observer.type": "camera",
        "observer.name": "lobby",
        "observer.geo.name": "desk",
        "rule.id": "fear-sustained",
        "rule.version": "5f1d0c7be2a9",
        "message": "Sustained fear on lobby",
        "tags": ["fear-sustained", "warning", "lobby"],
        "labels": {"zone": "desk"},
        "mien.hour": 10,
        "mien.weekday": 5,
        "mien.scope": "track",
        "mien.alert.id": "a1b2c3",
        "mien.alert.sequence": 1,
        "mien.alert.fired_at": "2025-11-21T09:00:04.000Z",
        "mien.alert.severity": "warning",
        "mien.alert.silenced_by": "muted:night",
        "mien.alert.place": "lobby",
        "mien.evidence": {"value_max": 0.8123, "coverage": 0.97, "samples": 31.0},
    }
    assert state.body == {**transition.body, "event.dataset": "mien.alert-state"}
    assert (transition.id, transition.version) == ("a1b2c3-1-firing", None)
    assert (state.id, state.version) == ("a1b2c3", 1)


def test_the_end_of_an_alert():
    body = alert_entries(resolved(FEAR))[0].body
    assert body["event.end"] == "2025-11-21T09:00:09.000Z"
    assert body["event.duration"] == 8_000_000_000


def test_an_alert_of_a_group_names_no_camera():
    group = replace(FEAR, scope=Scope.GROUP, camera_id="", labels={"group": "hall"}, annotations={})
    body = alert_entries(group)[0].body
    assert not body.keys() & {"observer.name", "observer.type", "observer.geo.name"}
    assert body["mien.alert.place"] == "group hall"
    assert body["message"] == "fear-sustained on group hall"


def test_all_states_of_an_alert_share_one_document_over_the_turn_of_a_month():
    late = replace(resolved(FEAR), ts=FEAR.ts + 30 * 86400)
    indices = [[action(entry, "m")["_index"] for entry in alert_entries(one)] for one in (FEAR, late)]
    assert indices == [["m-alerts-2025.11", "m-alert-state-2025.11"], ["m-alerts-2025.12", "m-alert-state-2025.11"]]


def test_a_roll_up():
    entry = rollup_entry(replace(LOBBY, zone="desk"))
    assert (entry.kind, entry.id, entry.version) == (Index.METRICS, "lobby|desk|1763715600000", 10_050)
    assert entry.body == {
        "@timestamp": "2025-11-21T09:00:00.000Z",
        "ecs.version": ECS_VERSION,
        "event.kind": "metric",
        "event.dataset": "mien.metrics",
        "observer.type": "camera",
        "observer.name": "lobby",
        "observer.geo.name": "desk",
        "mien.hour": 9,
        "mien.weekday": 5,
        "mien.scope": "zone",
        "mien.frames": 50,
        "mien.fps": 5.0,
        "mien.faces.mean": 1.5,
        "mien.faces.max": 2,
        "mien.faces.seen": 75,
        "mien.faces.unknown": 0.25,
        "mien.expression.share": {"fear": 1.0},
        "mien.expression.score": {"fear": 0.8765},
        "mien.observed_s": 9.8,
        "mien.gap_s": {"lost": 0.2},
    }
    assert "observer.geo.name" not in rollup_entry(LOBBY).body


def test_health_leaves_out_what_is_not_known():
    entry = health_entry(1_763_715_600.0, "node|camera|lobby", {"mien.up": 0, "mien.age_s": None}, camera_id="lobby")
    assert entry.id == "node|camera|lobby|1763715600000"
    assert entry.body["observer.name"] == "lobby"
    assert entry.body["mien.up"] == 0
    assert "mien.age_s" not in entry.body


def test_an_action_creates_or_lets_the_newest_stay():
    first = action(Entry(Index.HEALTH, 0.0, "a", {"event.kind": "metric", "event.id": "b"}), "m")
    assert first == {
        "_op_type": "create",
        "_index": "m-health-1970.01",
        "_id": "a",
        "_source": {"event": {"kind": "metric", "id": "b"}},
    }
    newest = action(Entry(Index.STATE, 0.0, "a", {}, version=3), "m")
    assert (newest["_op_type"], newest["version"], newest["version_type"]) == ("index", 3, "external_gte")


def test_what_is_open_is_not_taken_apart():
    assert nested({"mien.evidence": {"a.b": 1.0}}) == {"mien": {"evidence": {"a.b": 1.0}}}


@given(alerts)
def test_any_alert_has_fields_of_the_mapping_only_and_is_json(record):
    for entry in alert_entries(record):
        assert entry.body.keys() <= MAPPINGS[entry.kind].keys()
        assert None not in entry.body.values()
        json.dumps(action(entry, "m"), allow_nan=False)


@given(st.integers(0, 50))
def test_the_same_alert_gives_the_same_document(number):
    assert alert_entries(alert(number)) == alert_entries(alert(number))


@pytest.mark.parametrize("kind", [Index.ALERTS, Index.METRICS])
def test_every_field_of_the_mapping_is_written_by_somebody(kind):
    """A column that nothing fills is a promise to nobody."""
    silenced = replace(resolved(FEAR), silenced_by="grouped")
    entry = rollup_entry(replace(LOBBY, zone="desk")) if kind is Index.METRICS else alert_entries(silenced)[0]
    assert set(MAPPINGS[kind]) == set(entry.body)
