"""`mien bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import seconds

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.bench import Result

__all__ = ["bench"]


def bench(
    clip: Annotated[Path, typer.Argument(help="A video with faces; copies of it play as cameras.")],
    *,
    cameras: Annotated[list[int] | None, typer.Option(min=1, help="Number of cameras; repeat for several.")] = None,
    fps: Annotated[float, typer.Option(min=1, help="Frames per second of each camera.")] = 10.0,
    for_: Annotated[
        float, typer.Option("--for", parser=seconds, metavar="DURATION", help="How long each measurement lasts.")
    ] = "30s",  # type: ignore[assignment]  # typer parses defaults too
    detector: Annotated[str, typer.Option(help="Face detector: see `mien models list`.")] = "mtcnn",
    min_face_size: Annotated[int, typer.Option(help="Smallest face to look for, in pixels.")] = 20,
    mirror: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder with copies of model files.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write figures, machine, commit and input here.")
    ] = None,
) -> None:
    """Measure how many cameras this machine carries.

    Frames per second, drops, latency from frame to decision, and CPU in the steady state, for 1, 8 and 16 cameras
    unless told otherwise. CPU is in cores; nets, decode and other are the shares of networks, video decoding and all
    else; MB is the peak memory of all processes.

    Example:  mien bench lobby.mp4 --cameras 1 --cameras 8 --for 30s --json bench.json
    """
    import json

    from rich.console import Console

    from pipeline.bench import Bench, as_document, measure
    from pipeline.logs import set_up

    set_up()
    console = Console(highlight=False)
    results = []
    with console.status("") as status:
        for count in cameras or [1, 8, 16]:
            wanted = Bench(
                clip=clip,
                cameras=count,
                fps=fps,
                seconds=for_,
                detector=detector,
                min_face_size=min_face_size,
                mirror=mirror,
            )
            results.append(measure(wanted, progress=status.update))
    console.print(_table(results))
    if json_file is not None:
        json_file.write_text(json.dumps(as_document(results, clip), indent=2) + "\n", encoding="utf-8")


def _table(results: list[Result]) -> Table:
    from rich.table import Table

    columns = ("cameras", "fps in", "read", "drops", "p50 ms", "p95", "p99")
    cores = ("cores", "nets", "decode", "other")
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in (*columns, *cores, "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in results:
        figures = (one.fps_in, one.fps_analysed, sum(one.dropped.values()), one.p50_ms, one.p95_ms, one.p99_ms)
        shares = (one.cpu_kernels / one.cpu_total, one.cpu_decode / one.cpu_total, one.outside_share)
        table.add_row(
            str(one.cameras),
            *(f"{figure:.0f}" for figure in figures),
            f"{one.cpu_total:.2f}",
            *(f"{share:.0%}" for share in shares),
            f"{one.peak_mb:.0f}",
        )
    return table
