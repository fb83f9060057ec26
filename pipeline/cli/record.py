"""`mien record`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from operators.errors import ConfigError
from pipeline.cli.options import ConfigOption, PlainOption, RetentionOption, seconds

__all__ = ["record"]


def record(
    *,
    config: ConfigOption = Path("mien.yaml"),
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the recording; one that is there goes on.")
    ],
    for_: Annotated[
        float | None,
        typer.Option("--for", parser=seconds, metavar="DURATION", help="Stop after this long, such as 60s or 8h."),
    ] = None,
    retention: RetentionOption = "30d",  # type: ignore[assignment]  # typer parses defaults too
    frames: Annotated[bool, typer.Option("--frames", help="Keep the pictures too; needs --purpose.")] = False,
    purpose: Annotated[str, typer.Option(metavar="TEXT", help="Why pictures are kept, and who may see them.")] = "",
    plain: PlainOption = False,
) -> None:
    """Record what the cameras show, to try rules on it later with `mien replay` and `mien tune`.

    Keeps observations: figures of faces, no picture. With --frames the video is kept too, with privacy masks applied,
    which needs a stated purpose. Rules are not evaluated and nothing is sent, so it can run beside `mien run`.

    Example:  mien record -c mien.yaml -o recordings/lobby --for 8h --retention 7d
    """
    from operators.units import format_duration
    from pipeline.config import load_settings, secret_values
    from pipeline.logs import set_up
    from pipeline.record import Job
    from pipeline.record import record as record_cameras

    if frames != bool(purpose.strip()):
        raise ConfigError(
            "pictures of people are kept only for a stated purpose: give --frames and --purpose "
            '"who looks at them, and why" together, or neither'
        )
    settings = load_settings(config)
    set_up(secrets=secret_values(settings))
    job = Job(folder=output, retention=retention, video_purpose=purpose.strip())
    outcome = record_cameras(settings, job, seconds=for_, plain=plain)
    pictures = f", {outcome.pictures} pictures ({outcome.dropped} came too fast to be written)" if frames else ""
    typer.echo(
        f"{outcome.records} records, {outcome.gaps} of them gaps{pictures} -> {output}, "
        f"kept for {format_duration(retention)}"
    )
