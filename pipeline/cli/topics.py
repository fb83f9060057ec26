"""`mien topics`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.options import ConfigOption

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.config import Settings
    from pipeline.topics import Report

__all__ = ["topics"]

topics = typer.Typer(
    no_args_is_help=True,
    help="The Kafka topics of a distributed pipeline: make them, and check that they are as they should be.",
)


@topics.command()
def apply(*, config: ConfigOption = Path("mien.yaml")) -> None:
    """Make the topics, and set what is different; safe to repeat.

    Topics that exist keep their data, their partitions and their copies.

    Example:  mien topics apply -c mien.yaml
    """
    from pipeline.topics import apply as apply_topics

    settings = _load(config)
    done = apply_topics(settings)
    typer.echo("\n".join(done) or "the topics are as they should be")


@topics.command()
def check(*, config: ConfigOption = Path("mien.yaml")) -> None:
    """Compare the topics with the configuration, and say how old the oldest readable picture is.

    Changes nothing. Exit code 1 when something is wrong; each line says what to do.

    Example:  mien topics check -c mien.yaml
    """
    from rich.console import Console

    from pipeline.topics import check as check_topics

    report = check_topics(_load(config))
    Console(highlight=False).print(_table(report))
    if report.oldest:
        typer.echo(_ages(report))
    for note in report.notes:
        typer.echo(f"note: {note}")
    for problem in report.problems:
        typer.echo(f"wrong: {problem}")
    if report.problems:
        raise typer.Exit(1)


def _table(report: Report) -> Table:
    from rich.table import Table

    from operators.units import format_duration

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("topic", "partitions", "copies", "kept", "compression", ""):
        table.add_column(column, no_wrap=True)
    for row in report.rows:
        if row.found is None:
            table.add_row(row.wanted.name, "-", "-", "-", "-", "missing")
            continue
        found = row.found
        kept_ms = found.settings.get("retention.ms")
        kept = "newest of each key" if kept_ms is None else format_duration(float(kept_ms) / 1000)
        verdict = "wrong" if row.problems else "ok"
        compression = found.settings.get("compression.type", "")
        table.add_row(row.wanted.name, str(found.partitions), str(found.replication), kept, compression, verdict)
    return table


def _ages(report: Report) -> str:
    ages = ", ".join(f"{partition}: {age:.0f} s" for partition, age in sorted(report.oldest.items()))
    return f"oldest readable frame by partition (at most {report.oldest_allowed:.0f} s): {ages}"


def _load(path: Path) -> Settings:
    """The settings, with a log that knows their secrets and leaves out the noise of the client."""
    from connectors.kafka_client import hush
    from pipeline.config import READS, load_settings, secret_values
    from pipeline.logs import set_up

    settings = load_settings(path, reads=READS["topics"])
    set_up(secrets=secret_values(settings))
    hush()
    return settings
