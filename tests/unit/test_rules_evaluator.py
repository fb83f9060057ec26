"""Scopes, merges, limits in time, late records, and the state of the evaluator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from operators.records import (
    Alert,
    Clock,
    FaceTrack,
    Gap,
    GapReason,
    Observation,
    Scope,
    Severity,
    Status,
    Tick,
    TrackEvent,
    TrackEventKind,
)
from operators.rules import (
    Escalation,
    EvaluatorState,
    Predicate,
    Reacquire,
    Rule,
    RuleEvaluator,
    RuleSet,
    Watched,
    Where,
)

RULE = Rule(
    "fear",
    Predicate(prob="fear", enter=0.6, exit=0.45),
    for_=1.0,
    max_gap=0.7,
    keep_firing_for=0.5,
    cooldown=2.0,
    min_samples=3,
    min_quality=0.4,
)
START = 1_763_715_600
FPS = 10


def face(level: float | None = 0.8, track: str = "t1", **changes: Any) -> FaceTrack:
    """A face that shows fear; None is one that can't be read."""
    shown = FaceTrack(
        track, START, (10.0, 20.0, 50.0, 70.0), 0.99, 40.0, 0.9, label="fear", scores={"fear": level or 0.0}
    )
    return replace(shown, **({"label": "unknown", "scores": {}} if level is None else {}), **changes)


def film(*parts: tuple[int, Sequence[FaceTrack]]) -> list[Observation]:
    """`(frames, faces)` one after the other, at 10 frames a second."""
    shown = [tuple(faces) for count, faces in parts for _ in range(count)]
    return [Observation("cam", 1, i, START + i / FPS, Clock.SENDER, faces) for i, faces in enumerate(shown)]


def run(
    evaluator: RuleEvaluator, records: Iterable[Observation | Gap | Tick], state: EvaluatorState | None = None
) -> tuple[EvaluatorState, list[Alert]]:
    alerts: list[Alert] = []
    for record in records:
        state, new = evaluator.step(state, record)
        alerts += new
    assert state is not None
    return state, alerts


def told(alerts: Iterable[Alert]) -> list[str]:
    return [f"{alert.status.value} {round(alert.ts - START, 3)} {alert.reason}" for alert in alerts]


def outcome(rule: Rule, records: Iterable[Observation | Gap | Tick]) -> list[str]:
    return told(run(RuleEvaluator(RuleSet((rule,))), records)[1])


FIRES = ["pending 0.0 condition", "firing 1.0 condition"]


# --- what is seen and what is not


@pytest.mark.parametrize(
    ("scope", "faces", "expected"),
    [
        (Scope.TRACK, [], "lost"),
        (Scope.CAMERA, [], "condition"),
        (Scope.ZONE, [], "condition"),
        (Scope.TRACK, [face(None, zones=("desk",))], "lost"),
        (Scope.CAMERA, [face(None, zones=("desk",))], "lost"),
        (Scope.ZONE, [face(None, zones=("desk",))], "lost"),
        (Scope.ZONE, [face(None, zones=("door",))], "condition"),
        (Scope.CAMERA, [face(quality=0.3, zones=("desk",))], "lost"),
        (Scope.CAMERA, [face(None, zones=("desk",)), face(0.1, "t2", zones=("desk",))], "condition"),
        (Scope.TRACK, [face(zones=("door",))], "condition"),
    ],
)
def test_absence_is_information_and_the_unreadable_is_not(scope: Scope, faces: list[FaceTrack], expected: str) -> None:
    rule = replace(RULE, scope=scope, where=Where(zones=("desk",)))
    records = film((12, [face(zones=("hall", "desk"))]), (30, faces))
    assert outcome(rule, records)[-1].split()[::2] == ["resolved", expected]


def test_a_gap_stops_the_clock_of_false() -> None:
    seen = film((12, [face()]), (3, [face(0.1)]), (20, []), (5, [face(0.1)]))
    gap = Gap("cam", START + 1.5, START + 2.9, GapReason.DOWN)
    after = [replace(record, ts=START + 2.9 + i / FPS) for i, record in enumerate(film((5, [face(0.1)])))]
    assert outcome(RULE, seen[:15])[2:] == []
    # FALSE since 1.2, known until the gap begins at 1.5 and again from 2.9: half a second in all at 3.1
    assert outcome(RULE, [*seen[:15], gap, *after])[2:] == ["resolved 3.1 condition"]


