"""`mien capture`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ConfigOption, seconds

__all__ = ["capture"]


def capture(
    *,
    config: ConfigOption = Path("mien.yaml"),
    for_: Annotated[
        float | None,
        typer.Option("--for", parser=seconds, metavar="DURATION", help="Stop after this long, such as 60s or 1h."),
    ] = None,
) -> None:
    """Read cameras and send their pictures to Kafka, for `mien worker` to analyse.

    Start as many as you like, on as many machines: they share the cameras out, none is read twice, and when one dies
    the others take over its cameras. Privacy masks are painted before anything leaves the capture process. Ends with
    Ctrl-C or SIGTERM.

    Example:  mien topics apply -c mien.yaml && mien capture -c mien.yaml
    """
    from pipeline.capture import capture as run
    from pipeline.config import READS, load_settings, secret_values
    from pipeline.logs import set_up

    settings = load_settings(config, reads=READS["capture"])
    set_up(secrets=secret_values(settings))
    status = run(settings, seconds=for_)
    for camera in status.cameras:
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(camera.drops.items())) or "none"
        typer.echo(f"{camera.camera_id}: {camera.frames} frames captured, {camera.analysed} sent, dropped: {dropped}")
