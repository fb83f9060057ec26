"""What kafka-python and Faust are told; that it works is shown on a real broker."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from connectors.kafka_security import check_access, client_options, faust_credentials
from connectors.kafka_settings import KafkaSecurity, KafkaSettings
from operators.errors import SinkError

LOGIN = {"mechanism": "scram-sha-512", "username": "watcher", "password": SecretStr("s3cret")}


@pytest.mark.parametrize(
    ("security", "protocol"),
    [({}, "PLAINTEXT"), ({"tls": True}, "SSL"), (LOGIN, "SASL_PLAINTEXT"), ({"tls": True, **LOGIN}, "SASL_SSL")],
)
def test_both_clients_are_told_the_same(security: dict[str, object], protocol: str) -> None:
    settings = KafkaSettings(security=KafkaSecurity(**security))
    options, credentials = client_options(settings), faust_credentials(settings)
    assert options["security_protocol"] == protocol
    assert (credentials.protocol.value if credentials else "PLAINTEXT") == protocol
    assert ("ssl_context" in options) == ("tls" in security)
    if "password" in security:
        told = [options[f"sasl_{name}"] for name in ("mechanism", "plain_username", "plain_password")]
        assert told == ["SCRAM-SHA-512", "watcher", "s3cret"]
        assert [credentials.mechanism.value, credentials.username, credentials.password] == told
        assert "s3cret" not in repr(credentials)


def test_the_brokers_name_and_certificate_are_checked() -> None:
    context = client_options(KafkaSettings(security=KafkaSecurity(tls=True)))["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["nothing", "another protocol"])
def test_what_does_not_speak_kafka_is_said(answer: bytes) -> None:
    with answering(answer) as broker, pytest.raises(SinkError, match="hangs up: does it want TLS or a login"):
        check_access(KafkaSettings(bootstrap=(broker,)))


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that answers once with these bytes and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()