def test_each_zone_has_its_own_alert() -> None:
    rule = replace(RULE, scope=Scope.ZONE)
    _, alerts = run(
        RuleEvaluator(RuleSet((rule,))), film((11, [face(zones=("desk", "door")), face(0.1, "t2", zones=("hall",))]))
    )
    fired = [alert for alert in alerts if alert.status is Status.FIRING]
    assert {alert.labels["zone"] for alert in fired} == {"desk", "door"}
    assert len({alert.alert_id for alert in fired}) == 2


@pytest.mark.parametrize(("aggregate", "fires"), [("max", True), ("mean", False), ("min", False)])
def test_faces_of_a_camera_are_aggregated(aggregate: Any, *, fires: bool) -> None:
    rule = replace(RULE, scope=Scope.CAMERA, when=replace(RULE.when, aggregate=aggregate))
    lines = outcome(rule, film((15, [face(0.8), face(0.2, "t2"), face(None, "t3")])))
    assert lines == (FIRES if fires else [])


def test_predicates_read_any_of_several_expressions_or_a_number() -> None:
    scores = {"fear": 0.1, "anger": 0.9}
    either = replace(RULE, when=Predicate(prob_any=("fear", "anger", "awe"), enter=0.6))
    assert outcome(either, film((11, [face(scores=scores)]))) == FIRES
    strong = replace(RULE, when=Predicate(value="intensity", enter=0.6))
    assert outcome(strong, film((11, [face(intensity=0.7)]))) == FIRES
    assert outcome(strong, film((11, [face(intensity=None)]))) == []


def test_a_rule_looks_at_its_own_cameras_only() -> None:
    assert outcome(replace(RULE, where=Where(cameras=("cam",))), film((11, [face()]))) == FIRES
    assert outcome(replace(RULE, where=Where(cameras=("other",))), film((11, [face()]))) == []


def test_the_default_gap_follows_the_frame_rate() -> None:
    rule = replace(RULE, max_gap=None)
    slow = [Observation("cam", 1, i, START + i * 0.8, Clock.SENDER, (face(),)) for i in range(4)]
    assert told(run(RuleEvaluator(RuleSet((rule,)), cameras={"cam": Watched(interval=0.8)}), slow)[1]) == [
        *FIRES[:1],
        "firing 1.6 condition",
    ]
    assert [line.split()[0] for line in outcome(rule, slow)] == ["pending", "broken"] * 3 + ["pending"]


@pytest.mark.parametrize(
    ("change", "fires_at"),
    [
        ({}, None),
        ({"min_coverage": 0.5}, 1.0),
        ({"min_coverage": 0.5, "min_samples": 10}, 1.8),
    ],
    ids=["seen half of the time", "which may be enough", "but needs its samples"],
)
def test_it_fires_only_when_seen_well_enough(change: dict[str, Any], fires_at: float | None) -> None:
    every_other = film(*[(1, [face(level)]) for level in (0.8, None) * 13])
    fired = [line for line in outcome(replace(RULE, **change), every_other) if line.startswith("firing")]
    assert fired == ([] if fires_at is None else [f"firing {fires_at} condition"])


# --- life cycle


def test_severity_rises_with_duration_and_repeats_come_on_time() -> None:
    rule = replace(RULE, escalate=(Escalation(2.0, Severity.CRITICAL),), repeat_every=0.45)
    _, alerts = run(RuleEvaluator(RuleSet((rule,))), film((27, [face()])))
    assert told(alerts) == [
        *FIRES,
        "firing 1.45 repeat",
        "firing 1.9 repeat",
        "firing 2.0 escalated",
        "firing 2.45 repeat",
    ]
    assert [alert.severity for alert in alerts] == [Severity.WARNING] * 4 + [Severity.CRITICAL] * 2
    assert [alert.seq for alert in alerts] == [0, 1, 2, 3, 4, 5]
    assert len({alert.alert_id for alert in alerts}) == 1
    assert alerts[-1].labels["severity"] == "critical"


