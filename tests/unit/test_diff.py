"""Two rule sets over one recording: which alerts belong together, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.records import Clock, FaceTrack, Observation, Severity, Status
from operators.rules import Predicate, Rule, RuleEvaluator, RuleSet
from pipeline.diff import Episode, compare, difference, document, episodes
from tests.alerts import FEAR, alert

ONE = Episode("fear", {"rule": "fear", "camera": "a"}, 100.0, 103.0, 110.0, Severity.WARNING, "condition")


def other(**changes: object) -> Episode:
    return replace(ONE, **changes)  # type: ignore[arg-type]


PENDING = other(fired_at=None)


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        pytest.param([ONE], [ONE], [], id="the same"),
        pytest.param([], [ONE], [("added",)], id="added"),
        pytest.param([ONE], [], [("removed",)], id="removed"),
        pytest.param([ONE], [other(fired_at=104.0)], [("moved",)], id="fires later"),
        pytest.param([ONE], [other(fired_at=103.0004)], [], id="less than a millisecond is no change"),
        pytest.param([ONE], [other(ends_at=111.0)], [("duration",)], id="lasts longer"),
        pytest.param([ONE], [other(severity=Severity.CRITICAL)], [("severity",)], id="more severe"),
        pytest.param([ONE], [other(silenced_by="muted:night")], [("silenced",)], id="not sent any more"),
        pytest.param(
            [ONE], [other(starts_at=101.0, fired_at=104.0)], [("moved", "duration")], id="begins later, same end"
        ),
        pytest.param([ONE], [other(reason="lost")], [], id="how it ended doesn't count"),
        pytest.param(
            [ONE],
            [other(starts_at=200.0, fired_at=203.0, ends_at=210.0)],
            [("removed",), ("added",)],
            id="no overlap: not the same alert",
        ),
        pytest.param(
            [ONE],
            [other(labels={"rule": "fear", "camera": "b"})],
            [("removed",), ("added",)],
            id="another camera: not the same alert",
        ),
        pytest.param(
            [other(ends_at=300.0)],
            [ONE, other(starts_at=150.0, fired_at=153.0, ends_at=300.0)],
            [("added",), ("moved", "duration")],
            id="one that fell apart: the longer half is the same alert",
        ),
        pytest.param([PENDING], [PENDING], [], id="pending ones don't count"),
    ],
)
def test_what_changed(old: list[Episode], new: list[Episode], kinds: list[tuple[str, ...]]) -> None:
    changes = difference(old, new).changes
    assert [change.kinds for change in changes] == kinds


def test_an_alert_that_was_nearly_there_is_marked() -> None:
    (added,) = difference([PENDING], [ONE]).changes
    assert added.pending
    (removed,) = difference([ONE], [PENDING]).changes
    assert removed.pending
    far = replace(PENDING, starts_at=500.0, ends_at=510.0)
    (added,) = difference([far], [ONE]).changes
    assert not added.pending


def test_pending_ones_are_counted_by_rule() -> None:
    diff = difference([PENDING, PENDING], [replace(PENDING, rule="anger")])
    assert diff.pending_only == {"anger": (0, 1), "fear": (2, 0)}
    assert not diff.changes


def test_transitions_become_one_episode() -> None:
    first = alert(1, status=Status.PENDING, seq=0, fired_at=None, severity=Severity.NOTICE)
    firing = alert(1, seq=1)
    escalated = alert(1, seq=2, severity=Severity.CRITICAL, ts=FEAR.ts + 1)
    ended = alert(
        1, seq=3, status=Status.RESOLVED, ts=FEAR.ts + 5, ends_at=FEAR.ts + 5, severity=Severity.WARNING, reason="lost"
    )
    (episode,) = episodes([first, firing, escalated, ended])
    assert (episode.starts_at, episode.fired_at, episode.ends_at) == (FEAR.starts_at, FEAR.fired_at, FEAR.ts + 5)
    assert episode.severity is Severity.CRITICAL
    assert episode.reason == "lost"
    assert episode.lasted == FEAR.ts + 5 - FEAR.starts_at


lives = st.lists(
    st.builds(
        lambda rule, start, wait, length, fired: Episode(
            rule, {"camera": "a"}, start, start + wait if fired else None, start + wait + length, Severity.INFO, "lost"
        ),
        rule=st.sampled_from(["x", "y"]),
        start=st.integers(0, 50).map(float),
        wait=st.integers(0, 5).map(float),
        length=st.integers(0, 20).map(float),
        fired=st.booleans(),
    ),
    max_size=8,
).map(lambda found: sorted(found, key=lambda life: (life.starts_at, life.key, life.ends_at)))


@given(old=lives, new=lives)
def test_every_alert_is_told_once_and_the_other_way_round_is_the_mirror(old: list[Episode], new: list[Episode]) -> None:
    diff, back = difference(old, new), difference(new, old)
    fired = [sum(life.fired_at is not None for life in side) for side in (old, new)]
    assert diff.same + sum(change.old is not None for change in diff.changes) == fired[0]
    assert diff.same + sum(change.new is not None for change in diff.changes) == fired[1]
    assert diff.counts["added"] == back.counts["removed"]
    assert diff.counts["removed"] == back.counts["added"]
    assert difference(old, old).changes == ()


def evaluator(seconds: float) -> RuleEvaluator:
    rule = Rule("fear", Predicate(prob="fear", enter=0.6), for_=seconds, cooldown=0.0)
    return RuleEvaluator(RuleSet((rule,)))


def test_two_rule_sets_over_one_recording() -> None:
    """Fear for 4 s, then for 2 s: the rule that waits longer fires once, and later."""
    levels = [0.8] * 40 + [0.1] * 30 + [0.8] * 20 + [0.1] * 30
    records = [
        Observation("a", 1, n, n / 10, Clock.MEDIA, (FaceTrack(
            "t", 0.0, (0, 0, 9, 9), 0.9, 60.0, 0.9, label="fear", scores={"fear": level, "neutral": 1 - level}
        ),))
        for n, level in enumerate(levels)
    ]  # fmt: skip
    diff = compare(evaluator(1.0), evaluator(3.0), iter(records))
    assert diff.fired == (2, 1)
    assert [(change.kinds, change.pending) for change in diff.changes] == [(("moved",), False), (("removed",), True)]
    said = document(diff)
    assert (said["differs"], said["removed"], said["moved"], said["same"]) == (True, 1, 1, 0)
    assert said["changes"][0]["old"]["fired_at"] == "1970-01-01T00:00:01.000Z"
    assert said["changes"][0]["new"]["fired_at"] == "1970-01-01T00:00:03.000Z"
    assert said["pending_only"] == {"fear": {"old": 0, "new": 1}}
