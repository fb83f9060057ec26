"""One Elasticsearch 9.1 node for tests.

Only the core of the server is on Maven Central: no security, data streams, ILM, ES|QL or Painless, and no `GET /`.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import httpx

from tests.servers.java import HERE, jars, java
from tests.servers.process import Process, free_ports, kept

OLDEST_JDK = 21
JVM = ("-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--enable-native-access=ALL-UNNAMED")
HTTP = "transport-netty4"


class Elasticsearch:
    """A node in a folder."""

    def __init__(self, folder: Path, *, owner: int | None = None, port: int | None = None) -> None:
        listening = port or int(kept(folder / "ports", lambda: str(*free_ports(1))))
        self.url = f"http://127.0.0.1:{listening}"
        self._home = folder / "data"
        self._jars = jars("elasticsearch")
        classes = ":".join(str(jar) for jar in self._jars if not _is_http(jar))
        command = [str(java(OLDEST_JDK, compiler=True)), *JVM, "-cp", classes]
        command += [str(HERE / "EsNode.java"), str(self._home), str(listening)]
        self.process = Process(folder, command, is_ready=self._answers, owner=owner or os.getpid())

    def start(self) -> None:
        """Start it, if it doesn't run, and wait until it answers."""
        if not self._home.exists():
            self._make_home()
        self.process.start()

    def stop(self) -> None:
        """End it politely."""
        self.process.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()

    def _make_home(self) -> None:
        """HTTP is a module: its descriptor is inside the jar, and without `modulename` it loads from the class path."""
        for name in ("config", "data", "logs", "plugins", "lib"):
            (self._home / name).mkdir(parents=True)
        shutil.copy(HERE / "log4j2.properties", self._home / "config")
        module = self._home / "modules" / HTTP
        module.mkdir(parents=True)
        for jar in filter(_is_http, self._jars):
            shutil.copy(jar, module)
            if jar.name.startswith(HTTP):
                _unpack_descriptor(jar, module)

    def _answers(self) -> bool:
        try:
            health = httpx.get(f"{self.url}/_cluster/health", timeout=2)
        except httpx.HTTPError:
            return False
        return health.is_success and health.json()["status"] != "red"


def _is_http(jar: Path) -> bool:
    return jar.name.startswith((HTTP, "netty-"))


def _unpack_descriptor(jar: Path, module: Path) -> None:
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.startswith(f"META-INF/es-plugins/{HTTP}/") and not name.endswith("/"):
                lines = archive.read(name).decode().splitlines(keepends=True)
                kept_lines = [line for line in lines if not line.startswith("modulename")]
                (module / Path(name).name).write_text("".join(kept_lines))
