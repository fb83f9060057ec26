"""`mien evaluate`: say how well networks read faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from operators.errors import ConfigError
from pipeline.cli.train import MEASURE, DataOption, torch_there

if TYPE_CHECKING:
    from models.training.recipe import Recipe

__all__ = ["evaluate"]


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="A model of the registry (`mien models list`), the folder of a run, or an ONNX file; or several.",
        ),
    ],
    *,
    data: DataOption,
    head: Annotated[
        str | None, typer.Option(help="Of a run or a file: which head, such as ferplus or label; default: the first.")
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Only faces on whose label most raters agree: the FER+ majority protocol.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="On every picture: for data that the network has never seen.")
    ] = False,
    flip: Annotated[
        bool, typer.Option("--flip", help="Average over each face and its mirror image, at twice the cost.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="With the temperature that fits best: runs and files have none yet."),
    ] = False,
    sizes: Annotated[bool, typer.Option("--sizes", help="Also by size of the face, clean and as JPEG 50.")] = False,
    tau: Annotated[
        list[float] | None,
        typer.Option(min=0, help="Also with the prior correction at this strength; may be repeated."),
    ] = None,
    curve: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Also what a rule on this class can have; may be repeated."),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS=SHARE", help="Also where this share of faces shows a class; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="All that was found, as JSON.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder with report.md, its pictures, and report.json.")
    ] = None,
) -> None:
    """Say how well a network reads the test split: by class, with precision, recall, F1 and calibration error.

    Example, the shipped network in all detail:
      mien evaluate expression --data fer2013plus.npz --clear --sizes --tau 0.25 --curve fear --report REPORT

    Example, your own pictures and your own network beside it:
      mien evaluate expression runs/mine --data my-pictures --report REPORT

    Example, in a corridor where 95 % of the faces are neutral:
      mien evaluate expression --data fer2013plus.npz --curve fear --site neutral=0.95
    """
    with torch_there():
        from models.training.documents import as_document, as_markdown, write_folder, write_json
        from models.training.evaluation import Asked, examine
        from models.training.faces import load_data
        from models.training.readers import candidate
    from rich.console import Console

    asked = Asked(
        clear=clear,
        whole=whole,
        calibrate=calibrate,
        sizes=sizes,
        taus=tuple(tau or ()),
        curves=tuple(curve or ()),
        site=_shares(site or ()),
    )
    faces = load_data(data, side=_side(models))
    found = []
    with Console(stderr=True).status("") as status:
        for name in models:
            status.update(f"{name} reads {len(faces.test):,} faces" + (" at 14 sizes" if sizes else ""))
            with torch_there():  # a run needs torch, a model of the registry doesn't
                one = candidate(name, head=head, flip=flip, plain=bool(tau or site), classes=faces.classes)
            found.append(examine(one, faces, asked))
    document = as_document(found, faces, asked)
    _print(as_markdown(found, document))
    try:
        if output is not None:
            write_json(document, output)
        if report is not None:
            write_folder(found, document, report)
            typer.echo(f"{report / 'report.md'} has the pictures too")
    except OSError as error:
        raise ConfigError(f"{error.filename or output or report} can't be written: {error.strerror}") from error


def _shares(given: Sequence[str]) -> dict[str, float]:
    """`neutral=0.95` and so on."""
    shares: dict[str, float] = {}
    for one in given:
        name, _, share = one.partition("=")
        try:
            shares[name] = float(share)
        except ValueError as error:
            raise ConfigError(f"--site should be a class and its share, such as neutral=0.95: got {one!r}") from error
    return shares


def _side(models: Sequence[str]) -> int:
    """Pixels of the pictures: what the runs among the models read, else what the models of the registry do."""
    return max((_recipe(Path(name)).side for name in models if Path(name).is_dir()), default=48)


def _recipe(run: Path) -> Recipe:
    from models.training.recipe import Recipe
    from models.training.tasks import read_any

    plan = read_any(run / "recipe.yaml")
    if not isinstance(plan, Recipe):
        raise ConfigError(
            f"{run} is a run of the task {plan.task}, which another command measures: {MEASURE[plan.task]}"
        )
    return plan


def _print(text: str) -> None:
    """Markdown: laid out on a terminal, as it is into a file or a pipe."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        typer.echo(text)
