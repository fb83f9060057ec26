"""Tests of pipeline/evaluation.py: rules over many cameras, restarts, clocks that are set back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from connectors.mailbox import MAX_STEP_BACK_S, Mailbox
from operators.records import Alert, Clock, FaceTrack, Frame, Gap, GapReason, Observation, Scope, Status, Tick
from operators.rules import Group, Limits, Predicate, Rule, RuleEvaluator, RuleSet, Watched, bridged
from pipeline.evaluation import Evaluation

START = 1_800_000_000.0
RULE = Rule(id="happy", when=Predicate(prob="happiness", enter=0.6, exit=0.45), for_=1.0, cooldown=0.0)


def seen(camera_id: str, ts: float, happiness: float) -> Observation:
    face = FaceTrack("t1", START, (0, 0, 40, 40), 0.9, 40, 0.9, label="happiness", scores={"happiness": happiness})
    return Observation(camera_id, 1, round((ts - START) * 1000), ts, Clock.STREAM, (face,))


def stretch(camera_id: str, start_s: float, end_s: float, happiness: float) -> list[Observation]:
    count = round((end_s - start_s) * 10)
    return [seen(camera_id, START + start_s + n / 10, happiness) for n in range(count)]


def evaluator(*rules: Rule, cameras: str = "abc", lobby: str = "ab") -> RuleEvaluator:
    ruleset = RuleSet(rules or (RULE,), groups={"lobby": Group(tuple(lobby))})
    return RuleEvaluator(ruleset, cameras={name: Watched(0.1) for name in cameras})


def evaluation(saved: dict[str, bytes] | None = None) -> Evaluation:
    return Evaluation(evaluator(), saved)


def outline(alerts: list[Alert]) -> list[tuple[str, str, float]]:
    return [(alert.camera_id, str(alert.status), round(alert.ts - START, 3)) for alert in alerts]


def test_what_fires_is_counted_also_after_a_restart() -> None:
    rules = evaluation()
    rules.feed([*stretch("a", 0, 2, 0.9), *stretch("b", 0, 2, 0.9), *stretch("c", 0, 0.5, 0.9), *stretch("b", 2, 4, 0)])
    assert rules.firing() == 1
    assert evaluation(rules.changed()).firing() == 1
    rules.flush()
    assert rules.firing() == 0


def test_cameras_do_not_touch_each_other() -> None:
    mixed = [record for pair in zip(stretch("a", 0, 3, 0.9), stretch("b", 0, 3, 0.1), strict=True) for record in pair]
    assert outline(evaluation().feed(mixed)) == [("a", "pending", 0.0), ("a", "firing", 1.0)]


@pytest.mark.parametrize("cut_s", [0.5, 1.0, 1.5, 3.5])
def test_a_restart_from_the_saved_state_changes_nothing(cut_s: float) -> None:
    records = [*stretch("a", 0, 3, 0.9), *stretch("a", 3, 6, 0.1)]
    whole = evaluation().feed(records)
    assert [alert.status for alert in whole] == [Status.PENDING, Status.FIRING, Status.RESOLVED]
    cut = round(cut_s * 10)
    first = evaluation()
    before = first.feed(records[:cut])
    assert before + evaluation(first.changed()).feed(records[cut:]) == whole


def test_a_state_of_another_version_does_not_keep_the_rules_from_starting(caplog: pytest.LogCaptureFixture) -> None:
    alerts = evaluation({"a": b'{"of": "another version"}'}).feed(stretch("a", 0, 2, 0.9))
    assert [alert.status for alert in alerts] == [Status.PENDING, Status.FIRING]
    assert "of=a" in caplog.text


def test_only_what_changed_is_saved() -> None:
    rules = evaluation()
    rules.feed([seen("a", START, 0.9), seen("b", START, 0.9)])
    assert sorted(rules.changed()) == ["a", "b"]
    rules.feed([seen("b", START + 0.1, 0.9)])
    assert sorted(rules.changed()) == ["b"]
    assert rules.changed() == {}


def test_the_end_of_the_input_resolves_what_fires() -> None:
    rules = evaluation()
    rules.feed(stretch("a", 0, 2, 0.9))
    assert [(alert.status, alert.reason) for alert in rules.flush()] == [(Status.RESOLVED, "lost")]


def test_a_gap_and_a_tick_let_time_pass() -> None:
    rules = evaluation()
    rules.feed(stretch("a", 0, 2, 0.9))
    assert rules.feed([Gap("a", START + 2, START + 3, GapReason.DOWN)]) == []
    (ended,) = rules.feed([Tick("a", START + 10)])
    assert (ended.status, ended.reason) == (Status.RESOLVED, "lost")


def test_a_camera_that_is_no_longer_watched_ends_its_alerts_once() -> None:
    rules = evaluation()
    rules.feed([*stretch("a", 0, 2, 0.9), *stretch("b", 0, 2, 0.9)])
    restarted = evaluation(rules.changed())
    assert [(alert.camera_id, alert.status, alert.reason) for alert in restarted.forget(["a", "never seen"])] == [
        ("a", Status.RESOLVED, "config")
    ]
    assert evaluation(restarted.changed()).forget(["a"]) == []


def test_a_clock_set_back_ends_what_fires_and_the_rules_go_on() -> None:
    rules = evaluation()
    rules.feed(stretch("a", 0, 2, 0.9))
    back = -7200.0
    alerts = rules.feed(stretch("a", back, back + 2, 0.9))
    assert [alert.status for alert in alerts] == [Status.RESOLVED, Status.PENDING, Status.FIRING]
    assert alerts[2].ts == pytest.approx(START + back + 1)
    assert rules.late("a") == 0


def test_a_record_a_little_late_is_counted_not_applied() -> None:
    rules = evaluation()
    rules.feed(stretch("a", 0, 2, 0.1))
    assert rules.feed([seen("a", START + 2 - MAX_STEP_BACK_S / 2, 0.9)]) == []
    assert rules.late("a") == 1
    assert rules.late("never seen") == 0


def test_a_camera_that_is_far_behind_its_group_is_late_there() -> None:
    """Its own rules apply what its group can't wait for."""
    rules = Evaluation(evaluator(RULE, TOGETHER))
    rules.feed(seen(camera, START + n / 10 - lag, 0.1) for n in range(100) for camera, lag in (("a", 0), ("b", 5)))
    assert rules.late("a") == 0
    assert 50 < rules.late("b") <= 100


