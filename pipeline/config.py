"""The settings: one frozen, validated object, built once at the start from one YAML file.

Defaults < YAML file < files of `MIEN_SECRETS_DIR` < environment `MIEN_SECTION__KEY`. The sections are the dataclasses
of the operators and connectors themselves, so a knob is defined once, beside the code that it tunes. Loading reads
files only: never a camera, the network or hardware.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SecretStr, ValidationError, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from ruamel.yaml import YAML
from typing_extensions import override

from connectors.camera import StreamSettings
from connectors.elastic_settings import ElasticSettings
from connectors.grafana_settings import GrafanaSettings
from connectors.jsonl import JsonlSettings
from connectors.kafka_settings import KafkaSettings
from connectors.stdout import StdoutSettings
from connectors.store import StoreSettings
from connectors.webhook import WebhookSettings
from models.catalogue import find, tasks
from operators.errors import ConfigError, ModelError
from operators.rules import EXPRESSIONS, Group, Limits, Routing, Rule, RuleSet, Schedule
from operators.units import format_duration
from pipeline.checks import check, check_models, check_rules
from pipeline.complaints import Complaint, Finding, complaints, hide
from pipeline.overrides import PREFIX, SEPARATOR, Variables, read_reference, secret_files
from pipeline.schema import is_duration, is_secret, tidy, walk
from pipeline.sections import Analysis, Camera, Console, Metrics, Models, Worker
from pipeline.sources import RULES_FILE, Source, is_configuration, read_configuration, read_rules
from pipeline.yaml_source import lookup, put, read_yaml

__all__ = [
    "READS",
    "Analysis",
    "Camera",
    "Console",
    "Metrics",
    "Models",
    "Settings",
    "check_settings",
    "files_of",
    "json_schema",
    "labels_read",
    "load_rules",
    "load_settings",
    "rules_and_labels",
    "rules_report",
    "rules_schema",
    "secret_values",
    "show",
]

log = logging.getLogger(__name__)

_HINT = "Every key is explained in docs/configuration.md and by `mien config schema`."
_SHELL_VARIABLE = re.compile(r"\$\{\w+\}")
READS: Mapping[str, frozenset[str]] = {
    "capture": frozenset({"cameras", "kafka", "elasticsearch"}),
    "analyze": frozenset({"kafka", "elasticsearch"}),
    "evaluate": frozenset({"kafka", "elasticsearch"}),
    "notify": frozenset({"kafka", "elasticsearch", "sinks"}),
    "topics": frozenset({"kafka"}),
    "dashboards": frozenset({"grafana"}),
}
"""The sections whose secrets each part of a distributed pipeline needs; the chart and compose.yaml give it no more."""
_NOT_READ = "not-read-by-this-process"
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
        allow_inf_nan=False,
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
    signals: dict[str, dict[str, float]] = {}
    """Derived signals by name, each a weighted sum of expressions: `{negative: {anger: 1, fear: 1, sadness: 1}}`."""
    groups: dict[str, Group] = {}
    """Cameras that rules watch as one place, by name."""
    schedules: dict[str, Schedule] = {}
    """Hours of the week in a time zone, by name."""
    routing: Routing = Routing()
    """How alerts reach people: muted hours, and several alerts sent as one."""
    limits: Limits = Limits()
    """Bounds of the rules' memory."""
    store: StoreSettings = StoreSettings()
    """The file that remembers alerts."""
    sinks: tuple[SinkSettings, ...] = ()
    """Where alerts go, besides the store."""
    console: Console = Console()
    """The web console of `mien run`."""
    metrics: Metrics | None = None
    """Where Prometheus can read the metrics; off when absent."""
    kafka: KafkaSettings | None = None
    """The brokers between the processes of a distributed pipeline; `mien run` needs none."""
    worker: Worker = Worker()
    """What the processes of a distributed pipeline have in common."""
    elasticsearch: ElasticSettings | None = None
    """Where alerts, roll-ups and health can be searched; off when absent."""
    grafana: GrafanaSettings | None = None
    """Where `mien dashboards apply` puts the dashboards."""

    @property
    def active_cameras(self) -> dict[str, Camera]:
        """The cameras that are enabled."""
        return {camera_id: camera for camera_id, camera in self.cameras.items() if camera.enabled}

    @property
    def rule_set(self) -> RuleSet:
        """The rules with everything that they name."""
        return RuleSet(self.rules, self.signals, self.groups, self.schedules, self.routing, self.limits)

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


