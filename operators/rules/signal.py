"""A signal in time: TRUE, FALSE or UNKNOWN.

`None` is UNKNOWN. What was read holds until the next sample, or for `hold`, and is UNKNOWN after that. All times here
and in the modules built on this one are whole milliseconds: sums are exact, and a frame rate that divides no second
evenly can't miss a deadline by a rounding error.
"""

from __future__ import annotations

from collections.abc import Iterable

from operators.rules.state import Signal

__all__ = ["Truth", "advance", "all_of", "any_of", "false_at", "held", "negate"]

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


def held(signal: Signal, ts: int, hold: int) -> int:
    """For how long until `ts` the last sample held."""
    return min(ts - signal.at, hold) if signal.known else 0


def advance(signal: Signal, ts: int, value: Truth, hold: int) -> None:
    """Move the signal on to a sample at `ts`."""
    if value:
        signal.last, signal.at, signal.known, signal.known_ms, signal.false_ms = True, ts, True, 0, 0
        return
    more = held(signal, ts, hold)
    signal.known_ms += more
    if not signal.last:
        signal.false_ms += more
    if value is None:
        if signal.known:
            signal.known, signal.until = False, signal.at + more
    else:
        signal.last, signal.at, signal.known = False, ts, True


def false_at(signal: Signal, limit: int, hold: int) -> int | None:
    """When it will have been FALSE for `limit` if no other sample comes; None if it won't."""
    if signal.last or not signal.known:
        return None
    left = limit - signal.false_ms
    return signal.at + left if left <= hold else None