SAD = Rule(id="sad", when=Predicate(prob="sadness", enter=0.6, exit=0.45), for_=1.0)
TOGETHER = replace(RULE, id="together", scope=Scope.GROUP, group="lobby")


def told(alerts: list[Alert]) -> list[tuple[str, str, str]]:
    return [(alert.rule, str(alert.status), alert.reason) for alert in alerts]


def test_a_rule_that_stays_goes_on_firing_while_another_is_changed() -> None:
    eager = replace(RULE, id="eager", for_=0.5)
    rules = Evaluation(evaluator(RULE, eager))
    fired = {alert.rule: alert for alert in rules.feed(stretch("a", 0, 2, 0.9))}
    other = evaluator(RULE, replace(eager, for_=30.0))
    ended = rules.reload(other)
    assert told(ended) == [("eager", "resolved", "config")]
    assert (ended[0].alert_id, ended[0].config) == (fired["eager"].alert_id, other.ruleset.version)
    assert rules.firing() == 1
    after = rules.feed([*stretch("a", 2, 4, 0.9), *stretch("a", 4, 6, 0.0)])
    assert told(after) == [
        ("eager", "pending", "condition"),
        ("eager", "broken", "dip"),
        ("happy", "resolved", "condition"),
    ]
    assert after[-1].alert_id == fired["happy"].alert_id


def test_a_pending_alert_of_a_rule_that_is_gone_breaks_at_once() -> None:
    rules = evaluation()
    rules.feed(stretch("a", 0, 0.5, 0.9))
    assert told(rules.reload(evaluator(SAD))) == [("happy", "broken", "config")]
    assert rules.reload(evaluator(SAD)) == []


def test_a_notice_that_a_rule_has_no_room_ends_with_the_rule() -> None:
    rules = Evaluation(RuleEvaluator(RuleSet((RULE,), limits=Limits(max_active_per_rule=1))))
    pairs = [replace(one, faces=(*one.faces, replace(one.faces[0], track_id="t2"))) for one in stretch("a", 0, 2, 0.9)]
    notice = next(alert for alert in rules.feed(pairs) if alert.rule == "rule-limited")
    ended = rules.reload(evaluator(SAD))
    assert told(ended) == [("happy", "resolved", "config"), ("rule-limited", "resolved", "config")]
    assert (ended[1].alert_id, ended[1].seq) == (notice.alert_id, notice.seq + 1)