def test_an_alert_expires_and_a_new_episode_begins_at_once() -> None:
    rule = replace(RULE, max_duration=0.75, cooldown=1.5)
    assert outcome(rule, film((40, [face()]))) == [
        *FIRES,
        "resolved 1.75 expired",
        "pending 1.8 condition",
        "firing 3.3 condition",
    ]


def test_episodes_that_the_cooldown_kept_from_firing_are_told_apart_and_counted() -> None:
    rule = replace(RULE, cooldown=4.0)
    state, alerts = run(RuleEvaluator(RuleSet((rule,))), film(*[(12, [face()]), (8, [face(0.1)])] * 4))
    fired = [round(alert.ts - START, 3) for alert in alerts if alert.status is Status.FIRING]
    broken = [alert.evidence["suppressed"] for alert in alerts if alert.status is Status.BROKEN]
    assert fired == [1.0, 7.0]
    assert broken == [1, 1]
    assert state.suppressed == 2


def test_the_evidence_is_numbers_about_the_true_part() -> None:
    rule = replace(
        RULE, title="{rule} on {camera}", summary="{duration}, peak {value.max:.2f}, {coverage:.0%}, {severity}"
    )
    records = film((8, [face(0.7)]), (2, [face(0.3)]), (5, [face(0.9)]), (8, [face(0.1)]))
    _, alerts = run(RuleEvaluator(RuleSet((rule,))), records)
    resolved = alerts[-1]
    assert resolved.status is Status.RESOLVED
    assert resolved.annotations == {"title": "fear on cam", "summary": "1s400ms, peak 0.90, 100%, warning"}
    assert resolved.labels == {"rule": "fear", "camera": "cam", "severity": "warning"}
    assert resolved.evidence == pytest.approx(
        {
            "value_last": 0.1, "value_max": 0.9, "value_mean": (8 * 0.7 + 5 * 0.9) / 13, "coverage": 1.0,
            "samples": 20, "duration_s": 1.4, "dips": 1, "gaps": 0, "for_s": 1.0, "enter": 0.6, "exit": 0.45,
            "x_px": 30.0, "y_px": 45.0, "source_px": 40.0, "suppressed": 0,
        }
    )  # fmt: skip
    assert (resolved.starts_at, resolved.fired_at, resolved.ends_at) == (START, START + 1.0, START + 2.0)


def test_no_track_id_leaves() -> None:
    _, alerts = run(RuleEvaluator(RuleSet((RULE,))), film((15, [face(track="track-77")]), (8, [])))
    assert alerts
    assert b"track-77" not in msgspec.json.encode(alerts)


# --- merges


def merged(records: list[Observation], at: int, old: str, into: str) -> list[Observation]:
    event = TrackEvent(TrackEventKind.MERGED, old, into)
    return [*records[:at], replace(records[at], events=(event,)), *records[at + 1 :]]


def test_a_merge_carries_the_episode_to_the_new_track() -> None:
    records = film((6, [face(track="t1")]), (3, []), (10, [face(track="t2")]))
    assert outcome(RULE, merged(records, 9, "t1", "t2")) == FIRES
    _, alerts = run(RuleEvaluator(RuleSet((RULE,))), merged(records, 9, "t1", "t2"))
    assert len({alert.alert_id for alert in alerts}) == 1
    assert outcome(RULE, records) == [FIRES[0], "pending 0.9 condition", "broken 1.2 gap"]


def test_a_merge_after_too_long_carries_nothing() -> None:
    records = merged(film((15, [face(track="t1")]), (12, []), (14, [face(track="t2")])), 27, "t1", "t2")
    rule = replace(RULE, reacquire=Reacquire(1.0), lost_after=2.0)
    assert outcome(rule, records) == [*FIRES, "pending 2.7 condition", "resolved 3.4 lost", "firing 3.7 condition"]
    assert outcome(replace(rule, reacquire=Reacquire(2.0)), records) == FIRES


def test_of_two_merged_episodes_the_older_goes_on() -> None:
    both = [face(track="t1"), face(track="t2")]
    records = merged(film((3, [face(track="t1")]), (12, both), (5, [face(track="t2")])), 15, "t1", "t2")
    state, alerts = run(RuleEvaluator(RuleSet((RULE,))), records)
    assert told(alerts)[-1] == "resolved 1.5 merged"
    assert alerts[-1].starts_at == START + 0.3
    assert state.merged == 1
    assert [slot.alarm.starts_at for slot in state.books["fear"].slots.values() if slot.alarm] == [START * 1000]
    assert list(state.books["fear"].slots) == ["t2"]


