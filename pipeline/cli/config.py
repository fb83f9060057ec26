"""`mien config check | show | schema`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.options import ConfigOption

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.config import Settings

__all__ = ["config"]

config = typer.Typer(help="The configuration: check it, show it, complete it in an editor.", no_args_is_help=True)


@config.command()
def check(path: ConfigOption = Path("mien.yaml")) -> None:
    """Check a configuration without touching a camera or the network.

    Exit status 0 when all is well; 2 with one line `file:line:column: key: what is wrong` per mistake otherwise.

    Example:  mien config check -c mien.yaml
    """
    from rich.console import Console

    from pipeline.config import load_settings

    settings = load_settings(path)
    console = Console(highlight=False)
    console.print(f"{path}: ok\n\npurpose  {settings.purpose.strip()}\n", markup=False)
    for table in (_cameras(settings), _rules(settings), _sinks(settings)):
        console.print(table)
        console.print()


@config.command()
def show(path: ConfigOption = Path("mien.yaml")) -> None:
    """Print the settings in force as YAML: defaults and environment included, secrets masked."""
    from pipeline.config import load_settings
    from pipeline.config import show as show_settings

    typer.echo(show_settings(load_settings(path)), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors.

    With this first line, editors with a YAML language server complete and check the file as you type:

    # yaml-language-server: $schema=mien.schema.json

    Example:  mien config schema > mien.schema.json
    """
    import json

    from pipeline.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def _cameras(settings: Settings) -> Table:
    table = _table("camera", "address", "fps", "detail", "zones", "masks")
    for name, camera in settings.cameras.items():
        shown = camera.shown if camera.enabled else f"{camera.shown} (not enabled)"
        table.add_row(name, shown, f"{camera.fps:g}", camera.detail, ", ".join(camera.zones), str(len(camera.masks)))
    return table


def _rules(settings: Settings) -> Table:
    from operators.units import format_duration

    table = _table("rule", "severity", "scope", "watches", "for")
    for rule in settings.rules:
        watched = ", ".join(rule.when.expressions) or rule.when.value
        when = f"{watched} >= {rule.when.enter:g}"
        table.add_row(rule.id, rule.severity, rule.scope, when, format_duration(rule.for_))
    return table


def _sinks(settings: Settings) -> Table:
    table = _table("sink", "name", "gets")
    for sink in settings.sinks:
        table.add_row(sink.type, sink.name, ", ".join(sink.statuses))
    table.add_row("store", str(settings.store.path), "everything")
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table

    return Table(*columns, box=None, header_style="bold", pad_edge=False)
