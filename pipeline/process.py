"""What every long-running process of the distributed pipeline does: wait for the brokers, never hang."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from connectors.kafka_probe import Probe
from connectors.kafka_settings import KafkaSettings
from operators.errors import ConfigError, SinkError

__all__ = ["found_topics", "watched"]

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
