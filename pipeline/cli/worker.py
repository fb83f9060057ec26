"""`mien worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ConfigOption

__all__ = ["worker"]


def worker(
    *,
    role: Annotated[
        str,
        typer.Option(
            metavar="ROLE", help="analyze, evaluate, notify, several joined by +, all of them, or capture+analyze."
        ),
    ],
    config: ConfigOption = Path("mien.yaml"),
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name of this worker, different for each of one role: restarted under it within 10 s, it goes on "
            "without a rebalance.",
        ),
    ] = "",
) -> None:
    """Run a part of the distributed pipeline until SIGTERM.

    analyze reads frames and writes observations, evaluate reads observations and writes alerts, notify reads alerts and
    delivers them. Start as many workers of each as it takes: they share the cameras among them (one notify for each
    store). Topics are made by `mien topics apply`, frames come from `mien capture`.

    capture+analyze reads the cameras and analyses them in one process, so that no frame goes through Kafka: for links
    or brokers that can't carry pictures. Such workers share the cameras among them, as `mien capture` does.

    Example:  mien worker -c mien.yaml --role evaluate

    Example:  mien worker -c mien.yaml --role all
    """
    from pipeline.config import READS, load_settings, secret_values
    from pipeline.logs import set_up

    fused = role == "capture+analyze"
    names = tuple(role.split("+")) if fused else _roles(role)
    settings = load_settings(config, reads=frozenset[str]().union(*(READS[one] for one in names)))
    set_up(secrets=secret_values(settings))
    if fused:
        from pipeline.worker.fused import run as run_fused

        run_fused(settings, config=config)
    else:
        from pipeline.worker.run import run

        run(settings, names, config=config, instance=name)


def _roles(role: str) -> tuple[str, ...]:
    from pipeline.worker.roles import parse_roles

    return parse_roles(role)
