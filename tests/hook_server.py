"""A real HTTP server that receives webhooks and answers as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def ids(self) -> list[str]:
        return [alert["mien"]["id"] for alert in self.message["alerts"]]


@dataclass
class Hooks:
    """What came in; `answers` are (status, headers, text) in turn, then 200 for ever. `slow_s` delays each."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    slow_s: float = 0.0
    answered: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def hook_server(*answers: int | tuple[int, dict[str, str], str], port: int = 0, slow_s: float = 0.0) -> Iterator[Hooks]:
    hooks = Hooks(slow_s=slow_s)
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(hooks, answers))
    server.daemon_threads = True
    hooks.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hooks
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hooks: Hooks, answers: Iterable[Any]) -> type[BaseHTTPRequestHandler]:
    script = iter(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hooks.requests.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            time.sleep(hooks.slow_s)
            answer = next(script, 200)
            status, headers, text = answer if isinstance(answer, tuple) else (answer, {}, "")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())
            hooks.answered += 1

        def log_message(self, *args: Any) -> None:
            pass

    return Handler
