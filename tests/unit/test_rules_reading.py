"""Predicates read faces: hysteresis, smoothing, hold, trees."""

from __future__ import annotations

import pytest

from operators.records import FaceTrack
from operators.rules.predicate import Predicate, Smooth, parse_predicate
from operators.rules.reading import ready
from operators.rules.state import Leaf


def face(**scores: float) -> FaceTrack:
    return FaceTrack("t", 0.0, (0, 0, 9, 9), 0.9, 9.0, 0.9, label="fear", scores=scores)


@pytest.mark.parametrize(
    ("leaf", "at", "level", "expected"),
    [
        (Leaf(), 100, 0.5, False),
        (Leaf(), 100, 0.6, True),
        (Leaf(on=True, at=100), 200, 0.5, True),
        (Leaf(on=True, at=100), 200, 0.4, False),
        (Leaf(on=True, at=100), 800, 0.5, True),
        (Leaf(on=True, at=100), 801, 0.5, False),
    ],
    ids=["off below", "off at enter", "on between", "on below exit", "on, just remembered", "on, forgotten"],
)
def test_hysteresis(leaf: Leaf, at: int, level: float, *, expected: bool) -> None:
    reader = ready(Predicate(prob="fear", enter=0.6, exit=0.45), {}, max_gap=700)
    assert reader.read([leaf], (face(fear=level),), at)[0] is expected


def levels(predicate: Predicate, readings: list[tuple[int, float]]) -> list[tuple[object, float]]:
    reader = ready(predicate, {}, max_gap=700)
    memory = reader.blank()
    read = [reader.read(memory, (face(fear=level),), ts) for ts, level in readings]
    return [(value, round(level or 0.0, 3)) for value, level, _ in read]


def test_ema_moves_by_its_time_constant_and_restarts_after_a_gap() -> None:
    smooth = Predicate(prob="fear", enter=0.5, smooth=Smooth(ema=0.3))
    assert levels(smooth, [(0, 0.0), (300, 1.0), (1100, 1.0)]) == [(False, 0.0), (True, 0.632), (True, 1.0)]


def test_median_ignores_an_outlier() -> None:
    smooth = Predicate(prob="fear", enter=0.5, smooth=Smooth(median=0.5))
    read = levels(smooth, [(0, 0.1), (100, 0.1), (200, 0.9), (300, 0.1)])
    assert read == [(False, 0.1), (False, 0.1), (False, 0.1), (False, 0.1)]


def test_hold_waits_until_it_has_lasted() -> None:
    hold = Predicate(prob="fear", enter=0.5, hold=0.2)
    read = levels(hold, [(0, 0.9), (100, 0.9), (200, 0.9), (300, 0.1), (400, 0.9)])
    assert [value for value, _ in read] == [False, False, True, False, False]


def test_a_tree_is_kleenes_over_its_leaves() -> None:
    parts = parse_predicate("fear >= 0.6 and not happiness >= 0.3")["all"]
    tree = Predicate(all=(Predicate(**parts[0]), Predicate(not_=Predicate(**parts[1]["not"]))))
    reader = ready(tree, {}, max_gap=700)
    assert reader.read(reader.blank(), (face(fear=0.7, happiness=0.1),), 0)[:2] == (True, 0.7)
    assert reader.read(reader.blank(), (face(fear=0.7, happiness=0.4),), 0)[0] is False
    assert reader.read(reader.blank(), (face(fear=0.7),), 0)[0] is None
    assert reader.read(reader.blank(), (face(fear=0.2),), 0)[0] is False


def test_a_derived_signal_is_a_weighted_sum() -> None:
    reader = ready(Predicate(prob="mixed", enter=0.5), {"mixed": {"fear": 0.5, "anger": 1.0}}, max_gap=700)
    assert reader.read(reader.blank(), (face(fear=0.4, anger=0.3),), 0)[:2] == (True, 0.5)


def test_valence_is_happiness_less_the_negative_expressions() -> None:
    reader = ready(Predicate(value="valence", enter=0.0), {}, max_gap=700)
    assert reader.read(reader.blank(), (face(fear=0.2, happiness=0.5, sadness=0.1),), 0)[1] == pytest.approx(0.2)


def test_nobody_is_false_and_an_unreadable_face_unknown() -> None:
    reader = ready(Predicate(prob="fear", enter=0.0), {}, max_gap=700)
    assert reader.read(reader.blank(), (), 0)[0] is False
    assert reader.read(reader.blank(), (FaceTrack("t", 0, (0, 0, 1, 1), 1, 1, 1),), 0)[0] is None
