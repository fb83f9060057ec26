"""Explanations: from the store alone, from a recording, and of what nearly happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.recording import Manifest, RecordedCamera, Recording, open_recording
from connectors.recording_writer import RecordingWriter
from connectors.store import Store, StoreSettings
from operators.errors import ConfigError
from operators.records import Alert, Scope, Status
from operators.rules import Absence, Count, Group, Predicate, Pulse, Rule, RuleSet, Sequence, Share, Step
from pipeline.explain import alert_prefix, explain_episode, explain_misses, from_store, nearness, sentence, terms
from pipeline.explain_view import episode_lines, history_lines, miss_lines
from pipeline.replay import evaluator_for, replay
from pipeline.trace_notation import CameraTrace, FaceTrace, parse_levels, parse_picture, records

START_MS = 1_767_614_400_000
FEAR = Rule("fear", Predicate(prob="fear", enter=0.6, exit=0.45), for_=3.0, max_gap=0.7, cooldown=5.0)
RULES = RuleSet((FEAR,))
FIRES = "0.2x10 0.8x10 0.2x2 0.8x8 _x4 0.8x10 0.2x20"


def of(**faces: str) -> CameraTrace:
    return CameraTrace(tracks={name: FaceTrace(fear=parse_levels(text)) for name, text in faces.items()})


@pytest.fixture
def recorded(tmp_path: Path):
    def written(**cameras: CameraTrace) -> Recording:
        known = {name: RecordedCamera(10.0, camera.all_zones) for name, camera in cameras.items()}
        head = Manifest(mien="0", created_at="2026-01-05T12:00:00Z", purpose="a test", cameras=known)
        with RecordingWriter(tmp_path / "recording", head) as writer:
            for name, camera in cameras.items():
                writer.write(records(name, camera, fps=10, start_ms=START_MS))
        return open_recording(tmp_path / "recording")

    return written


def alerts_of(recording: Recording, rules: RuleSet = RULES) -> list[Alert]:
    return list(replay(evaluator_for(rules, recording.manifest), recording.records()))


# --- from a recording


def test_an_episode_has_its_samples_dips_gaps_and_terms(recorded) -> None:
    recording = recorded(cam=of(t=FIRES))
    alert = alerts_of(recording)[-1]
    episode = explain_episode(recording, RULES, alert.alert_id[:8])
    assert [one.status for one in episode.alerts] == [Status.PENDING, Status.FIRING, Status.RESOLVED]
    found = [(each.kind, each.begin - episode.begin_ms, each.end - each.begin) for each in episode.stretches]
    assert found == [("dip", 1000, 200), ("gap", 1900, 500)]
    values = {term.name: (round(term.was, 3), term.needed, term.passed) for term in episode.terms}
    assert values == {
        "peak": (0.8, 0.6, True),
        "for": (3.0, 3.0, True),
        "samples": (27.0, 5, True),
        "coverage": (1.0, 0.6, True),
        "longest dip": (0.2, 0.3, True),
        "longest gap": (0.5, 0.7, True),
    }


def test_an_episode_is_drawn(recorded) -> None:
    recording = recorded(cam=of(t=FIRES))
    lines = episode_lines(explain_episode(recording, RULES, alerts_of(recording)[0].alert_id))
    assert lines[0] == "fear  camera=cam severity=warning"
    assert "..........##########..########    ##########..........." in lines[9]
    assert "gap of 0.5s at +1.9s" in lines
    assert "✓ for 3s at least 3s 0s to spare" in [" ".join(line.split()) for line in lines]
    assert "TRUE from 0.6 on, and then down to 0.45" in lines


def test_only_the_samples_of_the_same_face_are_shown(recorded) -> None:
    recording = recorded(cam=of(t=FIRES, other="0.3x64"), door=of(t="0.7x64"))
    first = next(alert for alert in alerts_of(recording) if alert.camera_id == "cam")
    episode = explain_episode(recording, RULES, first.alert_id)
    assert {(probe.partition, probe.key) for probe in episode.probes} == {("cam", "t")}


def test_a_momentary_alert_has_its_samples_too(recorded) -> None:
    rules = RuleSet((replace(FEAR, for_=0.0, pulse=Pulse(), momentary=True),))
    recording = recorded(cam=of(t="0.2x10 0.8x3 0.2x20"))
    episode = explain_episode(recording, rules, alerts_of(recording, rules)[0].alert_id)
    assert len(episode.probes) > 20


def test_a_group_is_explained_over_its_cameras(recorded) -> None:
    rule = Rule("crowd", FEAR.when, scope=Scope.GROUP, group="all", count=Count(at_least=2, within=5.0))
    rules = RuleSet((rule,), groups={"all": Group(("cam", "door"))})
    recording = recorded(cam=of(t="0.8x30"), door=of(t="0.2x10 0.8x20"))
    episode = explain_episode(recording, rules, alerts_of(recording, rules)[0].alert_id)
    assert {probe.partition for probe in episode.probes} == {"group:all"}
    assert {term.name: term.was for term in episode.terms}["tracks"] == 2


@pytest.mark.parametrize(
    ("prefix", "words"), [("zz", 'has an id that begins with "zz"'), ("", "2 alerts in the recording")]
)
def test_an_id_must_name_one_alert(recorded, prefix: str, words: str) -> None:
    recording = recorded(cam=of(a="0.8x35", b="0.2x5 0.8x35"))
    with pytest.raises(ConfigError, match=words):
        explain_episode(recording, RULES, prefix)


# --- what nearly happened


def test_misses_are_told_the_nearest_first(recorded) -> None:
    levels = "0.2x10 0.8x10 0.2x10 0.8x28 0.2x10 0.8x20 0.2x10"
    misses = explain_misses(recorded(cam=of(t=levels)), RULES, "fear")
    assert (misses.fired, misses.broken) == (0, 3)
    lasted = [episode.alerts[-1].evidence["duration_s"] for episode in misses.best]
    assert lasted == [2.7, 1.9, 0.9]
    lines = miss_lines(misses)
    assert lines[0] == "fear: 0 alerts fired, 3 episodes broken without"
    assert lines[2] == "1. 2026-01-05T12:00:03.000Z  for 2.7s of 3s; FALSE for too long"


def test_what_only_the_cooldown_kept_is_the_nearest_miss(recorded) -> None:
    levels = "0.8x35 0.2x12 0.8x33 0.2x40 0.8x29 0.2x10"
    misses = explain_misses(recorded(cam=of(t=levels)), RULES, "fear")
    assert (misses.fired, misses.broken) == (1, 2)
    assert misses.best[0].alerts[-1].evidence["suppressed"] == 1
    assert "the cooldown was not over" in miss_lines(misses)[2]


def test_a_rule_that_was_never_true_says_how_high_it_came(recorded) -> None:
    misses = explain_misses(recorded(cam=of(t="0.2x10 0.52x1 0.2x10")), RULES, "fear")
    assert miss_lines(misses)[1:] == [
        "It was never TRUE. The highest level was 0.52, 0.08 short of enter 0.6,",
        "at 2026-01-05T12:00:01.000Z in cam.",
    ]


def test_a_rule_that_read_nothing_says_so(recorded) -> None:
    recording = recorded(cam=CameraTrace(frames=parse_picture("okx20")))
    assert "It never read a face" in miss_lines(explain_misses(recording, RULES, "fear"))[1]


def test_a_rule_that_is_not_there(recorded) -> None:
    with pytest.raises(ConfigError, match='no rule is called "feer", did you mean "fear"'):
        explain_misses(recorded(cam=of(t=FIRES)), RULES, "feer")


# --- from the store


@pytest.fixture
def store(tmp_path: Path, recorded) -> Path:
    path = tmp_path / "mien.sqlite"
    opened = Store(StoreSettings(path=path))
    opened.append(alerts_of(recorded(cam=of(t=FIRES, other="0.2x10 0.8x20 0.2x34"))))
    opened.close()
    return path


def test_the_store_knows_transitions_and_numbers(store: Path, recorded) -> None:
    fired = next(one for one in alerts_of(open_recording(store.parent / "recording")) if one.status is Status.FIRING)
    alerts = from_store(store, alert_prefix(f" {fired.alert_id}-1-firing "))
    assert [alert.status for alert in alerts] == [Status.PENDING, Status.FIRING, Status.RESOLVED]
    lines = history_lines(alerts, FEAR)
    assert "+3s          firing    condition  the condition holds" in lines[4]
    assert "✓ for 3s at least 3s 0s to spare" in [" ".join(line.split()) for line in lines]
    assert any("✓  for" in line for line in history_lines(alerts, None)), "also where the rule is gone"


def test_the_store_must_have_the_alert(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 alerts in the store"):
        from_store(store, "")
    with pytest.raises(ConfigError, match=r'no alert in the store .* begins with "00ff"'):
        from_store(store, "00ff")
    with pytest.raises(ConfigError, match="no store here"):
        from_store(tmp_path / "none.sqlite", "a")
    assert not (tmp_path / "none.sqlite").exists()


# --- words and numbers


def alert(reason: str, status: Status, **evidence: float) -> Alert:
    told = {"value_max": 0.7, "value_last": 0.5, "duration_s": 2.0, "coverage": 0.5, "samples": 4.0, "for_s": 3.0}
    return Alert("a", 0, "r", Scope.TRACK, "cam", status, reason, FEAR.severity, 0.0, 0.0, evidence=told | evidence)


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (Status.BROKEN, "dip", "FALSE for too long"),
        (Status.BROKEN, "merged", "two tracks were one face"),
        (Status.FIRING, "escalated", "the severity is warning now"),
        (Status.RESOLVED, "config", "the rule was changed"),
        (Status.BROKEN, "something new", "something new"),
    ],
)
def test_every_reason_has_words(status: Status, reason: str, words: str) -> None:
    assert words in sentence(alert(reason, status))


def test_silence_and_cooldown_are_said() -> None:
    assert sentence(replace(alert("condition", Status.FIRING), silenced_by="muted:night")).endswith("muted:night")
    assert "cooldown" in sentence(alert("dip", Status.BROKEN, suppressed=1.0))


def named(told: Alert, rule: Rule) -> dict[str, tuple[float, bool]]:
    return {term.name: (round(term.margin, 6), term.passed) for term in terms(told, rule)}


def test_terms_say_what_was_missing() -> None:
    told = named(alert("dip", Status.BROKEN, enter=0.6, exit=0.45), FEAR)
    assert told == {"peak": (0.1, True), "for": (-1.0, False), "samples": (-1.0, False), "coverage": (-0.1, False)}


def test_terms_of_other_conditions() -> None:
    crowd = replace(FEAR, scope=Scope.CAMERA)
    told = alert("condition", Status.FIRING, population=5.0)
    assert named(told, replace(crowd, share=Share(0.5, min_population=6)))["population"] == (-1.0, False)
    assert named(told, replace(crowd, share=Share(0.5)))["share"] == (0.2, True)
    absent = replace(crowd, when=None, absence=Absence())
    assert named(alert("condition", Status.FIRING, value_last=0.0), absent)["faces"] == (0.0, True)
    assert named(told, absent)["observed for"] == (-2.0, False), "time that was not observed doesn't count"


def test_a_sequence_is_counted_in_steps(recorded) -> None:
    steps = (Step(Predicate(prob="fear", enter=0.6), for_=0.5), Step(Predicate(prob="anger", enter=0.6)))
    rules = RuleSet((Rule("both", sequence=Sequence(steps, within=2.0)),))
    recording = recorded(cam=of(t="0.2x10 0.8x10 0.2x40"))
    (miss,) = explain_misses(recording, rules, "both").best
    assert {term.name: (term.was, term.needed) for term in miss.terms}["steps"] == (1, 2)
    lines = episode_lines(miss)
    assert "the first step was seen" in lines[3]
    assert "the next step did not come in time" in lines[4]
    assert not any("longest dip" in line or "pending bears" in line for line in lines)


def test_an_outage_has_no_gaps(recorded) -> None:
    rules = RuleSet((Rule("down", scope=Scope.CAMERA, absence=Absence(of="frames"), for_=2.0),))
    recording = recorded(cam=CameraTrace(frames=parse_picture("okx10 downx5s okx20")))
    episode = explain_episode(recording, rules, alerts_of(recording, rules)[0].alert_id)
    assert {term.name: term.passed for term in episode.terms}["for"]
    assert episode.stretches == []


def test_nearness_is_the_weakest_part() -> None:
    long, short = alert("dip", Status.BROKEN, coverage=0.6, samples=9.0), alert("dip", Status.BROKEN, duration_s=1.0)
    assert nearness(long, FEAR) == (False, pytest.approx(2 / 3))
    assert nearness(short, FEAR) == (False, pytest.approx(1 / 3))
    assert nearness(replace(short, evidence={**short.evidence, "suppressed": 1.0}), FEAR) > nearness(long, FEAR)
