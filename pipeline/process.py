"""What every long-running process of the distributed pipeline does: wait for the brokers, stop in time, never hang."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from connectors.kafka_probe import Probe
from connectors.kafka_settings import KafkaSettings
from operators.errors import ConfigError, SinkError

__all__ = ["found_topics", "stopping", "watched"]

log = logging.getLogger(__name__)

BROKERS_WITHIN_S = 60.0
"""How long to wait for brokers and topics at the start."""
AGAIN_S = 2.0
WATCH_EVERY_S = 1.0


def found_topics(kafka: KafkaSettings, names: Sequence[str], stop: threading.Event) -> bool:
    """Wait for the brokers and the topics; False where a stop came first. Raises what still is in the way at last."""
    ends_at = time.monotonic() + BROKERS_WITHIN_S
    while not stop.is_set():
        try:
            with Probe(kafka) as probe:
                probe.check_topics(names)
                return True
        except (SinkError, ConfigError) as error:
            if time.monotonic() > ends_at or (isinstance(error, SinkError) and not error.retryable):
                raise
            log.warning("waiting, for %.0f s more at most: %s", max(0.0, ends_at - time.monotonic()), error)
        stop.wait(AGAIN_S)
    return False


@contextmanager
def stopping(stop: threading.Event, *, within_s: float) -> Iterator[Callable[[], None]]:
    """Set `stop` at the first SIGINT or SIGTERM; a second one, or `within_s` gone by, ends the process at once.

    Yields what starts that time without a signal.
    """

    def cut_off() -> None:
        log.error("stopping took longer than worker.stop_within=%.1f s: cut off", within_s)
        os._exit(1)

    deadline = threading.Timer(within_s, cut_off)
    deadline.daemon = True

    def start() -> None:
        if not deadline.is_alive():
            deadline.start()

    def asked(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        start()

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield start
    finally:
        deadline.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def watched(stalled: Callable[[], str]) -> Iterator[None]:
    """End the process with status 1 as soon as `stalled` says why; asked from a thread of its own."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_EVERY_S):
            if why := stalled():
                log.critical("stalled: %s; the process ends, to be started anew", why)
                os._exit(1)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        over.set()
