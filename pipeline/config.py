"""The settings: one frozen, validated object, built once at the start from one YAML file.

Defaults < YAML file < files of `MIEN_SECRETS_DIR` < environment `MIEN_SECTION__KEY`. The sections are the dataclasses
of the operators and connectors themselves, so a knob is defined once, beside the code that it tunes. Loading reads
files only: never a camera, the network or hardware.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SecretStr, ValidationError, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from ruamel.yaml import YAML
from typing_extensions import override

from connectors.camera import StreamSettings
from connectors.jsonl import JsonlSettings
from connectors.stdout import StdoutSettings
from connectors.store import StoreSettings
from connectors.webhook import WebhookSettings
from operators.errors import ConfigError
from operators.rules import Rule, with_defaults
from operators.units import format_duration
from pipeline.checks import check
from pipeline.complaints import Complaint, complaints, dotted, hide, nearest
from pipeline.overrides import PREFIX, SEPARATOR, Variables, read_reference, secret_files
from pipeline.schema import is_duration, is_secret, tidy, walk
from pipeline.sections import Analysis, Camera, Metrics, Models
from pipeline.yaml_source import Document, Location, Position, lookup, put, read_yaml

__all__ = [
    "Analysis",
    "Camera",
    "Metrics",
    "Models",
    "Settings",
    "json_schema",
    "load_settings",
    "secret_values",
    "show",
]

_HINT = "Every key is explained in docs/configuration.md and by `mien config schema`."
_SHELL_VARIABLE = re.compile(r"\$\{\w+\}")
_RULES_FILE = ("version", "defaults", "rules")

SinkSettings = Annotated[StdoutSettings | JsonlSettings | WebhookSettings, Field(discriminator="type")]


def _or_path(schema: dict[str, Any]) -> None:
    listed = {"type": schema.pop("type"), "items": schema.pop("items")}
    path = {"type": "string", "description": "Path of a file with version, defaults and rules, beside this file."}
    schema["anyOf"] = [listed, path]


class Settings(BaseSettings):
    """mien: event-time alert rules over the facial expressions that cameras see."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_prefix_target="all",
        env_nested_delimiter=SEPARATOR,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # a rejected value may be a password
        validate_default=False,  # defaults are seconds, files write durations
        alias_generator=lambda name: name.removesuffix("_"),
    )

    version: Literal[1] = 1
    """Version of this file's format."""
    purpose: str
    """Who watches what, and why: one or two plain sentences. mien does not start without it."""
    cameras: dict[str, Camera]
    """The cameras by id: lower-case letters, digits, - and _."""
    models: Models = Models()
    """The networks and where they run."""
    analysis: Analysis = Analysis()
    """The stages between a picture and an observation."""
    rules: Annotated[tuple[Rule, ...], Field(json_schema_extra=_or_path)] = ()
    """When to alert: a list here, or the path of a rules file."""
    rule_defaults: dict[str, Any] = {}
    """Fields for every rule of this file that does not set them itself."""
    store: StoreSettings = StoreSettings()
    """The file that remembers alerts."""
    sinks: tuple[SinkSettings, ...] = ()
    """Where alerts go, besides the store."""
    metrics: Metrics | None = None
    """Where Prometheus can read the metrics; off when absent."""

    @property
    def active_cameras(self) -> dict[str, Camera]:
        """The cameras that are enabled."""
        return {camera_id: camera for camera_id, camera in self.cameras.items() if camera.enabled}

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Strongest first."""
        return (*_outside(), init_settings)


def load_settings(path: Path | str) -> Settings:
    """Read, complete and check one configuration file; ConfigError lists every mistake with its place."""
    source = _read(Path(path))
    found = _resolve_secrets(source)
    found += [Complaint((key,), "unknown key", at_key=True) for key in source.data if key.startswith("_")]
    settings = None
    if not found:
        settings, found = _validate(source)
    if settings is None or found:
        raise ConfigError(_report(found, source))
    return settings


@cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    schema = Settings.model_json_schema()
    properties = schema["properties"]
    properties["rule_defaults"] = {
        "description": properties["rule_defaults"]["description"],
        **_all_optional(schema["$defs"]["Rule"], without="id"),
    }
    # pydantic reads the docstrings of a class, not those of its parent
    parent = create_model("Parent", __config__=ConfigDict(use_attribute_docstrings=True), stream=StreamSettings)
    stream = parent.model_json_schema()["$defs"]["StreamSettings"]["properties"]
    camera = schema["$defs"]["Camera"]["properties"]
    camera.update({key: stream[key] | camera[key] for key in stream})
    return tidy(schema)


def _all_optional(schema: Mapping[str, Any], *, without: str) -> dict[str, Any]:
    kept = {key: value for key, value in schema["properties"].items() if key != without}
    return {"type": "object", "properties": kept, "additionalProperties": False}


def show(settings: Settings) -> str:
    """The settings in force as YAML: defaults included, rules completed, secrets and passwords in URLs masked."""
    data = settings.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"rule_defaults"})
    for location, value, nodes in walk(json_schema(), data):
        if isinstance(value, float) and any(map(is_duration, nodes)):
            put(data, location, format_duration(value))
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(data, stream)
    return hide(stream.getvalue(), secret_values(settings))


def secret_values(settings: Settings) -> list[str]:
    """The text of every secret, for whoever must keep it out of sight."""
    data = settings.model_dump()
    secrets = [value for _, value, _ in walk(json_schema(), data) if isinstance(value, SecretStr)]
    return [secret.get_secret_value() for secret in secrets]


@dataclass(frozen=True, slots=True)
class _Source:
    """What the settings are made from: the file, its rules file, and what is laid over both, strongest first.

    `data` is the file's data with the rules put in and completed.
    """

    file: Document
    rules: Document | None
    layers: Sequence[Variables]
    data: dict[str, Any]

    def merged(self) -> dict[str, Any]:
        """What pydantic-settings makes of it."""
        return reduce(_over, (layer.values for layer in reversed(self.layers)), self.data)

    def place(self, complaint: Complaint) -> tuple[str, Position, str]:
        """Origin, position and the dotted key there."""
        location = complaint.location
        for layer in self.layers:
            if name := layer.name_of(location):
                return name, (0, 0), dotted(location)
        location = self._as_written(location)
        document = self.file
        if self.rules is not None and location[0] in {"rules", "rule_defaults"}:
            document = self.rules
            location = ("defaults", *location[1:]) if location[0] == "rule_defaults" else location
        position = document.key_position(location) if complaint.at_key else document.value_position(location)
        return document.at(position), position, dotted(location)

    def _as_written(self, location: Location) -> Location:
        """A field that a rule took from the defaults stands there."""
        document, key = (self.file, "rule_defaults") if self.rules is None else (self.rules, "defaults")
        inherited = location[0] == "rules" and len(location) > 2 and lookup(document.data, location[:3]) is None
        if inherited and lookup(document.data, (key, location[2])) is not None:
            return ("rule_defaults", *location[2:])
        return location


def _outside() -> tuple[Variables, Variables]:
    """What is laid over the file, strongest first."""
    folder = os.environ.get(f"{PREFIX}SECRETS_DIR")
    files = secret_files(Path(folder)) if folder else {}
    return (
        Variables(Settings, os.environ, kind="environment variable"),
        Variables(Settings, files, kind=f"secret file of {folder}"),
    )


def _over(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """`high` laid over `low`, mapping by mapping."""
    shared = [key for key in high if isinstance(low.get(key), dict) and isinstance(high[key], dict)]
    return {**low, **high, **{key: _over(low[key], high[key]) for key in shared}}


def _read(path: Path) -> _Source:
    document = read_yaml(path)
    data, rules = deepcopy(document.data), None
    if isinstance(data.get("rules"), str):
        rules = _read_rules(document, data["rules"])
        data |= {"rules": deepcopy(rules.data.get("rules")), "rule_defaults": rules.data.get("defaults", {})}
    defaults = data.get("rule_defaults")
    if isinstance(data.get("rules"), list) and isinstance(defaults, dict):
        data["rules"] = [with_defaults(one, defaults) if isinstance(one, dict) else one for one in data["rules"]]
    return _Source(document, rules, _outside(), data)


def _read_rules(document: Document, name: str) -> Document:
    """The rules file that the configuration names, relative to itself."""
    path = document.path.parent / name
    if not path.is_file():
        raise ConfigError(document.message(("rules",), f"{path}: no such file"))
    rules = read_yaml(path)
    if "rule_defaults" in document.data:
        raise ConfigError(document.message(("rule_defaults",), f"move it to {path}, as `defaults`"))
    for key in rules.data:
        if key not in _RULES_FILE:
            near = nearest(key, _RULES_FILE) or f"; known here: {', '.join(_RULES_FILE)}"
            raise ConfigError(rules.message((key,), f"unknown key{near}"))
    if rules.data.get("version", 1) != 1:
        raise ConfigError(rules.message(("version",), "expected 1"))
    return rules


def _resolve_secrets(source: _Source) -> list[Complaint]:
    """Put the secrets in the place of `{env: NAME}` and `{file: PATH}`, but where a layer has the last word."""
    found = []
    for location, value, nodes in list(walk(json_schema(), source.data)):
        if not any(map(is_secret, nodes)) or any(layer.name_of(location) for layer in source.layers):
            continue
        if isinstance(value, str) and _SHELL_VARIABLE.fullmatch(value):
            found.append(Complaint(location, "a YAML file doesn't fill in ${...}: write {env: NAME}"))
        if isinstance(value, dict):
            try:
                put(source.data, location, read_reference(value, os.environ, base=source.file.path.parent))
            except ValueError as error:
                found.append(Complaint(location, str(error)))
    return found


def _validate(source: _Source) -> tuple[Settings | None, list[Complaint]]:
    try:
        settings = Settings(**source.data)
    except ValidationError as error:
        return None, complaints(error.errors(), json_schema(), source.merged())
    sinks = [sink.name for sink in settings.sinks]
    found = check(purpose=settings.purpose, cameras=settings.cameras, rules=settings.rules, sinks=sinks)
    return settings, list(found)


def _report(found: Sequence[Complaint], source: _Source) -> str:
    """One line per mistake in the order of the file, then where to read on."""
    walked = walk(json_schema(), source.merged())
    secrets = [str(value) for _, value, nodes in walked if any(map(is_secret, nodes)) and not isinstance(value, dict)]
    lines = set()
    for complaint in found:
        origin, position, key = source.place(complaint)
        lines.add((position, f"{origin}: {key}: {hide(complaint.text, secrets)}"))
    return "\n".join([*(line for _, line in sorted(lines)), _HINT])
