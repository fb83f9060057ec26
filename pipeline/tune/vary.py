"""What is varied: fields of one rule in the spelling of the YAML file, and the values they are given.

Rules are changed as dataclasses, so every setting passes the checks that a rules file passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import Decimal
from functools import cache
from itertools import product
from math import isfinite, prod
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from operators.errors import ConfigError
from operators.rules import Rule
from operators.units import Seconds, format_duration, parse_duration
from pipeline.complaints import nearest

__all__ = ["MOST", "Setting", "Skipped", "Value", "Vary", "field_of", "parse_vary", "settings", "shown"]

MOST = 2000
"""Settings of one run: more would be a search for luck rather than a look at a rule."""
Value = float | int | str | bool
Kind = Literal["duration", "number", "count", "choice", "flag"]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Knob:
    """A field that may be varied."""

    kind: Kind
    choices: tuple[str, ...] = ()


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_EXAMPLES = {
    "duration": "durations such as 1s:5s:500ms or 1s,3s",
    "number": "numbers such as 0.4:0.9:0.05 or 0.5,0.6",
    "count": "whole numbers such as 2:5:1 or 2,3",
}
_READ: Mapping[str, Callable[[str], float]] = {"duration": parse_duration, "count": int}
_PLAIN: Mapping[object, Knob] = {
    float: Knob("number"),
    int: Knob("count"),
    bool: Knob("flag", ("true", "false")),
}
_FOLLOWS = {"enter": "exit", "at_least": "exit"}
"""Fields that keep their proportion to another one, so that a hysteresis stays as wide as it was."""


@dataclass(frozen=True, slots=True)
class Vary:
    """One field of the rule and the values it takes, ascending where they are numbers."""

    path: str
    """As in the YAML file: `when.enter`, `sequence.steps[0].for`."""
    kind: Kind
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination of values: the rule with them. None is a field that the current rule leaves unset."""

    values: tuple[Value | None, ...]
    rule: Rule
    follows: Mapping[str, float]
    """Fields that were not varied and moved along, by path."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A combination that is no rule, and why."""

    values: tuple[Value, ...]
    why: str


def parse_vary(text: str, rule: Rule) -> Vary:
    """Read `when.enter=0.4:0.9:0.05` or `for=1s,3s` for a rule; raises ConfigError."""
    path, equals, listed = (part.strip() for part in text.partition("="))
    if not equals or not listed:
        raise ConfigError(f"--vary {text}: expected FIELD=VALUES, such as when.enter=0.4:0.9:0.05 or for=1s,3s")
    knobs = dict(_knobs(rule))
    if path not in knobs:
        raise ConfigError(f"--vary {text}: {_unknown(path, rule, list(knobs))}")
    try:
        values = _values(listed, knobs[path])
    except ValueError as error:
        raise ConfigError(f"--vary {text}: {error}") from error
    return Vary(path, knobs[path].kind, values)


def field_of(rule: Rule, path: str) -> Value | None:
    """What a rule has in a field; None where it is unset."""
    value: Value | None = _get(rule, _steps(path))
    return value


def settings(rule: Rule, varies: Sequence[Vary]) -> tuple[list[Setting], list[Skipped]]:
    """Every combination in the order of the fields, and those that are no rule; raises ConfigError if none is one."""
    _check_amount(varies)
    made: list[Setting] = []
    skipped: list[Skipped] = []
    paths = [_steps(vary.path) for vary in varies]
    for values in product(*(vary.values for vary in varies)):
        changes: dict[Path, Value] = dict(zip(paths, values, strict=True))
        follows = dict(_following(rule, changes))
        try:
            changed = _changed(rule, {**changes, **follows})
        except ValueError as error:
            skipped.append(Skipped(values, str(error)))
        else:
            made.append(Setting(values, changed, {_dotted(path): value for path, value in follows.items()}))
    if not made:
        raise ConfigError(f"--vary: no combination is a rule; the first says: {skipped[0].why}")
    return made, skipped


