"""`mien run`: the local pipeline with everything around it, until it is told to stop.

Around it are a screen, the metrics, the web console, and what tells Elasticsearch. None of them is needed for an alert.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from operators.records import Frame, Gap, Observation
from pipeline.build import build_telemetry
from pipeline.config import Settings
from pipeline.evaluation import Record, in_order
from pipeline.local import POLL_S, LocalPipeline, Tape
from pipeline.metrics import Metrics
from pipeline.signals import hanging_up, stopping
from pipeline.status import Status
from pipeline.view import View, restore_terminal

if TYPE_CHECKING:
    from pipeline.web.server import Console

__all__ = ["run"]

STOP_S = 4.5
"""SIGTERM ends within 5 s: what hasn't stopped by then is cut off, and the journal is whole at any moment."""


def run(
    settings: Settings,
    *,
    seconds: float | None = None,
    plain: bool = False,
    tape: Tape | None = None,
    config: Path | None = None,
) -> Status:
    """Run until the time is up, the sources end, or SIGINT / SIGTERM comes; returns the last status.

    With `config`, the file that the settings are from, its rules are applied when they change, or at SIGHUP.
    """
    stop, hang_up = threading.Event(), threading.Event()
    metrics = Metrics(provider=settings.models.device)
    with ExitStack() as stack:
        begin_to_stop = stack.enter_context(stopping(stop, within_s=STOP_S, last=restore_terminal))
        if config is not None:
            stack.enter_context(hanging_up(hang_up))
        if settings.metrics is not None:
            stack.callback(metrics.serve(settings.metrics.host, settings.metrics.port).stop)
        console = stack.enter_context(_console(settings, metrics))
        view = stack.enter_context(View(settings, plain=plain, address="" if console is None else console.url))
        tapes = [] if tape is None else [tape]
        hearers = [metrics.refresh, view.update]
        telemetry = build_telemetry(settings, role="run")
        if telemetry is not None:
            tapes.append(_records_for(stack.enter_context(telemetry).observe))
        if console is not None:
            tapes.append(console.tape)
            hearers.append(console.update)
        pipeline = stack.enter_context(LocalPipeline(settings, metrics=metrics, tape=_all(tapes), config=config))
        if console is not None:
            stack.enter_context(console.over(pipeline))
        if telemetry is not None:
            hearers.append(partial(telemetry.report, recorder=pipeline.recorder))
        stack.callback(begin_to_stop)
        _watch(pipeline, stop, hang_up, seconds=seconds, hearers=hearers)
    return pipeline.status()


def _watch(
    pipeline: LocalPipeline,
    stop: threading.Event,
    hang_up: threading.Event,
    *,
    seconds: float | None,
    hearers: Sequence[Callable[[Status], None]],
) -> None:
    """Tell what the pipeline says about itself, several times a second, until it is over."""
    ends_at = None if seconds is None else time.monotonic() + seconds
    while not (stop.wait(POLL_S) or pipeline.finished() or (ends_at and time.monotonic() > ends_at)):
        if hang_up.is_set():
            hang_up.clear()
            pipeline.reload()
        status = pipeline.status()
        for hear in hearers:
            hear(status)


@contextmanager
def _console(settings: Settings, metrics: Metrics) -> Iterator[Console | None]:
    """The web console; None where it is switched off. Raises ConfigError where it can't be served."""
    if not settings.console.enabled:
        yield None
        return
    from pipeline.web.server import Console  # noqa: PLC0415 -- only who serves pages should wait for its packages

    with closing(Console(settings, metrics=metrics.registry)) as console:
        yield console


def _records_for(observe: Callable[[Iterator[Record]], None]) -> Tape:
    """A tape that hands on what the rules get."""
    return lambda items, observations: observe(in_order(items, observations))


def _all(tapes: Sequence[Tape]) -> Tape | None:
    """One tape for what several want to have."""
    if not tapes:
        return None

    def each(items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> None:
        for tape in tapes:
            tape(items, observations)

    return each
