"""Predicates as they are written down: when a face counts.

A predicate is a leaf (a number of a face that reaches `enter`) or a tree of leaves under `all`, `any` and `not`. The
compact form `"fear >= 0.6 and not happiness >= 0.3"` says the same in one line. Nothing here evaluates anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from operators.units import Seconds

__all__ = ["AGGREGATES", "VALUES", "Predicate", "Smooth", "When", "parse_predicate"]

VALUES = ("intensity", "valence")
"""What `value:` may name: numbers of a face besides its probabilities."""
AGGREGATES = ("max", "mean", "min")
_NAME = re.compile(r"(?!(?:and|or|not)$)[a-z_][a-z0-9_-]*")
_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
_TOKEN = re.compile(rf"\s*(?:(>=|\(|\))|({_NUMBER.pattern})|([a-z_][a-z0-9_-]*)|(\S+))")
_MOST_TOKENS = 200
"""So that no text nests deeper than Python's stack; a rule that people read is far below it."""


@dataclass(frozen=True, slots=True)
class Smooth:
    """Smoothing over time before the thresholds are asked, besides what the analysis smooths already."""

    ema: Seconds | None = None
    """Time constant of an exponential mean; a step reaches 63 % of its height after it."""
    median: Seconds | None = None
    """Or the median of the readings of this last stretch of time; at most 2s."""

    def __post_init__(self) -> None:
        if (self.ema is None) == (self.median is None):
            raise ValueError("expected one of ema and median: write for example {ema: 300ms}")
        if (self.ema or self.median or 0) <= 0:
            raise ValueError("expected a smoothing time above 0s")
        if self.median is not None and self.median > 2:
            raise ValueError(f"expected a median of at most 2s, got {self.median:g}s; use ema for longer times")


@dataclass(frozen=True, slots=True)
class Predicate:
    """When a face counts: a number that reaches `enter` and goes on counting down to `exit`, or a tree of such."""

    enter: float | None = None
    """TRUE from here on; a probability is in [0, 1]."""
    exit: float | None = None
    """Once TRUE, it stays so down to here; without it, the same as `enter`."""
    prob: str = ""
    """The expression, or the derived signal, whose number is read."""
    prob_any: tuple[str, ...] = ()
    """Or several: the highest of them is read."""
    value: Literal["", "intensity", "valence"] = ""
    """Or a number of the face: `intensity` (of any expression), or `valence` (happiness less negative ones)."""
    smooth: Smooth | None = None
    """Smoothing over time before the thresholds."""
    hold: Seconds = 0.0
    """TRUE counts only after it has lasted this long without a break."""
    aggregate: Literal["max", "mean", "min"] = "max"
    """How the readable faces of a wider scope become one number: `max`, `mean` or `min`."""
    all: tuple[When, ...] = ()
    """A tree: TRUE when every part is; FALSE as soon as one is."""
    any: tuple[When, ...] = ()
    """A tree: TRUE as soon as one part is; FALSE when every part is."""
    not_: When | None = None
    """A tree: TRUE when this part is FALSE; UNKNOWN stays UNKNOWN."""

    def __post_init__(self) -> None:
        kinds = (self.prob, self.prob_any, self.value, self.all, self.any, self.not_)
        if sum(map(bool, kinds)) != 1:
            raise ValueError(
                "expected one of prob, prob_any, value, all, any and not: write for example {prob: fear, enter: 0.6}"
            )
        if self.is_leaf:
            self._check_leaf()
        elif self.enter is not None or self.exit is not None or self.smooth is not None or self.hold:
            raise ValueError("expected enter, exit, smooth and hold at the parts of all, any and not, not beside them")

    @property
    def is_leaf(self) -> bool:
        """Whether it reads a number itself."""
        return bool(self.prob or self.prob_any or self.value)

    @property
    def leaves(self) -> tuple[Predicate, ...]:
        """Every part that reads a number, from left to right."""
        return tuple(self._walk())

    @property
    def names(self) -> tuple[str, ...]:
        """The expressions and derived signals that it reads."""
        return tuple(name for leaf in self.leaves for name in ((leaf.prob,) if leaf.prob else leaf.prob_any))

    def __str__(self) -> str:
        """In one line, for people: `fear >= 0.6 and not happiness >= 0.3`."""
        if self.not_:
            return f"not {self.not_._as_part()}"
        if not self.is_leaf:
            return (" and " if self.all else " or ").join(part._as_part() for part in self.all or self.any)
        name = self.prob or self.value or "|".join(self.prob_any)
        return name if self.enter is None else f"{name} >= {self.enter:g}"

    def _as_part(self) -> str:
        return f"({self})" if self.all or self.any else str(self)

    def _walk(self) -> Iterator[Predicate]:
        if self.is_leaf:
            yield self
        for part in (*self.all, *self.any, *([self.not_] if self.not_ else ())):
            yield from part.leaves

    def _check_leaf(self) -> None:
        if self.value and self.value not in VALUES:
            raise ValueError(f"expected value to be one of {', '.join(VALUES)}, got {self.value!r}")
        if self.aggregate not in AGGREGATES:
            raise ValueError(f"expected aggregate to be one of {', '.join(AGGREGATES)}, got {self.aggregate!r}")
        if self.hold < 0:
            raise ValueError(f"expected hold >= 0s, got {self.hold:g}s")
        if self.enter is None:
            if self.exit is not None:
                raise ValueError("expected enter beside exit")
        elif self.exit is not None and self.exit > self.enter:
            raise ValueError(f"expected exit <= enter, got exit={self.exit:g} and enter={self.enter:g}")