def shown(value: Value | None, kind: Kind) -> str:
    """The value as a rules file writes it."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return format_duration(value) if kind == "duration" else f"{value:g}"


def _check_amount(varies: Sequence[Vary]) -> None:
    paths = [vary.path for vary in varies]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise ConfigError(f"--vary {twice[0]}: expected every field once; give all its values in one --vary")
    counts = [len(vary.values) for vary in varies]
    if prod(counts) > MOST:
        raise ConfigError(
            f"--vary: expected at most {MOST} combinations, got {prod(counts)} = {' x '.join(map(str, counts))}; "
            "take larger steps first, then look closer around the best setting"
        )


def _following(rule: Rule, changes: Mapping[Path, Value]) -> Iterator[tuple[Path, float]]:
    """The exits that move with their varied `enter`."""
    for path, value in changes.items():
        partner = (*path[:-1], _FOLLOWS.get(str(path[-1]), ""))
        section = _get(rule, path[:-1])
        exit_ = getattr(section, str(partner[-1]), None)
        if exit_ is not None and partner not in changes:
            before = float(_get(rule, path))
            kept = float(value) * exit_ / before if before else exit_
            yield partner, exit_ if value == before else min(round(kept, 4), float(value))


def _knobs(node: object, prefix: str = "") -> Iterator[tuple[str, Knob]]:
    """Every field below a dataclass that may be varied, with its path."""
    if isinstance(node, tuple):
        for index, item in enumerate(node):
            yield from _knobs(item, f"{prefix}[{index}]")
    elif is_dataclass(node) and not isinstance(node, type):
        hints = _hints(type(node))
        for each in fields(node):
            path = f"{prefix}.{each.name.removesuffix('_')}".removeprefix(".")
            knob = _knob(hints[each.name])
            if knob is not None:
                yield path, knob
            else:
                yield from _knobs(getattr(node, each.name), path)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _knob(hint: object) -> Knob | None:
    if get_origin(hint) in (Union, UnionType):
        return next(filter(None, map(_knob, get_args(hint))), None)
    if get_origin(hint) is Annotated:
        return Knob("duration") if hint == Seconds else None
    if get_origin(hint) is Literal:
        return Knob("choice", tuple(filter(None, get_args(hint))))
    return _PLAIN.get(hint)


def _values(text: str, knob: Knob) -> tuple[Value, ...]:
    bounds = text.split(":")
    if len(bounds) == 3 and knob.kind in ("duration", "number", "count"):
        start, stop, step = (_exact(bound.strip(), knob) for bound in bounds)
        return _range(start, stop, step, kind=knob.kind)
    values = [_value(part.strip(), knob) for part in text.split(",")]
    if len(set(values)) < len(values):
        raise ValueError("expected every value once")
    return tuple(values) if knob.choices else tuple(sorted(values, key=float))


def _range(start: Decimal, stop: Decimal, step: Decimal, *, kind: Kind) -> tuple[Value, ...]:
    """From start to stop, both included; in decimal fractions, so that no step is lost to rounding."""
    if step <= 0 or stop < start:
        raise ValueError("expected start:stop:step with start <= stop and a step above 0")
    count = int((stop - start) / step) + 1
    if count > MOST:
        raise ValueError(f"expected at most {MOST} values, got {count}; take a larger step")
    return tuple((int if kind == "count" else float)(start + step * index) for index in range(count))


def _exact(text: str, knob: Knob) -> Decimal:
    value = _value(text, knob)
    return Decimal(round(float(value) * 1000)) / 1000 if knob.kind == "duration" else Decimal(text)


def _value(text: str, knob: Knob) -> Value:
    if knob.choices:
        if text not in knob.choices:
            raise ValueError(f"expected some of {', '.join(knob.choices)}, got {text!r}{nearest(text, knob.choices)}")
        return text == "true" if knob.kind == "flag" else text
    try:
        value = _READ.get(knob.kind, float)(text)
    except ValueError:
        raise ValueError(f"expected {_EXAMPLES[knob.kind]}, got {text!r}") from None
    if not isfinite(value):
        raise ValueError(f"expected finite numbers, got {text!r}")
    return value


def _unknown(path: str, rule: Rule, known: Sequence[str]) -> str:
    head = re.split(r"[.\[]", path)[0]
    names = {each.name.removesuffix("_"): each.name for each in fields(rule)}
    if head in names and head != path and not getattr(rule, names[head]):
        return f"rule {rule.id} has no {head}; write it into the rule first, then vary it"
    near = nearest(path, known) or nearest(f"when.{path}", known)
    return "no such field to vary" + (near or f"; rule {rule.id} has: {', '.join(known)}")


def _steps(path: str) -> Path:
    """`sequence.steps[0].for` as the names of the dataclasses' fields."""
    found = [int(index) if index else name for name, index in _STEP.findall(path)]
    return tuple(f"{step}_" if step in ("for", "not", "as") else step for step in found)


def _dotted(path: Path) -> str:
    parts = (f"[{step}]" if isinstance(step, int) else f".{step.removesuffix('_')}" for step in path)
    return "".join(parts).removeprefix(".")


def _get(node: Any, path: Path) -> Any:  # noqa: ANN401  # a walk through dataclasses of any kind
    for step in path:
        node = node[step] if isinstance(step, int) else getattr(node, step)
    return node


def _changed(node: Any, changes: Mapping[Path, Value]) -> Any:  # noqa: ANN401  # likewise
    """The same with all changes below it made at once: what they are together is checked, not one after the other."""
    below: dict[Any, dict[Path, Value]] = {}
    for (head, *rest), value in changes.items():
        below.setdefault(head, {})[tuple(rest)] = value
    fresh = {
        head: deeper[()] if () in deeper else _changed(_get(node, (head,)), deeper) for head, deeper in below.items()
    }
    if isinstance(node, tuple):
        return tuple(fresh.get(index, item) for index, item in enumerate(node))
    return replace(node, **fresh)
