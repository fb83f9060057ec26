"""Write mien/values.schema.json: chart.schema.yaml, with the schema of mien's own configuration at `config`.

    python helm/schema.py            writes it; `make helm` does

The configuration becomes a ConfigMap, so here a secret can only be a reference, and a URL can't hold a password. What a
secret file or the environment may still bring is not required here: mien itself says what is missing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.config import json_schema

__all__ = ["SCHEMA", "values_schema"]

HERE = Path(__file__).parent
SCHEMA = HERE / "mien" / "values.schema.json"
NO_CREDENTIALS = {"not": {"pattern": "^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*@"}}


def values_schema() -> dict[str, Any]:
    """The JSON Schema of the chart's values."""
    chart: dict[str, Any] = YAML(typ="safe").load(HERE / "chart.schema.yaml")
    mien = json.loads(json.dumps(json_schema()))
    definitions = mien.pop("$defs")
    mien.pop("$schema")
    mien.pop("required")
    definitions["Secret"] = _by_reference(definitions["Secret"])
    for name in ("Camera", "WebhookSettings"):
        definitions[name]["properties"]["url"].update(NO_CREDENTIALS)
        definitions[name].pop("required", None)
    chart["properties"]["config"] = mien
    chart["$defs"] = {**chart["$defs"], **definitions}
    return chart


def _by_reference(secret: dict[str, Any]) -> dict[str, Any]:
    references = [option for option in secret["anyOf"] if option["type"] == "object"]
    text = "A secret: the name of an environment variable (secrets.env), or the path of a mounted file."
    return {**secret, "description": text, "anyOf": references}


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(values_schema(), indent=2) + "\n", encoding="utf-8")
