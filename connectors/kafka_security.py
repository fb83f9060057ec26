"""Encryption and login at the brokers, in the words of each client, and why a connection can't be made.

kafka-python (https://kafka-python.readthedocs.io) takes keyword arguments, Faust an object; both get the same TLS
context and the same login. No client tells its caller that TLS failed: it tries again until it gives up, as if nobody
listened. So `obstacle` shakes hands itself, once, and says what is in the way.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.kafka_settings import KafkaSecurity, KafkaSettings
from operators.errors import ConfigError

if TYPE_CHECKING:
    from faust.auth import SASLCredentials, SSLCredentials

__all__ = ["client_options", "faust_credentials", "obstacle", "tls_context"]

_LOOK_S = 3.0
"""So long a broker that is looked at may take for each step."""
_API_VERSIONS = bytes.fromhex("0000000a 0012 0000 00000001 ffff")
"""Kafka's request ApiVersions, version 0, from a client without a name: every listener answers it before the login."""


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
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
    except OSError as error:
        raise _unusable("ca_file", security.ca_file, "certificates in PEM", error) from error
    if security.cert_file is not None:
        password = security.key_password.get_secret_value() if security.key_password else ""
        try:
            # A password that is given even when empty: without, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(security.cert_file, security.key_file, password)
        except OSError as error:
            files = f"{security.cert_file}, {security.key_file}"
            raise _unusable(
                "cert_file, key_file", files, "a certificate, its private key and key_password that fit", error
            ) from error
    return context


def obstacle(settings: KafkaSettings) -> str:
    """What is in the way of a connection to the brokers, with what to do; "" when each answers.

    Looks for seconds at most; a wrong login is not seen here, since a client is told of that.
    """
    context = tls_context(settings.security) if settings.security.tls else None
    return "; ".join(filter(None, (_obstacle(broker, context) for broker in settings.bootstrap)))


def _obstacle(broker: str, context: ssl.SSLContext | None) -> str:
    host, _, port = broker.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_LOOK_S) as plain:
            if context is None:
                return _plain_obstacle(broker, plain)
            with context.wrap_socket(plain, server_hostname=host.strip("[]")) as encrypted:
                encrypted.sendall(_API_VERSIONS)
                encrypted.recv(4)  # TLS 1.3 refuses the client's certificate only now
                return ""
    except ssl.SSLCertVerificationError as error:
        return (
            f"{broker} shows a certificate that is not trusted ({error.verify_message}): set kafka.security.ca_file to "
            "the certificate of who signed it, and use the host name that it is for"
        )
    except ssl.SSLError as error:
        if error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
            return f"{broker} does not speak TLS: set kafka.security.tls to false, or use the port of its TLS listener"
        return f"{broker} breaks off TLS ({error.reason}): check kafka.security.cert_file and key_file"
    except OSError as error:
        return f"{broker}: {error.strerror or error}"


def _plain_obstacle(broker: str, plain: socket.socket) -> str:
    plain.sendall(_API_VERSIONS)
    answer = plain.recv(4)
    if answer[:1] in {b"\x15", b"\x16"} or not answer:  # a TLS alert, or the broker hangs up
        return f"{broker} does not answer without encryption: does it want TLS? Then set kafka.security.tls to true"
    return ""


def _password(security: KafkaSecurity) -> str:
    return security.password.get_secret_value() if security.password else ""


def _unusable(key: str, files: Path | str | None, expected: str, error: OSError) -> ConfigError:
    reason = getattr(error, "reason", None) or error.strerror or error
    return ConfigError(f"kafka.security.{key}: expected {expected}, got {files}: {reason}")
