"""Which setting to take, and what it costs, in sentences.

With incidents: the best F1; of equals the one with fewer false alarms, then the one nearest to the current setting.
Without: the middle of the widest plateau, a stretch of neighbouring settings whose alerts differ by no more than counts
differ by chance. Where real episodes stand out from noise, a threshold between the two may move without effect. That is
a heuristic: nobody said what is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt

from pipeline.tune.score import Found, Score
from pipeline.tune.vary import Setting, Value, Vary, shown

__all__ = ["Candidates", "Proposal", "propose", "ranking"]

FEW = 20
"""Incidents below which a difference of one is worth a warning."""
ENOUGH = 5
"""Alerts that some setting must give before a plateau is looked for."""
RULE_OF_THREE = 3.0
"""Where none was seen, up to three could have been expected, at a confidence of 95 %."""
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Candidates:
    """All settings with their scores; `current` is the index of the rule as it is."""

    varies: tuple[Vary, ...]
    settings: tuple[Setting, ...]
    scores: tuple[Score, ...]
    current: int
    place: str = "camera"
    """What alerts are counted by: `camera`, `group` or `site`."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A setting by index, why it was taken, and what to be careful about."""

    index: int
    headline: str
    trade_off: str
    why: str
    cautions: tuple[str, ...]


def propose(of: Candidates) -> Proposal:
    """The setting to take."""
    return _by_incidents(of) if of.scores[of.current].against else _by_plateau(of)


def ranking(of: Candidates) -> list[int]:
    """The settings, best first; without incidents from the nearest to the current one to the farthest."""
    if of.scores[of.current].against is None:
        return sorted(range(len(of.settings)), key=lambda index: (_distance(of, index), index))
    return sorted(range(len(of.settings)), key=lambda index: _rank(of, index))


def _by_incidents(of: Candidates) -> Proposal:
    ranked = ranking(of)
    best, chosen = ranked[0], _against(of.scores[ranked[0]])
    equals = [index for index in ranked[1:] if abs(_against(of.scores[index]).f1 - chosen.f1) < _SAME]
    why = f"It has the best F1 of all {len(of.settings)} settings, {chosen.f1:.2f}"
    if equals:
        others = "1 other has" if len(equals) == 1 else f"{len(equals)} others have"
        why += f"; {others} the same, and more false alarms or more distance from the current setting"
    trade_off = _compare(of, best) if best != of.current else _describe(of, best)
    return Proposal(best, _headline(of, best), trade_off, f"{why}.", tuple(_cautions(of, best)))


def _rank(of: Candidates, index: int) -> tuple[float, float, float, int]:
    against = _against(of.scores[index])
    return -round(against.f1, 9), against.false_per_day, _distance(of, index), index


def _by_plateau(of: Candidates) -> Proposal:
    most = max(score.alerts for score in of.scores)
    plateau = _plateau(of) if most >= ENOUGH else []
    best = of.current if of.current in plateau or not plateau else _middle(of, plateau)
    alerts = [of.scores[index].alerts for index in plateau]
    if not plateau:
        why = _too_little(most)
    else:
        span = f"{min(alerts)}" if min(alerts) == max(alerts) else f"{min(alerts)} to {max(alerts)}"
        why = (
            f"It is on the widest plateau: {len(plateau)} of {len(of.settings)} settings that give about the same, "
            f"{span} alerts. Where a rule tells real episodes from noise, small changes of it change little. That is a "
            "heuristic; only labels of what really happened can say which alerts are right."
        )
    before, after = of.scores[of.current], of.scores[best]
    trade_off = f"It gives {_alerts(of, after)}" + (
        "." if best == of.current else f"; the current setting gives {_alerts(of, before)}."
    )
    return Proposal(best, _headline(of, best), trade_off, why, tuple(_at_the_edge(of, best)))


def _too_little(most: int) -> str:
    """Why there is no plateau; `most` alerts are those of the setting that gives most."""
    if most >= ENOUGH:
        return "Nothing that was tried fires at all on this recording; only the current setting does."
    fires = f"No setting gives more than {most} alerts" if most else "No setting fires at all"
    return f"{fires} on this recording, so it says nothing about any of them."


def _plateau(of: Candidates) -> list[int]:
    """The largest set of neighbouring settings with about the alerts of one of them; none where nothing fires."""
    where = {cell: index for index in range(len(of.settings)) if (cell := _cell(of, index)) is not None}
    best: list[int] = []
    for start, index in where.items():
        if of.scores[index].alerts:
            grown = sorted(_grow(of, where, start))
            if (len(grown), of.current in grown) > (len(best), of.current in best):
                best = grown
    return best


Cell = tuple[int, ...]


def _grow(of: Candidates, where: Mapping[Cell, int], start: Cell) -> set[int]:
    alerts = of.scores[where[start]].alerts
    tolerance = max(1.0, sqrt(alerts))  # how far two counts of the same rare thing lie apart by chance
    reached, edge = {where[start]}, [start]
    while edge:
        cell = edge.pop()
        for index, move in product(range(len(cell)), (-1, 1)):
            neighbour = (*cell[:index], cell[index] + move, *cell[index + 1 :])
            found = where.get(neighbour)
            if found is None or found in reached or not of.scores[found].alerts:
                continue
            if abs(of.scores[found].alerts - alerts) <= tolerance:
                reached.add(found)
                edge.append(neighbour)
    return reached


