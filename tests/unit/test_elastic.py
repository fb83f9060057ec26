"""What is said about servers that can't be used. Those that can are in tests/integration/distributed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import elasticsearch
import pytest
from pydantic import SecretStr

from connectors.elastic import MAJOR, Elastic, Server
from connectors.elastic_documents import alert_entries
from connectors.elastic_settings import ElasticSettings
from connectors.elastic_sink import ElasticSink
from operators.errors import SinkError
from tests.alerts import FEAR

Answer = tuple[int, dict[str, Any]]
HEALTH = (200, {"cluster_name": "test", "status": "green"})
DONE: Answer = (200, {"acknowledged": True})


@contextmanager
def answering(answer: Callable[[str, str], Answer], *, product: str = "Elasticsearch", port: int = 0) -> Iterator[str]:
    """A server that is no Elasticsearch and answers (method, path) like one; yields its url."""

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answer(self.command, self.path.partition("?")[0])
            data = json.dumps(body).encode()
            self.send_response(status)
            if product:
                self.send_header("X-Elastic-Product", product)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815 -- the names that http.server asks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def error(status: int, type_: str, reason: str = "because") -> Answer:
    return status, {"error": {"type": type_, "reason": reason}, "status": status}


def of_version(number: str) -> Callable[[str, str], Answer]:
    """A cluster of a version, whose templates and indices are as they should be."""

    def answer(method: str, path: str) -> Answer:
        if path == "/":
            return 200, {"version": {"number": number}}
        return HEALTH if path == "/_cluster/health" else (200, {}) if method == "GET" else DONE

    return answer


def refusal(url: str) -> SinkError:
    """Why a server can't be used, as `check` and as the sink say; alerts always wait for a better one."""
    settings = ElasticSettings(url=url, api_key=SecretStr("hunter2"))
    with pytest.raises(SinkError) as caught:
        Elastic(settings).check()
    sink = ElasticSink(settings)
    with pytest.raises(SinkError) as delivered:
        sink.deliver([FEAR])
    assert str(delivered.value) == str(caught.value)
    assert delivered.value.retryable
    assert "hunter2" not in str(caught.value)
    return caught.value


def test_an_older_server_that_does_not_understand_the_client():
    """What every 8.x answers to a client of 9.x, whatever it is asked."""
    said = 'Invalid media-type value on headers [Accept]: "application/vnd.elasticsearch+json;compatible-with=9"'
    with answering(lambda *_: error(400, "media_type_header_exception", said)) as url:
        message = str(refusal(url))
    assert "answered 400 media_type_header_exception: the server is too old for the installed client" in message
    assert (
        f"elasticsearch {'.'.join(map(str, elasticsearch.__version__))} talks to version {MAJOR} and later" in message
    )
    assert "pip install 'elasticsearch>=8.15,<9'" in message


def test_an_older_server_that_tells_its_version():
    with answering(of_version("8.19.2")) as url:
        assert "the server has version 8.19.2, which is too old for the installed client" in str(refusal(url))


@pytest.mark.parametrize("number", ["9.0.0", "9.5.1-SNAPSHOT", "10.2.0"])
def test_a_server_that_can_be_used(number):
    with answering(of_version(number)) as url:
        assert Elastic(ElasticSettings(url=url)).check() == Server("test", number, "green")


@pytest.mark.parametrize("hidden", [400, 404, 405])
def test_where_the_front_page_is_hidden_the_nodes_are_asked(hidden):
    def answer(_: str, path: str) -> Answer:
        if path == "/_nodes":
            return 200, {"nodes": {"a": {"version": "9.10.0"}, "b": {"version": "9.2.0"}}}
        return HEALTH if path == "/_cluster/health" else error(hidden, "no_handler")

    with answering(answer) as url:
        assert Elastic(ElasticSettings(url=url)).check().version == "9.2.0"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (error(401, "security_exception"), "401: it does not know us: check elasticsearch.api_key"),
        (error(403, "security_exception"), "403: we may not do that: allow monitor and manage_index_templates"),
        (error(429, "circuit_breaking_exception", "too much data"), "429 circuit_breaking_exception: too much data"),
        ((503, {"error": "no master"}), "503 no master"),
        ((502, {}), "502"),
    ],
)
def test_answers_that_another_try_may_change(answer, said):
    with answering(lambda *_: answer) as url:
        assert said in str(refusal(url))