_EVERYTHING = frozenset(Settings.model_fields)


class _RulesAlone(Settings):
    """The rules file without a configuration: nothing outside it counts."""

    @classmethod
    @override
    def settings_customise_sources(  # type: ignore[override]  # pydantic passes the sources by name
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The file only."""
        return (init_settings,)


def load_settings(path: Path | str, *, reads: Collection[str] = _EVERYTHING) -> Settings:
    """Read, complete and check one configuration file; ConfigError lists every mistake with its place.

    Only the secrets of the sections in `reads` have to exist, see `READS`. Warnings are logged; `check_settings` gives
    them as lines.
    """
    settings, warnings = check_settings(path, reads=reads)
    for line in warnings:
        log.warning("%s", line)
    return settings


def check_settings(path: Path | str, *, reads: Collection[str] = _EVERYTHING) -> tuple[Settings, list[str]]:
    """The settings of a configuration file, and one line per warning; raises ConfigError as `load_settings` does."""
    return _accept(read_configuration(Path(path), _outside()), reads=reads)


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that a configuration is made of: itself, and the rules file that it names."""
    named = read_yaml(path).data.get("rules")
    return (path, path.parent / named) if isinstance(named, str) else (path,)


def load_rules(path: Path | str, config: Path | None = None, *, labels: Sequence[str] = EXPRESSIONS) -> RuleSet:
    """The rules of a rules file, or of a whole configuration, whose secrets need not exist here.

    With `config`, the rules file stands in the place of that configuration's own rules. Without, a rules file knows no
    cameras, so their names are not checked, and `labels` are the expressions that it may name. Raises ConfigError as
    `load_settings` does.
    """
    settings, _ = _accept(replace(_read(Path(path), config), labels=labels), reads=())
    return settings.rule_set


def rules_and_labels(path: Path) -> tuple[RuleSet, tuple[str, ...]]:
    """What `load_rules` gives, and the expressions that the network beside these rules reads."""
    settings, _ = _accept(_read(path, None), reads=())
    return settings.rule_set, labels_read(settings.models)


def rules_report(path: Path, config: Path | None = None) -> list[Finding]:
    """Everything that is to be said about a rules file (or the rules of a whole configuration), in the file's order.

    With `config`, against the cameras of that configuration, in the place of its own rules.
    """
    try:
        source = _read(path, config)
        _, found = _examine(source, reads=())
    except ConfigError as error:
        return [Finding("error", str(error))]
    return _findings(found, source)


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


@cache
def rules_schema() -> dict[str, Any]:
    """The JSON Schema of a rules file."""
    whole = json_schema()
    known = whole["properties"]
    properties = {key: known["rule_defaults" if key == "defaults" else key] for key in RULES_FILE}
    properties["rules"] = {"description": "When to alert.", **known["rules"]["anyOf"][0]}
    definitions = {name: whole["$defs"][name] for name in _referred(properties, whole["$defs"])}
    return {
        "$schema": whole["$schema"],
        "description": "Alert rules of mien.",
        "type": "object",
        "properties": properties,
        "required": ["rules"],
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def _referred(node: object, definitions: Mapping[str, Any]) -> set[str]:
    """The names of the definitions that a part of a schema needs."""
    found: set[str] = set()
    todo = [node]
    while todo:
        text = json.dumps(todo.pop())
        new = set(re.findall(r"#/\$defs/(\w+)", text)) - found
        found |= new
        todo += [definitions[name] for name in new]
    return found


def _all_optional(schema: Mapping[str, Any], *, without: str) -> dict[str, Any]:
    kept = {key: value for key, value in schema["properties"].items() if key != without}
    return {"type": "object", "properties": kept, "additionalProperties": False}


def show(settings: Settings) -> str:
    """The settings in force as YAML: defaults included, rules completed, secrets and passwords in URLs masked.

    What a rule leaves empty is left out.
    """
    data = settings.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"rule_defaults"})
    for location, value, nodes in list(walk(json_schema(), data)):
        if isinstance(value, float) and any(map(is_duration, nodes)):
            put(data, location, format_duration(value))
        if location[0] == "rules" and value in ("", []) and any(node.get("default") == value for node in nodes):
            del lookup(data, location[:-1])[location[-1]]
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


