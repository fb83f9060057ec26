"""A whole study of a made-up night: every setting scored as a replay of its own would, one report, the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from connectors.recording import open_recording
from operators.errors import ConfigError, SourceError
from operators.records import Scope, Status
from operators.rules import Count, Group, Inhibit, Predicate, Routing, Rule, RuleSet, Schedule
from operators.rules.ruleset import Mute
from pipeline.replay import evaluator_for, replay
from pipeline.tune.report import as_document, as_html
from pipeline.tune.study import Question, Study, study
from tests.recordings import CAMERAS, night, write

RULE = Rule("fear", Predicate(prob="fear", enter=0.5, exit=0.4), for_=1.5, max_gap=0.7, title="{camera}")
VARY = ("when.enter=0.4:0.7:0.1", "for=1s,2s")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("night") / "recording", night(minutes=15))


def ask(
    recording: Path, ruleset: RuleSet | None = None, *, vary: tuple[str, ...] = VARY, labels: bool = True
) -> Question:
    csv = recording.parent / "recording" / "incidents.csv"
    return Question(recording, ruleset or RuleSet((RULE,)), "fear", vary, csv if labels else None, 2.0)


def alone(recording: Path, ruleset: RuleSet) -> list[tuple[str, float, float | None]]:
    """What fires when these rules are replayed in the usual way: place, start, end."""
    opened = open_recording(recording)
    alerts = list(replay(evaluator_for(ruleset, opened.manifest), opened.records()))
    ends = {alert.alert_id: alert.ends_at for alert in alerts if alert.status is Status.RESOLVED}
    told = [
        alert for alert in alerts if alert.rule == "fear" and alert.status is Status.FIRING and not alert.silenced_by
    ]
    return sorted((alert.camera_id, alert.starts_at, ends[alert.alert_id]) for alert in told)


def tried(done: Study) -> list[list[tuple[str, float, float | None]]]:
    return [sorted((one.place, one.starts_at, one.ends_at) for one in score.fired) for score in done.candidates.scores]


def test_every_setting_is_what_its_own_replay_would_be(recording: Path) -> None:
    done = study(ask(recording))
    of = done.candidates
    assert len(of.settings) == 9  # eight, and the current one beside them
    assert of.settings[of.current].rule == RULE
    for setting, fired in zip(of.settings, tried(done), strict=True):
        assert fired == alone(recording, RuleSet((setting.rule,))), setting.values
    assert len({len(fired) for fired in tried(done)}) > 3  # they differ, so there is something to compare


def test_the_document_does_not_depend_on_the_number_of_processes(recording: Path) -> None:
    told: list[float] = []
    one, two = study(ask(recording)), study(ask(recording), jobs=2, progress=told.append)
    assert json.dumps(as_document(one)) == json.dumps(as_document(two))
    assert all(0 <= share <= 1 for share in told)


def test_progress_reaches_the_end(recording: Path) -> None:
    told: list[float] = []
    study(ask(recording, vary=("for=1s",)), progress=told.append)
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)


def test_inhibited_alerts_are_not_counted_as_told(recording: Path) -> None:
    louder = Rule(
        "louder", Predicate(prob="fear", enter=0.45), for_=0.5, scope=Scope.CAMERA, inhibit=(Inhibit(("*",)),)
    )
    ruleset = RuleSet((RULE, louder))
    done = study(ask(recording, ruleset, vary=("for=1500ms",)))
    score = done.candidates.scores[0]
    assert score.inhibited > 0
    assert tried(done)[0] == alone(recording, ruleset)


def test_mutes_and_grouping_decide_what_is_sent_not_what_is_right(recording: Path) -> None:
    routing = Routing(mute=(Mute("always"),), group_wait=30.0)
    muted = RuleSet((RULE,), schedules={"always": Schedule("UTC")}, routing=routing)
    assert tried(study(ask(recording, muted))) == tried(study(ask(recording)))


def test_a_group_is_a_place(recording: Path, tmp_path: Path) -> None:
    many = replace(RULE, scope=Scope.GROUP, group="doors", count=Count(at_least=1, within=5.0))
    ruleset = RuleSet((many,), groups={"doors": Group(("lobby", "quay"))})
    labels = tmp_path / "labels.csv"
    labels.write_text("group,start,end\ndoors,2026-11-20T22:01:00Z,2026-11-20T22:02:00Z\n")
    done = study(Question(recording, ruleset, "fear", ("count.within=5s,10s",), labels, 60.0))
    assert done.candidates.place == "group"
    assert {one.place for score in done.candidates.scores for one in score.fired} == {"doors"}
    assert done.observed.keys() == {"doors"}
    assert done.observed["doors"] == max(done.seen.observed["lobby"], done.seen.observed["quay"])


def test_observed_time_is_without_gaps(recording: Path) -> None:
    shown = night(minutes=15)
    done = study(ask(recording, vary=("for=1s",)))
    assert shown.gaps  # or this test shows nothing
    for camera in CAMERAS:
        missed = sum(gap.to_ts - gap.from_ts for gap in shown.gaps if gap.camera_id == camera)
        assert done.observed[camera] == pytest.approx(900 - missed, abs=1.0)


def test_incidents_outside_the_recording_do_not_count(recording: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    inside = (recording / "incidents.csv").read_text()
    labels.write_text(inside + "lobby,2026-11-21T22:00:00Z,2026-11-21T22:00:09Z,the day after\n")
    done = study(Question(recording, RuleSet((RULE,)), "fear", ("for=1s",), labels, 2.0))
    assert done.outside == 1
    assert len(done.incidents) == len(inside.splitlines()) - 1


def test_wrong_questions(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='no such rule, did you mean "fear"'):
        study(replace(ask(recording), rule="faer"))
    with pytest.raises(SourceError, match="no recording at"):
        study(replace(ask(recording), recording=tmp_path))
    labels = tmp_path / "labels.csv"
    labels.write_text("camera,start,end\n")
    with pytest.raises(ConfigError, match="at least one incident of fear inside the recording"):
        study(replace(ask(recording), labels=labels))


class Page(HTMLParser):
    """What a page refers to, and the data in it."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.data = ""
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        self.inside = tag == "script" and ("id", "data") in attrs

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        self.data += data if self.inside else ""


def test_the_page_holds_the_document_and_needs_nothing_else(recording: Path) -> None:
    document = as_document(study(ask(recording)), command="mien tune </script><b>")
    html = as_html(document)
    page = Page()
    page.feed(html)
    assert json.loads(page.data) == json.loads(json.dumps(document))
    assert page.references == []
    for word in ("http://", "https://", "@import", "url(", "fetch(", "XMLHttpRequest"):
        assert word not in html.replace('"http://www.w3.org/2000/svg"', "")


def test_a_document_without_labels(recording: Path) -> None:
    document = as_document(study(ask(recording, labels=False)))
    assert document["incidents"] == []
    assert "f1" not in document["settings"][0]["score"]
    assert document["settings"][0]["score"]["alerts"] == len(document["settings"][0]["alerts"])
    assert {alert["place"] for setting in document["settings"] for alert in setting["alerts"]} <= set(CAMERAS)


def test_the_document_says_what_would_change(recording: Path) -> None:
    document = as_document(study(ask(recording, vary=("when.enter=0.6",))))
    assert document["proposal"]["index"] == 0
    assert document["change"] == [
        {"path": "when.enter", "now": "0.5", "then": "0.6"},
        {"path": "when.exit", "now": "0.4", "then": "0.48"},
    ]