def _middle(of: Candidates, plateau: Sequence[int]) -> int:
    """The setting of a plateau from which the farthest other one is nearest."""
    cells = {index: _cell(of, index) or () for index in plateau}

    def reach(index: int) -> float:
        return max(
            sum(
                abs(here - there) / len(vary.values)
                for here, there, vary in zip(cells[index], cell, of.varies, strict=True)
            )
            for cell in cells.values()
        )

    return min(plateau, key=lambda index: (reach(index), _distance(of, index), index))


def _cell(of: Candidates, index: int) -> Cell | None:
    """The place of a setting on the grid; None for a current setting beside it."""
    values = of.settings[index].values
    if any(value not in vary.values for value, vary in zip(values, of.varies, strict=True)):
        return None
    return tuple(vary.values.index(value) for value, vary in zip(values, of.varies, strict=True))


def _distance(of: Candidates, index: int) -> float:
    """How far a setting is from the current one: the sum over the fields, each as a share of its range."""
    pairs = zip(of.varies, of.settings[index].values, of.settings[of.current].values, strict=True)
    return sum(_apart(vary, value, now) for vary, value, now in pairs)


def _apart(vary: Vary, value: Value | None, now: Value | None) -> float:
    if value == now or now is None or value is None:
        return 0.0
    if isinstance(value, str) or isinstance(now, str) or vary.kind == "flag":
        return 1.0
    numbers = [float(each) for each in (*vary.values, now)]
    return abs(float(value) - float(now)) / (max(numbers) - min(numbers))


def _headline(of: Candidates, best: int) -> str:
    if best == of.current:
        return f"Keep {_named(of, best)}"
    before = of.settings[of.current].values
    changes = [
        f"{vary.path}: {shown(value, vary.kind)} instead of {shown(now, vary.kind)}"
        for vary, value, now in zip(of.varies, of.settings[best].values, before, strict=True)
        if value != now
    ]
    return f"Set {', '.join(changes)}"


def _named(of: Candidates, index: int) -> str:
    values = of.settings[index].values
    return ", ".join(f"{vary.path}: {shown(value, vary.kind)}" for vary, value in zip(of.varies, values, strict=True))


def _describe(of: Candidates, index: int) -> str:
    against = _against(of.scores[index])
    delay = "" if against.delay_median is None else f", {_seconds(against.delay_median)} after they begin (median)"
    return (
        f"It finds {against.found} of {against.found + against.missed} incidents{delay}, with {_false(of, against)}; "
        "nothing that was tried is better."
    )


def _compare(of: Candidates, best: int) -> str:
    new, old = _against(of.scores[best]), _against(of.scores[of.current])
    total = new.found + new.missed
    found = f"{new.found} of {total} incidents, "
    found += "as many as now" if new.found == old.found else f"instead of {old.found}"
    sentence = f"It finds {found}, with {_false(of, new)}"
    sentence += ", as now" if new.false == old.false else f" instead of {_false_number(old)}"
    if new.delay_median is None or old.delay_median is None:
        return f"{sentence}."
    sooner = old.delay_median - new.delay_median
    if abs(sooner) < 0.05:
        return f"{sentence}, and tells them as soon as now ({_seconds(new.delay_median)}, median)."
    how = "sooner" if sooner > 0 else "later"
    return f"{sentence}, and tells them {_seconds(abs(sooner))} {how} ({_seconds(new.delay_median)}, median)."


def _false_number(against: Found) -> str:
    return f"{against.false_per_day:.1f}" if against.false else "none"


def _false(of: Candidates, against: Found) -> str:
    if not against.false:
        return "no false alarm"
    return f"{against.false_per_day:.1f} false alarms per {of.place} and 24 h"


def _cautions(of: Candidates, best: int) -> Iterator[str]:
    against = _against(of.scores[best])
    total = against.found + against.missed
    if total < FEW:
        yield (
            f"{total} incidents are few: one more or less found moves recall by {100 / total:.0f} points. Label more "
            "before you trust small differences."
        )
    yield from _at_the_edge(of, best)
    hours = against.hours
    if not against.false and hours:
        likely = RULE_OF_THREE / hours * 24
        yield (
            f"No false alarm in {hours:.1f} observed hours proves little: at {likely:.0f} per {of.place} and 24 h, one "
            "recording in twenty of this length would show none."
        )
    yield (
        "It was chosen on the recording that it was measured on, so expect a little less of it on another day. Try it "
        "on a second recording before you rely on it."
    )


def _at_the_edge(of: Candidates, best: int) -> Iterator[str]:
    """A best value that is the first or last one tried may not be the best there is."""
    for vary, value in zip(of.varies, of.settings[best].values, strict=True):
        if len(vary.values) < 3 or vary.kind in ("choice", "flag") or best == of.current:
            continue
        for edge, beyond in ((vary.values[0], "lower"), (vary.values[-1], "higher")):
            if value == edge:
                said = "lowest" if beyond == "lower" else "highest"
                yield f"{vary.path}: {shown(value, vary.kind)} is the {said} value tried; {beyond} ones may do better."


def _alerts(of: Candidates, one: Score) -> str:
    alerts = "1 alert" if one.alerts == 1 else f"{one.alerts} alerts"
    return f"{alerts} ({one.per_hour:.1f} per {of.place} and hour), and {one.pending} episodes that never fired"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s"


def _against(one: Score) -> Found:
    if one.against is None:
        raise ValueError("expected a score against incidents")
    return one.against
