"""Run roles until a signal comes, one of them fails, or one makes no progress; and end in time, whatever hangs.

Faust runs here as a library: its own worker waits for ever at the end when the brokers are gone. Signals, deadlines and
the watch over progress are ours, and none of them needs the event loop to be well.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from connectors.kafka_client import hush
from connectors.kafka_probe import Probe
from operators.errors import ConfigError, SinkError
from pipeline.config import Settings
from pipeline.metrics import Metrics
from pipeline.worker.app import group_of, kafka_of
from pipeline.worker.health import Health
from pipeline.worker.progress import Watch
from pipeline.worker.roles import TOPICS, Roles

__all__ = ["run"]

log = logging.getLogger(__name__)

BROKERS_WITHIN_S = 60.0
"""How long to wait for brokers and topics at the start."""
AGAIN_S = 2.0
LOOK_S = 0.1
WATCH_EVERY_S = 2.0
LIBRARIES = ("faust", "mode", "aiokafka")
"""They tell every step at INFO."""


def run(settings: Settings, names: Sequence[str], *, config: Path | None = None, instance: str = "") -> None:
    """Run these roles until SIGINT or SIGTERM.

    With `config`, the file that the settings are from, rules that change there are applied, or at SIGHUP. `instance`
    makes this worker a static member of its groups. Raises SinkError where no broker answers, ConfigError where topics
    are missing, and what ends a role; a worker that is stalled, or that can't end in time, exits with status 1.
    """
    hush()
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    stop, hang_up = threading.Event(), threading.Event()
    metrics = Metrics(provider=settings.models.device)
    with ExitStack() as stack:
        deadline = _deadline(settings.worker.stop_within)
        stack.enter_context(_signals(stop, hang_up, deadline))
        if not _found(settings, names, stop):
            return
        roles = Roles(settings, names, metrics=metrics, config=config, instance=instance)
        watches = [Watch(one, settings.worker.stalled_after) for one in roles.progress]
        health = Health(
            settings.worker.host,
            settings.worker.port,
            alive=lambda: next(filter(None, (watch.stalled for watch in watches)), ""),
            ready=lambda: next((f"{one.role} has no partitions yet" for one in roles.progress if not one.ready), ""),
            registry=metrics.registry,
        )
        stack.enter_context(health)
        log.info("worker roles=%s health=%s", "+".join(names), health.address)
        threading.Thread(target=_watch, args=(settings, watches, stop), name="watchdog", daemon=True).start()
        asyncio.run(_run(roles, stop, hang_up, deadline))


async def _run(roles: Roles, stop: threading.Event, hang_up: threading.Event, deadline: threading.Timer) -> None:
    working = asyncio.create_task(_work(roles))
    try:
        while not (stop.is_set() or working.done()):
            await asyncio.wait([working], timeout=LOOK_S)
            if hang_up.is_set():
                hang_up.clear()
                roles.look()
        if working.done():
            working.result()
    finally:
        _start(deadline)
        await roles.stop()
        working.cancel()
        await asyncio.wait([working])
        log.info("worker has stopped")


async def _work(roles: Roles) -> None:
    await roles.start()
    await roles.run()


def _found(settings: Settings, names: Sequence[str], stop: threading.Event) -> bool:
    """Wait for the brokers and the topics; False where a signal came first. Raises what still is in the way."""
    kafka = kafka_of(settings)
    wanted = sorted({topic for name in names for topic in TOPICS[name]})
    ends_at = time.monotonic() + BROKERS_WITHIN_S
    while not stop.is_set():
        try:
            with Probe(kafka) as probe:
                probe.check_topics(wanted)
                return True
        except (SinkError, ConfigError) as error:
            if time.monotonic() > ends_at or (isinstance(error, SinkError) and not error.retryable):
                raise
            log.warning("waiting, for %.0f s more at most: %s", ends_at - time.monotonic(), error)
        stop.wait(AGAIN_S)
    return False


def _watch(settings: Settings, watches: Sequence[Watch], stop: threading.Event) -> None:
    """End the process when a role is stalled; also when nobody can watch any more."""
    kafka = kafka_of(settings)
    probe: Probe | None = None
    try:
        while not stop.wait(WATCH_EVERY_S):
            backlogs = {}
            try:
                probe = probe or Probe(kafka)
                for watch in watches:
                    progress = watch.progress
                    backlogs[progress.role] = probe.backlog(group_of(kafka, progress.role), dict(progress.positions))
            except SinkError as error:
                log.debug("brokers can't be asked error=%s", error)
                probe = None
            for watch in watches:
                why = watch.look(backlogs.get(watch.progress.role))
                if why:
                    log.critical("stalled role=%s: %s; the process ends, to be started anew", watch.progress.role, why)
                    return
    finally:
        if not stop.is_set():
            os._exit(1)


@contextmanager
def _signals(stop: threading.Event, hang_up: threading.Event, deadline: threading.Timer) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks for an orderly stop, a second one ends at once; SIGHUP sets `hang_up`."""

    def asked(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        _start(deadline)

    handlers = {
        signal.SIGINT: asked,
        signal.SIGTERM: asked,
        signal.SIGHUP: lambda _number, _frame: hang_up.set(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _deadline(seconds: float) -> threading.Timer:
    """Cuts the process off when it is started and the time is over; never cancelled, it goes with the process."""

    def cut_off() -> None:
        log.error("stopping took longer than worker.stop_within=%.1f s: cut off", seconds)
        os._exit(1)

    timer = threading.Timer(seconds, cut_off)
    timer.daemon = True
    return timer


def _start(deadline: threading.Timer) -> None:
    if not deadline.is_alive():
        deadline.start()
