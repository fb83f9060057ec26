"""The tables of docs/configuration.md say what the schema says.

After a change of a section: `python tests/unit/test_config_docs.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from operators.units import PATTERN
from pipeline.config import json_schema

PAGE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"
BLOCK = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
ELSEWHERE = {"Secret"}


def with_tables(text: str) -> str:
    return BLOCK.sub(lambda match: f"{match[1]}{table(match[2])}{match[3]}", text)


def table(name: str) -> str:
    schema = section(name)
    required = schema.get("required", ())
    rows = [row(key, value, required=key in required) for key, value in schema["properties"].items()]
    return "\n| key | value | default | |\n|---|---|---|---|\n" + "".join(rows) + "\n"


def section(name: str) -> dict[str, Any]:
    root = json_schema()
    return root if name == "Settings" else root["$defs"][name]


def row(key: str, value: dict[str, Any], *, required: bool) -> str:
    target = json_schema()["$defs"].get(value.get("$ref", "").removeprefix("#/$defs/"), {})
    described = value.get("description") or target.get("description", "")
    default = "**required**" if required else shown(value["default"]) if "default" in value else ""
    return f"| `{key}` | {kind(value)} | {default} | {described.replace('|', '/').replace(chr(10), ' ')} |\n"


def shown(default: object) -> str:
    return "" if default in (None, "", [], {}) else f"`{json.dumps(default)}`".replace('"', "")


def kind(value: dict[str, Any]) -> str:
    if value.get("pattern") == PATTERN:
        return "duration"
    if "$ref" in value:
        return reference(value["$ref"].removeprefix("#/$defs/"))
    if options := value.get("anyOf") or value.get("oneOf"):
        return " or ".join(dict.fromkeys(kind(one) for one in options if one.get("type") != "null"))
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"] if one)
    if "const" in value:
        return f"`{value['const']}`"
    names = {"string": "text", "boolean": "true or false", "array": "list", "object": "keys and values"}
    return names.get(value.get("type", ""), value.get("type", "any"))


def reference(name: str) -> str:
    definition = json_schema()["$defs"][name]
    return kind(definition) if "enum" in definition else "secret" if name == "Secret" else "keys and values"


def test_tables_are_those_of_the_schema() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_tables(text), "run `python tests/unit/test_config_docs.py`"


def test_every_section_has_its_table() -> None:
    documented = {match[2] for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}
    sections = {name for name, one in json_schema()["$defs"].items() if "properties" in one}
    assert sections - documented - ELSEWHERE == set()


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
