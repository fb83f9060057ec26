"""The console's server: a thread with an event loop of its own, beside the pipeline."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import h11
import uvicorn
from prometheus_client import CollectorRegistry
from uvicorn.protocols.http.h11_impl import H11Protocol

from connectors.store_reader import StoreReader
from operators.errors import ConfigError
from pipeline.config import Settings
from pipeline.sections import Console as ConsoleSettings
from pipeline.status import Status
from pipeline.web.app import create_app
from pipeline.web.sources import Memory, Sources

if TYPE_CHECKING:
    from pipeline.local import LocalPipeline

__all__ = ["DEFAULT_PORT", "Console", "listen", "served", "url_of"]

log = logging.getLogger(__name__)

DEFAULT_PORT = 8420
STOP_S = 1.0
"""Longest wait for requests in progress at the end."""
CONNECTIONS = 200
"""Requests of more at the same time are refused."""
MOST_CONNECTIONS = 250
"""More are not even kept open: each is a file, of which cameras and alerts need some, too."""
ARRIVES_S = 60.0
"""Longest time in which a request must have come as a whole."""


class Console:
    """The console of one run: it listens at once, so that a port that is taken is told first, and answers `over` it."""

    def __init__(self, settings: Settings, *, metrics: CollectorRegistry) -> None:
        self._settings, self._metrics = settings, metrics
        self._listening = listen(settings.console)
        self.url = url_of(settings.console, self._listening)
        self._memory = Memory(settings)
        self.tape = self._memory.tape
        self._status = Status(uptime_s=0.0, cameras=())

    def update(self, status: Status) -> None:
        """Make `status` what the next answer says."""
        self._status = status

    def close(self) -> None:
        """Give the port back, also where nothing was ever served."""
        self._listening.close()

    @contextmanager
    def over(self, pipeline: LocalPipeline) -> Iterator[None]:
        """Serve what the pipeline does until the block ends."""
        self.update(pipeline.status())
        reader = StoreReader(self._settings.store.path)
        sources = Sources(
            settings=self._settings,
            status=lambda: self._status,
            reader=reader,
            store=pipeline.store,
            metrics=self._metrics,
            memory=self._memory,
            evaluation=pipeline.evaluation,
            analyzer=lambda: pipeline.analyzer,
        )
        try:
            with served(sources, self._listening):
                yield
        finally:
            reader.close()


def listen(console: ConsoleSettings) -> socket.socket:
    """A socket that listens where the settings say; raises ConfigError where it can't.

    Nobody having set the port, any free one does where the usual one is taken: the address is told at the start.
    """
    try:
        return _bound(console.host, DEFAULT_PORT if console.port is None else console.port)
    except OSError as error:
        if console.port is None and error.errno == errno.EADDRINUSE:
            return _bound(console.host, 0)
        port = DEFAULT_PORT if console.port is None else console.port
        raise ConfigError(
            f"expected to serve the console on {console.host}:{port}, got {error}: set console.port to a free port "
            "(0 takes any) or console.host to an address of this machine"
        ) from error


def url_of(console: ConsoleSettings, listening: socket.socket) -> str:
    """Where a browser finds the console."""
    host = socket.gethostname() if console.everywhere else console.host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}/"


@contextmanager
def served(sources: Sources, listening: socket.socket) -> Iterator[None]:
    """Serve the console until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(sources),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            loop="asyncio",
            http=_Connection,
            ws="none",
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=_serve, args=(server, listening, sources.closing), name="console", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sources.closing.set()
        server.should_exit = True
        thread.join(STOP_S + 0.5)
        listening.close()


def _serve(server: uvicorn.Server, listening: socket.socket, closing: threading.Event) -> None:
    try:
        asyncio.run(server.serve(sockets=[listening]))
    finally:
        listening.close()  # else whoever asks would wait for ever
        if not closing.is_set():
            log.error("the console has ended; cameras and alerts go on without it: start mien again to have it back")


class _Connection(H11Protocol):
    """One of a bounded number of connections, on which requests come in bounded time.

    uvicorn bounds neither, so that anybody who reaches the port could use up all files that the process may open.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        if len(self.connections) >= MOST_CONNECTIONS:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._late = self.loop.call_later(ARRIVES_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        arriving = self.conn.their_state in {h11.IDLE, h11.SEND_BODY}
        if arriving and self._late is None:
            self._late = self.loop.call_later(ARRIVES_S, self.transport.abort)
        elif not arriving:
            self._in_time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    every = host == "::" and socket.has_dualstack_ipv6()  # else it would be every interface by IPv6 only
    listening = socket.create_server((host, port), family=family, backlog=128, dualstack_ipv6=every)
    # asyncio sets this for sockets that it made; else the body of an answer waits 40 ms for the browser to confirm its
    # headers
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
