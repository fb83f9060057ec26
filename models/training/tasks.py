"""What a recipe can be for: the kind of recipe behind each `task`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.training.recipe import Plan, Recipe, read_recipe, read_task
from models.training.superres.recipe import SuperRecipe
from models.training.temporal.recipe import TemporalRecipe
from operators.errors import ConfigError

__all__ = ["KINDS", "read_any"]

KINDS: Mapping[str, type[Plan]] = {"expression": Recipe, "superres": SuperRecipe, "temporal": TemporalRecipe}


def read_any(path: Path) -> Plan:
    """Read a recipe of whichever task; raises ConfigError."""
    task = read_task(path)
    if task not in KINDS:
        raise ConfigError(f"the recipe {path} is wrong: its task should be one of {', '.join(KINDS)}, got {task!r}")
    return read_recipe(path, KINDS[task])
