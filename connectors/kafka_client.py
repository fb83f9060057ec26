"""What all our clients of Kafka (kafka-python) have in common: how they connect, and how they say that they can't."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from connectors.kafka_security import check_access, client_options
from connectors.kafka_settings import KafkaSecurity, KafkaSettings
from operators.errors import ConfigError, SinkError

__all__ = ["CONNECT_S", "check_checksums", "connection", "hush", "reached"]

CONNECT_S = 20.0
"""A broker that doesn't answer for so long is absent."""
LONGEST_ERROR = 300
"""Characters; some errors of kafka-python repeat all that the brokers have."""
INSTALL = "install the packages of the distributed pipeline: pip install 'mien[distributed]'"


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """Options of any client that is to reach the brokers, and to find them again soon when they come back.

    Where TLS or a login is set, goes the way itself first: a client would only say that nobody answers. Raises
    ConfigError for files that don't fit, SinkError where we are not let in.
    """
    if settings.security != KafkaSecurity():
        try:
            check_access(settings)
        except SinkError as error:
            if not error.retryable:
                raise
    return {
        "bootstrap_servers": list(settings.bootstrap),
        "bootstrap_timeout_ms": round(CONNECT_S * 1000),
        "reconnect_backoff_max_ms": 1000,
        "metadata_max_age_ms": 60_000,
    } | client_options(settings)


def hush() -> None:
    """Keep kafka-python's own log quiet: several lines per attempt to connect, and all options, with their secrets."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def check_checksums() -> None:
    """Raise ConfigError unless checksums are computed by a fast library.

    kafka-python's own way, in Python, does 12 MB/s: it would work, and hold up every camera.
    """
    try:
        from kafka.record.util import crc32c_c  # noqa: PLC0415 - only who talks to Kafka needs it
    except ImportError as error:
        raise ConfigError(f"kafka-python is not installed: {INSTALL}") from error
    if crc32c_c is None:
        raise ConfigError(f"expected the package crc32c, for checksums at the speed of pictures, got none: {INSTALL}")


@contextmanager
def reached(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """Around calls of a client: its errors become a SinkError that says which brokers, what for, and what to do."""
    try:
        from kafka.errors import (  # noqa: PLC0415
            AuthorizationError,
            KafkaConnectionError,
            KafkaError,
            KafkaTimeoutError,
            SaslAuthenticationFailedError,
        )
    except ImportError as error:
        raise ConfigError(f"kafka-python is not installed: {INSTALL}") from error
    brokers = ", ".join(settings.bootstrap)
    try:
        yield
    except (KafkaTimeoutError, KafkaConnectionError) as error:
        raise SinkError(
            f"{doing}: no Kafka broker answers at {brokers} ({type(error).__name__}): check kafka.bootstrap, that the "
            "broker runs, and that nothing between blocks its port",
            retryable=True,
        ) from error
    except (AuthorizationError, SaslAuthenticationFailedError) as error:
        raise SinkError(
            f"{doing}: Kafka at {brokers} refuses us ({type(error).__name__}): check kafka.security and what this user "
            "may do",
            retryable=False,
        ) from error
    except KafkaError as error:
        said = shorten(str(error), LONGEST_ERROR)
        raise SinkError(f"{doing}: Kafka at {brokers} says {said}", retryable=error.retriable) from error
