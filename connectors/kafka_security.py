"""Encryption and login at the brokers, in the words of each client, and why a connection can't be made.

kafka-python (https://kafka-python.readthedocs.io) takes keyword arguments, Faust an object; both get the same TLS
context and the same login. No client tells its caller that it isn't trusted or has the wrong password: it tries again
until it gives up, as if nobody listened. So `check_access` goes the way itself first, and says what is in it
(https://kafka.apache.org/protocol#sasl_handshake).
"""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from connectors.kafka_settings import KafkaSecurity, KafkaSettings
from connectors.tls import trust, unusable
from operators.errors import SinkError

if TYPE_CHECKING:
    from faust.auth import SASLCredentials, SSLCredentials

__all__ = ["check_access", "client_options", "faust_credentials", "tls_context"]

_TALKATIVE = ("kafka", "aiokafka")
"""Loggers that tell all options of a client, or all that it sends."""
_STEP_S = 5.0
"""So long a broker may take for each step of `check_access`."""
_METADATA, _HANDSHAKE, _AUTHENTICATE = (3, 1), (17, 1), (36, 0)
"""Kafka's requests, each with the version that we speak: number and version stand in the head of each."""
_LONGEST = 1024 * 1024
"""No answer to one of these is longer; what begins so isn't Kafka's protocol."""


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Encryption and login as keyword arguments of kafka-python's clients; raises ConfigError as `tls_context` does.

    The result holds the password: never log it.
    """
    security = settings.security
    login = security.mechanism != "none"
    options: dict[str, Any] = {
        "security_protocol": ("SASL_" if login else "") + ("SSL" if security.tls else "PLAINTEXT")
    }
    if security.tls:
        options["ssl_context"] = tls_context(security)
    if login:
        options["sasl_mechanism"] = security.mechanism.upper()
        options["sasl_plain_username"] = security.username
        options["sasl_plain_password"] = _password(security)
    return options


def faust_credentials(settings: KafkaSettings) -> SASLCredentials | SSLCredentials | None:
    """Encryption and login as Faust's `broker_credentials`; None for neither. Raises as `tls_context` does."""
    from faust.auth import SASLCredentials, SSLCredentials  # noqa: PLC0415 - only workers need it

    security = settings.security
    context = tls_context(security) if security.tls else None
    if security.mechanism != "none":
        mechanism, username = security.mechanism.upper(), security.username
        return SASLCredentials(
            username=username, password=_password(security), ssl_context=context, mechanism=mechanism
        )
    return SSLCredentials(context) if context else None


def tls_context(security: KafkaSecurity) -> ssl.SSLContext:
    """Who may sign the broker's certificate, and our own certificate; the broker's name is checked.

    Raises ConfigError for a file that is missing, is not PEM, or doesn't fit the others.
    """
    context = trust(security.ca_file, key="kafka.security.ca_file")
    if security.cert_file is not None:
        password = security.key_password.get_secret_value() if security.key_password else ""
        try:
            # A password that is given even when empty: without, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(security.cert_file, security.key_file, password)
        except OSError as error:
            raise unusable(
                error,
                key="kafka.security.cert_file, key_file",
                expected="a certificate, its private key and key_password that fit",
                got=f"{security.cert_file}, {security.key_file}",
            ) from error
    return context


def check_access(settings: KafkaSettings) -> None:
    """Connect to a broker, encrypt and log in as the clients do; raise SinkError, with what to do, if none lets us in.

    What our configuration or the broker's has to change for is not retryable. Raises ConfigError as `tls_context` does.
    """
    context = tls_context(settings.security) if settings.security.tls else None
    obstacles = []
    for broker in settings.bootstrap:
        try:
            with _connection(broker, context) as connection:
                _enter(connection, settings)
        except SinkError as error:
            obstacles.append(error)
        else:
            return
    retryable = any(obstacle.retryable for obstacle in obstacles)
    raise SinkError("; ".join(map(str, obstacles)), retryable=retryable) from obstacles[0]


@contextmanager
def _connection(broker: str, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    """A connection to a broker; what goes wrong on it becomes a SinkError."""
    host, _, port = broker.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), timeout=_STEP_S) as plain:
            if context is None:
                yield plain
            else:
                with context.wrap_socket(plain, server_hostname=host) as encrypted:
                    yield encrypted
    except (_HungUpError, ConnectionResetError, ssl.SSLError) as error:
        advice = _advice(error, tls=context is not None)
        raise SinkError(f"Kafka at {broker} {advice}", retryable=False) from error
    except _RefusedError as error:
        advice = "check username, password and mechanism of kafka.security"
        raise SinkError(f"Kafka at {broker} refuses our login ({error}): {advice}", retryable=False) from error
    except OSError as error:
        raise SinkError(
            f"no Kafka broker answers at {broker} ({error.strerror or error}): check kafka.bootstrap, that the broker "
            "runs, and that nothing between blocks its port",
            retryable=True,
        ) from error


class _HungUpError(Exception):
    """The broker ended the connection, or answers in another protocol."""


class _RefusedError(Exception):
    """The broker refuses the login, and says why; it never repeats the password."""


def _advice(error: Exception, *, tls: bool) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"shows a certificate that is not trusted ({error.verify_message}): set kafka.security.ca_file to the "
            "certificate of who signed it, and use the host name that it is for"
        )
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return f"refuses our TLS ({error.reason}): check kafka.security.cert_file and key_file"
    if isinstance(error, ssl.SSLError):
        return (
            f"does not speak TLS ({error.reason}): set kafka.security.tls to false, or use the port of its TLS listener"
        )
    wants = "a login" if tls else "TLS or a login"
    return f"hangs up: does it want {wants}? See kafka.security"


def _enter(connection: socket.socket, settings: KafkaSettings) -> None:
    """Log in where that is set, else ask for something that only who is let in gets an answer to."""
    options = client_options(settings)
    if "sasl_mechanism" not in options:
        _ask(connection, _METADATA, struct.pack(">i", 0))
        return
    from kafka.net.sasl import get_sasl_mechanism  # noqa: PLC0415 - only who talks to Kafka needs it

    name = options["sasl_mechanism"].encode()
    offered = _ask(connection, _HANDSHAKE, struct.pack(">h", len(name)) + name)
    if _number(offered):
        raise _RefusedError(f"it does not offer {settings.security.mechanism}")
    login = get_sasl_mechanism(options["sasl_mechanism"])(**options)
    while not login.is_done():
        words = login.auth_bytes()
        answer = _ask(connection, _AUTHENTICATE, struct.pack(">i", len(words)) + words)
        length = max(_number(answer[2:]), 0)  # -1 for no message
        if _number(answer):
            raise _RefusedError(answer[4 : 4 + length].decode())
        login.receive(answer[4 + length + 4 :])


def _ask(connection: socket.socket, request: tuple[int, int], body: bytes) -> bytes:
    """Send a request without a client's name, and return the body of the answer."""
    message = struct.pack(">hhih", *request, 1, -1) + body
    connection.sendall(struct.pack(">i", len(message)) + message)
    length = int.from_bytes(_receive(connection, 4))
    if not 4 <= length <= _LONGEST:
        raise _HungUpError
    return _receive(connection, length)[4:]


def _receive(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise _HungUpError
        data += part
    return data


def _number(data: bytes) -> int:
    return int.from_bytes(data[:2], signed=True)


def _password(security: KafkaSecurity) -> str:
    """The password, for a client that would now repeat it in its log at DEBUG: from here on it doesn't."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    return security.password.get_secret_value() if security.password else ""
