"""Where the settings come from: the configuration, the rules file that it names, and what is laid over both.

Rules get their defaults here, before anything is validated; errors find back to the file, line and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from operators.errors import ConfigError
from operators.rules import EXPRESSIONS, with_defaults
from pipeline.complaints import Complaint, dotted, nearest
from pipeline.overrides import Variables
from pipeline.yaml_source import Document, Location, Position, lookup, read_yaml

__all__ = ["RULES_FILE", "Source", "is_configuration", "read_configuration", "read_rules"]

_SECTIONS = ("signals", "groups", "schedules", "routing", "limits")
"""Sections that may stand in the configuration or in the rules file."""
RULES_FILE = ("version", "defaults", "rules", *_SECTIONS)
"""The keys of a rules file."""
TESTS = "tests"
"""A rules file may hold its own tests, which only `mien rules test` reads."""
_WHOLE = {"purpose", "cameras"}
"""Keys that a rules file can't have: a file with one of them is a whole configuration."""


@dataclass(frozen=True, slots=True)
class Source:
    """What the settings are made from."""

    file: Document
    """The configuration; a rules file alone stands in its place too."""
    rules: Document | None
    """The rules file, where there is one."""
    layers: Sequence[Variables]
    """What is laid over the files, strongest first."""
    data: dict[str, Any]
    """The data of the configuration, with the rules put in and completed."""
    labels: Sequence[str] = EXPRESSIONS
    """The expressions that a rules file alone may name; a configuration says itself what its network reads."""

    @property
    def alone(self) -> bool:
        """Whether this is a rules file without a configuration."""
        return self.file is self.rules

    def merged(self) -> dict[str, Any]:
        """What pydantic-settings makes of it."""
        return reduce(_over, (layer.values for layer in reversed(self.layers)), self.data)

    def place(self, complaint: Complaint) -> tuple[str, Position, str]:
        """Origin, position and the dotted key there."""
        location = complaint.location
        for layer in self.layers:
            if name := layer.name_of(location):
                return name, (0, 0), dotted(location)
        document, location = self._as_written(location)
        position = document.key_position(location) if complaint.at_key else document.value_position(location)
        return document.at(position), position, dotted(location)

    def _as_written(self, location: Location) -> tuple[Document, Location]:
        """The file that says it, and where: what a rule took from the defaults stands there, a short form is a text."""
        document, defaults = self.file, "rule_defaults"
        if self.rules is not None and _in_rules_file(location[0], self.rules):
            document, defaults = self.rules, "defaults"
        if location[0] == "rule_defaults":
            location = (defaults, *location[1:])
        inherited = location[0] == "rules" and len(location) > 2 and lookup(document.data, location[:3]) is None
        if inherited and lookup(document.data, (defaults, location[2])) is not None:
            location = (defaults, *location[2:])
        texts = (end for end in range(1, len(location)) if isinstance(lookup(document.data, location[:end]), str))
        return document, location[: next(texts, None)]


def _in_rules_file(section: str | int, rules: Document) -> bool:
    """Whether it is the rules file that says something about a section."""
    return section in {"rules", "rule_defaults"} or (section in _SECTIONS and section in rules.data)


def _over(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """`high` laid over `low`, mapping by mapping."""
    shared = [key for key in high if isinstance(low.get(key), dict) and isinstance(high[key], dict)]
    return {**low, **high, **{key: _over(low[key], high[key]) for key in shared}}


def is_configuration(path: Path) -> bool:
    """Whether a file is a whole configuration; else it is a rules file."""
    return not _WHOLE.isdisjoint(read_yaml(path).data)


def read_configuration(path: Path, layers: Sequence[Variables], *, rules: Path | None = None) -> Source:
    """A configuration with the rules that it names, or with those of another rules file in their place.

    Raises ConfigError for what can't be read, and for keys that a rules file can't have.
    """
    document = read_yaml(path)
    if rules is not None:
        replaced = {key: value for key, value in document.data.items() if key not in {"rules", "rule_defaults"}}
        return _complete(document, _rules_document(rules), replaced, layers)
    if not isinstance(document.data.get("rules"), str):
        return _complete(document, None, document.data, layers)
    named = _read_named(document, document.data["rules"])
    return _complete(document, named, document.data, layers)


def read_rules(path: Path) -> Source:
    """A rules file alone: no cameras, and nothing laid over it. Raises ConfigError as `read_configuration` does."""
    document = _rules_document(path)
    return _complete(document, document, {"purpose": "rules alone", "cameras": {}}, ())


def _complete(
    document: Document, rules: Document | None, data: Mapping[str, Any], layers: Sequence[Variables]
) -> Source:
    """Put the rules file's sections in, and the defaults into the rules."""
    completed = deepcopy(dict(data))
    if rules is not None:
        sections = {key: rules.data[key] for key in _SECTIONS if key in rules.data}
        sections |= {"rules": rules.data.get("rules"), "rule_defaults": rules.data.get("defaults", {})}
        completed |= deepcopy(sections)
    defaults = completed.get("rule_defaults")
    if isinstance(defaults, dict) and "id" in defaults:
        written, key = (document, "rule_defaults") if rules is None else (rules, "defaults")
        raise ConfigError(written.message((key, "id"), "every rule has its own id"))
    if isinstance(completed.get("rules"), list) and isinstance(defaults, dict):
        completed["rules"] = [
            with_defaults(one, defaults) if isinstance(one, dict) else one for one in completed["rules"]
        ]
    return Source(document, rules, layers, completed)


def _read_named(document: Document, name: str) -> Document:
    """The rules file that the configuration names, relative to itself."""
    path = document.path.parent / name
    if not path.is_file():
        raise ConfigError(document.message(("rules",), f"{path}: no such file"))
    rules = _rules_document(path)
    if "rule_defaults" in document.data:
        raise ConfigError(document.message(("rule_defaults",), f"move it to {path}, as `defaults`"))
    for key in _SECTIONS:
        if key in document.data and key in rules.data:
            raise ConfigError(document.message((key,), f"also in {path}; keep one of them"))
    return rules


def _rules_document(path: Path) -> Document:
    """A rules file, with the keys that one may have."""
    rules = read_yaml(path)
    for key in rules.data:
        if key not in (*RULES_FILE, TESTS):
            near = nearest(key, RULES_FILE) or f"; known here: {', '.join(RULES_FILE)}"
            raise ConfigError(rules.message((key,), f"unknown key{near}"))
    if rules.data.get("version", 1) != 1:
        raise ConfigError(rules.message(("version",), "expected 1"))
    if "rules" not in rules.data:
        raise ConfigError(f"{path}: rules: missing; the list of rules")
    named = rules.data["rules"]
    if isinstance(named, str) and TESTS in rules.data:
        text = (
            f"expected rules, got tests of {path.parent / named}: check that file; `mien rules test {path}` runs these"
        )
        raise ConfigError(rules.message(("rules",), text))
    return rules
