"""`mien config check | show | schema`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption

if TYPE_CHECKING:
    from rich.table import Table

    from operators.rules import Rule
    from pipeline.config import Settings

__all__ = ["config"]

config = typer.Typer(help="The configuration: check it, show it, complete it in an editor.", no_args_is_help=True)


@config.command()
def check(path: ConfigOption = Path("mien.yaml")) -> None:
    """Check a configuration without touching a camera or the network.

    Exit status 0 when all is well, also with warnings; 2 with one line `file:line:column: key: what is wrong` per
    mistake otherwise.

    Example:  mien config check -c mien.yaml
    """
    from rich.console import Console

    from pipeline.config import check_settings

    settings, warnings = check_settings(path)
    for line in warnings:
        typer.echo(line)
    console = Console(highlight=False)
    console.print(f"{path}: ok\n\npurpose  {settings.purpose.strip()}\n", markup=False)
    for table in (_cameras(settings), _rules(settings), _sinks(settings)):
        console.print(table)
        console.print()
    console.print(_memory(settings))


@config.command()
def show(path: ConfigOption = Path("mien.yaml")) -> None:
    """Print the settings in force as YAML: defaults and environment included, secrets masked."""
    from pipeline.config import load_settings
    from pipeline.config import show as show_settings

    typer.echo(show_settings(load_settings(path)), nl=False)


@config.command()
def schema(
    *, rules: Annotated[bool, typer.Option("--rules", help="Of a rules file instead, see docs/rules.md.")] = False
) -> None:
    """Print the JSON Schema of the configuration, for editors.

    With this first line, editors with a YAML language server complete and check the file as you type:

    # yaml-language-server: $schema=mien.schema.json

    Example:  mien config schema > mien.schema.json
    """
    import json

    from pipeline.config import json_schema, rules_schema

    typer.echo(json.dumps(rules_schema() if rules else json_schema(), indent=2))


def _cameras(settings: Settings) -> Table:
    table = _table("camera", "address", "fps", "detail", "zones", "masks")
    for name, camera in settings.cameras.items():
        shown = camera.shown if camera.enabled else f"{camera.shown} (not enabled)"
        table.add_row(name, shown, f"{camera.fps:g}", camera.detail, ", ".join(camera.zones), str(len(camera.masks)))
    return table


def _rules(settings: Settings) -> Table:
    table = _table("rule", "severity", "scope", "watches", "condition")
    for rule in settings.rules:
        scope = f"{rule.scope} {rule.group}".strip()
        table.add_row(rule.id, rule.severity, scope, _watched(rule), _condition(rule))
    return table


def _watched(rule: Rule) -> str:
    if rule.sequence:
        return ", then ".join(str(step.when) for step in rule.sequence.steps)
    if rule.when is None:
        return rule.absence.of if rule.absence else "faces"
    return str(rule.when)


def _condition(rule: Rule) -> str:
    from operators.units import format_duration

    parts = [] if rule.condition == "sustained" else [rule.condition]
    if rule.count:
        parts.append(f"{rule.count.at_least} {rule.count.of} within {format_duration(rule.count.within)}")
    if rule.sequence:
        parts.append(f"within {format_duration(rule.sequence.within)}")
    if rule.for_ or not parts:
        parts.append(f"for {format_duration(rule.for_)}")
    return " ".join(parts)


def _memory(settings: Settings) -> str:
    from pipeline.feasibility import state_bytes

    fps = max(camera.fps for camera in settings.active_cameras.values())
    tracks = settings.limits.max_tracks_per_camera
    size = tracks * sum(state_bytes(rule, fps) for rule in settings.rules)
    return f"rules remember up to about {size / 1024:.0f} KB per camera, with {tracks} faces in the picture"


def _sinks(settings: Settings) -> Table:
    table = _table("sink", "name", "gets")
    for sink in settings.sinks:
        table.add_row(sink.type, sink.name, ", ".join(sink.statuses))
    if settings.elasticsearch is not None:
        table.add_row("elasticsearch", settings.elasticsearch.url, "everything")
    table.add_row("store", str(settings.store.path), "everything")
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table

    return Table(*columns, box=None, header_style="bold", pad_edge=False)
