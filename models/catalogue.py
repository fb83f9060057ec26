"""The catalogue of models: what there is, and what a caller must know of it. Opens `registry.toml`, never weights."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from operators.errors import ModelError

__all__ = ["FOLDER", "Entry", "entries", "find", "frozen", "tasks"]

FOLDER = Path(__file__).parent
"""Where `registry.toml`, `weights/` and `notes/` are."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of `registry.toml`; the comment at the top of that file says what each field is."""

    name: str
    task: str
    arch: str
    files: Mapping[str, str]
    input: str
    licence: str
    source: str
    origin: str
    trained_on: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    package: str | None = None
    folder: str = ""
    urls: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: str = ""

    @property
    def shipped(self) -> bool:
        """Whether the files are part of this repository."""
        return all((FOLDER / "weights" / file).is_file() for file in self.files)


@cache
def entries() -> tuple[Entry, ...]:
    """Every model, in the order of the file."""
    tables = tomllib.loads((FOLDER / "registry.toml").read_text("utf-8"))
    return tuple(Entry(name=name, **frozen(table)) for name, table in tables.items())


def find(name: str) -> Entry:
    """Look a model up by its name or an alias; raises ModelError with the nearest names."""
    by_name = {known: entry for entry in entries() for known in (*entry.aliases, entry.name)}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(by_name)}"
    raise ModelError(f"no model is called {name!r}: {hint}")


def tasks() -> dict[str, str]:
    """What each model does, by every name and alias."""
    return {name: entry.task for entry in entries() for name in (*entry.aliases, entry.name)}


def frozen(table: Mapping[str, Any]) -> dict[str, Any]:
    """TOML's and YAML's lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
