"""`mien elastic`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from operators.errors import ConfigError
from pipeline.cli.options import ConfigOption

if TYPE_CHECKING:
    from connectors.elastic import Elastic

__all__ = ["elastic"]

elastic = typer.Typer(
    no_args_is_help=True,
    help="""Elasticsearch: whether it can be used, and its indices.

    Who writes to it does all this by itself; these commands are for people who set it up.
    """,
)


@elastic.command()
def check(*, config: ConfigOption = Path("mien.yaml")) -> None:
    """Connect, say who answers and what is in the indices. Changes nothing.

    Exit code 1 when the server can't be used; the message says what to do.

    Example:  mien elastic check -c mien.yaml
    """
    from connectors.elastic import CLIENT

    connection = _connect(config)
    server = connection.check()
    typer.echo(f"{connection.shown}: cluster {server.name}, version {server.version or 'unknown'}, {server.health}")
    typer.echo(f"client: {CLIENT}")
    held = connection.held()
    for name, count in held.items():
        typer.echo(f"{count:>12,}  {name}")
    if not held:
        typer.echo("no indices yet: mien elastic apply makes them, and so does the first writer")


@elastic.command()
def apply(*, config: ConfigOption = Path("mien.yaml")) -> None:
    """Make templates, mappings and this month's indices, and drop indices past their retention; safe to repeat.

    Example:  mien elastic apply -c mien.yaml
    """
    connection = _connect(config)
    connection.check()
    applied = connection.apply()
    typer.echo(f"{connection.shown}: templates {', '.join(applied.templates)}")
    typer.echo(f"dropped: {', '.join(applied.dropped) or 'nothing, no index is past its retention'}")


def _connect(path: Path) -> Elastic:
    """A connection, with a log that knows the secrets."""
    from connectors.elastic import Elastic
    from pipeline.config import load_settings, secret_values
    from pipeline.logs import set_up

    settings = load_settings(path, reads={"elasticsearch"})
    set_up(secrets=secret_values(settings))
    if settings.elasticsearch is None:
        raise ConfigError(f"{path}: expected a section elasticsearch, such as `elasticsearch: {{url: http://...}}`")
    return Elastic(settings.elasticsearch)