class _Compact:
    """Makes pydantic, by its duck-typed protocol, accept the compact string wherever a predicate stands."""

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[[object], object]) -> Mapping[str, object]:
        function = {"type": "no-info", "function": _expand}
        return {"type": "function-before", "function": function, "schema": handler(source)}

    def __get_pydantic_json_schema__(
        self, schema: Mapping[str, object], handler: Callable[[object], object]
    ) -> Mapping[str, object]:
        text = {"type": "string", "examples": ["fear >= 0.6", "fear >= 0.6 and not happiness >= 0.3"]}
        return {"anyOf": [handler(schema["schema"]), text]}


def _expand(value: object) -> object:
    return parse_predicate(value) if isinstance(value, str) else value


When = Annotated[Predicate, _Compact()]
"""A predicate that a configuration file may also write as `"fear >= 0.6"`."""


def parse_predicate(text: str) -> dict[str, Any]:
    """The mapping behind the compact form.

    `any := all ("or" all)*`, `all := part ("and" part)*`, `part := "not" part | "(" any ")" | NAME ">=" NUMBER`.
    Raises ValueError saying what was expected where.
    """
    parser = _Parser(text)
    tree = parser.any()
    if parser.tokens:
        raise parser.error("and, or, or the end")
    return tree


class _Parser:
    """Recursive descent over the tokens that are left, each with the text from it on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = [
            (next(filter(None, found.groups())), text[found.start() :]) for found in _TOKEN.finditer(text)
        ]
        if len(self.tokens) > _MOST_TOKENS:
            raise ValueError(f"expected at most {_MOST_TOKENS} words, got {len(self.tokens)}; write all, any and not")

    def any(self) -> dict[str, Any]:
        return self._chain("or", self._all, "any")

    def _all(self) -> dict[str, Any]:
        return self._chain("and", self._part, "all")

    def _chain(self, word: str, part: Callable[[], dict[str, Any]], key: str) -> dict[str, Any]:
        parts = [part()]
        while self._took(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else {key: parts}

    def _part(self) -> dict[str, Any]:
        if self._took("not"):
            return {"not": self._part()}
        if self._took("("):
            inner = self.any()
            if not self._took(")"):
                raise self.error('")"')
            return inner
        name = self._take(_NAME, "NAME >= NUMBER")
        if not self._took(">="):
            raise self.error('">="')
        return {"value" if name in VALUES else "prob": name, "enter": float(self._take(_NUMBER, "a number"))}

    def _took(self, token: str) -> bool:
        found = bool(self.tokens) and self.tokens[0][0] == token
        if found:
            self.tokens.pop(0)
        return found

    def _take(self, pattern: re.Pattern[str], expected: str) -> str:
        if not self.tokens or not pattern.fullmatch(self.tokens[0][0]):
            raise self.error(expected)
        return self.tokens.pop(0)[0]

    def error(self, expected: str) -> ValueError:
        got = repr(self.tokens[0][1].strip()) if self.tokens else f"the end of {self.text!r}"
        return ValueError(f'expected {expected}, got {got}; write for example "fear >= 0.6 and not happiness >= 0.3"')
