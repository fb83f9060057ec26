"""connectors/grafana.py and `mien dashboards apply`, against a server with the shapes of Grafana's API."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

import connectors.grafana
from connectors.grafana import Grafana
from connectors.grafana_settings import GrafanaSettings
from operators.errors import ConfigError, SinkError
from pipeline.cli import app
from tests.grafana_server import TOKEN, VERSION, GrafanaServer, grafana_server
from tests.servers.certificates import make_certificates

pytestmark = pytest.mark.integration

BOARD = {"uid": "mien-live", "title": "mien: live", "panels": []}
SOURCE = {"uid": "mien-elasticsearch", "name": "mien", "type": "elasticsearch", "url": "http://elasticsearch:9200"}


@contextmanager
def connected(server: GrafanaServer, **changes: Any) -> Iterator[Grafana]:
    settings = GrafanaSettings(**{"url": server.url, "token": SecretStr(TOKEN), **changes})
    with closing(Grafana(settings)) as grafana:
        yield grafana


def test_health_says_the_version():
    with grafana_server() as server, connected(server) as grafana:
        health = grafana.health()
    assert (health.version, health.database) == (VERSION, "ok")


def test_everything_is_created_once_and_then_updated():
    with grafana_server() as server, connected(server) as grafana:
        for title in ("mien", "mien", "Faces"):
            grafana.put_folder(uid="mien", title=title)
            assert grafana.put_datasource({**SOURCE, "jsonData": {"index": f"{title}-*"}})
            assert grafana.put_dashboard({**BOARD, "description": title}, folder_uid="mien") == "/d/mien-live/x"
        assert [folder["title"] for folder in server.folders.values()] == ["Faces"]
        assert [source["jsonData"] for source in server.datasources.values()] == [{"index": "Faces-*"}]
        assert [(board["description"], board["version"]) for board in server.dashboards.values()] == [("Faces", 3)]


def test_no_request_uses_an_address_that_newer_grafanas_lack():
    with grafana_server() as server, connected(server) as grafana:
        grafana.put_folder(uid="mien", title="mien")
        grafana.put_datasource(SOURCE)
        grafana.put_datasource(SOURCE)
        grafana.put_dashboard(BOARD, folder_uid="mien")
        paths = [request.split()[1] for request in server.requests]
    assert not [path for path in paths if "/id/" in path or path.rpartition("/")[2].isdigit()]


def test_a_datasource_from_a_file_is_left_alone():
    with grafana_server() as server, connected(server) as grafana:
        server.datasources[SOURCE["uid"]] = {**SOURCE, "readOnly": True}
        assert not grafana.put_datasource({**SOURCE, "url": "http://other"})
        assert server.datasources[SOURCE["uid"]]["url"] == SOURCE["url"]


def test_a_mark_that_is_made_again_is_changed():
    with grafana_server() as server, connected(server) as grafana:
        first = grafana.annotate("a/b c&d", text="Fear on lobby", from_ts=100.0, to_ts=None, tags=["fear"])
        other = grafana.annotate("other", text="Other", from_ts=100.0, to_ts=101.0)
        again = grafana.annotate("a/b c&d", text="Fear on lobby", from_ts=100.0, to_ts=104.5, tags=["fear"])
        assert (first, again, other) == (1, 1, 2)
        assert server.annotations[0]["time"] == 100_000
        assert server.annotations[0]["timeEnd"] == 104_500
        assert server.annotations[0]["tags"] == ["mien:a/b c&d", "fear"]


def test_a_sub_path_is_kept():
    with grafana_server(sub_path="/grafana") as server, connected(server, url=f"{server.url}/") as grafana:
        assert grafana.health().database == "ok"
        assert server.requests == ["GET /grafana/api/health"]


REFUSALS = [
    pytest.param(401, {"message": "Invalid API key"}, False, "set grafana.token", id="a token that is not valid"),
    pytest.param(403, {"message": "Access denied"}, False, "role Editor", id="a token with too few rights"),
    pytest.param(404, "<html>message</html>", False, "root of Grafana", id="a page that is not Grafana's"),
    pytest.param(409, {"message": "same name"}, False, "rename or delete", id="a name that is taken"),
    pytest.param(400, {"message": "Cannot save provisioned dashboard"}, False, "provisioned", id="a refusal in words"),
    pytest.param(412, {"message": "changed by someone else"}, True, "try again", id="a race"),
    pytest.param(429, {"message": "slow down"}, True, "slow down", id="too many requests"),
    pytest.param(500, {"message": "database is locked"}, True, "database is locked", id="an error of Grafana"),
    pytest.param(502, "<html>no message from upstream</html>", True, "upstream", id="an error of a proxy"),
    pytest.param(503, [], True, "503", id="an error without words"),
    pytest.param(302, "", False, "redirect", id="a redirect, which would turn POST into GET"),
    pytest.param(200, "<html>Log in</html>", False, "expected JSON", id="a login page"),
]


@pytest.mark.parametrize(("status", "body", "retryable", "words"), REFUSALS)
def test_a_refusal_says_what_to_do(status: int, body: Any, retryable: bool, words: str):
    with grafana_server((status, body)) as server, connected(server) as grafana:
        with pytest.raises(SinkError, match=words) as caught:
            grafana.put_dashboard(BOARD, folder_uid="mien")
        assert caught.value.retryable is retryable
        assert f"Grafana at http://127.0.0.1:{server.port}" in str(caught.value)
        assert len(server.requests) == 1


def test_a_proxy_s_404_does_not_mean_that_there_is_no_such_folder():
    with grafana_server((404, "<html>nginx</html>")) as server, connected(server) as grafana:
        with pytest.raises(SinkError, match="nginx"):
            grafana.put_folder(uid="mien", title="mien")
        assert not server.folders


def test_a_folder_of_the_same_title_is_not_ours():
    with grafana_server() as server, connected(server) as grafana:
        server.folders["theirs"] = {"uid": "theirs", "title": "mien"}
        with pytest.raises(SinkError, match=r"409.*rename or delete it there"):
            grafana.put_folder(uid="mien", title="mien")


def test_nobody_there():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with (
        connected(GrafanaServer(), url=url) as grafana,
        pytest.raises(SinkError, match=r"reached: .*refused") as caught,
    ):
        grafana.health()
    assert caught.value.retryable


def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connectors.grafana, "TIMEOUT_S", 0.2)
    with grafana_server(slow_s=1.0) as server, connected(server) as grafana:
        with pytest.raises(SinkError, match=r"no answer within 0\.2 s") as caught:
            grafana.health()
        assert caught.value.retryable


def test_only_a_trusted_certificate_is_talked_to(tmp_path: Path):
    certificates = make_certificates(tmp_path)
    with grafana_server(certificate=certificates.server) as server:
        for ca_file in (None, certificates.stranger):
            with connected(server, ca_file=ca_file) as grafana:
                with pytest.raises(SinkError, match=r"certificate is not trusted.*grafana\.ca_file") as caught:
                    grafana.put_folder(uid="mien", title="mien")
                assert not caught.value.retryable
        assert not server.requests
        with connected(server, ca_file=certificates.authority) as grafana:
            grafana.put_folder(uid="mien", title="mien")
    assert server.folders


def test_the_token_is_shown_nowhere(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    echoes = [(status, {"message": f"you sent Bearer {TOKEN}"}) for status in (400, 401, 500)]
    texts = []
    with grafana_server(*echoes) as server, connected(server) as grafana:
        for _ in echoes:
            with pytest.raises(SinkError) as caught:
                grafana.health()
            texts.append(str(caught.value))
    assert all("***" in text for text in texts)
    assert TOKEN not in "".join(texts) + caplog.text + repr(GrafanaSettings(token=SecretStr(TOKEN)))


def test_without_a_token():
    with pytest.raises(ConfigError, match=r"expected grafana\.token"):
        Grafana(GrafanaSettings())


def test_without_the_certificates_that_are_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"expected grafana\.ca_file to be a file"):
        Grafana(GrafanaSettings(token=SecretStr(TOKEN), ca_file=tmp_path / "none.pem"))


@pytest.mark.parametrize("token", ["", "two words", "line\n", "ümlaut"])
def test_a_token_that_no_header_takes_is_refused_and_not_repeated(token: str):
    with pytest.raises(ValueError, match="expected a token of printable ASCII") as caught:
        GrafanaSettings(token=SecretStr(token))
    assert not token or token not in str(caught.value)


CONFIG = """
version: 1
purpose: a test of the dashboards
cameras: {{smile: {{url: "scene://smile"}}}}
rules: []
elasticsearch: {{url: "https://elasticsearch:9200", prefix: faces, api_key: "{key}"}}
grafana: {{url: "{url}", token: "{token}", folder: Faces, elasticsearch_api_key: "{key}"}}
"""
KEY = "b64s3cretkey"


def apply(folder: Path, server: GrafanaServer, *, token: str = TOKEN) -> Any:
    path = folder / "mien.yaml"
    path.write_text(CONFIG.format(url=server.url, token=token, key=KEY))
    return CliRunner().invoke(app, ["dashboards", "apply", "-c", str(path)])


def test_apply_puts_everything_there_and_again(tmp_path: Path):
    with grafana_server() as server:
        for _ in range(2):
            done = apply(tmp_path, server)
            assert done.exit_code == 0, done.output
        assert sorted(server.dashboards) == [
            "mien-expressions",
            "mien-live",
            "mien-pipeline",
            "mien-privacy",
            "mien-rules",
        ]
        assert server.folders["mien"]["title"] == "Faces"
        (source,) = server.datasources.values()
        assert source["jsonData"]["index"] == "faces-*"
        assert source["jsonData"]["httpHeaderName1"] == "Authorization"
        assert source["secureJsonData"] == {"httpHeaderValue1": f"ApiKey {KEY}"}
        used = {panel["datasource"]["uid"] for board in server.dashboards.values() for panel in board["panels"]}
        assert used == {source["uid"]}
    assert f"mien: live: {server.url}/d/mien-live/x" in done.output
    assert KEY not in done.output
    assert TOKEN not in done.output


def test_apply_with_a_wrong_token_fails_in_words(tmp_path: Path):
    with grafana_server() as server:
        done = apply(tmp_path, server, token="glsa_0ther")
    assert isinstance(done.exception, SinkError)
    assert "401" in str(done.exception)
    assert "set grafana.token" in str(done.exception)
    assert "glsa_0ther" not in str(done.exception) + done.output
