"""How to reach Kafka, what its topics are called, and how long they keep what is in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from operators.units import Seconds

__all__ = ["KafkaSecurity", "KafkaSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSecurity:
    """Encryption and authentication of the connection to the brokers."""

    tls: bool = False
    """Encrypt the connection and check the broker's certificate."""
    ca_file: Path | None = None
    """Certificates that may sign the broker's, in PEM; the system's when absent."""
    cert_file: Path | None = None
    """Certificate of this client, in PEM, for brokers that ask for one."""
    key_file: Path | None = None
    """Private key of that certificate, in PEM."""
    key_password: SecretStr | None = None
    """Password of the private key."""
    mechanism: Literal["none", "plain", "scram-sha-256", "scram-sha-512"] = "none"
    """How to log in (SASL)."""
    username: str = ""
    """Whom to log in as."""
    password: SecretStr | None = None
    """Password of the user."""

    def __post_init__(self) -> None:
        """Refuse half of a login or of a certificate."""
        if self.mechanism != "none" and not (self.username and self.password):
            raise ValueError(f"expected username and password with mechanism {self.mechanism}")
        if self.mechanism == "none" and (self.username or self.password):
            raise ValueError("expected a mechanism with username and password, such as scram-sha-512, got none")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("expected cert_file and key_file together, got one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """The brokers and topics of the distributed pipeline."""

    bootstrap: tuple[str, ...] = ("127.0.0.1:9092",)
    """Brokers to ask first, each as host:port."""
    security: KafkaSecurity = field(default_factory=KafkaSecurity)
    """Encryption and login."""
    prefix: str = "mien"
    """Topics are called PREFIX.frames, PREFIX.observations, PREFIX.alerts, PREFIX.dead-letters, PREFIX.rule-state."""
    partitions: int = 32
    """Partitions of the topics by camera, fixed when they are created: plan two for each camera."""
    replication: int = 1
    """Copies of each partition; 3 where there are three brokers."""
    keep_frames: Seconds = 60.0
    """How long pictures stay in the broker."""
    keep_observations: Seconds = 7 * 86400.0
    """How long observations stay in the broker."""
    keep_alerts: Seconds = 30 * 86400.0
    """How long alerts and dead letters stay in the broker."""
    max_message_bytes: int = 4 * 1024 * 1024
    """Largest picture with its header; the same for producer, topic and consumer."""
    jpeg_quality: int = 75
    """Quality of the pictures in the broker, 1 to 95."""
    least_jpeg_quality: int = 45
    """What it may be lowered to while the broker is slow."""
    in_flight_bytes: int = 64 * 1024 * 1024
    """Most bytes of pictures that wait for the broker in one capture worker; above it the oldest are dropped."""

    def __post_init__(self) -> None:
        """Refuse what no broker takes."""
        if not self.bootstrap:
            raise ValueError("expected at least one broker in bootstrap, such as kafka:9092")
        wrong = [broker for broker in self.bootstrap if not broker.rpartition(":")[2].isdigit()]
        if wrong:
            raise ValueError(f"expected brokers as host:port, got {wrong[0]!r}")
        if self.partitions < 1 or self.replication < 1:
            raise ValueError("expected partitions and replication of 1 or more")
        if not 1 <= self.least_jpeg_quality <= self.jpeg_quality <= 95:
            raise ValueError("expected 1 <= least_jpeg_quality <= jpeg_quality <= 95")
        if self.in_flight_bytes < self.max_message_bytes:
            raise ValueError("expected in_flight_bytes of at least max_message_bytes")

    def topic(self, name: str) -> str:
        """The full name of a topic: `topic("frames")`."""
        return f"{self.prefix}.{name}"
