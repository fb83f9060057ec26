"""`mien bench CLIP` and `mien bench kafka`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup
from typing_extensions import override

from pipeline.cli.options import seconds

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.bench import Result
    from pipeline.bench_kafka import Latency, Throughput

__all__ = ["bench"]

HELP = {"-h", "--help"}


class _LocalUnlessNamed(TyperGroup):
    """`mien bench CLIP` is `mien bench local CLIP`."""

    @override
    def parse_args(self, ctx: object, args: list[str]) -> list[str]:
        named = not args or args[0] in HELP or args[0] in self.commands
        # typer has its own copy of click, whose Context it doesn't show
        return super().parse_args(ctx, args if named else ["local", *args])  # type: ignore[arg-type]


bench = typer.Typer(
    cls=_LocalUnlessNamed,
    no_args_is_help=True,
    help="""Measure how many cameras this machine carries, and what Kafka costs.

    One machine:   mien bench lobby.mp4 --cameras 1 --cameras 8

    With Kafka:    mien bench kafka --bootstrap 127.0.0.1:9092
    """,
)


@bench.command()
def local(
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


@bench.command()
def kafka(
    *,
    clip: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A video with happy faces; default: the built-in scene.")
    ] = None,
    bootstrap: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="A broker; topics of the measurement are made and deleted.")
    ] = "127.0.0.1:9092",
    cameras: Annotated[list[int] | None, typer.Option(min=1, help="Number of cameras; repeat for several.")] = None,
    fps: Annotated[float, typer.Option(min=1, help="Frames per second of each camera.")] = 5.0,
    for_: Annotated[
        float, typer.Option("--for", parser=seconds, metavar="DURATION", help="How long each measurement lasts.")
    ] = "30s",  # type: ignore[assignment]  # typer parses defaults too
    detector: Annotated[str, typer.Option(help="Face detector: see `mien models list`.")] = "mtcnn",
    mirror: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder with copies of model files.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write figures, machine, commit and input here.")
    ] = None,
) -> None:
    """Measure what Kafka costs, against `mien run` on the same cameras.

    First as many frames as capture gets into the broker; then, for both runtimes, the time from the frame that made a
    rule fire (so beyond its `for`) to the moment a webhook has the alert. Cores and MB are of mien's own processes.

    Example:  mien bench kafka --bootstrap 127.0.0.1:9092 --cameras 1 --cameras 8 --for 45s
    """
    import json
    import tempfile

    from rich.console import Console

    from pipeline.bench_kafka import KafkaBench, as_document, measure_latency, measure_throughput, scene_clip
    from pipeline.logs import set_up

    set_up()
    console = Console(highlight=False)
    throughput, latency = [], []
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as folder, console.status("") as status:
        wanted = KafkaBench(
            clip=clip or scene_clip(Path(folder), fps=round(fps)),
            bootstrap=bootstrap,
            fps=fps,
            seconds=for_,
            detector=detector,
            mirror=mirror,
        )
        for number in cameras or [1, 8, 16]:
            one = replace(wanted, cameras=number)
            throughput.append(measure_throughput(one, tell=status.update))
            latency += [measure_latency(one, "local", tell=status.update)]
            latency += [measure_latency(one, "kafka", tell=status.update)]
        document = as_document(throughput, latency, wanted)
    console.print(_throughput_table(throughput))
    console.print(_latency_table(latency))
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _throughput_table(results: list[Throughput]) -> Table:
    from rich.table import Table

    table = Table(title="frames into the broker, as many as go", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column in ("cameras", "frames/s", "MB/s", "KB/frame", "cores", "p50 ms", "p95", "p99"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in results:
        table.add_row(
            str(one.cameras),
            *(f"{figure:.0f}" for figure in (one.frames_per_s, one.mb_per_s, one.kb_per_frame)),
            f"{one.cores:.2f}",
            *(f"{figure:.0f}" for figure in (one.p50_ms, one.p95_ms, one.p99_ms)),
        )
    return table


def _latency_table(results: list[Latency]) -> Table:
    from rich.table import Table

    table = Table(title="from frame to alert, beyond `for`", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column in ("runtime", "cameras", "alerts", "fps read", "drops", "p50 ms", "p95", "p99", "cores", "MB"):
        table.add_column(column, justify="left" if column == "runtime" else "right", no_wrap=True)
    for one in results:
        figures = (one.fps_analysed, one.dropped, one.p50_ms, one.p95_ms, one.p99_ms)
        table.add_row(
            one.runtime,
            str(one.cameras),
            str(one.alerts),
            *(f"{figure:.0f}" for figure in figures),
            f"{one.cores:.2f}",
            f"{one.peak_mb:.0f}",
        )
    return table


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
