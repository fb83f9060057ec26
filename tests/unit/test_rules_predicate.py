"""Predicates as written: the tree, the compact form, what is refused and in which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from operators.rules import Predicate, Smooth, parse_predicate
from operators.rules.predicate import When

READ = TypeAdapter(When)
FEAR = Predicate(prob="fear", enter=0.6)
JOY = Predicate(prob="happiness", enter=0.3)
ANGER = Predicate(prob="anger", enter=0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fear >= 0.6", {"prob": "fear", "enter": 0.6}),
        ("  fear>=.6 ", {"prob": "fear", "enter": 0.6}),
        ("intensity >= 1", {"value": "intensity", "enter": 1.0}),
        ("valence >= -0.5", {"value": "valence", "enter": -0.5}),
        ("not fear >= 0.6", {"not": {"prob": "fear", "enter": 0.6}}),
        ("(fear >= 0.6)", {"prob": "fear", "enter": 0.6}),
        ("order-2 >= 1", {"prob": "order-2", "enter": 1.0}),
        ("notable >= 1", {"prob": "notable", "enter": 1.0}),
    ],
)
def test_compact_predicates_become_mappings(text: str, expected: dict[str, object]) -> None:
    assert parse_predicate(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fear >= 0.6 and happiness >= 0.3 and anger >= 0.5", Predicate(all=(FEAR, JOY, ANGER))),
        ("fear >= 0.6 or happiness >= 0.3 and anger >= 0.5", Predicate(any=(FEAR, Predicate(all=(JOY, ANGER))))),
        ("(fear >= 0.6 or happiness >= 0.3) and anger >= 0.5", Predicate(all=(Predicate(any=(FEAR, JOY)), ANGER))),
        ("not fear >= 0.6 and anger >= 0.5", Predicate(all=(Predicate(not_=FEAR), ANGER))),
        ("not (fear >= 0.6 and anger >= 0.5)", Predicate(not_=Predicate(all=(FEAR, ANGER)))),
        ("not not fear >= 0.6", Predicate(not_=Predicate(not_=FEAR))),
    ],
    ids=["and", "and binds tighter", "parentheses", "not binds tightest", "not of a tree", "twice not"],
)
def test_compact_trees(text: str, expected: Predicate) -> None:
    assert _read(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"expected NAME >= NUMBER, got the end of ''"),
        ("fear", r'expected ">=", got the end of \'fear\''),
        ("fear > 0.6", r'expected ">=", got \'> 0.6\''),
        ("fear >= high", r"expected a number, got 'high'"),
        ("fear >= 0.6 and", r"expected NAME >= NUMBER, got the end of"),
        ("fear >= 0.6 anger >= 0.2", r"expected and, or, or the end, got 'anger >= 0.2'"),
        ("(fear >= 0.6", r'expected "\)", got the end of'),
        ("fear >= 0.6)", r"expected and, or, or the end, got '\)'"),
        ("0.6 <= fear", r"expected NAME >= NUMBER, got '0.6 <= fear'"),
        ("and >= 0.6", r"expected NAME >= NUMBER, got 'and >= 0.6'"),
        ("Fear >= 0.6", r"expected NAME >= NUMBER, got 'Fear >= 0.6'"),
        ("fear >= 0.6.1", r"expected and, or, or the end, got '.1'"),
        ("not " * 5000 + "fear >= 0.6", "expected at most 200 words, got 5003"),
    ],
)
def test_other_texts_are_no_predicates(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_predicate(text)


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Predicate(prob="fear", enter=0.5, exit=0.6), "exit <= enter"),
        (lambda: Predicate(prob="fear", exit=0.6), "enter beside exit"),
        (lambda: Predicate(prob="fear", enter=0.5, hold=-1), "hold >= 0s"),
        (lambda: Predicate(enter=0.5), "one of prob, prob_any, value, all, any and not"),
        (lambda: Predicate(enter=0.5, prob="fear", value="intensity"), "one of prob, prob_any, value"),
        (lambda: Predicate(prob="fear", enter=0.5, all=(FEAR,)), "one of prob, prob_any, value"),
        (lambda: Predicate(all=()), "one of prob, prob_any, value"),
        (lambda: Predicate(enter=0.5, value="arousal"), "value to be one of"),  # type: ignore[arg-type]
        (lambda: Predicate(enter=0.5, prob="fear", aggregate="sum"), "aggregate"),  # type: ignore[arg-type]
        (lambda: Predicate(any=(FEAR,), enter=0.5), "at the parts of all, any and not"),
        (lambda: Predicate(not_=FEAR, smooth=Smooth(ema=1.0)), "at the parts of all, any and not"),
        (Smooth, "one of ema and median"),
        (lambda: Smooth(ema=1, median=1), "one of ema and median"),
        (lambda: Smooth(ema=0), "above 0s"),
        (lambda: Smooth(median=3), "a median of at most 2s, got 3s"),
    ],
)
def test_impossible_predicates_are_refused(build: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build()


def test_a_file_mixes_mappings_and_compact_forms_at_any_depth() -> None:
    written = {"all": ["fear >= 0.6", {"not": {"any": ["happiness >= 0.3", {"prob": "anger", "enter": 0.5}]}}]}
    assert _read(written) == Predicate(all=(FEAR, Predicate(not_=Predicate(any=(JOY, ANGER)))))


def test_leaves_and_names_are_read_from_left_to_right() -> None:
    crowd = Predicate(prob_any=("sadness", "disgust"), enter=0.4)
    tree = Predicate(all=(FEAR, Predicate(any=(JOY, Predicate(not_=crowd))), Predicate(value="valence", enter=0)))
    assert tree.leaves[:3] == (FEAR, JOY, crowd)
    assert tree.names == ("fear", "happiness", "sadness", "disgust")


def _read(written: object) -> Predicate:
    def aliased(one: object) -> object:  # configuration files leave the underscore out: pipeline/config.py
        if isinstance(one, dict):
            return {"not_" if key == "not" else key: aliased(value) for key, value in one.items()}
        return [aliased(part) for part in one] if isinstance(one, list) else one

    if isinstance(written, str):
        written = parse_predicate(written)
    return READ.validate_python(aliased(written))


LEAVES = st.builds(
    lambda name, enter: {"prob": name, "enter": enter},
    st.sampled_from(["fear", "anger", "negative", "order-2"]),
    st.integers(0, 100).map(lambda percent: percent / 100),
)
TREES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(lambda part: {"not": part}, parts),
        st.builds(lambda key, several: {key: several}, st.sampled_from(["all", "any"]), st.lists(parts, min_size=2)),
    ),
    max_leaves=12,
)


@given(TREES)
def test_a_predicate_reads_back_from_its_text(written: dict[str, object]) -> None:
    predicate = _read(written)
    assert _read(str(predicate)) == predicate
