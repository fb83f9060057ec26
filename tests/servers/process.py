"""A server in a folder: any process that knows the folder can stop, kill and start it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

KEEPER = Path(__file__).with_name("keeper.py")
START_S = 90.0
STOP_S = 30.0


class ServerError(RuntimeError):
    """A server doesn't start, or doesn't end; with the last lines of its log."""


class Process:
    """The process of a server; its data stays in the folder over stop, kill and start."""

    def __init__(self, folder: Path, command: Sequence[str], *, is_ready: Callable[[], bool], owner: int) -> None:
        self.log = folder / "log"
        self._folder, self._command, self._is_ready, self._owner = folder, command, is_ready, owner
        self._pid = folder / "pid"

    @property
    def pid(self) -> int | None:
        """The process id; None when it doesn't run."""
        try:
            return int(self._pid.read_text())
        except FileNotFoundError:
            return None

    def start(self) -> None:
        """Start it, if it doesn't run, and wait until it answers."""
        if self.pid is None:
            command = [sys.executable, str(KEEPER), str(self._owner), str(self._folder), *self._command]
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        self._wait(lambda: self._is_ready() or self.pid is None, START_S, "does not answer")
        if self.pid is None:
            raise ServerError(f"{self._folder.name} ended at its start; it said:\n{self.tail()}")

    def stop(self) -> None:
        """End it politely, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def tail(self, lines: int = 30) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, how: signal.Signals) -> None:
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, how)
            self._wait(lambda: self.pid is None, STOP_S, f"did not end on {how.name}")

    def _wait(self, done: Callable[[], bool], seconds: float, otherwise: str) -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                text = f"{self._folder.name} {otherwise} within {seconds:g} s (is this machine too busy?)"
                raise ServerError(f"{text}; it said:\n{self.tail()}")
            time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Free ports of 127.0.0.1, below those that clients get: a server that is started again finds its own free."""
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(15000, 32000)
        if is_free(port):
            found.add(port)
    return sorted(found)


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended don't count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def kept(path: Path, make: Callable[[], str]) -> str:
    """The text of a file, made when it isn't there yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make())
    return path.read_text()
