"""The health endpoints: /healthz (it makes progress), /readyz (it has its partitions and their state), /metrics.

Served by threads of their own, so that they answer also when the event loop doesn't.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from operators.errors import ConfigError

__all__ = ["Health"]

Check = Callable[[], str]
"""Why not, or nothing."""


class Health:
    """Answers on `host:port` while it is entered; port 0 takes any free one. Raises ConfigError where it can't."""

    def __init__(self, host: str, port: int, *, alive: Check, ready: Check, registry: CollectorRegistry) -> None:
        checks = {"/healthz": alive, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            timeout = 5.0

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                elif path in checks:
                    why_not = checks[path]()
                    self._answer(503 if why_not else 200, f"{why_not or 'ok'}\n".encode())
                else:
                    self._answer(404, b"expected /healthz, /readyz or /metrics\n")

            def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:  # probes come every few seconds
                return

        try:
            self._http = ThreadingHTTPServer((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"expected to serve health on {host}:{port}, got {error}: set worker.port to a free port (0 takes any) "
                "or worker.host to an address of this machine"
            ) from error
        self._thread = threading.Thread(target=self._http.serve_forever, name="health", daemon=True)

    @property
    def address(self) -> str:
        """Where it answers, as host:port."""
        host, port = self._http.server_address[:2]
        return f"{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
