"""What is wrong with a configuration, in words: one line per mistake, at the place where it stands.

No secret is ever repeated: not the value at a secret's key, not a password inside a URL, and not the same text at
another key.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import ErrorDetails

from pipeline.schema import Schema, is_secret, known_keys, resolve
from pipeline.yaml_source import Location, lookup

__all__ = ["MASK", "PURPOSE", "Complaint", "Finding", "complaints", "dotted", "hide", "nearest"]

MASK = "**********"
PURPOSE = (
    "say who watches what, and why. Reading expressions from faces is prohibited in the EU at work and in schools "
    "(AI Act, Art. 5(1)(f)) and high-risk elsewhere, so mien does not start without a stated purpose"
)
_CREDENTIALS = re.compile(r"(?<=://)[^\s\"']*@")
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}
_MISSING = {"missing", "missing_argument", "missing_keyword_only_argument"}
_LONGEST = 60

_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "dataclass_type": "keys and values",
    "mapping_type": "keys and values",
    "path_type": "a path",
}


SeverityName = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Complaint:
    """One mistake: at which location, at its key or its value, and what it is. A warning stops nothing."""

    location: Location
    text: str
    at_key: bool = False
    severity: SeverityName = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line to print: `file:line:column: key: what is wrong`."""

    severity: SeverityName
    text: str


def dotted(location: Sequence[str | int]) -> str:
    """`cameras.lobby.zones`, `sinks[0].url`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).removeprefix(".")


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean "fps"?`, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f', did you mean "{near[0]}"?' if near else ""


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret and every `user:password@` of a URL masked."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _CREDENTIALS.sub(f"{MASK}@", text)


def complaints(errors: Iterable[ErrorDetails], schema: Schema, data: Mapping[str, Any]) -> list[Complaint]:
    """Pydantic's errors in our words."""
    return [_complaint(error, schema, data) for error in errors]


def _complaint(error: ErrorDetails, schema: Schema, data: Mapping[str, Any]) -> Complaint:
    kind = error["type"]
    location = _real(error["loc"], data, keep_last=kind in _UNKNOWN | _MISSING)
    if kind in _UNKNOWN:
        return Complaint(location, _unknown(location, schema, data), at_key=True)
    if kind in _MISSING:
        return Complaint(location, _missing(location, schema, data), at_key=True)
    if kind in _TAGS:
        return Complaint(*_TAGS[kind](location, error))
    if any(map(is_secret, resolve(schema, location, data))):
        return Complaint(location, "expected a secret: {env: NAME}, {file: PATH} or text in quotes")
    if kind == "value_error":
        return _own_words(location, error, data)
    return Complaint(location, _expected(error, resolve(schema, location, data)))


def _real(found: Sequence[str | int], data: object, *, keep_last: bool) -> Location:
    """The location without the names of union branches, which pydantic mixes in."""
    real: list[str | int] = []
    for index, step in enumerate(found):
        inside = step in data if isinstance(data, dict) else isinstance(data, list) and isinstance(step, int)
        if inside:
            real.append(step)
            data = data[step]  # type: ignore[index]
        elif keep_last and index == len(found) - 1:
            real.append(step)
    return tuple(real)


def _unknown(location: Location, schema: Schema, data: Mapping[str, Any]) -> str:
    known = known_keys(schema, location[:-1], data)
    near = nearest(str(location[-1]), known)
    return f"unknown key{near}" if near else f"unknown key; known here: {', '.join(known)}"


def _missing(location: Location, schema: Schema, data: Mapping[str, Any]) -> str:
    if location == ("purpose",):
        return f"missing; {PURPOSE}"
    described = [
        node["properties"][location[-1]].get("description", "")
        for node in resolve(schema, location[:-1], data)
        if location[-1] in node.get("properties", {})
    ]
    return f"missing; {described[0]}" if described and described[0] else "missing"


def _no_tag(location: Location, error: ErrorDetails) -> tuple[Location, str, bool]:
    return (*location, error["ctx"]["discriminator"].strip("'")), "missing; it says what kind of entry this is", True


def _bad_tag(location: Location, error: ErrorDetails) -> tuple[Location, str, bool]:
    context = error["ctx"]
    known = re.findall(r"'([^']*)'", context["expected_tags"])
    text = f"expected {_alternatives(known)}, got {_shown(context['tag'])}{nearest(str(context['tag']), known)}"
    return (*location, context["discriminator"].strip("'")), text, False


_TAGS: Mapping[str, Callable[[Location, ErrorDetails], tuple[Location, str, bool]]] = {
    "union_tag_not_found": _no_tag,
    "union_tag_invalid": _bad_tag,
}


def _own_words(location: Location, error: ErrorDetails, data: Mapping[str, Any]) -> Complaint:
    """A dataclass complained: point at the first of its keys that the message names."""
    text = str(error["ctx"]["error"])
    value = lookup(data, location)
    keys = value if isinstance(value, dict) else ()
    named = next((word for word in re.findall(r"\w+", text) if word in keys), None)
    return Complaint((*location, named) if named else location, text)


def _expected(error: ErrorDetails, nodes: Sequence[Schema]) -> str:
    got = _shown(error["input"])
    if error["type"] in {"literal_error", "enum"}:
        known = re.findall(r"'([^']*)'", error["ctx"]["expected"]) or [error["ctx"]["expected"]]
        return f"expected {_alternatives(known)}, got {got}{nearest(str(error['input']), known)}"
    expected = _EXPECTED.get(error["type"])
    short = [node["examples"][0] for node in nodes if node.get("type") == "string" and "examples" in node]
    if error["type"] == "dataclass_type" and short:
        expected = f'text such as "{short[0]}" or keys and values'
    if expected is None:
        expected = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"expected {expected}, got {got}"


def _alternatives(known: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(known[:-1]), known[-1]]))


def _shown(value: object) -> str:
    """The value as YAML would write it, shortened; of a container only its kind."""
    if isinstance(value, bool | int | float | str):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return {type(None): "nothing", list: "a list", dict: "keys and values"}.get(type(value), type(value).__name__)
