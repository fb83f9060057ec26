"""Where a document goes, what it may hold, and when it goes away."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.elastic_settings import ElasticSettings
from connectors.elastic_templates import FIGURES, MAPPINGS, Index, current, expired, index_of, mapping, templates

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
SETTINGS = ElasticSettings(prefix="m", keep_alerts_months=2, keep_metrics_months=0, replicas=1)


def at(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("ts", "index"),
    [
        (at(2026, 11, 30, 23, 59), "m-alerts-2026.11"),
        (at(2026, 12, 1), "m-alerts-2026.12"),
        (0.0, "m-alerts-1970.01"),
    ],
)
def test_the_month_of_the_event_names_the_index(ts, index):
    assert index_of("m", Index.ALERTS, ts) == index


def test_every_index_of_now_has_its_template_and_alias():
    bodies = templates(SETTINGS)
    assert current("m", NOW) == [f"{name}-2026.11" for name in bodies]
    for name, body in bodies.items():
        assert body["index_patterns"] == [f"{name}-*"]
        assert body["template"]["aliases"] == {name: {}}
        assert body["template"]["settings"] == {"number_of_shards": 1, "number_of_replicas": 1}


@pytest.mark.parametrize("kind", Index)
def test_a_mapping_is_strict_and_open_for_numbers_only(kind):
    found = mapping(kind)
    assert found["dynamic"] == "strict"
    opened = [name for name, field in found["properties"].items() if field.get("dynamic")]
    rules = {name: rule["mapping"] for one in found["dynamic_templates"] for name, rule in one.items()}
    assert set(opened) == set(rules) == {name for name, type_ in MAPPINGS[kind].items() if type_ == FIGURES}
    assert all(rule == {"type": "double", "coerce": False} for rule in rules.values())


def test_no_field_could_name_a_person_or_hold_a_picture():
    names = {part for fields in MAPPINGS.values() for name in fields for part in name.split(".")}
    assert not names & {"track", "track_id", "person", "face_id", "image", "crop", "embedding", "xyxy"}
    types = {type_ for fields in MAPPINGS.values() for type_ in fields.values()}
    assert not types & {"binary", "dense_vector", "object"}


def test_what_is_past_its_months_goes_and_the_current_month_stays():
    kept = ["m-alerts-2026.11", "m-alerts-2026.10", "m-alerts-2026.09", "m-alert-state-2026.09", "m-health-2026.11"]
    gone = ["m-alerts-2026.08", "m-alerts-2025.12", "m-alert-state-2026.08", "m-health-2026.10", "m-metrics-2026.10"]
    assert expired(SETTINGS, [*kept, *gone], NOW) == sorted(gone)


def test_over_the_turn_of_the_year():
    names = [f"m-alerts-{month}" for month in ("2026.10", "2026.11", "2026.12", "2027.01", "2027.02")]
    assert expired(SETTINGS, names, at(2027, 1, 1)) == ["m-alerts-2026.10"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("m-alerts-1970.01", id="a file without a clock: nobody knows how old it is"),
        pytest.param("m-alerts", id="an index of that name"),
        pytest.param("m-alerts-2020", id="not ours"),
        pytest.param("m-alerts-old.01", id="not ours either"),
        pytest.param("m-alerts-2020.01-copy", id="a copy that somebody made"),
        pytest.param("other-alerts-2020.01", id="another prefix"),
        pytest.param("m-other-2020.01", id="another kind"),
    ],
)
def test_what_is_not_surely_ours_and_old_stays(name):
    assert expired(SETTINGS, [name], NOW) == []
