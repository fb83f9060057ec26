"""`mien models list | fetch | check | card | cards`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from operators.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from models.registry import Entry

__all__ = ["models"]

models = typer.Typer(
    help="The networks: what there is, what they were trained on, and their files.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(help="Name of a model: see `mien models list`.")]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Names of models: see `mien models list`.")
]
MirrorOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder with copies of the files, in place of the internet.")
]


@models.command("list")
def list_() -> None:
    """List every model of the registry, with its short names: a short name is the model to use today, and may move."""
    from rich.console import Console
    from rich.table import Table

    from models.registry import entries

    table = Table("name", "in short", "task", "comes from", box=None, header_style="bold")
    table.columns[0].no_wrap, table.columns[1].overflow = True, "fold"
    for entry in entries():
        table.add_row(entry.name, "\n".join(entry.aliases), entry.task, _origin(entry))
    Console().print(table)


@models.command()
def fetch(
    names: NamesArgument = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every model that can be downloaded.")] = False,
    mirror: MirrorOption = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Put all files there: a mirror for a machine without network."),
    ] = None,
) -> None:
    """Download the files of models and check their hashes. The only command that downloads anything.

    What is there already is left alone; a download that was cut off goes on where it stopped.

    Example:  mien models fetch yunet

    Example:  mien models fetch --all --to mirror      # then, elsewhere: models: {mirror: mirror}
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from models.registry import entries
    from models.registry import fetch as fetch_model

    if bool(names) == everything:
        raise ConfigError("expected names of models, or --all: see `mien models list`")
    known = [entry.name for entry in entries() if _obtainable(entry, mirror)]
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, transient=True) as bar:
        for name in known if everything else names or ():
            show = partial(_show, bar, bar.add_task(name, total=None))
            for path in fetch_model(name, mirror=mirror, folder=to, progress=show):
                typer.echo(path)


@models.command()
def check(
    names: NamesArgument = None,
    *,
    mirror: MirrorOption = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or tensorrt.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Threads within one call of a network; 0 for one per core.")] = 1,
) -> None:
    """Try every model on this machine: are its files there and unaltered, does it load and answer, in what time.

    A model that is not here is no fault, unless it was named.

    Example:  mien models check

    Example:  mien models check yunet --mirror mirror --device cuda
    """
    from rich.console import Console
    from rich.table import Table

    from models.registry import entries, find
    from models.trial import trial

    table = Table("name", "", "on", "ms", "", box=None, header_style="bold")
    table.columns[0].no_wrap = True
    wrong = []
    for entry in [find(name) for name in names] if names else entries():
        found = trial(entry, mirror=mirror, device=device, threads=threads)
        if found.state == "works":
            provider = found.provider.removesuffix("ExecutionProvider")
            table.add_row(entry.name, "works", provider, f"{found.milliseconds:.2f}", f"per {found.sample}")
        else:
            table.add_row(entry.name, found.state, "", "", _origin(entry) if found.state == "missing" else "")
        if found.state == "broken" or (found.state == "missing" and names):
            wrong.append(found.text)
    Console().print(table)
    if wrong:
        raise ModelError("\n".join(wrong))


@models.command()
def card(
    name: NameArgument,
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The whole card, with figures and known failures.")
    ] = False,
    figures: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the figures are: docs/figures of the repository.")
    ] = Path("docs/figures"),
) -> None:
    """Show what is known of a model: input, labels, figures, training data, licence, hashes.

    Example:  mien models card expression --markdown
    """
    from dataclasses import asdict

    from models.registry import find
    from pipeline.model_cards import card as whole
    from pipeline.model_cards import read_figures

    entry = find(name)
    if markdown:
        typer.echo(whole(entry, read_figures(figures)), nl=False)
        return
    for key, value in asdict(entry).items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for inner, item in value.items():
                typer.echo(f"  {inner}: {item}")
        elif value:
            typer.echo(f"{key}: {', '.join(value) if isinstance(value, tuple) else value}")


@models.command()
def cards(
    docs: Annotated[Path, typer.Argument(metavar="DIR", help="The folder docs of the repository.")] = Path("docs"),
) -> None:
    """Write the card of every model to DIR/models, and the index of DIR/model-card.md, as `make cards` does.

    Example:  mien models cards docs
    """
    from pipeline.model_cards import write_cards

    for path in write_cards(docs):
        typer.echo(path)


def _show(bar: Progress, task: TaskID, done: int, total: int | None) -> None:
    bar.update(task, completed=done, total=total)


def _obtainable(entry: Entry, mirror: Path | None) -> bool:
    """Whether its files can be had without asking anybody."""
    there = mirror is not None and all((mirror / file).is_file() for file in entry.files)
    return there or entry.shipped or entry.package is not None or set(entry.urls) == set(entry.files)


def _origin(entry: Entry) -> str:
    if entry.package:
        return f"package {entry.package}"
    if entry.urls:
        return "mien models fetch"
    return "mien itself" if entry.shipped else "your own copy"
