"""TLS and an API key before a real Elasticsearch: who has both gets in; who hasn't is told why, and nothing leaks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.elastic import Elastic
from connectors.elastic_settings import ElasticSettings
from connectors.elastic_sink import ElasticSink
from operators.errors import ConfigError, SinkError
from tests.alerts import alert
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.proxy import Proxy
from tests.servers.shared import make

KEY = "VGhlS2V5Om9mLXRoZS10ZXN0cw=="
WRONG = "QW5vdGhlcjprZXk="


@dataclass(frozen=True)
class Secured:
    proxy: Proxy
    files: Certificates

    def settings(self, prefix: str = "mien", **options: Any) -> ElasticSettings:
        right = {"url": self.proxy.url, "ca_file": self.files.authority, "api_key": SecretStr(KEY)}
        return ElasticSettings(prefix=prefix, **(right | options))


@pytest.fixture(scope="module")
def secured(elastic: Elasticsearch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    files = make_certificates(tmp_path_factory.mktemp("certificates"))
    upstream = elastic.url.removeprefix("http://")
    proxy = make(Proxy, tmp_path_factory.mktemp("proxy"), upstream=upstream, files=files, api_key=KEY)
    proxy.process.start()
    yield Secured(proxy, files)
    proxy.process.kill()


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens, at whatever level, nobody writes a key into a log."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        told = record.getMessage() + str(record.exc_info) + repr(record.args)
        assert not [secret for secret in (KEY, WRONG) if secret in told], record.name


def test_the_right_key_gets_in(secured: Secured, prefix: str) -> None:
    settings = secured.settings(prefix)
    sink = ElasticSink(settings)
    sink.deliver([alert(1)])
    sink.close()
    with closing(Elastic(settings)) as server:
        assert server.check().version.startswith("9.")
        assert KEY not in repr(server)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"api_key": SecretStr(WRONG)}, "answered 401: it does not know us: check elasticsearch.api_key"),
        ({"api_key": None}, "answered 401: it does not know us: check elasticsearch.api_key"),
        ({"ca_file": None}, "set elasticsearch.ca_file"),
    ],
    ids=["wrong key", "no key", "the system doesn't know who signed it"],
)
def test_what_is_in_the_way_is_said(secured: Secured, options: dict[str, Any], told: str) -> None:
    refused(secured.settings(**options), told)


def test_a_strangers_certificate_is_not_trusted(secured: Secured) -> None:
    refused(secured.settings(ca_file=secured.files.stranger), "set elasticsearch.ca_file")


def test_a_certificate_for_another_host_is_not_trusted(secured: Secured) -> None:
    refused(secured.settings(url=secured.proxy.url.replace("127.0.0.1", "localhost")), "set elasticsearch.ca_file")


def test_http_where_there_is_https_is_said(secured: Secured) -> None:
    url = secured.proxy.url.replace("https", "http")
    refused(secured.settings(url=url, ca_file=None), "check elasticsearch.url")
    with pytest.raises(ValueError, match="https:// where ca_file is set"):
        secured.settings(url=url)


def test_a_file_that_does_not_fit_is_named(secured: Secured, tmp_path: Path) -> None:
    for path in (tmp_path / "none.pem", secured.files.client_key):
        with pytest.raises(ConfigError, match=r"elasticsearch\.ca_file: expected certificates in PEM"):
            Elastic(secured.settings(ca_file=path))


def refused(settings: ElasticSettings, told: str) -> None:
    with closing(Elastic(settings)) as server, pytest.raises(SinkError) as caught:
        server.check()
    assert told in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:  # a traceback shows the causes too
        assert KEY not in repr(error)
        assert WRONG not in repr(error)
        error = error.__cause__
