"""The settings: one frozen, validated object, built once at the start from one YAML file.

Defaults < YAML file < files of `MIEN_SECRETS_DIR` < environment `MIEN_SECTION__KEY`. The sections are the dataclasses of
the operators, models and connectors themselves, so a knob is defined once, beside the code that it tunes. Loading
reads files only: never a camera, the network or hardware.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, reduce
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from connectors.jsonl import JsonlSettings
from connectors.stdout import StdoutSettings
from connectors.store import StoreSettings
from connectors.webhook import WebhookSettings
from operators.errors import ConfigError
from operators.rules import Rule, with_defaults
from operators.track import Tracker
from operators.units import Seconds
from pipeline.complaints import Complaint, complaints, dotted, hide, lookup
from pipeline.overrides import PREFIX, SEPARATOR, Variables, check_names, read_reference, secret_files
from pipeline.schema import secret_locations, tidy
from pipeline.yaml_source import Document, read_yaml

__all__ = ["Analysis", "Camera", "Metrics", "Models", "Settings", "json_schema", "load_settings"]

_HINT = "Every key is explained in docs/configuration.md and by `mien config schema`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera: its stream, and what the analysis should know of its view."""

    url: str
    """rtsp(s):// or http(s):// address, a video file, a directory of pictures, or scene://NAME."""
    username: str = ""
    """User name, where the camera asks for one."""
    password: SecretStr | None = None
    """Its password; any characters, never URL-encoded."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP carries the stream."""
    fps: float = 5.0
    """Pictures to analyse per second, whatever the camera sends."""
    loop: bool = False
    """Files only: begin again at the end."""
    open_timeout: Seconds = 10.0
    """Longest wait for the first picture."""
    read_timeout: Seconds = 10.0
    """Longest wait for the next picture."""
    masks: tuple[tuple[tuple[float, float], ...], ...] = ()
    """Privacy masks: polygons blacked out before anything else."""
    detail: Literal["normal", "far"] = "normal"
    """`far` looks for small, distant faces with a larger detector input; it costs more time per frame."""
    enabled: bool = True
    """false keeps the camera's settings but doesn't open it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorModel:
    """The network that finds faces."""

    name: str = "mtcnn"
    """Name in the model registry: `mien models list`."""
    min_face_size: int = 20
    """Smallest face to look for, in pixels of the frame; smaller costs more time."""

    def __post_init__(self) -> None:
        """Refuse faces of no size."""
        if self.min_face_size < 8:
            raise ValueError(f"expected min_face_size of 8 pixels or more, got {self.min_face_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionModel:
    """The network that reads expressions."""

    name: str = "expression"
    """Name in the model registry: `mien models list`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhancerModel:
    """The network that upscales small faces."""

    path: Path
    """An ONNX file with RGB in and out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The networks and where they run."""

    detector: DetectorModel = DetectorModel()
    """Finds faces."""
    expression: ExpressionModel = ExpressionModel()
    """Reads expressions."""
    enhancer: EnhancerModel | None = None
    """Upscales small faces before they are read; off when absent."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the networks run."""
    threads: int = 0
    """Threads per network; 0 leaves it to ONNX Runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The stages between a picture and an observation."""

    tracker: Tracker = field(default_factory=Tracker)
    """Follows faces from frame to frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Where Prometheus can read the metrics."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface."""
    port: int = 9108
    """TCP port."""

    def __post_init__(self) -> None:
        """Refuse ports that don't exist."""
        if not 0 <= self.port <= 65535:
            raise ValueError(f"expected port from 0 to 65535, got {self.port}")


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
    document = read_yaml(Path(path))
    data, rules = _with_rules(document)
    outside = [source() for source in _outside()]
    found = _resolve_secrets(data, outside, base=document.path.parent)
    found += [Complaint((key,), "unknown key", at_key=True) for key in data if key.startswith("_")]
    settings = None
    if not found:
        try:
            settings = Settings(**data)
        except ValidationError as error:
            merged = reduce(_over, reversed(outside), data)
            found = complaints(error.errors(), json_schema(), merged)
    if settings is None:
        raise ConfigError(_report(found, document, rules, outside, secrets=_secret_texts(data)))
    return settings


def _with_rules(document: Document) -> tuple[dict[str, Any], Document | None]:
    """The file's data with the rules file put in and every rule completed by the defaults."""
    data, rules = deepcopy(document.data), None
    if isinstance(data.get("rules"), str):
        rules = read_yaml(document.path.parent / data["rules"])
        data |= {"rules": deepcopy(rules.data.get("rules")), "rule_defaults": rules.data.get("defaults", {})}
    if isinstance(data.get("rules"), list) and isinstance(data.get("rule_defaults"), dict):
        data["rules"] = [
            with_defaults(rule, data["rule_defaults"]) if isinstance(rule, dict) else rule for rule in data["rules"]
        ]
    return data, rules


@cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    return tidy(Settings.model_json_schema())


def _outside() -> tuple[Variables, Variables]:
    """What is laid over the file, strongest first."""
    folder = os.environ.get(f"{PREFIX}SECRETS_DIR")
    files = secret_files(Path(folder)) if folder else {}
    check_names([*os.environ, *files], Settings.model_fields)
    return Variables(Settings, os.environ), Variables(Settings, files)


def _over(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """`high` laid over `low`, mapping by mapping, as pydantic-settings does."""
    both = {
        key: _over(low[key], high[key])
        for key in high
        if isinstance(low.get(key), dict) and isinstance(high[key], dict)
    }
    return {**low, **high, **both}


def _resolve_secrets(data: dict[str, Any], outside: Sequence[Mapping[str, Any]], *, base: Path) -> list[Complaint]:
    """Put the secrets in the place of `{env: NAME}` and `{file: PATH}`, but where the outside has the last word."""
    found = []
    for location in secret_locations(json_schema(), data):
        parent = lookup(data, location[:-1])
        if isinstance(parent[location[-1]], dict) and all(lookup(layer, location) is None for layer in outside):
            try:
                parent[location[-1]] = read_reference(parent[location[-1]], os.environ, base=base)
            except ValueError as error:
                found.append(Complaint(location, str(error)))
    return found


def _secret_texts(data: object) -> list[str]:
    values = (lookup(data, location) for location in secret_locations(json_schema(), data))
    return [str(value) for value in values if isinstance(value, str | int | float)]


def _report(
    found: Sequence[Complaint],
    document: Document,
    rules: Document | None,
    outside: Sequence[Mapping[str, Any]],
    *,
    secrets: Sequence[str],
) -> str:
    """One line per mistake in the order of the file, then where to read on."""
    lines = []
    for complaint in found:
        place = document.key_position if complaint.at_key else document.value_position
        position = place(complaint.location)
        origin = f"{document.path}:{position[0]}:{position[1]}"
        if any(lookup(layer, complaint.location) is not None for layer in outside):
            origin = f"environment {PREFIX}{SEPARATOR.join(map(str, complaint.location)).upper()}"
        lines.append((position, f"{origin}: {dotted(complaint.location)}: {complaint.text}"))
    return hide("\n".join([*(line for _, line in sorted(lines)), _HINT]), secrets)
