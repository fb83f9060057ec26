"""Run roles until a signal comes, one of them fails, or one makes no progress; and end in time, whatever hangs.

Faust runs here as a library: its own worker waits for ever at the end when the brokers are gone. Signals, deadlines and
the watch over progress are ours, and none of them needs the event loop to be well.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from connectors.kafka_client import hush
from connectors.kafka_probe import Probe
from connectors.kafka_settings import KafkaSettings
from operators.errors import SinkError
from pipeline.config import Settings
from pipeline.health import Health
from pipeline.metrics import Metrics
from pipeline.process import found_topics, watched
from pipeline.signals import hanging_up, stopping
from pipeline.topics import kafka_of
from pipeline.worker.app import group_of
from pipeline.worker.progress import Partition, Watch
from pipeline.worker.roles import TOPICS, Roles

__all__ = ["run"]

log = logging.getLogger(__name__)

LOOK_S = 0.1
LIBRARIES = {"faust": logging.WARNING, "mode": logging.WARNING, "aiokafka": logging.CRITICAL}
"""They tell every step at INFO; aiokafka tells each attempt to reach a broker as an error, a hundred a second."""


def run(settings: Settings, names: Sequence[str], *, config: Path | None = None, instance: str = "") -> None:
    """Run these roles until SIGINT or SIGTERM.

    With `config`, the file that the settings are from, rules that change there are applied, or at SIGHUP. `instance`
    makes this worker a static member of its groups. Raises SinkError where no broker answers, ConfigError where topics
    are missing, and what ends a role; a worker that is stalled, or that can't end in time, exits with status 1.
    """
    hush()
    for library, level in LIBRARIES.items():
        logging.getLogger(library).setLevel(level)
    kafka, stop, hang_up = kafka_of(settings), threading.Event(), threading.Event()
    metrics = Metrics(provider=settings.models.device)
    with ExitStack() as stack:
        begin_to_stop = stack.enter_context(stopping(stop, within_s=settings.worker.stop_within))
        stack.enter_context(hanging_up(hang_up))
        if not found_topics(kafka, sorted({topic for name in names for topic in TOPICS[name]}), stop):
            return
        roles = Roles(settings, names, metrics=metrics, config=config, instance=instance)
        watches = [Watch(one, settings.worker.stalled_after) for one in roles.progress]
        health = Health(
            settings.worker.host,
            settings.worker.port,
            alive=lambda: next((watch.stalled for watch in watches if watch.stalled), ""),
            ready=lambda: next((f"{one.role} has no partitions yet" for one in roles.progress if not one.ready), ""),
            registry=metrics.registry,
        )
        stack.enter_context(health)
        stack.enter_context(watched(_Lookout(kafka, watches).stalled))
        log.info("worker roles=%s health=%s", "+".join(names), health.address)
        try:
            asyncio.run(_run(roles, stop, hang_up, begin_to_stop, leave_s=settings.worker.stop_within / 2))
        finally:
            _leave_within(settings.worker.stop_within)


async def _run(
    roles: Roles, stop: threading.Event, hang_up: threading.Event, begin_to_stop: Callable[[], None], *, leave_s: float
) -> None:
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
        begin_to_stop()
        leaving = asyncio.create_task(roles.leave())
        left, _ = await asyncio.wait([leaving], timeout=leave_s)
        working.cancel()
        await asyncio.wait([working])
        await asyncio.to_thread(roles.close)
        if left:
            leaving.result()
            log.info("worker has stopped")
        else:
            # The batch in hand, the last commit, the goodbye to the group: Faust and aiokafka wait for brokers in all
            # of them, without an end. What those have not taken is not acknowledged either, and comes again.
            log.warning("worker has stopped, and could not leave its groups within %.1f s: brokers are away", leave_s)
            if stop.is_set():
                os._exit(0)


def _leave_within(seconds: float) -> None:
    """End the process though a thread of Faust's may not: the interpreter would wait for it."""
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


async def _work(roles: Roles) -> None:
    await roles.start()
    await roles.run()


class _Lookout:
    """Asks the brokers how much waits for each role, and tells which role leaves it."""

    def __init__(self, kafka: KafkaSettings, watches: Sequence[Watch]) -> None:
        self._kafka = kafka
        self._watches = watches
        self._probe: Probe | None = None
        self._away = False

    def stalled(self) -> str:
        """Why the process should end, or nothing."""
        backlogs = self._backlogs()
        found = [(watch.progress.role, watch.look(backlogs.get(watch.progress.role))) for watch in self._watches]
        return "; ".join(f"role={role}: {why}" for role, why in found if why)

    def _backlogs(self) -> dict[str, dict[Partition, int]]:
        """What waits for each role; nothing while the brokers don't answer."""
        try:
            self._probe = probe = self._probe or Probe(self._kafka)
            found = {
                one.role: probe.backlog(group_of(self._kafka, one.role), dict(one.positions))
                for one in (watch.progress for watch in self._watches)
            }
        except SinkError as error:
            if not self._away:
                log.warning("no progress is expected while the brokers are away: %s", error)
            self._away = True
            if self._probe is not None:
                self._probe.close()
            self._probe = None
            return {}

        if self._away:
            log.info("the brokers answer again")
        self._away = False
        return found
