"""Three-valued logic, hysteresis, and how long a value holds."""

from __future__ import annotations

from itertools import product

import pytest

from operators.rules.signal import Truth, advance, all_of, any_of, false_at, held, negate
from operators.rules.state import Signal

ORDER: list[Truth] = [False, None, True]


@pytest.mark.parametrize("pair", list(product(ORDER, repeat=2)))
def test_kleene_and_is_the_lesser_and_or_the_greater(pair: tuple[Truth, Truth]) -> None:
    assert all_of(pair) is min(pair, key=ORDER.index)
    assert any_of(pair) is max(pair, key=ORDER.index)


def test_kleene_not_mirrors_the_order() -> None:
    assert [negate(value) for value in ORDER] == ORDER[::-1]


def test_nothing_is_true_of_all_and_false_of_any() -> None:
    assert all_of([]) is True
    assert any_of([]) is False


def test_false_time_stands_still_while_unknown_and_ends_with_true() -> None:
    signal = Signal()
    advance(signal, 0, True, 700)
    advance(signal, 100, False, 700)
    advance(signal, 300, None, 700)
    assert (signal.false_ms, held(signal, 900, 700)) == (200, 0)
    advance(signal, 1000, False, 700)
    assert false_at(signal, 300, 700) == 1100
    advance(signal, 1100, False, 700)
    assert (signal.false_ms, signal.known_ms) == (300, 400)
    advance(signal, 1150, True, 700)
    assert (signal.last, signal.at, signal.known, signal.known_ms, signal.false_ms) == (True, 1150, True, 0, 0)


def test_a_silent_signal_is_false_for_no_longer_than_it_holds() -> None:
    signal = Signal()
    advance(signal, 0, False, 700)
    assert false_at(signal, 700, 700) == 700
    assert false_at(signal, 701, 700) is None
    advance(signal, 5000, None, 700)
    assert signal.false_ms == 700
