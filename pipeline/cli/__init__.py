"""The command `mien`: one file per group of commands."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from operators.errors import ConfigError, MienError
from pipeline.cli.bench import bench
from pipeline.cli.cameras import cameras
from pipeline.cli.capture import capture
from pipeline.cli.compress import compress
from pipeline.cli.config import config
from pipeline.cli.dashboards import dashboards
from pipeline.cli.elastic import elastic
from pipeline.cli.enhance import enhance
from pipeline.cli.evaluate import evaluate
from pipeline.cli.models import models
from pipeline.cli.record import record
from pipeline.cli.replay import replay
from pipeline.cli.rules import rules
from pipeline.cli.run import analyze, demo, run
from pipeline.cli.topics import topics
from pipeline.cli.train import export, train
from pipeline.cli.tune import tune
from pipeline.cli.worker import worker

__all__ = ["app", "main"]

FAILED, MISCONFIGURED = 1, 2

app = typer.Typer(
    name="mien",
    help="""Alert rules over the facial expressions that cameras see: anonymous, replayable, measured.

    See it work at once:     mien demo

    On your own cameras:     mien config check -c mien.yaml && mien run -c mien.yaml
    """,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show values, and a value may be a password
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, demo, analyze, record, replay, tune, capture, worker, train, evaluate, export, compress, enhance):
    app.command()(command)
app.add_typer(bench, name="bench")
app.add_typer(cameras, name="cameras")
app.add_typer(models, name="models")
app.add_typer(config, name="config")
app.add_typer(rules, name="rules")
app.add_typer(topics, name="topics")
app.add_typer(elastic, name="elastic")
app.add_typer(dashboards, name="dashboards")


def _show_version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it so
    if wanted:
        typer.echo(f"mien {version('mien')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""


def main() -> int:
    """Run the command line; returns the exit status: 0, 1 failed, 2 wrong usage or configuration, 130 interrupted."""
    try:
        app(prog_name="mien")
    except SystemExit as ended:  # typer ends so, with its own status, also after wrong usage and Ctrl-C
        return int(ended.code or 0)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return MISCONFIGURED
    except MienError as error:
        sys.stderr.write(f"mien: {error}\n")
        return FAILED
    return 0
