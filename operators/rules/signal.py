"""A signal in time: TRUE, FALSE or UNKNOWN.

`None` is UNKNOWN. What was read holds until the next sample, or for `hold`, and is UNKNOWN after that. All times here
and in the modules built on this one are whole milliseconds: sums are exact, and a frame rate that divides no second
evenly can't miss a deadline by a rounding error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Signal", "Truth", "advance", "all_of", "any_of", "false_at", "held", "negate", "reads_true"]

Truth = bool | None


def all_of(parts: Iterable[Truth]) -> Truth:
    """Kleene's and: FALSE if any is FALSE, else UNKNOWN if any is."""
    values = set(parts)
    return False if False in values else (None if None in values else True)


def any_of(parts: Iterable[Truth]) -> Truth:
    """Kleene's or: TRUE if any is TRUE, else UNKNOWN if any is."""
    values = set(parts)
    return True if True in values else (None if None in values else False)


def negate(part: Truth) -> Truth:
    """Kleene's not: UNKNOWN stays UNKNOWN."""
    return None if part is None else not part


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal as of its last sample.

    `last` is the last readable value and `at` its time; `known` says that it still holds (no unreadable sample came
    since). `known_ms` is the time since the last TRUE sample in which the value was known, and `false_ms` the part of
    it that was FALSE, up to `at` or to where it stopped holding.
    """

    last: bool = False
    at: int = 0
    known: bool = False
    known_ms: int = 0
    false_ms: int = 0


OFF = Signal()


def reads_true(signal: Signal, level: float, *, at: int, enter: float, exit_: float, hold: int) -> bool:
    """Hysteresis: from on it stays on down to `exit_`; after more than `hold` unread it has to `enter` again."""
    on = signal.last and at - signal.at <= hold
    return level >= (exit_ if on else enter)


def held(signal: Signal, ts: int, hold: int) -> int:
    """For how long until `ts` the last sample held."""
    return min(ts - signal.at, hold) if signal.known else 0


def advance(signal: Signal, ts: int, value: Truth, hold: int) -> Signal:
    """The signal after a sample at `ts`."""
    if value:
        return Signal(last=True, at=ts, known=True)
    more = held(signal, ts, hold)
    known_ms = signal.known_ms + more
    false_ms = signal.false_ms + (0 if signal.last else more)
    if value is None:
        return Signal(signal.last, signal.at, known=False, known_ms=known_ms, false_ms=false_ms)
    return Signal(last=False, at=ts, known=True, known_ms=known_ms, false_ms=false_ms)


def false_at(signal: Signal, limit: int, hold: int) -> int | None:
    """When it will have been FALSE for `limit` if no other sample comes; None if it won't."""
    if signal.last or not signal.known:
        return None
    left = limit - signal.false_ms
    return signal.at + left if left <= hold else None
