"""`mien cameras check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from operators.errors import ConfigError
from pipeline.cli.options import ConfigOption, seconds

__all__ = ["cameras"]

cameras = typer.Typer(help="The cameras: find out what is wrong with one.", no_args_is_help=True)


@cameras.callback()
def _group() -> None:
    """Keep `check` a command of its own while it is the only one."""


@cameras.command()
def check(
    name: Annotated[str | None, typer.Argument(help="Camera id; without it, every enabled camera.")] = None,
    *,
    config: ConfigOption = Path("mien.yaml"),
    for_: Annotated[
        float, typer.Option("--for", parser=seconds, metavar="DURATION", help="How long to watch each camera.")
    ] = "5s",  # type: ignore[assignment]  # typer parses defaults too
) -> None:
    """Try the cameras one after the other and say in plain words what is wrong.

    Resolves the name, connects, opens the stream with the password, and reads pictures for a while. Exit status 1 when
    a camera fails.

    Example:  mien cameras check lobby -c mien.yaml
    """
    import logging

    from connectors.doctor import examine, lines
    from pipeline.complaints import nearest
    from pipeline.config import load_settings, secret_values
    from pipeline.logs import set_up

    settings = load_settings(config)
    set_up(secrets=secret_values(settings), level=logging.ERROR)  # the report says it all
    if name is not None and name not in settings.cameras:
        near = nearest(name, settings.cameras) or f"; there are: {', '.join(settings.cameras)}"
        raise ConfigError(f'{config}: no camera is called "{name}"{near}')
    chosen = settings.active_cameras if name is None else {name: settings.cameras[name]}
    well = True
    for camera_id, camera in chosen.items():
        report = examine(camera, seconds=for_)
        typer.echo("\n".join([f"{camera_id}  {lines(report)[0]}", *lines(report)[1:]]))
        well = well and report.ok
    if not well:
        raise typer.Exit(1)