# --- order, time and state


def test_late_records_are_counted_and_change_nothing() -> None:
    evaluator = RuleEvaluator(RuleSet((RULE,)), out_of_order=0.2)
    records = film((8, [face()]))
    state, _ = run(evaluator, records)
    after, alerts = evaluator.step(state, replace(records[4], seq=99, faces=()))
    assert (after, alerts) == (replace(state, late=1), [])
    gap = Gap("cam", START + 0.1, START + 0.3, GapReason.LOST)
    assert evaluator.step(state, gap) == (replace(state, late=1), [])


def test_a_tick_lets_a_silent_camera_resolve_at_the_due_time() -> None:
    evaluator = RuleEvaluator(RuleSet((RULE,)))
    state, _ = run(evaluator, film((12, [face()])))
    state, alerts = evaluator.step(state, Tick("cam", START + 60))
    assert told(alerts) == ["resolved 3.1 lost"]
    assert not any(book.slots for book in state.books.values())


def test_the_end_of_input_lets_everything_happen_that_is_due() -> None:
    evaluator = RuleEvaluator(RuleSet((RULE,)), out_of_order=0.3)
    state, alerts = run(evaluator, film((12, [face()])))
    assert told(alerts) == FIRES[:1]
    state, rest = evaluator.flush(state)
    assert told(rest) == [FIRES[1], "resolved 3.1 lost"]
    assert state.observations == []


def test_a_record_of_another_camera_is_refused() -> None:
    state, _ = run(RuleEvaluator(RuleSet((RULE,))), film((1, [])))
    with pytest.raises(ValueError, match="of camera 'cam', got one of 'other'"):
        RuleEvaluator(RuleSet((RULE,))).step(state, Tick("other", START + 1.0))


@pytest.mark.parametrize("rules", [(), (replace(RULE, for_=2.0),), (replace(RULE, where=Where(cameras=("other",))),)])
@pytest.mark.parametrize(("frames", "last"), [(5, "broken 0.4 config"), (15, "resolved 1.4 config")])
def test_a_rule_that_is_gone_or_changed_ends_its_alerts(rules: tuple[Rule, ...], frames: int, last: str) -> None:
    records = film((frames + 1, [face()]))
    state, _ = run(RuleEvaluator(RuleSet((RULE,))), records[:frames])
    _, alerts = run(RuleEvaluator(RuleSet(rules)), records[frames:], state)
    assert told(alerts)[0] == last


def test_a_new_title_does_not_end_an_alert() -> None:
    records = film((16, [face()]))
    state, _ = run(RuleEvaluator(RuleSet((RULE,))), records[:15])
    assert run(RuleEvaluator(RuleSet((replace(RULE, title="New"),))), records[15:], state)[1] == []


def test_step_leaves_the_state_it_was_given_alone() -> None:
    evaluator = RuleEvaluator(RuleSet((RULE,)))
    records = film((20, [face()]), (20, [face(0.1)]))
    state: EvaluatorState | None = None
    for record in records:
        before = msgspec.json.encode(state)
        once, twice = evaluator.step(state, record), evaluator.step(state, record)
        assert once == twice
        assert msgspec.json.encode(state) == before
        state = once[0]


def test_the_state_is_small_and_goes_with_the_tracks() -> None:
    evaluator = RuleEvaluator(RuleSet((RULE, replace(RULE, id="other", scope=Scope.CAMERA))))
    crowd = film((300, [face(0.5 + 0.5 * (n % 2), f"a-rather-long-track-id-{n:06}") for n in range(50)]))
    state, _ = run(evaluator, crowd)
    firing = [slot for book in state.books.values() for slot in book.slots.values()]
    assert len(firing) == 26
    assert len(msgspec.json.encode(state)) / len(firing) < 1000
    left, _ = run(evaluator, [Tick("cam", START + 30 + i) for i in range(20)], state)
    assert not any(book.slots for book in left.books.values())
    assert len(msgspec.json.encode(left)) < 500
