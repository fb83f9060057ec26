"""`mien models list | fetch | card`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.registry import Entry

__all__ = ["models"]

models = typer.Typer(
    help="The networks: what there is, what they were trained on, and their files.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(help="Name of a model: see `mien models list`.")]


@models.command("list")
def list_() -> None:
    """List every model of the registry."""
    from rich.console import Console
    from rich.table import Table

    from models.registry import entries

    table = Table("name", "task", "licence", "comes from", box=None, header_style="bold")
    for entry in entries():
        table.add_row(entry.name, entry.task, entry.licence, _origin(entry))
    Console().print(table)


@models.command()
def fetch(
    name: NameArgument,
    mirror: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy from this folder instead of the internet.")
    ] = None,
) -> None:
    """Download the files of a model and check their hashes. The only command that downloads anything.

    Example:  mien models fetch yunet
    """
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from models.registry import fetch as fetch_model

    with Progress(TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn(), transient=True) as bar:
        task = bar.add_task(name, total=None)
        paths = fetch_model(
            name, mirror=mirror, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    for path in paths:
        typer.echo(path)


@models.command()
def card(name: NameArgument) -> None:
    """Show what is known of a model: input, labels, figures, training data, licence, hashes."""
    from dataclasses import asdict

    from models.registry import find

    for key, value in asdict(find(name)).items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for inner, item in value.items():
                typer.echo(f"  {inner}: {item}")
        elif value:
            typer.echo(f"{key}: {', '.join(value) if isinstance(value, tuple) else value}")


def _origin(entry: Entry) -> str:
    if entry.package:
        return f"the package {entry.package}, no download"
    if entry.urls:
        return f"mien models fetch {entry.name}"
    return "this repository" if entry.shipped else "your own copy: a path or a mirror"
