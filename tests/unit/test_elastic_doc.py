"""docs/elasticsearch.md names every field there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from connectors.elastic_templates import FIGURES, MAPPINGS, Index

PAGE = (Path(__file__).parent.parent.parent / "docs" / "elasticsearch.md").read_text()
NAMES = set(re.findall(r"`((?:@|mien\.|event\.|observer\.|rule\.|service\.|ecs\.|labels|message|tags)[\w.]*)`", PAGE))
FIELDS = {name: type_ for fields in MAPPINGS.values() for name, type_ in fields.items()}


def test_every_field_is_explained_in_a_table_or_beside_it():
    assert {name for name in FIELDS if f"`{name}`" not in PAGE} == set()


def test_no_field_is_explained_that_is_not_there():
    opened = tuple(f"{name}." for name, type_ in FIELDS.items() if type_ in (FIGURES, "flattened"))
    datasets = {f"mien.{kind}" for kind in Index}
    assert {name for name in NAMES - datasets if name not in FIELDS and not name.startswith(opened)} == set()


def test_types_are_those_of_the_mapping():
    rows = re.findall(r"^\| (`[^|]+`) \| ([\w, ]+) \|", PAGE, re.MULTILINE)
    checked = set()
    for first, second in rows:
        names, types = re.findall(r"`([^`]+)`", first), second.split(", ")
        for name, type_ in zip(names, types * (len(names) // len(types)), strict=True):
            if name in FIELDS:
                assert FIELDS[name] == type_, name
                checked.add(name)
    assert checked >= FIELDS.keys() - MAPPINGS[Index.HEALTH].keys()
