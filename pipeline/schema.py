"""The JSON Schema of the settings: what editors complete, and what the loader asks about a key.

It is generated from the dataclasses. Three things differ from what pydantic writes: a secret may also be `{env: NAME}`
or `{file: PATH}`, the default of a duration is written with its unit, and titles that only repeat the key are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from operators.units import PATTERN, format_duration
from pipeline.yaml_source import Location, Value, lookup

__all__ = ["Schema", "is_duration", "is_secret", "known_keys", "resolve", "tidy", "walk"]

Schema = Mapping[str, Any]

_TEXT = {"type": "string", "minLength": 1}
SECRET = {
    "description": "A secret: the name of an environment variable, the path of a file, or (least safe) text.",
    "writeOnly": True,
    "anyOf": [
        {"type": "object", "properties": {"env": _TEXT}, "required": ["env"], "additionalProperties": False},
        {"type": "object", "properties": {"file": _TEXT}, "required": ["file"], "additionalProperties": False},
        {"type": "string"},
    ],
}


def tidy(schema: Schema) -> dict[str, Any]:
    """The schema as it is published, from the one pydantic generates."""
    published: dict[str, Any] = _tidy(schema)
    published["$defs"] = {**published.get("$defs", {}), "Secret": SECRET}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **published}


def _tidy(node: Value) -> Value:
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    if is_secret(node):
        return {"$ref": "#/$defs/Secret"}
    tidied = {key: _tidy(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if is_duration(tidied) and isinstance(tidied.get("default"), float | int):
        tidied["default"] = format_duration(tidied["default"])
    if "$ref" in tidied and isinstance(tidied.get("default"), dict):
        tidied.pop("default", None)  # the section's own keys have their defaults
    return tidied


def resolve(root: Schema, location: Sequence[str | int], data: object) -> list[Schema]:
    """The schemas that may hold at `location`, given the data that is there; empty where nothing is known."""
    nodes = list(_branches(root, root, data))
    for step in location:
        data = lookup(data, (step,))
        nodes = [deeper for node in nodes for child in _children(node, step) for deeper in _branches(root, child, data)]
    return nodes


def known_keys(root: Schema, location: Sequence[str | int], data: object) -> list[str]:
    """The keys that may stand in the mapping at `location`, in the order of their definition."""
    return list(dict.fromkeys(key for node in resolve(root, location, data) for key in node.get("properties", ())))


def is_secret(node: Schema) -> bool:
    """Whether the value there must never be shown."""
    return bool(node.get("writeOnly"))


def is_duration(node: Schema) -> bool:
    """Whether the value there is seconds that a file writes with a unit."""
    return node.get("pattern") == PATTERN


def walk(root: Schema, data: object) -> Iterator[tuple[Location, Value, list[Schema]]]:
    """Every value below the top with its location and the schemas that may hold there."""
    yield from _walk(root, list(_branches(root, root, data)), data, ())


def _walk(
    root: Schema, nodes: Sequence[Schema], data: object, location: Location
) -> Iterator[tuple[Location, Value, list[Schema]]]:
    items: Iterable[tuple[str | int, Value]] = ()
    if isinstance(data, dict):
        items = data.items()
    elif isinstance(data, list | tuple):
        items = enumerate(data)
    for step, value in items:
        deeper = [one for node in nodes for child in _children(node, step) for one in _branches(root, child, value)]
        yield (*location, step), value, deeper
        if not any(map(is_secret, deeper)):
            yield from _walk(root, deeper, value, (*location, step))


def _branches(root: Schema, node: Schema, data: object) -> Iterator[Schema]:
    """The node without references and alternatives; a `type` key in the data picks one alternative."""
    if "$ref" in node:
        yield from _branches(root, root["$defs"][node["$ref"].removeprefix("#/$defs/")], data)
    elif is_secret(node):
        yield node
    elif "discriminator" in node and (picked := _picked(node["discriminator"], data)):
        yield from _branches(root, {"$ref": picked}, data)
    elif options := node.get("anyOf") or node.get("oneOf") or node.get("allOf"):
        for option in options:
            yield from _branches(root, option, data)
    else:
        yield node


def _picked(discriminator: Schema, data: object) -> str | None:
    tag = data.get(discriminator["propertyName"]) if isinstance(data, dict) else None
    return discriminator["mapping"].get(tag) if isinstance(tag, str) else None


def _children(node: Schema, step: str | int) -> Iterator[Schema]:
    if isinstance(step, int):
        listed = node.get("prefixItems", [])
        child = listed[step] if step < len(listed) else node.get("items")
    else:
        child = node.get("properties", {}).get(step, node.get("additionalProperties"))
    if isinstance(child, dict):
        yield child
