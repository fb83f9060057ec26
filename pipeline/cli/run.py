"""`mien run`, `mien demo`, `mien analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from operators.errors import ConfigError, SinkError
from pipeline.cli.options import ConfigOption, PlainOption, RetentionOption, seconds

if TYPE_CHECKING:
    from pipeline.config import Settings

__all__ = ["analyze", "demo", "run"]

DurationOption = Annotated[
    float | None,
    typer.Option("--for", parser=seconds, metavar="DURATION", help="Stop after this long, such as 60s or 1h."),
]


def run(
    *,
    config: ConfigOption = Path("mien.yaml"),
    for_: DurationOption = None,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Record observations too, as `mien record` does.")
    ] = None,
    retention: RetentionOption = "30d",  # type: ignore[assignment]  # typer parses defaults too
    plain: PlainOption = False,
) -> None:
    """Watch the cameras of a configuration until Ctrl-C.

    Reads every camera, finds and follows faces, reads their expressions, evaluates the rules and delivers alerts to the
    store and the sinks. Nothing is downloaded, and no picture is stored or sent to a sink. Rules that change on
    the disk are checked and applied while it runs, at once with SIGHUP; everything else needs a restart.

    A web console shows it all at http://127.0.0.1:8420/, or where the first lines say. `console:` in the configuration
    says where it is served, who may see it, and what its live view shows: by itself none that a face can be read in.

    Example:  mien run -c mien.yaml --for 10m
    """
    from contextlib import ExitStack

    from pipeline.record import Job, best_effort, taping
    from pipeline.run import run as run_local
    from pipeline.view import stdout_is_taken, summary

    settings = _load(config)
    with ExitStack() as stack:
        tape = None
        if record is not None:
            tape, _ = stack.enter_context(taping(settings, Job(folder=record, retention=retention)))
            tape = best_effort(tape)
        last = run_local(settings, seconds=for_, plain=plain, tape=tape, config=config)
    typer.echo(summary(last), err=stdout_is_taken(settings))
    if last.store_error:
        raise SinkError(f"the last alerts could not be stored: {last.store_error}", retryable=False)


def demo(
    *,
    for_: Annotated[
        float, typer.Option("--for", parser=seconds, metavar="DURATION", help="How long to run, such as 60s.")
    ] = "60s",  # type: ignore[assignment]  # typer parses defaults too
    plain: PlainOption = False,
) -> None:
    """Run the main job on a built-in scene: no camera, no download, no configuration.

    Two portraits walk towards two virtual cameras; rules watch for a smile and for fear. The configuration it uses is
    pipeline/demo.yaml: copy it to begin your own. Look at it in a browser: http://127.0.0.1:8420/, or where it says.

    Example:  mien demo --for 30s
    """
    from pipeline.demo import demo as run_demo
    from pipeline.logs import set_up
    from pipeline.view import summary

    set_up()
    typer.echo(summary(run_demo(seconds=for_, plain=plain)))


def analyze(
    video: Annotated[Path, typer.Argument(help="A video file, or a directory of pictures.")],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Observations go here, as JSON lines.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Models, analysis and rules to use.")
    ] = None,
    camera: Annotated[
        str, typer.Option(metavar="NAME", help="Camera of the configuration whose zones, masks and detail apply.")
    ] = "",
    alerts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Alerts of the rules go here, as JSON lines.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Record into this folder, for `mien replay`; may hold others.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, help="Frames per second to analyse; default: every frame.")
    ] = None,
) -> None:
    """Analyse one video as fast as this machine can.

    One JSON object per analysed frame, also for frames without a face. The same input gives the same bytes.

    Example:  mien analyze lobby.mp4 -o observations.jsonl -c mien.yaml --alerts alerts.jsonl

    Example:  mien analyze lobby.mp4 -c mien.yaml --camera lobby --record recordings/lobby
    """
    from rich.progress import Progress

    from pipeline.analyze import Job, default_settings
    from pipeline.analyze import analyze as analyze_video

    results = [str(path) for path in (output, alerts, record) if path is not None]
    if not results:
        raise ConfigError("nothing to do: name a file for the observations (-o) or the alerts, or a folder to --record")
    settings = default_settings(video) if config is None else _load(config)
    with Progress(transient=True) as bar:
        task = bar.add_task(video.name, total=None)
        outcome = analyze_video(
            settings,
            Job(video=video, output=output, alerts=alerts, recording=record, camera_id=camera, fps=fps),
            progress=lambda done, total: bar.update(task, completed=done, total=total or None),
        )
    typer.echo(
        f"{outcome.frames} frames ({outcome.lost} undecodable), {outcome.faces} faces "
        f"({outcome.unreadable} unreadable), {outcome.alerts} alert transitions in {outcome.seconds:.1f} s "
        f"-> {', '.join(results)}"
    )


def _load(path: Path) -> Settings:
    """The settings, with a log that knows their secrets."""
    from pipeline.config import load_settings, secret_values
    from pipeline.logs import set_up

    settings = load_settings(path)
    set_up(secrets=secret_values(settings))
    return settings
