"""Predicates made ready to read faces: numbers, smoothing, hysteresis, Kleene logic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from operators.records import UNKNOWN, FaceTrack
from operators.rules.predicate import Predicate
from operators.rules.signal import Truth, all_of, any_of, negate
from operators.rules.state import Leaf

__all__ = ["NOBODY", "LeafReader", "Number", "Reader", "Reading", "ready"]

NOBODY = -math.inf
"""The level where no face is: FALSE, whatever the threshold."""

Reading = tuple[Truth, float | None, FaceTrack | None]
"""Value, level (None where nobody is, or nobody can be read), and the face that shows it most."""
Number = Callable[[FaceTrack], float | None]
"""A number of one face; None where it has none."""


@dataclass(frozen=True, slots=True)
class LeafReader:
    """One number of a predicate; times in ms. `enter` is infinite where there is no threshold."""

    number: Number
    enter: float
    exit: float
    aggregate: str
    ema: int
    median: int
    hold: int
    max_gap: int
    min_quality: float
    min_confidence: float

    @property
    def remembers(self) -> bool:
        """Whether FALSE samples leave something behind."""
        return bool(self.ema or self.median)

    def readable(self, face: FaceTrack) -> bool:
        """Whether the face can be read well enough for this rule."""
        return face.label != UNKNOWN and face.quality >= self.min_quality and face.confidence >= self.min_confidence

    def level(self, faces: Sequence[FaceTrack]) -> tuple[float | None, FaceTrack | None]:
        """One level for all faces and the face that shows it most; None if there are faces but none is readable."""
        if len(faces) == 1:  # the usual case, written out
            (face,) = faces
            hidden = face.label == UNKNOWN or face.quality < self.min_quality or face.confidence < self.min_confidence
            return None if hidden else self.number(face), face
        if not faces:
            return NOBODY, None
        most, shown, levels = NOBODY, None, []
        for face in faces:
            level = self.number(face) if self.readable(face) else None
            if level is None:
                continue
            levels.append(level)
            if level > most:
                most, shown = level, face
        if not levels:
            return None, None
        if self.aggregate == "max":
            return most, shown
        return (min(levels) if self.aggregate == "min" else sum(levels) / len(levels)), shown

    def read(self, leaf: Leaf, faces: Sequence[FaceTrack], ts: int) -> Reading:
        """Value, level and face at a sample, by hysteresis over the smoothed level; UNKNOWN changes nothing."""
        level, face = self.level(faces)
        if level is None:
            return None, None, face
        fresh = ts - leaf.at > self.max_gap
        if self.ema or self.median:
            level = self._smooth(leaf, level, ts=ts, fresh=fresh)
        on = level >= (self.exit if leaf.on and not fresh else self.enter)
        if on and (fresh or not leaf.on):
            leaf.since = ts
        leaf.on, leaf.at, leaf.level = on, ts, None if level == NOBODY else level
        return on and ts - leaf.since >= self.hold, leaf.level, face

    def _smooth(self, leaf: Leaf, level: float, *, ts: int, fresh: bool) -> float:
        if level == NOBODY:
            leaf.recent = []
            return level
        if self.ema:
            if fresh or leaf.level is None:
                return level
            return leaf.level + -math.expm1(-(ts - leaf.at) / self.ema) * (level - leaf.level)
        recent = leaf.recent
        if fresh:
            recent.clear()
        recent.append((ts, level))
        while recent[0][0] <= ts - self.median:
            del recent[0]
        return _median([number for _, number in recent])


@dataclass(frozen=True, slots=True)
class Reader:
    """A predicate: its leaves from left to right, and the tree over them as functions of their values and levels."""

    leaves: tuple[LeafReader, ...]
    tree: Callable[[Sequence[Truth]], Truth] | None
    grade: Callable[[Sequence[float | None]], float | None] | None
    negates: bool
    """A `not` is in it, so that it can be TRUE where no number reaches its threshold."""

    @property
    def remembers(self) -> bool:
        """Whether FALSE samples leave something behind."""
        return any(leaf.remembers for leaf in self.leaves)

    @property
    def threshold(self) -> LeafReader | None:
        """The only leaf, if nothing has to be remembered while it is FALSE."""
        return self.leaves[0] if self.tree is None and not self.leaves[0].remembers else None

    def blank(self) -> list[Leaf]:
        """What is remembered before the first sample."""
        return [Leaf() for _ in self.leaves]

    def read(self, memory: Sequence[Leaf], faces: Sequence[FaceTrack], ts: int) -> Reading:
        """Value, level and face at a sample; `memory` moves on."""
        if self.tree is None or self.grade is None:
            return self.leaves[0].read(memory[0], faces, ts)
        values, levels, shown = [], [], None
        for reader, leaf in zip(self.leaves, memory, strict=True):
            value, level, face = reader.read(leaf, faces, ts)
            values.append(value)
            levels.append(level)
            shown = shown or face
        return self.tree(values), self.grade(levels), shown


def ready(
    when: Predicate,
    signals: Mapping[str, Mapping[str, float]],
    *,
    max_gap: int,
    min_quality: float = 0.0,
    min_confidence: float = 0.0,
) -> Reader:
    """Make a predicate ready; `signals` are the derived ones, `max_gap` is in ms."""
    leaves = tuple(
        LeafReader(
            number=_number(leaf, signals),
            enter=math.inf if leaf.enter is None else leaf.enter,
            exit=math.inf if leaf.enter is None else leaf.enter if leaf.exit is None else leaf.exit,
            aggregate=leaf.aggregate,
            ema=_ms(leaf.smooth.ema) if leaf.smooth else 0,
            median=_ms(leaf.smooth.median) if leaf.smooth else 0,
            hold=_ms(leaf.hold),
            max_gap=max_gap,
            min_quality=min_quality,
            min_confidence=min_confidence,
        )
        for leaf in when.leaves
    )
    if when.is_leaf:
        return Reader(leaves, None, None, negates=False)
    places = iter(range(len(leaves)))
    tree, grade = _tree(when, places.__next__)
    return Reader(leaves, tree, grade, negates=_negates(when))


def _negates(when: Predicate) -> bool:
    return when.not_ is not None or any(_negates(part) for part in (*when.all, *when.any))


Tree = Callable[[Sequence[Truth]], Truth]
Grade = Callable[[Sequence[float | None]], float | None]


def _tree(when: Predicate, place: Callable[[], int]) -> tuple[Tree, Grade]:
    """The value and the level of a tree; leaves are taken from left to right as `Predicate.leaves` lists them."""
    if when.is_leaf:
        at = place()
        return (lambda values: values[at]), (lambda levels: levels[at])
    parts = [_tree(part, place) for part in (*when.all, *when.any, *([when.not_] if when.not_ else ()))]
    trees, grades = [part[0] for part in parts], [part[1] for part in parts]
    if when.not_:
        return (lambda values: negate(trees[0](values))), (lambda levels: _opposite(grades[0](levels)))
    if when.all:
        return (lambda values: all_of(tree(values) for tree in trees)), (lambda levels: _known(min, grades, levels))
    return (lambda values: any_of(tree(values) for tree in trees)), (lambda levels: _known(max, grades, levels))


def _known(
    pick: Callable[[Sequence[float]], float], grades: Sequence[Grade], levels: Sequence[float | None]
) -> float | None:
    known = [level for grade in grades if (level := grade(levels)) is not None]
    return pick(known) if known else None


def _opposite(level: float | None) -> float | None:
    return None if level is None else 1 - level


def _number(leaf: Predicate, signals: Mapping[str, Mapping[str, float]]) -> Number:
    if leaf.value:
        return _intensity if leaf.value == "intensity" else _valence
    if leaf.prob:
        return _probability(leaf.prob, signals)
    if signals.keys().isdisjoint(leaf.prob_any):
        return _highest(leaf.prob_any)
    numbers = [_probability(name, signals) for name in leaf.prob_any]
    return lambda face: max((level for number in numbers if (level := number(face)) is not None), default=None)


def _highest(names: tuple[str, ...]) -> Number:
    """The highest of these scores; usually a face has them all, and no loop is needed."""
    every: Callable[[Mapping[str, float]], tuple[float, ...]] = itemgetter(*names, names[0])

    def highest(face: FaceTrack) -> float | None:
        try:
            return max(every(face.scores))
        except KeyError:
            return max([face.scores[name] for name in names if name in face.scores], default=None)

    return highest


def _probability(name: str, signals: Mapping[str, Mapping[str, float]]) -> Number:
    if name not in signals:
        return lambda face: face.scores.get(name)
    weights = tuple(signals[name].items())
    return lambda face: sum(weight * face.scores.get(expression, 0.0) for expression, weight in weights)


def _intensity(face: FaceTrack) -> float | None:
    return face.intensity


def _valence(face: FaceTrack) -> float:
    score = face.scores.get
    negative = score("anger", 0.0) + score("disgust", 0.0) + score("fear", 0.0) + score("sadness", 0.0)
    return score("happiness", 0.0) - negative


def _median(numbers: list[float]) -> float:
    """Several times faster than the library's, which also takes fractions."""
    numbers.sort()
    middle = len(numbers) // 2
    return numbers[middle] if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2


def _ms(seconds: float | None) -> int:
    return round((seconds or 0.0) * 1000)