def test_what_fires_by_a_state_that_cannot_be_read_ends_as_lost_once() -> None:
    rules = Evaluation(evaluator(RULE, TOGETHER))
    alerts = rules.feed([*stretch("a", 0, 2, 0.9), *stretch("b", 0, 2, 0.9)])
    firing = [alert for alert in alerts if alert.status is Status.FIRING]
    assert {alert.camera_id for alert in firing} == {"a", "b", ""}
    again = Evaluation(evaluator(RULE, TOGETHER), rules.changed() | {"a": b"{}", "group:lobby": b"older"})
    ended = again.abandoned(firing)
    assert {(alert.camera_id, str(alert.status), alert.reason) for alert in ended} == {
        ("a", "resolved", "lost"),
        ("", "resolved", "lost"),
    }
    assert all(alert.ends_at == alert.ts and alert.seq == 2 for alert in ended)
    assert again.abandoned(firing) == []
    assert again.firing() == 1


def test_the_same_rules_again_change_nothing() -> None:
    whole, again = evaluation(), evaluation()
    records = stretch("a", 0, 3, 0.9)
    alerts = again.feed(records[:5]) + again.reload(evaluator()) + again.feed(records[5:])
    assert alerts == whole.feed(records)
    assert again.changed() == whole.changed()


def test_a_new_title_counts_from_the_next_transition_on() -> None:
    rules = evaluation()
    rules.feed(stretch("a", 0, 0.5, 0.9))
    assert rules.reload(evaluator(replace(RULE, title="Joy on {camera}"))) == []
    (fired,) = rules.feed(stretch("a", 0.5, 2, 0.9))
    assert fired.annotations == {"title": "Joy on a"}


def test_a_restart_under_other_rules_ends_what_they_left_behind() -> None:
    rules = evaluation()
    rules.feed(stretch("a", 0, 2, 0.9))
    saved = rules.changed()
    others = Evaluation(evaluator(SAD), saved)
    assert told(others.reload(others.evaluator)) == [("happy", "resolved", "config")]
    same = evaluation(saved)
    assert same.reload(same.evaluator) == []
    assert same.firing() == 1


@pytest.mark.parametrize(
    "later",
    [evaluator(cameras="bc"), evaluator(SAD, cameras="bc")],
    ids=["the camera is gone", "the camera and the rule are gone"],
)
def test_a_camera_that_is_gone_takes_its_alerts_along(later: RuleEvaluator) -> None:
    rules = evaluation()
    rules.feed(stretch("a", 0, 2, 0.9))
    ended = rules.reload(later)
    assert told(ended) == [("happy", "resolved", "config")]
    assert ended[0].config == later.ruleset.version
    assert rules.reload(later) == []


def test_a_group_survives_a_restart_and_ends_with_its_rule() -> None:
    rules = Evaluation(evaluator(TOGETHER))
    both = [record for pair in zip(stretch("a", 0, 2, 0.9), stretch("b", 0, 2, 0.9), strict=True) for record in pair]
    (_, fired) = rules.feed(both)
    assert (fired.camera_id, fired.labels["group"]) == ("", "lobby")
    again = Evaluation(evaluator(TOGETHER), rules.changed())
    assert again.reload(again.evaluator) == []
    assert again.firing() == 1
    (ended,) = again.reload(evaluator())
    assert (ended.alert_id, ended.reason) == (fired.alert_id, "config")


def test_a_group_that_loses_a_camera_starts_anew() -> None:
    rules = Evaluation(evaluator(TOGETHER))
    both = [record for pair in zip(stretch("a", 0, 2, 0.9), stretch("b", 0, 2, 0.9), strict=True) for record in pair]
    rules.feed(both)
    assert told(rules.reload(evaluator(TOGETHER, lobby="a"))) == [("together", "resolved", "config")]
    assert outline(rules.feed(stretch("a", 2, 4, 0.9))) == [("", "pending", 2.0), ("", "firing", 3.0)]


def test_a_machine_that_sees_half_of_the_frames_fires_all_the_same() -> None:
    """What the newest-frame slot replaces must not look as if nobody had watched."""
    slot = Mailbox("a", start_ts=START, bridged_s=bridged(0.1))
    rules = evaluation()
    alerts: list[Alert] = []
    for number, one in enumerate(stretch("a", 0, 3, 0.9)):
        slot.put(Frame("a", 1, number, one.ts, Clock.STREAM, np.zeros((1, 1, 3), np.uint8)))
        if number % 2:
            taken = slot.take()
            alerts += rules.feed(seen("a", item.ts, 0.9) if isinstance(item, Frame) else item for item in taken)
    assert slot.dropped["overload"] == 15
    assert outline(alerts) == [("a", "pending", 0.1), ("a", "firing", 1.1)]
