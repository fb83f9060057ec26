"""A TLS proxy that lets through who has the API key: Debian's haproxy, as operators put it before an Elasticsearch."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from tests.servers.certificates import Certificates
from tests.servers.java import MissingError
from tests.servers.process import Process, free_ports

CONFIGURATION = """\
global
    stats timeout 10s
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend tls
    bind 127.0.0.1:{port} ssl crt {certificate} alpn http/1.1
    http-request deny deny_status 401 content-type application/json string '{{"error": "no such key"}}' \
if !{{ req.hdr(authorization) -m str "ApiKey {api_key}" }}
    default_backend elasticsearch
backend elasticsearch
    server node {upstream}
"""


class Proxy:
    """Listens at `url` and passes on to `upstream` (host:port) what comes with the key."""

    def __init__(
        self, folder: Path, *, upstream: str, files: Certificates, api_key: str, owner: int | None = None
    ) -> None:
        program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if program is None:
            raise MissingError("no haproxy: install the packages of tests/debian-packages.txt")
        (port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{port}"
        self._address = ("127.0.0.1", port)
        self._configuration = folder / "haproxy.cfg"
        self._configuration.write_text(
            CONFIGURATION.format(port=port, certificate=files.server, api_key=api_key, upstream=upstream)
        )
        command = [program, "-db", "-f", str(self._configuration)]
        self.process = Process(folder, command, is_ready=self._listens, owner=owner or os.getpid())

    def _listens(self) -> bool:
        try:
            socket.create_connection(self._address, timeout=1).close()
        except OSError:
            return False
        return True
