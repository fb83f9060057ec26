"""`mien train | export`: make a network of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from operators.errors import ConfigError

__all__ = ["DataOption", "export", "torch_there", "train"]

DataOption = Annotated[
    Path, typer.Option(metavar="PATH", help="The FER2013 / FER+ npz file, or a folder with a folder for each class.")
]
MEASURE = {
    "expression": "mien evaluate {out} --data {data}",
    "superres": "python -m models.training.superres table --help",
    "temporal": "python -m models.training.temporal --help",
}
"""What says how good the result of a training is, by task."""
DeviceOption = Annotated[str, typer.Option(help="cpu or cuda.")]


def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, such as those in models/training/recipes.")],
    *,
    data: DataOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; one that was cut off goes on.")],
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="What to begin from: a run; with `freeze: true` also a model or an ONNX file."
        ),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN",
            help="Run whose answers are learnt too; may be repeated. Of super-resolution and temporal heads: the "
            "classifier they work with.",
        ),
    ] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Train a network by a recipe. Needs PyTorch, which the extra `train` brings.

    Every epoch ends with a checkpoint: the same command goes on where it was cut off. log.csv has a row for each epoch.

    Example:  mien train models/training/recipes/expression_seresnet.yaml --data faces.npz --out runs/first

    Example, your own classes from twenty pictures each, on top of the shipped network:
      mien train models/training/recipes/own_classes.yaml --data pictures --init seresnet_deep.ferplus-1 --out runs/mine

    Example:  mien train models/training/recipes/temporal_gru.yaml --data faces.npz --teacher runs/first --out runs/head
    """
    with torch_there():
        from models.training.start import start
        from models.training.tasks import read_any
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    plan = read_any(recipe)
    columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), transient=True) as bar:
        shown = bar.add_task("", total=None, epoch="")
        epochs = start(
            plan,
            data,
            out,
            init=init,
            teachers=teacher or (),
            device=device,
            progress=lambda done, of: bar.update(shown, completed=done, total=of),
        )
        for epoch in epochs:
            scores = "  ".join(f"{name} {_score(value)}" for name, value in epoch.scores.items())
            bar.console.print(
                f"epoch {epoch.epoch}/{epoch.of}  loss {epoch.loss:.3f}  {scores}  {epoch.seconds:.0f} s",
                highlight=False,
            )
            bar.update(shown, epoch=f"{epoch.epoch + 1}/{epoch.of}")
    measure = MEASURE[plan.task].format(out=out, data=data)
    typer.echo(f"{out}: `{measure}` says how good it is, `mien export {out} FILE.onnx` ships it")


def _score(value: float) -> str:
    return f"{value:.1%}" if 0 <= value <= 1 else f"{value:.3g}"


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a training run.")],
    target: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
) -> None:
    """Write the result of a training as ONNX, checked against torch; prints the sha256 for the registry.

    Example:  mien export runs/first expression_seresnet.mine.onnx
    """
    with torch_there():
        from models.training.start import write

    typer.echo(f"{target} sha256 {write(run, target)}")


@contextmanager
def torch_there() -> Iterator[None]:
    """Say how to get what training needs, where it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'mien[train]' for training") from error
