"""The timeline of a camera and its observations, as the API tells them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from operators.records import Gap, GapReason, Status
from pipeline.web.sources import Sources
from tests.alerts import alert, resolved
from tests.unit.test_web_history import NOON, look
from tests.web_bed import asking, site_of, sources_of


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    site = site_of(tmp_path, groups={"hall": {"cameras": ["lobby"]}, "yard": {"cameras": ["quay"]}})
    with sources_of(site) as sources:
        yield sources


@pytest.fixture
def http(sources: Sources) -> Iterator[httpx.Client]:
    with asking(sources) as client:
        yield client


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A site that has seen one frame, for questions that change nothing."""
    with sources_of(site_of(tmp_path_factory.mktemp("idle"))) as sources, asking(sources) as client:
        see(sources, look(NOON))
        yield client


def see(sources: Sources, *records: Any) -> None:
    for part in (sources.memory.history, sources.memory.recent):
        part.take(records)


def timeline(http: httpx.Client, **asked: Any) -> dict[str, Any]:
    answer = http.get("/api/timeline", params={"camera": "lobby", **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_camera_of_which_nothing_is_known_has_an_empty_timeline(http: httpx.Client):
    found = timeline(http)
    assert not any(found[name] for name in ("start", "faces", "unknown", "shares", "observed_s", "gaps", "alerts"))
    assert found["to"] - found["from"] == 900


def test_shares_are_of_the_faces_that_could_be_read(sources: Sources, http: httpx.Client):
    see(
        sources,
        look(NOON, "fear", "fear", "happiness", "unknown"),
        look(NOON + 0.5),
        look(NOON + 1, "unknown"),
        Gap("lobby", NOON + 1, NOON + 2.5, GapReason.FROZEN),
        look(NOON + 3),
    )
    found = timeline(http, **{"from": NOON, "to": NOON + 60})
    assert (found["from"], found["to"], found["width_s"]) == (NOON, NOON + 60, 1)
    assert found["start"] == [NOON, NOON + 1, NOON + 2, NOON + 3]
    assert found["faces"] == [2, 1, None, 0]
    assert found["unknown"] == [0.25, 1, None, None]
    assert found["shares"]["fear"] == [0.6667, None, None, None]
    assert found["shares"]["happiness"] == [0.3333, None, None, None]
    assert found["shares"]["anger"] == [0, None, None, None]
    assert found["observed_s"] == [1, 0, 0.5, 0]
    assert found["gaps"] == [{"from_ts": NOON + 1, "to_ts": NOON + 2.5, "reason": "frozen"}]


def test_the_last_quarter_of_an_hour_is_shown_by_itself_in_the_time_of_the_camera(sources: Sources, http: httpx.Client):
    see(sources, *(look(NOON + second, "fear") for second in range(3600)))
    found = timeline(http)
    assert (found["from"], found["to"], found["width_s"]) == (NOON + 3599 - 900, NOON + 3599, 5)
    assert len(found["start"]) <= 182
    assert timeline(http, points=100)["width_s"] == 10
    assert timeline(http, **{"from": NOON, "to": NOON + 3600})["width_s"] == 10


def test_alerts_that_fired_are_regions(sources: Sources, http: httpx.Client):
    base = alert(1, starts_at=NOON, ts=NOON + 3, fired_at=NOON + 3)
    group = replace(base, alert_id="b", camera_id="", labels={"group": "hall"})
    others = [
        replace(base, alert_id="c", camera_id="", labels={"group": "yard"}),
        replace(base, alert_id="d", camera_id="quay"),
        replace(base, alert_id="e", status=Status.PENDING, fired_at=None),
    ]
    site = replace(base, alert_id="f", camera_id="", labels={}, ts=NOON + 4)
    sources.store.append([base, resolved(base), group, *others, site])
    found = timeline(http, **{"from": NOON, "to": NOON + 60})["alerts"]
    assert {one["alert_id"]: one["status"] for one in found} == {
        base.alert_id: "resolved",
        "b": "firing",
        "f": "firing",
    }
    assert found[-1] == {
        "alert_id": base.alert_id,
        "rule": base.rule,
        "severity": "warning",
        "status": "resolved",
        "started": NOON + 3,
        "fired_at": NOON + 3,
        "ends_at": NOON + 8,
    }
    assert timeline(http, **{"from": NOON - 60, "to": NOON})["alerts"] == []


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 422),
        ({"camera": "nowhere"}, 404),
        ({"camera": "lobby", "from": "nan"}, 422),
        ({"camera": "lobby", "from": "-1"}, 422),
        ({"camera": "lobby", "to": "1e300"}, 422),
        ({"camera": "lobby", "points": "0"}, 422),
        ({"camera": "lobby", "points": "2001"}, 422),
        ({"camera": "lobby", "from": "5", "to": "1"}, 200),  # nothing is in it
        ({"camera": "lobby", "from": "0", "to": "1e11"}, 200),
    ],
    ids=str,
)
def test_what_can_t_be_shown_is_said(idle: httpx.Client, asked: dict[str, str], status: int):
    answer = idle.get("/api/timeline", params=asked)
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["message"]


def test_observations_are_paged_newest_first_each_once(sources: Sources, http: httpx.Client):
    see(sources, *(look(NOON + second, "fear") for second in range(25)), look(NOON + 24, camera="quay"))
    found, cursor = [], None
    while cursor is not None or not found:
        page = http.get("/api/observations", params={"limit": 10, **({"cursor": cursor} if cursor else {})}).json()
        found += [(one["ts"], one["camera_id"]) for one in page["items"]]
        cursor = page["next"]
        see(sources, look(NOON + 100 + len(found)))  # comes while somebody reads
    assert found == [(NOON + 24, "quay"), *((NOON + second, "lobby") for second in range(24, -1, -1))]


def test_an_observation_tells_faces_and_no_track(sources: Sources, http: httpx.Client):
    see(sources, look(NOON, "fear"))
    answer = http.get("/api/observations", params={"camera": "lobby"})
    (one,) = answer.json()["items"]
    assert {name: one[name] for name in ("camera_id", "ts", "clock", "reused")} == {
        "camera_id": "lobby",
        "ts": NOON,
        "clock": "stream",
        "reused": False,
    }
    assert one["faces"] == [
        {
            "box": [1, 2, 3, 4],
            "confidence": 0.9,
            "source_px": 40,
            "quality": 0.8,
            "reasons": [],
            "enhanced": False,
            "label": "fear",
            "scores": {},
            "intensity": None,
            "zones": [],
        }
    ]
    assert "secret" not in answer.text
    assert "track" not in answer.text


@pytest.mark.parametrize(
    "asked", [{"limit": 0}, {"limit": 1001}, {"cursor": "later"}, {"cursor": "x" * 300}, {"from": "nan"}], ids=str
)
def test_wrong_questions_about_observations_are_said(idle: httpx.Client, asked: dict[str, Any]):
    answer = idle.get("/api/observations", params=asked)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "asked", [{"camera": "nowhere"}, {"from": NOON + 5}, {"to": NOON}, {"cursor": "9223372036854775807/lobby"}]
)
def test_no_observations_are_no_mistake(idle: httpx.Client, asked: dict[str, Any]):
    assert idle.get("/api/observations", params=asked).json() == {"items": [], "next": None}