def _outside() -> tuple[Variables, Variables]:
    """What is laid over the file, strongest first."""
    folder = os.environ.get(f"{PREFIX}SECRETS_DIR")
    files = secret_files(Path(folder)) if folder else {}
    return (
        Variables(Settings, os.environ, kind="environment variable"),
        Variables(Settings, files, kind=f"secret file of {folder}"),
    )


def _read(path: Path, config: Path | None) -> Source:
    """A whole configuration, or a rules file: alone, or in the place of a configuration's own rules."""
    if config is not None:
        return read_configuration(config, _outside(), rules=path)
    return read_configuration(path, _outside()) if is_configuration(path) else read_rules(path)


def _resolve_secrets(source: Source, *, reads: Collection[str]) -> list[Complaint]:
    """Put the secrets in the place of `{env: NAME}` and `{file: PATH}`, but where a layer has the last word.

    Outside the sections in `reads`, those that don't exist become a text that is none.
    """
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
                if location[0] in reads:
                    found.append(Complaint(location, str(error)))
                else:
                    put(source.data, location, _NOT_READ)
    return found


def _stand_in(source: Source, *, reads: Collection[str]) -> None:
    """Fill in what a secret file may hold that this process doesn't get: a camera's address, the rest of a login."""
    for location, value, _ in list(walk(json_schema(), source.data)):
        if location[0] in reads or not isinstance(value, dict):
            continue
        if location[:-1] == ("cameras",):
            value.setdefault("url", _NOT_READ)
        if location == ("console",):
            value.setdefault("token", _NOT_READ)
        if value.get("username") or value.get("mechanism", "none") != "none":
            value.setdefault("username", _NOT_READ)
            value.setdefault("password", _NOT_READ)


def _accept(source: Source, *, reads: Collection[str]) -> tuple[Settings, list[str]]:
    """The settings and the warnings; raises ConfigError where there is more than warnings."""
    settings, found = _examine(source, reads=reads)
    findings = _findings(found, source)
    lines = [finding.text for finding in findings]
    if settings is None or any(finding.severity == "error" for finding in findings):
        raise ConfigError("\n".join([*lines, _HINT]))
    return settings, lines


def _examine(source: Source, *, reads: Collection[str]) -> tuple[Settings | None, list[Complaint]]:
    found = _resolve_secrets(source, reads=reads)
    found += [Complaint((key,), "unknown key", at_key=True) for key in source.data if key.startswith("_")]
    if found:
        return None, found
    _stand_in(source, reads=reads)
    return _validate(source)


def _validate(source: Source) -> tuple[Settings | None, list[Complaint]]:
    try:
        settings = (_RulesAlone if source.alone else Settings)(**source.data)
    except ValidationError as error:
        return None, complaints(error.errors(), json_schema(), source.merged())
    if source.alone:
        return settings, list(check_rules(settings, None, labels=source.labels))
    sinks = [sink.name for sink in settings.sinks]
    elastic = settings.elasticsearch is not None
    found = list(check(purpose=settings.purpose, cameras=settings.cameras, sinks=sinks, elastic=elastic))
    try:
        labels = labels_read(settings.models)
    except ModelError as error:
        return settings, [*found, Complaint(("models", "expression", "path"), str(error))]
    found += check_models(settings.models, tasks(), labels=labels)
    return settings, [*found, *check_rules(settings, settings.cameras, labels=labels)]


def labels_read(models: Models) -> tuple[str, ...]:
    """The expressions that the configured network reads; those of FER+ while no network of that name is known.

    Raises ModelError where its own file can't be read.
    """
    section = models.expression
    if section.name not in tasks():
        return EXPRESSIONS
    if section.path is None:
        return find(section.name).labels
    from models.own import labels_of  # noqa: PLC0415 -- onnx: only those who have such a file wait for it

    return labels_of(section.name, section.path)


def _findings(found: Sequence[Complaint], source: Source) -> list[Finding]:
    """One line per mistake in the order of the file."""
    walked = walk(json_schema(), source.merged())
    secrets = [str(value) for _, value, nodes in walked if any(map(is_secret, nodes)) and not isinstance(value, dict)]
    lines = set()
    for complaint in found:
        origin, position, key = source.place(complaint)
        said = "warning: " if complaint.severity == "warning" else ""
        text = f"{origin}: {key}: {said}{hide(complaint.text, secrets)}"
        lines.add((position, text, complaint.severity))
    return [Finding(severity, text) for _, text, severity in sorted(lines)]
