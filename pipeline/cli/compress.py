"""`mien compress`: a smaller, faster file of a network, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from operators.errors import ConfigError
from pipeline.cli.train import torch_there

if TYPE_CHECKING:
    from onnx import ModelProto

    from models.training.faces import Data
    from models.training.fit import Epoch

__all__ = ["compress"]


def compress(
    source: Annotated[
        str, typer.Argument(help="The folder of a run, a model of the registry (`mien models list`), or an ONNX file.")
    ],
    target: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    *,
    method: Annotated[
        Literal["int8-static", "int8-dynamic", "int8-qat", "prune", "fp16"], typer.Option(help="See above.")
    ] = "int8-static",
    data: Annotated[
        Path, typer.Option(metavar="PATH", help="What it was trained on: an npz file, or a folder for each class.")
    ],
    calibration: Annotated[
        Literal["percentile", "average", "minmax"],
        typer.Option(help="Of int8-static and int8-qat: how ranges are set."),
    ] = "percentile",
    share: Annotated[float, typer.Option(help="Of prune: how much is taken out.", min=0.01, max=0.9)] = 0.3,
    of: Annotated[
        Literal["channels", "work"], typer.Option(help="Of prune: a share of channels, or of multiplications.")
    ] = "channels",
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="How int8-qat and prune tune; default: tune_*.yaml.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where a tuning is kept and goes on; default: TARGET.run.")
    ] = None,
) -> None:
    """Make a smaller, faster file of a network, and say what it costs. Needs the extra `train`.

    int8-static   8 bits, ranges measured once on training faces: the fastest on CPUs, and the place to begin
    int8-dynamic  8 bits, ranges measured at each call: small, but slow
    int8-qat      int8-static, then tuned with the rounding in place: where int8-static loses too much
    prune         whole channels taken out and the rest tuned; needs a run; its file can be made int8-static after
    fp16          half precision, for GPUs

    At the end it is read beside the float network on the test split: points lost, agreement, size, milliseconds.

    Example:  mien compress runs/mine mine.int8.onnx --data my-pictures

    Example:  mien compress runs/mine pruned.onnx --method prune --share 0.3 --data my-pictures

    Example:  mien compress pruned.onnx pruned.int8.onnx --data my-pictures
    """
    with torch_there():
        from models.training.compress.methods import METHODS, How, read_source
        from models.training.compress.methods import compress as make
        from models.training.export import check_target
        from models.training.faces import load_data
        from models.training.provenance import Origin, keep_origin
    import onnx

    check_target(target)
    float_network = read_source(source)
    faces = load_data(data, side=float_network.side)
    folder = work or target.with_suffix(".run")
    if method in ("int8-qat", "prune"):
        keep_origin(folder, {"data": [Origin(str(data), faces.sha256)]})
    typer.echo(f"{source}, {method}: {METHODS[method]}")
    with _progress() as (progress, epoch):
        how = How(calibration, share, of, recipe, epoch=epoch, progress=progress)
        made = make(float_network, method, faces, folder, how)
    try:
        onnx.save(made, target)
    except OSError as error:
        raise ConfigError(f"{target} can't be written: {error.strerror}") from error
    _say(made, float_network.file, faces)
    typer.echo(f"{target} sha256 {_sha256(target)}")


@contextmanager
def _progress() -> Iterator[tuple[Callable[[int, int], None], Callable[[Epoch], None]]]:
    """A bar for the batches of an epoch, and a line for each epoch; nothing where nothing is tuned."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("tuning"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        shown = bar.add_task("", total=None, visible=False)

        def progress(done: int, of: int) -> None:
            bar.update(shown, completed=done, total=of, visible=True)

        def epoch(one: Epoch) -> None:
            scores = "  ".join(f"{name} {value:.1%}" for name, value in one.scores.items())
            bar.console.print(f"epoch {one.epoch}/{one.of}  loss {one.loss:.3f}  {scores}", highlight=False)

        yield progress, epoch


def _say(made: ModelProto, base: ModelProto, data: Data) -> None:
    """Print what was lost and gained, and warn where it is too much."""
    from rich.console import Console
    from rich.table import Table

    from models.training.compress.measure import alike, answer, lost, pace, reports
    from models.training.compress.quantize import as_faces

    said, before = answer(made, data), answer(base, data)
    after, was = reports(said, data), reports(before, data)
    like = alike(said, before)
    table = Table("", "accuracy", "float", "points", "same answer", box=None, header_style="bold")
    for head, report in after.items():
        change = report.accuracy - was[head].accuracy
        shares = (f"{report.accuracy:.1%}", f"{was[head].accuracy:.1%}", f"{100 * change:+.1f}")
        table.add_row(head, *shares, f"{like[head].agreement:.1%}")
    Console().print(table)
    timed = pace(made, base, as_faces(data.test.images[:1]))
    typer.echo(f"{made.ByteSize():,} bytes, was {base.ByteSize():,}; ", nl=False)
    typer.echo(f"{timed.ms:.2f} ms a face on one core, was {timed.float_ms:.2f}")
    for head, loss in lost(after, was).items():
        typer.secho(f"warning: {head} lost {100 * loss:.1f} points, more than half of one", fg="yellow", err=True)


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
