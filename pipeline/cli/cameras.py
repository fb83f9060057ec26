"""`mien cameras check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ConfigOption

__all__ = ["cameras"]

cameras = typer.Typer(help="The cameras: find out what is wrong with one.", no_args_is_help=True)


@cameras.callback()
def _group() -> None:
    """Keeps `check` a command of its own while it is the only one."""


@cameras.command()
def check(
    name: Annotated[str | None, typer.Argument(help="Camera id; without it, all of them.")] = None,
    config: ConfigOption = Path("mien.yaml"),
) -> None:
    """Try the cameras one after the other and say in plain words what is wrong.

    Example:  mien cameras check lobby -c mien.yaml
    """
