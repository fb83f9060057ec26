"""How a process ends when it is asked to."""

from __future__ import annotations

import signal
import subprocess
import sys

ASKED_WHILE_LOCKED = """
import signal, threading
from pipeline.signals import hanging_up, stopping

stop, hang_up = threading.Event(), threading.Event()
with stopping(stop, within_s=30), hanging_up(hang_up):
    for event, number in ((hang_up, signal.SIGHUP), (stop, signal.SIGTERM)):
        with event._cond:  # as `wait` holds it for a moment, in which a signal may come
            signal.raise_signal(number)
        print(event.wait(10), flush=True)
"""
ASKED_AT_THE_END = """
import signal, threading
from pipeline.signals import stopping

stop = threading.Event()
with stopping(stop, within_s=30) as begin_to_stop:
    begin_to_stop()
    begin_to_stop()
    signal.raise_signal(signal.SIGTERM)
    print(stop.wait(10), flush=True)
    signal.raise_signal(signal.SIGTERM)
print("never reached")
"""


def test_a_signal_does_not_wait_for_whom_it_interrupts():
    assert _run(ASKED_WHILE_LOCKED) == (["True", "True"], 0)


def test_a_second_signal_ends_at_once():
    assert _run(ASKED_AT_THE_END) == (["True"], 128 + signal.SIGTERM)


def _run(code: str) -> tuple[list[str], int]:
    """What a program said, and how it ended."""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=30)
    return done.stdout.split(), done.returncode
