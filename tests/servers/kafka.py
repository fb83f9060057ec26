"""One Apache Kafka 4.1 node (KRaft) for tests."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.java import HERE, jars, java
from tests.servers.process import Process, ServerError, free_ports, kept

OLDEST_JAVA = 17
# A small JVM that is up soon matters more here than a fast one.
JVM = ("-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    # Tests don't wait for what production waits for: a killed broker is let in again when its old session is over.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
}


class Kafka:
    """A broker in a folder.

    `listeners` adds named listeners, each with its protocol (`{"TLS": "SASL_SSL"}`); `addresses` then says where they
    are. `settings` are more lines of server.properties, `users` are SCRAM credentials in the words of Kafka's own tool.
    """

    def __init__(
        self,
        folder: Path,
        *,
        owner: int | None = None,
        port: int | None = None,
        listeners: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        users: Sequence[str] = (),
    ) -> None:
        names = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **(listeners or {})}
        chosen = kept(folder / "ports", lambda: " ".join(map(str, free_ports(len(names)))))
        self.addresses = dict(zip(names, (f"127.0.0.1:{free}" for free in chosen.split()), strict=True))
        if port is not None:
            self.addresses["PLAINTEXT"] = f"127.0.0.1:{port}"
        self.bootstrap = self.addresses["PLAINTEXT"]
        self._folder, self._users = folder, users
        self._properties = folder / "server.properties"
        self._settings = {**SETTINGS, **_listening(names, self.addresses), **(settings or {})}
        self._settings["log.dirs"] = str(folder / "data")
        self._classes = ":".join(map(str, jars("kafka")))
        self._java = str(java(OLDEST_JAVA))
        command = [self._java, *JVM, f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"]
        command += ["-cp", self._classes, "kafka.Kafka", str(self._properties)]
        self.process = Process(folder, command, is_ready=self._answers, owner=owner or os.getpid())

    def start(self) -> None:
        """Start it, if it doesn't run, and wait until it answers."""
        if not (self._folder / "data" / "meta.properties").exists():
            self._format()
        self.process.start()

    def stop(self) -> None:
        """End it politely: it hands over and closes its files."""
        self.process.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()

    def _format(self) -> None:
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in self._settings.items()))
        cluster = uuid.uuid4().hex[:22]
        command = [self._java, *JVM, "-cp", self._classes, "kafka.tools.StorageTool", "format", "-t", cluster]
        command += ["-c", str(self._properties), *(part for user in self._users for part in ("--add-scram", user))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerError(f"Kafka can't make its folder:\n{(done.stdout + done.stderr)[-2000:]}")

    def _answers(self) -> bool:
        """Whether it answers ApiVersions; its port is open before it does."""
        host, port = self.bootstrap.split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=1) as connection:
                connection.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
                return bool(connection.recv(4))
        except OSError:
            return False


def _listening(names: Mapping[str, str], addresses: Mapping[str, str]) -> dict[str, str]:
    listeners = {name: f"{name}://{addresses[name]}" for name in names}
    return {
        "listeners": ",".join(listeners.values()),
        "advertised.listeners": ",".join(listeners[name] for name in names if name != "CONTROLLER"),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in names.items()),
        "controller.quorum.voters": f"1@{addresses['CONTROLLER']}",
    }
