"""Where rules stand, and where they nearly fired, on streams that one can follow by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from operators.records import Clock, FaceTrack, Observation, Status
from pipeline.build import build_evaluator
from pipeline.rule_states import rule_states
from pipeline.web import rules as web_rules
from pipeline.web.replay_work import rules_of
from pipeline.web.sources import Sources
from tests.alerts import FEAR, alert
from tests.web_bed import asking, site_of, sources_of

MONDAY = 1_795_428_000.0  # 2026-11-23 10:00 UTC
CALM, AFRAID = {"fear": 0.1, "neutral": 0.9}, {"fear": 0.8, "neutral": 0.2}
FACE = {"first_ts": MONDAY, "xyxy": (0, 0, 40, 40), "confidence": 0.9, "source_px": 40, "quality": 0.9}
DESK = {"polygon": [[0, 0], [1, 0], [1, 1]]}


def look(at: float, *scores: dict[str, float], camera: str = "lobby", zones: tuple[str, ...] = ()) -> Observation:
    faces = tuple(
        FaceTrack(f"secret-{number}", **FACE, label=max(one, key=one.__getitem__), scores=one, zones=zones)
        for number, one in enumerate(scores)
    )
    return Observation(camera, 1, round(at * 100), MONDAY + at, Clock.SENDER, faces)


@contextmanager
def with_rules(folder: Path, *rules: dict[str, Any], **sections: Any) -> Iterator[Sources]:
    with sources_of(site_of(folder, rules=rules, **sections)) as sources:
        yield sources


def feed(sources: Sources, *records: Observation) -> None:
    sources.store.append(sources.evaluation.feed(records))


def states(sources: Sources, rule: str = "afraid") -> dict[str, tuple[Any, ...]]:
    found = rule_states(sources.evaluation, MONDAY)[rule]
    return {f"{one.partition}/{one.zone}": (one.state, one.held_s, one.for_s, one.progress) for one in found}


SUSTAINED = {"id": "afraid", "when": "fear >= 0.6", "for": "4s", "min_samples": 1, "cooldown": "5s"}


def test_the_life_of_an_alert_as_the_states_of_its_rule(tmp_path: Path):
    with with_rules(tmp_path, {**SUSTAINED, "where": {"cameras": ["lobby"]}, "max_gap": "3s"}) as sources:
        assert states(sources) == {"lobby/": ("idle", 0, 4, 0)}
        feed(sources, look(0, CALM), look(1, AFRAID), look(2, AFRAID))
        assert states(sources) == {"lobby/": ("pending", 1, 4, 0.25)}
        feed(sources, look(4, AFRAID))
        assert states(sources) == {"lobby/": ("pending", 3, 4, 0.75)}
        feed(sources, look(5, AFRAID), look(6, AFRAID))
        assert states(sources) == {"lobby/": ("firing", 5, 4, 1)}
        feed(sources, look(7, CALM), look(8.5, CALM))
        assert states(sources) == {"lobby/": ("cooldown", 0, 4, 0)}
        feed(sources, look(10, CALM), look(14, CALM))
        assert states(sources) == {"lobby/": ("idle", 0, 4, 0)}


def test_of_several_faces_the_one_nearest_to_firing_counts(tmp_path: Path):
    with with_rules(tmp_path, SUSTAINED) as sources:
        feed(sources, *(look(tenth / 10, AFRAID) for tenth in range(10)))
        feed(sources, *(look(1 + tenth / 10, AFRAID, AFRAID) for tenth in range(11)))
        assert states(sources) == {"lobby/": ("pending", 2, 4, 0.5), "quay/": ("idle", 0, 4, 0)}
        (lobby, _) = rule_states(sources.evaluation, MONDAY)["afraid"]
        assert lobby.alerts == 2


def test_progress_is_that_of_the_least_of_all_that_is_needed(tmp_path: Path):
    with with_rules(tmp_path, {**SUSTAINED, "min_samples": 50}) as sources:
        feed(sources, *(look(tenth / 10, AFRAID) for tenth in range(21)))
        assert states(sources)["lobby/"] == ("pending", 2, 4, 21 / 50)


def test_zones_groups_and_the_site_have_states_of_their_own(tmp_path: Path):
    cameras = {"lobby": {"url": "a.mp4", "fps": 5, "zones": {"desk": DESK, "door": DESK}}, "quay": {"url": "b.mp4"}}
    rules = [
        {**SUSTAINED, "scope": "zone"},
        {**SUSTAINED, "id": "at-desk", "scope": "zone", "where": {"zones": ["desk"]}},
        {**SUSTAINED, "id": "hall", "scope": "group", "group": "hall"},
        {**SUSTAINED, "id": "all", "scope": "site"},
    ]
    with with_rules(tmp_path, *rules, cameras=cameras, groups={"hall": {"cameras": ["quay"]}}) as sources:
        feed(sources, *(look(tenth / 10, AFRAID, zones=("desk",)) for tenth in range(11)))
        pending, idle = ("pending", 1, 4, 0.25), ("idle", 0, 4, 0)
        assert states(sources) == {"lobby/desk": pending, "lobby/door": idle}
        assert states(sources, "at-desk") == {"lobby/desk": pending}
        assert states(sources, "hall") == {"group:hall/": idle}
        assert list(states(sources, "all")) == ["site:/"]


def test_silenced_is_not_firing_and_outside_is_not_idle(tmp_path: Path):
    rules = [
        {**SUSTAINED, "for": "1s"},
        {**SUSTAINED, "id": "louder", "for": "1s", "inhibit": [{"rules": ["afraid"]}]},
        {**SUSTAINED, "id": "nights", "schedule": "night"},
    ]
    night = {"night": {"timezone": "UTC", "hours": ["22:00-06:00"]}}
    with with_rules(tmp_path, *rules, schedules=night) as sources:
        feed(sources, *(look(tenth / 10, AFRAID) for tenth in range(21)))
        assert states(sources)["lobby/"][0] == "silenced"
        assert states(sources, "louder")["lobby/"][0] == "firing"
        assert states(sources, "nights") == {"lobby/": ("outside", 0, 4, 0), "quay/": ("outside", 0, 4, 0)}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"scope": "camera", "count": {"at_least": 2, "within": "3s"}, "for": "2s"}, 0.5),
        ({"ratio": {"at_least": 0.5, "bucket": "1s"}}, 0.25),
        ({"scope": "camera", "share": {"at_least": 0.5, "min_population": 2}}, 0.25),
        ({"pulse": {"max": "9s"}, "count": {"of": "pulses", "at_least": 2, "within": "9s"}, "for": "0s"}, None),
        ({"sequence": {"steps": [{"when": "fear >= 0.6"}, {"when": "anger >= 0.6"}], "within": "9s"}}, 0.5),
        ({"when": None, "scope": "camera", "absence": {"fewer_than": 3}}, 0.25),
    ],
    ids=lambda value: (
        next((key for key in ("count", "ratio", "share", "sequence", "absence") if key in value), "")
        if isinstance(value, dict)
        else ""
    ),
)
def test_every_condition_tells_how_near_it_is(tmp_path: Path, rule: dict[str, Any], expected: float | None):
    whole = {**SUSTAINED, **rule}
    if "sequence" in rule:
        del whole["when"], whole["for"]
    with with_rules(tmp_path, {key: value for key, value in whole.items() if value is not None}) as sources:
        feed(sources, *(look(tenth / 10, AFRAID, AFRAID) for tenth in range(11)))
        state, *_, progress = states(sources)["lobby/"]
        assert (state, progress) == (("idle", 0) if expected is None else ("pending", pytest.approx(expected)))


def test_states_can_be_asked_while_they_change(tmp_path: Path):
    rule = {**SUSTAINED, "scope": "camera", "share": {"at_least": 0.9, "min_population": 1}}
    with with_rules(tmp_path, rule) as sources:
        feed(sources, look(0, *[AFRAID] * 90))
        slot = sources.evaluation.states()["lobby"].books["afraid"].slots[""]
        kept = slot.members

        class Changing(dict[str, Any]):
            """Members that become more whenever anybody looks at them one by one."""

            def values(self) -> Any:
                for number, member in enumerate(super().values()):
                    self[f"new-{number}"] = member
                    yield member

        slot.members = Changing(kept)
        assert states(sources)["lobby/"][0] == "pending"


class TestOverHttp:
    @pytest.fixture
    def sources(self, tmp_path: Path) -> Iterator[Sources]:
        rules = (
            {**SUSTAINED, "severity": "critical", "title": "Afraid on {camera}"},
            {"id": "glad", "when": "happiness >= 0.5"},
        )
        with with_rules(tmp_path, *rules) as sources:
            yield sources

    @pytest.fixture
    def http(self, sources: Sources) -> Iterator[httpx.Client]:
        with asking(sources) as client:
            yield client

    def test_a_rule_says_what_it_asks_for_and_where_it_stands(self, sources: Sources, http: httpx.Client):
        feed(sources, *(look(tenth / 10, AFRAID) for tenth in range(51)))
        afraid, glad = http.get("/api/rules").json()
        assert [state["state"] for state in afraid.pop("states")] == ["firing", "idle"]
        assert afraid == {
            "name": "afraid",
            "severity": "critical",
            "scope": "track",
            "group": "",
            "schedule": "",
            "title": "Afraid on {camera}",
            "summary": "Fires when a face shows fear >= 0.6 for 4s.",
            "yaml": "- id: afraid\n  when: {enter: 0.6, prob: fear}\n  severity: critical\n  for: 4s\n"
            "  min_samples: 1\n  cooldown: 5s\n  title: Afraid on {camera}\n",
            "nearest": [],
            "fired": 1,
            "last_fired": MONDAY + 4,
        }
        assert (glad["name"], glad["fired"], glad["last_fired"]) == ("glad", 0, None)
        assert "secret" not in http.get("/api/rules").text

    def test_the_nearest_misses_come_from_the_store(
        self, sources: Sources, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(web_rules, "LOOK_EVERY_S", 0)
        assert http.get("/api/rules").json()[0]["nearest"] == []
        lasted = [10, 35, 5, 20, 30, 15, 25]
        at = 0.0
        for tenths in lasted:
            feed(sources, *(look(at + tenth / 10, AFRAID) for tenth in range(tenths + 1)))
            at += tenths / 10 + 0.1
            feed(sources, *(look(at + tenth / 10, CALM) for tenth in range(20)))
            at += 2
        config = {
            "status": Status.BROKEN,
            "rule": "afraid",
            "reason": "config",
            "evidence": {"for_s": 4, "duration_s": 4},
        }
        sources.store.append([alert(1, **config)])
        afraid, glad = http.get("/api/rules").json()
        assert [(one["held_s"], one["for_s"], one["progress"]) for one in afraid["nearest"]] == [
            (3.5, 4, 0.875),
            (3, 4, 0.75),
            (2.5, 4, 0.625),
            (2, 4, 0.5),
            (1.5, 4, 0.375),
        ]
        nearest = afraid["nearest"][0]
        assert (nearest["camera_id"], nearest["reason"], nearest["said"]) == ("lobby", "dip", "FALSE for too long")
        assert nearest["ts"] == pytest.approx(MONDAY + 3.1)
        assert {part["name"]: (part["was"], part["needed"]) for part in nearest["parts"]}["for"] == (3.5, 4)
        assert glad["nearest"] == []

    def test_the_file_can_be_replayed_as_it_is(self, sources: Sources, http: httpx.Client):
        assert rules_of(http.get("/api/rules/file").json()["yaml"]).rules == sources.ruleset.rules

    def test_nothing_is_looked_up_twice_in_a_row(self, sources: Sources, http: httpx.Client):
        http.get("/api/rules")
        sources.store.append([alert(1, status=Status.BROKEN, rule="afraid", reason="dip", evidence=FEAR.evidence)])
        assert http.get("/api/rules").json()[0]["nearest"] == []

    def test_rules_that_are_reloaded_are_the_ones_in_force(self, sources: Sources, http: httpx.Client, tmp_path: Path):
        other = site_of(tmp_path, rules=[{"id": "new", "when": "anger >= 0.9"}])
        sources.evaluation.reload(build_evaluator(other))
        assert [rule["name"] for rule in http.get("/api/rules").json()] == ["new"]
