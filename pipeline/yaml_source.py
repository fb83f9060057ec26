"""YAML files as plain values, with the line and column of every key kept for error messages.

YAML 1.2, so `no`, `on` and `5:30` are text; duplicate keys, tags and anything but mappings at the top are refused. No
message repeats a value of the file: it may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from operators.errors import ConfigError

__all__ = ["Document", "Location", "Position", "Value", "lookup", "put", "read_yaml"]

Location = tuple[str | int, ...]
"""The way to a value: keys and list indices from the top of the file."""

Value: TypeAlias = Any
"""Anything that YAML can say."""

Position = tuple[int, int]
"""Line and column, both counted from 1."""

_TOP: Position = (1, 1)
_QUOTED = re.compile(r"\s*(?:'[^' ]{2,}'|\"[^\"]{2,}\")")

_PLAIN_WORDS = {
    "undefined alias": "undefined alias; text that begins with * must be in quotes",
    "mapping values": 'not YAML: a second ": " in one line; text that holds ": " must be in quotes',
    "another document": "a second document begins here; one file holds one configuration",
    "expected <block end>": "not YAML: this line is not indented like the lines above it that it belongs to",
    "expected ',' or": "not YAML: a comma or a closing bracket is missing, maybe at the end of the line above",
}
"""What the parser says, and what it means to the one who wrote the file."""


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file: `data` holds plain values, `tree` knows where each of them stands."""

    path: Path
    data: dict[str, Any]
    tree: CommentedMap

    def at(self, position: Position) -> str:
        """`mien.yaml:12:5`."""
        return f"{self.path}:{position[0]}:{position[1]}"

    def message(self, location: Location, text: str) -> str:
        """An error at the key of `location`."""
        return f"{self.at(self.key_position(location))}: {'.'.join(map(str, location))}: {text}"

    def key_position(self, location: Sequence[str | int]) -> Position:
        """Where the key (or list item) at `location` stands, or the nearest parent that the file has."""
        node: Any = self.tree
        found = _TOP
        for step in location:
            if isinstance(node, CommentedMap) and step in _marks(node):
                found = _position(node.lc.key(step))
            elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
                found = _position(node.lc.item(step))
            else:
                break
            node = node[step]
        return found

    def value_position(self, location: Sequence[str | int]) -> Position:
        """Where the value at `location` begins, or its key where the value is on another line."""
        key = self.key_position(location)
        parent = lookup(self.tree, location[:-1])
        if isinstance(parent, CommentedMap) and location[-1] in _marks(parent):
            value = _position(parent.lc.value(location[-1]))
            return value if value[0] == key[0] else key
        return key


def lookup(data: Value, location: Sequence[str | int]) -> Value:
    """The value at a location, or None where there is none."""
    for step in location:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def put(data: Value, location: Sequence[str | int], value: object) -> None:
    """Replace the value at a location that exists."""
    lookup(data, location[:-1])[location[-1]] = value


def read_yaml(path: Path) -> Document:
    """Read a file whose top is a mapping; raises ConfigError with file, line and column."""
    tree, problem = _parse(_read_text(path), path)
    if problem:  # not raised where it was caught: the parser's own error quotes the file
        raise ConfigError(problem)
    if tree is None:
        raise ConfigError(f"{path}: the file is empty")
    if not isinstance(tree, CommentedMap):
        kind = "a list" if isinstance(tree, list) else "a single value"
        raise ConfigError(f"{path}:1:1: expected `key: value` lines at the top of the file, got {kind}")
    return Document(path, _plain(tree, path, _TOP), tree)


def _parse(text: str, path: Path) -> tuple[Value, str]:
    """The tree, or None and what is wrong."""
    try:
        return YAML(typ="rt", pure=True).load(text), ""
    except MarkedYAMLError as error:
        line, column = _mark(error)
        return None, f"{path}:{line}:{column}: {_reason(error, text)}"
    except RecursionError:
        return None, f"{path}: nested too deeply to be a configuration"
    except YAMLError as error:
        return None, f"{path}: not YAML: {_QUOTED.sub('', str(error)).splitlines()[0]}"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory, expected a YAML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None


def _mark(error: MarkedYAMLError) -> Position:
    mark = error.problem_mark or error.context_mark
    return (mark.line + 1, mark.column + 1) if mark else _TOP


def _reason(error: MarkedYAMLError, text: str) -> str:
    """What is wrong, in words that quote at most one character of the file."""
    problem = error.problem or "not YAML"
    line, column = _mark(error)
    rows = text.splitlines()
    if "duplicate key" in problem:
        key = problem.split('"')[1]
        return f"{key}: the key is there twice"
    if line <= len(rows) and "\t" in rows[line - 1][: column + 1]:
        return "a tab character; YAML is indented with spaces"
    if "cannot start any token" in problem:
        return f"not YAML: text that begins with {rows[line - 1][column - 1]} must be in quotes"
    plain = next((words for said, words in _PLAIN_WORDS.items() if said in problem), None)
    return plain or f"not YAML: {_QUOTED.sub('', problem)}"


def _plain(node: Value, path: Path, position: Position) -> Value:
    """The same values without ruamel's wrappers; refuses tags."""
    if getattr(getattr(node, "tag", None), "value", None):
        line, column = position
        raise ConfigError(f"{path}:{line}:{column}: tags are not supported; text that begins with ! must be in quotes")
    if isinstance(node, CommentedMap):
        at = _marks(node)
        for key in node:
            if not isinstance(key, str):
                line, column = _position(at[key][:2]) if key in at else position
                raise ConfigError(f'{path}:{line}:{column}: keys are text; write "{key}" in quotes')
        return {
            key: _plain(value, path, _position(at[key][:2]) if key in at else position) for key, value in node.items()
        }
    if isinstance(node, CommentedSeq):
        return [_plain(value, path, _position(node.lc.item(index))) for index, value in enumerate(node)]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _marks(node: CommentedMap) -> dict[object, Sequence[int]]:
    """Where each key and its value stand; not of keys that come from elsewhere (`<<: *other`)."""
    return node.lc.data or {}


def _position(zero_based: Sequence[int]) -> Position:
    return zero_based[0] + 1, zero_based[1] + 1
