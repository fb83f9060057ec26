"""Encryption and login at a real broker: what is right connects, with both clients; what is wrong is said."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import SecretStr

from connectors.kafka_admin import apply_topics, find_topics, oldest_frames
from connectors.kafka_group import CaptureGroup
from connectors.kafka_producer import FrameProducer
from connectors.kafka_security import check_access, faust_credentials
from connectors.kafka_settings import KafkaSecurity, KafkaSettings
from operators.errors import ConfigError, SinkError
from operators.records import Gap, GapReason
from tests.servers.certificates import KEY_PASSWORD, Certificates, make_certificates
from tests.servers.kafka import Kafka
from tests.servers.shared import make
from tests.worker_bed import Bed, expected, found, made_up

pytestmark = [
    pytest.mark.servers,
    # Both clients leave the sockets of attempts that were refused to the garbage collection.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

USER = "watcher"
PASSWORD = "s3cret-p@ss:w/rd%&"
WRONG = "wr0ng-p@ss"
SECRETS = (PASSWORD, WRONG, KEY_PASSWORD)

LISTENERS = {"TLS": "SSL", "MUTUAL": "SSL", "LOGIN": "SASL_SSL", "BARE": "SASL_PLAINTEXT"}
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
PLAIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'


@dataclass(frozen=True)
class Secured:
    """A broker with a listener for each way to connect, and the certificates."""

    kafka: Kafka
    files: Certificates

    def settings(self, listener: str, prefix: str = "", **security: Any) -> KafkaSettings:
        address = self.kafka.addresses[listener]
        return KafkaSettings(bootstrap=(address,), prefix=prefix, partitions=1, security=KafkaSecurity(**security))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    files = make_certificates(tmp_path_factory.mktemp("certificates"))
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(files.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(files.authority),
        "listener.name.mutual.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    }
    for listener in ("login", "bare"):
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            settings[f"listener.name.{listener}.{mechanism}.sasl.jaas.config"] = SCRAM
        settings[f"listener.name.{listener}.plain.sasl.jaas.config"] = PLAIN
    users = [f"{mechanism}=[name={USER},password={PASSWORD}]" for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    folder = tmp_path_factory.mktemp("kafka")
    kafka = make(Kafka, folder, listeners=LISTENERS, settings=settings, users=users)
    kafka.start()
    yield Secured(kafka, files)
    kafka.kill()


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens, at whatever level, nobody writes a password into a log."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        told = record.getMessage() + str(record.exc_info) + repr(record.args)
        assert not [secret for secret in SECRETS if secret in told], record.name


def login(mechanism: str, password: str = PASSWORD) -> dict[str, Any]:
    return {"mechanism": mechanism, "username": USER, "password": SecretStr(password)}


def trusting(files: Certificates, **more: Any) -> dict[str, Any]:
    return {"tls": True, "ca_file": files.authority, **more}


RIGHT: dict[str, tuple[str, Callable[[Certificates], dict[str, Any]]]] = {
    "TLS": ("TLS", trusting),
    "TLS with our certificate": (
        "MUTUAL",
        lambda files: trusting(files, cert_file=files.client, key_file=files.client_key),
    ),
    "TLS with our certificate, its key encrypted": (
        "MUTUAL",
        lambda files: trusting(
            files, cert_file=files.client, key_file=files.locked_key, key_password=SecretStr(KEY_PASSWORD)
        ),
    ),
    "PLAIN over TLS": ("LOGIN", lambda files: trusting(files, **login("plain"))),
    "SCRAM-SHA-256 over TLS": ("LOGIN", lambda files: trusting(files, **login("scram-sha-256"))),
    "SCRAM-SHA-512 over TLS": ("LOGIN", lambda files: trusting(files, **login("scram-sha-512"))),
    "SCRAM-SHA-512 without TLS": ("BARE", lambda _: login("scram-sha-512")),
}


@pytest.mark.parametrize(("listener", "security"), RIGHT.values(), ids=list(RIGHT))
def test_what_is_right_connects(
    secured: Secured, prefix: str, listener: str, security: Callable[[Certificates], dict[str, Any]]
) -> None:
    settings = secured.settings(listener, prefix, **security(secured.files))
    check_access(settings)
    assert apply_topics(settings)
    assert "alerts" in find_topics(settings).topics
    assert asyncio.run(there_and_back(settings)) == b"there and back"


def test_frames_and_the_sharing_of_cameras_go_the_same_way(secured: Secured, prefix: str) -> None:
    settings = secured.settings("LOGIN", prefix, **trusting(secured.files, **login("scram-sha-512")))
    apply_topics(settings)
    gained: set[int] = set()
    with (
        FrameProducer(settings, ["lobby"], stale_after=60.0) as producer,
        CaptureGroup(settings, used={0}, gained=gained.update, lost=gained.difference_update) as group,
    ):
        producer.put(Gap("lobby", 1.0, 2.0, GapReason.DOWN))
        ends_at = time.monotonic() + 60
        while not gained and time.monotonic() < ends_at:
            group.turn(0.25)
        assert gained == {0}
    assert oldest_frames(settings).keys() == {0}


async def there_and_back(settings: KafkaSettings) -> bytes:
    """A record through aiokafka, with what Faust makes of the credentials."""
    topic = settings.topic("alerts")
    options = {"bootstrap_servers": settings.bootstrap[0], **as_faust_connects(settings)}
    producer = AIOKafkaProducer(**options)
    try:
        await producer.start()
        await producer.send_and_wait(topic, b"there and back")
    finally:
        await producer.stop()
    async with AIOKafkaConsumer(topic, auto_offset_reset="earliest", **options) as consumer:
        return (await asyncio.wait_for(consumer.getone(), 20)).value


def as_faust_connects(settings: KafkaSettings) -> dict[str, Any]:
    return credentials_to_aiokafka_auth(faust_credentials(settings))


@pytest.mark.parametrize("mechanism", ["plain", "scram-sha-256", "scram-sha-512"])
def test_a_wrong_password_is_refused_at_once(secured: Secured, mechanism: str) -> None:
    settings = secured.settings("LOGIN", **trusting(secured.files, **login(mechanism, WRONG)))
    with pytest.raises(SinkError, match=r"refuses our login \(.*\): check username, password and mechanism") as caught:
        find_topics(settings)
    assert not caught.value.retryable
    assert WRONG not in str(caught.value)
    with pytest.raises(KafkaError) as foreign:
        asyncio.run(there_and_back(settings))
    assert WRONG not in str(foreign.value)


def test_a_worker_logs_in(secured: Secured, prefix: str, tmp_path: Path) -> None:
    records = made_up(minutes=1)
    with Bed.make(tmp_path, bootstrap=secured.kafka.bootstrap, prefix=prefix) as bed:
        log_in(bed, secured, PASSWORD)
        worker = bed.start("evaluate")
        bed.send(records)
        bed.drain()
        assert found(bed.alerts()) == expected(bed.settings, records) != {}
        assert PASSWORD not in worker.text()


def test_a_worker_with_a_wrong_password_ends_and_says_why(secured: Secured, prefix: str, tmp_path: Path) -> None:
    with Bed.make(tmp_path, bootstrap=secured.kafka.bootstrap, prefix=prefix) as bed:
        log_in(bed, secured, WRONG)
        worker = bed.start("evaluate", ready=False)
        assert worker.process.wait(30) == 1
        assert "refuses our login" in worker.text()
        assert WRONG not in worker.text()


def log_in(bed: Bed, secured: Secured, password: str) -> None:
    """Let workers of the bed come by the listener that wants TLS and a login; the bed itself goes on without."""
    secret = bed.folder / "password"
    secret.write_text(password)
    security = (
        f"security: {{tls: true, ca_file: {secured.files.authority}, mechanism: scram-sha-512, username: {USER}, "
        f"password: {{file: {secret}}}}}, prefix:"
    )
    text = bed.config.read_text().replace(secured.kafka.bootstrap, secured.kafka.addresses["LOGIN"])
    bed.config.write_text(text.replace("prefix:", security))


WRONG_TLS: dict[str, tuple[str, Callable[[Certificates], dict[str, Any]], str]] = {
    "a stranger signed it": (
        "TLS",
        lambda files: {"tls": True, "ca_file": files.stranger},
        r"certificate that is not trusted \(.*\): set kafka.security.ca_file",
    ),
    "the system doesn't know who signed it": (
        "TLS",
        lambda _: {"tls": True},
        r"certificate that is not trusted \(.*\): set kafka.security.ca_file",
    ),
    "the broker wants our certificate": ("MUTUAL", trusting, r"refuses our TLS \(.*\): check kafka.security.cert_file"),
    "TLS where there is none": ("BARE", trusting, r"does not speak TLS \(.*\): set kafka.security.tls to false"),
    "no TLS where there is": (
        "LOGIN",
        lambda _: login("plain"),
        r"hangs up: does it want TLS or a login\? See kafka.security",
    ),
    "no login where there is": ("LOGIN", trusting, r"hangs up: does it want a login\? See kafka.security"),
}


@pytest.mark.parametrize(("listener", "security", "told"), WRONG_TLS.values(), ids=list(WRONG_TLS))
def test_what_is_in_the_way_is_said(
    secured: Secured, listener: str, security: Callable[[Certificates], dict[str, Any]], told: str
) -> None:
    settings = secured.settings(listener, **security(secured.files))
    with pytest.raises(SinkError, match=told) as caught:
        find_topics(settings)
    assert not caught.value.retryable


def test_a_certificate_for_another_host_is_not_trusted(secured: Secured) -> None:
    port = secured.kafka.addresses["TLS"].rpartition(":")[2]
    settings = KafkaSettings(bootstrap=(f"localhost:{port}",), security=KafkaSecurity(**trusting(secured.files)))
    with pytest.raises(SinkError, match="not valid for 'localhost'"):
        check_access(settings)


def test_files_that_do_not_fit_are_named(secured: Secured, tmp_path: Path) -> None:
    files = secured.files
    wrong = (
        ({"ca_file": tmp_path / "none.pem"}, r"ca_file: expected certificates in PEM, got .*none.pem: No such file"),
        ({"ca_file": files.client_key}, "ca_file: expected certificates in PEM"),
        ({"cert_file": files.client, "key_file": files.locked_key}, "key_password that fit"),
        (
            {"cert_file": files.client, "key_file": files.locked_key, "key_password": SecretStr(WRONG)},
            "key_password that fit",
        ),
        ({"cert_file": files.authority, "key_file": files.client_key}, "KEY_VALUES_MISMATCH"),
    )
    for security, told in wrong:
        with pytest.raises(ConfigError, match=told) as caught:
            find_topics(secured.settings("MUTUAL", tls=True, **security))
        assert WRONG not in str(caught.value)


def test_nobody_there_is_said_with_what_to_do() -> None:
    with pytest.raises(SinkError, match=r"at 127.0.0.1:1 \(Connection refused\): check kafka.bootstrap") as caught:
        check_access(KafkaSettings(bootstrap=("127.0.0.1:1",)))
    assert caught.value.retryable


def test_one_broker_that_lets_us_in_is_enough(secured: Secured) -> None:
    security = KafkaSecurity(**trusting(secured.files))
    check_access(KafkaSettings(bootstrap=("127.0.0.1:1", secured.kafka.addresses["TLS"]), security=security))
