"""The console's socket, and the thread behind it."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from pipeline.sections import Console
from pipeline.web import server
from pipeline.web.app import THREADS
from pipeline.web.events import TICK_S
from pipeline.web.security import Guard, Sessions
from pipeline.web.server import listen
from tests.web_bed import asking, site_of, sources_of


def test_answers_go_out_at_once():
    with listen(Console(port=0)) as listening, socket.create_connection(listening.getsockname()) as _:
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_connections_that_ask_nothing_are_few_and_end(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "ARRIVES_S", 0.5)
    monkeypatch.setattr(server, "CONNECTIONS", 10)
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 12)
    with sources_of(site_of(tmp_path)) as sources, asking(sources) as client, ExitStack() as opened:
        url = urlsplit(str(client.base_url))
        body = b"POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        said = [b"", b"GET / HTTP/1.1\r\nHost: ", body]
        idle = [opened.enter_context(socket.create_connection((url.hostname, url.port))) for _ in range(30)]
        for number, one in enumerate(idle):
            one.settimeout(30)
            with suppress(OSError):  # one too many
                one.sendall(said[number % len(said)])
        for one in idle:
            with suppress(ConnectionResetError):
                while one.recv(10_000):
                    pass
        assert client.get("/healthz").status_code == 200


def test_a_console_that_ends_by_itself_says_so_and_keeps_nobody_waiting(caplog):
    async def app(scope, receive, send):
        raise RuntimeError("broken")

    with listen(Console(port=0)) as listening:
        address = listening.getsockname()
        broken = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None))
        with pytest.raises(SystemExit):  # of which a thread says nothing
            server._serve(broken, listening, threading.Event())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)
    assert "the console has ended" in caplog.text


def test_readiness_waits_for_no_other_answer(tmp_path):
    with sources_of(site_of(tmp_path)) as sources, asking(sources) as client, ThreadPoolExecutor(THREADS) as pool:
        with sources.reader._lock:  # the store is slow
            slow = [pool.submit(client.get, "/api/alerts") for _ in range(THREADS)]
            time.sleep(0.2)
            assert client.get("/readyz", timeout=10).status_code == 503
        assert {one.result().status_code for one in slow} == {200}


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
def test_who_goes_in_the_middle_of_a_request_is_no_fault(tmp_path, caplog, kind):
    lines = "POST /predict HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", "Content-Length: 99"
    with sources_of(site_of(tmp_path)) as sources, asking(sources) as client:
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address) as connection:
            connection.sendall("\r\n".join((*lines, "", "")).encode())
        assert client.get("/healthz").status_code == 200
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
def test_every_interface_is_that_of_either_internet_protocol():
    with listen(Console(host="::", port=0, token=SecretStr("t" * 16))) as listening:
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, listening.getsockname()[1]), timeout=5).close()


@pytest.mark.parametrize(("asked", "known"), [("[fd00::1]:8420", True), ("[FD00:0::1]", True), ("[fd00::2]", False)])
def test_an_address_is_known_however_it_is_written(asked, known):
    console = Console(host="fd00:0:0:0::1", token=SecretStr("t" * 16))
    guard = Guard(FastAPI(), console=console, sessions=Sessions(console.token))
    assert guard._is_me(asked) is known


def test_a_store_that_cannot_be_read_while_a_page_is_open_is_logged_once(tmp_path, caplog):
    with sources_of(site_of(tmp_path)) as sources, asking(sources) as client:
        with client.stream("GET", "/api/events") as answer:
            lines = answer.iter_lines()
            while not next(lines).startswith("event: status"):
                pass
            sources.reader.close()
            while not (said := [one.message for one in caplog.records if one.levelname == "WARNING"]):
                time.sleep(0.01)
            time.sleep(3 * TICK_S)
        assert said == [one.message for one in caplog.records if one.levelname == "WARNING"]
    assert "can't read the alerts" in said[0]


def test_a_token_that_is_no_text_is_refused(tmp_path):
    with sources_of(site_of(tmp_path, console={"port": 0, "token": "t" * 16})) as sources, asking(sources) as client:
        body, headers = rb'{"token": "\ud800"}', {"Content-Type": "application/json"}
        assert client.post("/api/session", content=body, headers=headers).status_code == 401
