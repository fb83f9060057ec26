"""Alerts against incidents: who detects what, what is false, what was nearly one; and which setting is proposed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from operators.records import Alert, Scope, Severity, Status
from operators.rules import Predicate, Rule
from pipeline.tune.incidents import Incident
from pipeline.tune.propose import Candidates, propose
from pipeline.tune.score import Score, Tally, score
from pipeline.tune.vary import Setting, parse_vary, settings

HOUR = {"lobby": 3600.0}


def transition(status: Status, ts: float, start: float, *, camera: str = "lobby", **more: object) -> Alert:
    lasted = {"duration_s": ts - start, "suppressed": 1.0 if more.get("suppressed") else 0.0}
    return Alert(
        alert_id=f"{camera}-{start}", seq=0, rule="r", scope=Scope.CAMERA, camera_id=camera, status=status,
        reason=str(more.get("reason", "condition")), severity=Severity.WARNING, ts=ts, starts_at=start, evidence=lasted,
        silenced_by=str(more.get("silenced_by", "")),
    )  # fmt: skip


def fired(start: float, end: float, *, after: float = 1.0, camera: str = "lobby") -> list[Alert]:
    """The transitions of an alert that fires `after` seconds."""
    return [
        transition(Status.PENDING, start, start, camera=camera),
        transition(Status.FIRING, start + after, start, camera=camera),
        transition(Status.RESOLVED, end, start, camera=camera),
    ]


def scored(alerts: Sequence[Alert], incidents: Sequence[Incident] = (), tolerance: float = 0.0) -> Score:
    tally = Tally(incidents, tolerance)
    for alert in alerts:
        tally.add(alert)
    return score(tally, HOUR)


@pytest.mark.parametrize(
    ("alerts", "incidents", "tolerance", "verdicts"),
    [
        ([(10, 15)], [(12, 20)], 0, ["found"]),
        ([(10, 15)], [(15, 20)], 0, ["found"]),  # touching is overlapping
        ([(10, 15)], [(16, 20)], 0.9, ["false"]),
        ([(10, 15)], [(16, 20)], 1.0, ["found"]),  # within the tolerance, before ...
        ([(22, 25)], [(16, 20)], 2.0, ["found"]),  # ... and after
        ([(10, 12), (14, 16)], [(9, 20)], 0, ["found", "repeat"]),
        ([(10, 40)], [(9, 12), (30, 35)], 0, ["found"]),  # one alert detects one incident: the other is missed
        ([(10, 40), (33, 36)], [(9, 12), (30, 35)], 0, ["found", "found"]),
        ([(10, 12), (50, 52)], [(9, 20)], 0, ["found", "false"]),
    ],
)
def test_verdicts(
    alerts: list[tuple[float, float]], incidents: list[tuple[float, float]], tolerance: float, verdicts: list[str]
) -> None:
    happened = [Incident("lobby", start, end) for start, end in incidents]
    result = scored([each for start, end in alerts for each in fired(start, end)], happened, tolerance)
    assert [one.verdict for one in result.fired] == verdicts
    assert result.against is not None
    assert result.against.found == verdicts.count("found")
    assert result.against.missed == len(incidents) - verdicts.count("found")


def test_another_camera_detects_nothing() -> None:
    result = scored(fired(10, 15, camera="quay"), [Incident("lobby", 10, 15)])
    assert result.against is not None
    assert (result.against.found, result.against.false, result.against.precision) == (0, 1, 0.0)


def test_figures() -> None:
    incidents = [Incident("lobby", start, start + 5) for start in (100, 200, 300, 400)]
    alerts = [*fired(101, 106), *fired(202, 206, after=2), *fired(301, 303, after=1.5), *fired(50, 52)]
    result = scored(alerts, incidents)
    against = result.against
    assert against is not None
    assert (against.found, against.missed, against.false) == (3, 1, 1)
    assert (against.precision, against.recall, against.f1) == (0.75, 0.75, 0.75)
    assert against.delay_median == pytest.approx(2.5)  # of 2.0, 2.5 and 4.0
    assert against.delay_p95 == pytest.approx(3.85)
    assert against.false_per_day == pytest.approx(24)
    assert result.per_hour == pytest.approx(4)
    assert result.lasted_median == pytest.approx(3.0)
    assert set(result.missed) == {3}


def test_without_alerts_precision_is_unknown_not_perfect() -> None:
    against = scored([], [Incident("lobby", 1, 2)]).against
    assert against is not None
    assert (against.precision, against.recall, against.f1, against.delay_median) == (None, 0.0, 0.0, None)


def test_what_never_fired() -> None:
    alerts = [
        transition(Status.BROKEN, 12, 10, reason="dip"),
        transition(Status.BROKEN, 33, 30, reason="gap"),
        transition(Status.BROKEN, 90, 60, reason="condition", suppressed=True),
    ]
    result = scored(alerts, [Incident("lobby", 11, 13), Incident("lobby", 70, 75), Incident("lobby", 500, 501)])
    assert result.broken == {"cooldown": 1, "dip": 1, "gap": 1}
    assert [miss.lasted for miss in result.nearest] == [3, 2]  # a cooldown is no near miss
    assert [miss and miss.reason for miss in result.missed.values()] == ["dip", "cooldown", None]


def test_an_inhibited_alert_is_neither_right_nor_false_until_it_is_told() -> None:
    silent = [
        transition(Status.FIRING, 11, 10, silenced_by="inhibited:other"),
        transition(Status.RESOLVED, 15, 10, silenced_by="inhibited:other"),
    ]
    result = scored(silent)
    assert (result.alerts, result.inhibited) == (0, 1)
    told = [silent[0], transition(Status.FIRING, 13, 10, reason="released"), transition(Status.RESOLVED, 15, 10)]
    result = scored(told)
    assert (result.alerts, result.inhibited, result.fired[0].fired_at) == (1, 0, 13)


def test_an_escalation_is_not_a_second_alert() -> None:
    again = transition(Status.FIRING, 14, 10, reason="escalated")
    result = scored([*fired(10, 15)[:2], again, fired(10, 15)[2]])
    assert (result.alerts, result.fired[0].fired_at) == (1, 11)


RULE = Rule("fear", Predicate(prob="fear", enter=0.6, exit=0.45), for_=3.0)
INCIDENTS = [Incident("lobby", 1000.0 * n, 1000.0 * n + 5) for n in range(1, 5)]


def candidates(
    text: str, outcomes: Sequence[tuple[int, int]], *, labelled: bool = True, current: int = 0
) -> Candidates:
    """Settings that find so many incidents, with so many false alarms."""
    varies = (parse_vary(text, RULE),)
    made, _ = settings(RULE, varies)
    scores = []
    for found, false in outcomes:
        right = [each for one in INCIDENTS[:found] for each in fired(one.start, one.end)]
        wrong = [each for n in range(false) for each in fired(100.0 + 10 * n, 103.0 + 10 * n)]
        scores.append(scored([*right, *wrong], INCIDENTS if labelled else ()))
    return Candidates(varies, tuple(made), tuple(scores), current)


def test_the_best_f1_is_proposed_with_its_price() -> None:
    proposal = propose(candidates("when.enter=0.4,0.5,0.6,0.7", [(4, 8), (4, 1), (3, 0), (1, 0)], current=2))
    assert proposal.index == 1
    assert proposal.headline == "Set when.enter: 0.5 instead of 0.6"
    assert "4 of 4 incidents, instead of 3" in proposal.trade_off
    assert "24.0 false alarms per camera and 24 h instead of none" in proposal.trade_off
    assert any("4 incidents are few" in caution for caution in proposal.cautions)


@pytest.mark.parametrize(
    ("outcomes", "current", "proposed"),
    [
        ([(3, 1), (4, 3), (4, 3), (1, 0)], 0, 0),  # F1 6/8, 8/11, 8/11, 2/5
        ([(4, 2), (4, 2), (4, 2), (4, 2)], 2, 2),  # all the same: stay
        ([(4, 2), (4, 2), (1, 2), (1, 2)], 3, 1),  # the same: the nearer one
        ([(2, 0), (3, 3), (1, 9), (1, 9)], 3, 0),  # F1 4/6 against 6/10
        ([(4, 4), (2, 0), (1, 9), (1, 9)], 3, 1),  # the same F1: fewer false alarms, though it finds less
    ],
)
def test_ties(outcomes: list[tuple[int, int]], current: int, proposed: int) -> None:
    assert propose(candidates("when.enter=0.4,0.5,0.6,0.7", outcomes, current=current)).index == proposed


def test_keeping_the_current_setting_is_a_proposal() -> None:
    proposal = propose(candidates("when.enter=0.6,0.7", [(4, 0), (2, 0)]))
    assert proposal.headline == "Keep when.enter: 0.6"
    assert "nothing that was tried is better" in proposal.trade_off
    assert any("proves little: at 72 per camera" in caution for caution in proposal.cautions)


def test_the_edge_of_what_was_tried_is_told() -> None:
    proposal = propose(candidates("for=1s,2s,3s", [(4, 0), (2, 0), (1, 0)], current=2))
    assert any("for: 1s is the lowest value tried; lower ones may do better" in each for each in proposal.cautions)


def test_without_incidents_the_middle_of_the_widest_plateau() -> None:
    counts = [(0, false) for false in (60, 40, 25, 9, 9, 8, 9, 2, 0)]
    proposal = propose(candidates("when.enter=0.1:0.9:0.1", counts, labelled=False))
    assert proposal.headline == "Set when.enter: 0.5 instead of 0.1"
    assert "4 of 9 settings" in proposal.why
    assert "heuristic" in proposal.why


def test_without_incidents_a_current_setting_on_the_plateau_stays() -> None:
    counts = [(0, false) for false in (60, 40, 25, 9, 9, 8, 9, 2, 0)]
    assert propose(candidates("when.enter=0.1:0.9:0.1", counts, labelled=False, current=6)).index == 6


def test_without_any_alert_nothing_is_claimed() -> None:
    proposal = propose(candidates("when.enter=0.6,0.7,0.8", [(0, 0)] * 3, labelled=False))
    assert proposal.index == 0
    assert "No setting fires at all" in proposal.why


def test_a_handful_of_alerts_is_no_plateau() -> None:
    proposal = propose(candidates("when.enter=0.6,0.7,0.8", [(0, 0), (0, 2), (0, 2)], labelled=False))
    assert proposal.index == 0
    assert "No setting gives more than 2 alerts" in proposal.why


def test_where_only_the_current_setting_fires_it_stays() -> None:
    of = candidates("when.enter=0.8,0.9", [(0, 0), (0, 0)], labelled=False)
    (now,) = candidates("when.enter=0.6", [(0, 9)], labelled=False).scores
    proposal = propose(Candidates(of.varies, (*of.settings, Setting((0.6,), RULE, {})), (*of.scores, now), 2))
    assert proposal.index == 2
    assert "only the current setting does" in proposal.why


def test_a_current_setting_beside_the_grid_is_a_candidate() -> None:
    of = candidates("when.enter=0.4,0.8", [(1, 5), (1, 5)])
    here = Setting((0.6,), RULE, {})
    mixed = Candidates(
        of.varies, (*of.settings, here), (*of.scores, candidates("when.enter=0.6", [(4, 0)]).scores[0]), 2
    )
    assert propose(mixed).index == 2
