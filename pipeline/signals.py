"""How a process ends: in order when it is asked to, at once when it is asked twice, and always in time."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["hanging_up", "stopping"]

log = logging.getLogger(__name__)


@contextmanager
def stopping(
    stop: threading.Event, *, within_s: float, last: Callable[[], None] = lambda: None
) -> Iterator[Callable[[], None]]:
    """Set `stop` at the first SIGINT or SIGTERM; a second one, or `within_s` gone by, ends the process at once.

    `last` is done even then. Yields what starts that time without a signal.
    """

    def cut_off() -> None:
        last()
        log.error("stopping took longer than %.1f s: cut off", within_s)
        os._exit(1)

    deadline = threading.Timer(within_s, cut_off)
    deadline.daemon = True

    def start() -> None:
        with suppress(RuntimeError):  # it goes by already, perhaps since this very line was interrupted
            deadline.start()

    def asked(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            last()
            os._exit(128 + number)
        start()
        _set(stop)

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield start
    finally:
        deadline.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hanging_up(hang_up: threading.Event) -> Iterator[None]:
    """Set `hang_up` at SIGHUP."""
    before = signal.signal(signal.SIGHUP, lambda _number, _frame: _set(hang_up))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _set(event: threading.Event) -> None:
    """Set an event in a signal handler, which may have interrupted somebody who holds the lock of that event."""
    threading.Thread(target=event.set, name="signal", daemon=True).start()