def test_another_product():
    with answering(of_version("9.0.0"), product="") as url:
        assert "is no Elasticsearch" in str(refusal(url))


def test_nobody_there():
    assert "can't be reached: ConnectionError" in str(refusal("http://127.0.0.1:1"))


def bulk(*items: Answer) -> Callable[[str, str], Answer]:
    """A server that takes everything but documents, to which it answers so, one by one."""

    def answer(method: str, path: str) -> Answer:
        if path != "/_bulk":
            return of_version("9.1.0")(method, path)
        return 200, {"errors": True, "items": [{"create": {"status": status, **body}} for status, body in items]}

    return answer


REFUSED, BUSY, THERE, TAKEN = error(400, "strict"), error(429, "busy"), error(409, "exists"), (201, {})


@pytest.mark.parametrize(
    ("items", "raises", "refused"),
    [
        ([TAKEN, TAKEN], False, []),
        ([THERE, (200, {})], False, []),
        ([REFUSED, TAKEN], False, [0]),
        ([REFUSED, REFUSED], False, [0, 1]),
        ([BUSY, TAKEN], True, []),
        ([error(503, "no shard"), REFUSED], True, []),  # all comes again, and is refused then
        ([error(404, "no index"), TAKEN], True, []),
        ([error(403, "blocked"), TAKEN], True, []),
    ],
)
def test_each_document_has_its_own_answer(items, raises, refused):
    entries = alert_entries(FEAR)
    with answering(bulk(*items)) as url:
        elastic = Elastic(ElasticSettings(url=url))
        if raises:
            with pytest.raises(SinkError, match="did not take all documents") as caught:
                elastic.write(entries)
            assert caught.value.retryable
        else:
            assert [entries.index(one.entry) for one in elastic.write(entries)] == refused


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (413, False), (429, True), (500, True), (401, True)])
def test_a_whole_request_that_fails(status, retryable):
    def answer(method: str, path: str) -> Answer:
        return error(status, "broken") if path == "/_bulk" else of_version("9.1.0")(method, path)

    with answering(answer) as url, pytest.raises(SinkError) as caught:
        Elastic(ElasticSettings(url=url)).write(alert_entries(FEAR))
    assert caught.value.retryable is retryable


def test_an_index_that_can_not_be_made():
    """400 is not always that it is there."""

    def answer(method: str, path: str) -> Answer:
        if method == "PUT" and path.startswith("/mien-alerts-20"):
            return error(400, "validation_exception", "this cluster currently has [1000]/[1000] maximum shards open")
        return of_version("9.1.0")(method, path)

    with answering(answer) as url, pytest.raises(SinkError, match="maximum shards open") as caught:
        Elastic(ElasticSettings(url=url)).write(alert_entries(FEAR))
    assert caught.value.retryable


def test_after_an_outage_the_server_is_looked_at_again():
    """It may be another one, or have lost its templates."""
    asked: list[str] = []

    def answer(method: str, path: str) -> Answer:
        asked.append(f"{method} {path}")
        return bulk(TAKEN, TAKEN)(method, path)

    def templates() -> int:
        return asked.count("PUT /_index_template/mien-alerts")

    with answering(answer) as url:
        elastic = Elastic(ElasticSettings(url=url))
        elastic.write(alert_entries(FEAR))
        elastic.write(alert_entries(FEAR))
        assert templates() == 1
    with pytest.raises(SinkError, match="can't be reached"):
        elastic.write(alert_entries(FEAR))
    with answering(answer, port=int(url.rpartition(":")[2])):
        elastic.write(alert_entries(FEAR))
    assert templates() == 2
