"""The console's API over HTTP: a real server over a real store, with cameras that are made up."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from connectors.store_reader import StoreReader
from operators.errors import ConfigError
from operators.records import Alert
from pipeline.sections import Console
from pipeline.web.server import DEFAULT_PORT, listen, url_of
from pipeline.web.sources import Sources
from tests.alerts import alert, resolved
from tests.console_bed import made_up_settings, made_up_sources, serving

pytestmark = pytest.mark.integration

TOKEN = "a-token-that-nobody-guesses"
ALERTS = 300


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    settings = made_up_settings(tmp_path_factory.mktemp("console"), cameras=3, port=0, history="2m")
    with made_up_sources(settings, alerts=ALERTS) as sources:
        yield sources


@pytest.fixture(scope="module")
def http(sources: Sources) -> Iterator[httpx.Client]:
    with serving(sources) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def with_console(sources: Sources, **console: Any) -> Sources:
    """The same site with other keys of the section `console`."""
    settings = made_up_settings(sources.settings.store.path.parent, cameras=3, port=0, **console)
    return replace(sources, settings=settings, closing=threading.Event())


@contextlib.contextmanager
def client_of(sources: Sources, **console: Any) -> Iterator[httpx.Client]:
    with serving(with_console(sources, **console)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["message"])


class TestNow:
    def test_the_status_says_what_the_pipeline_says(self, http: httpx.Client) -> None:
        status = http.get("/api/status").json()
        assert status["firing"] == 6
        assert status["live"] == "outlines"
        assert status["purpose"].startswith("A made-up site")
        assert [sink["waiting"] for sink in status["sinks"]] == [3, 0]
        assert status["rules"]["count"] == 4
        assert "happiness" in status["expressions"]
        assert abs(status["now"] - time.time()) < 60

    def test_cameras_come_in_the_order_of_the_configuration(self, http: httpx.Client) -> None:
        cameras = http.get("/api/cameras").json()
        assert [camera["camera_id"] for camera in cameras] == ["camera-01", "camera-02", "camera-03"]
        assert [camera["state"] for camera in cameras] == ["live", "backing off", "stalled"]
        assert cameras[0]["zones"]["desk"]["polygon"][0] == [0.1, 0.2]
        assert cameras[0]["groups"] == ["hall"]
        assert cameras[1]["reconnects"]["timeout"] > 0

    def test_probes_and_metrics(self, http: httpx.Client, sources: Sources) -> None:
        assert http.get("/healthz").text == http.get("/readyz").text == "ok\n"
        families = list(text_string_to_metric_families(http.get("/metrics").text))
        assert "mien_camera_up" in {family.name for family in families}
        nothing = replace(with_console(sources), status=lambda: replace(sources.status(), cameras=()))
        with serving(nothing) as url:
            assert httpx.get(f"{url}readyz").status_code == 503
            assert httpx.get(f"{url}healthz").status_code == 200


class TestAlerts:
    def test_paging_goes_through_all_once(self, http: httpx.Client) -> None:
        found, cursor = [], None
        while cursor is not None or not found:
            page = http.get("/api/alerts", params={"limit": 70, **({"cursor": cursor} if cursor else {})}).json()
            found += [one["alert_id"] for one in page["items"]]
            cursor = page["next"]
        assert len(found) == len(set(found)) >= ALERTS

    def test_filters_work_together(self, http: httpx.Client) -> None:
        asked = {"status": ["firing", "resolved"], "camera": "camera-01", "severity": "warning", "limit": 500}
        items = http.get("/api/alerts", params=asked).json()["items"]
        assert items
        assert {one["status"] for one in items} <= {"firing", "resolved"}
        assert {(one["camera_id"], one["severity"]) for one in items} == {("camera-01", "warning")}
        newest = items[0]["started"]
        later = http.get("/api/alerts", params={**asked, "status": "resolved", "from": newest - 600}).json()["items"]
        assert 0 < len(later) < len(items)
        assert http.get("/api/alerts", params={"to": newest - 10 * ALERTS * 30}).json() == {"items": [], "next": None}

    @pytest.mark.parametrize(
        "asked",
        [
            {"limit": 0},
            {"limit": 501},
            {"cursor": "abc"},
            {"cursor": "9" * 30},
            {"status": "burning"},
            {"severity": "high"},
            {"from": "yesterday"},
            {"from": "nan"},
            {"to": "inf"},
            {"acknowledged": "perhaps"},
        ],
        ids=str,
    )
    def test_what_cannot_be_meant_is_said(self, http: httpx.Client, asked: dict[str, Any]) -> None:
        assert "not as expected" in problem(http.get("/api/alerts", params=asked), 422)

    def test_an_alert_has_its_transitions(self, http: httpx.Client, sources: Sources) -> None:
        firing = alert(1, camera_id="camera-01")
        sources.store.append([firing, resolved(firing)])
        details = http.get(f"/api/alerts/{firing.alert_id}").json()
        assert [one["status"] for one in details["transitions"]] == ["firing", "resolved"]
        assert details["alert"]["status"] == "resolved"
        assert details["alert"]["started"] == firing.ts
        assert "retention" in problem(http.get("/api/alerts/none"), 404)

    def test_acknowledge_and_take_it_back(self, http: httpx.Client, sources: Sources) -> None:
        one = alert(2)
        sources.store.append([one])
        path = f"/api/alerts/{one.alert_id}/acknowledgement"
        said = http.post(path, json={"note": "gesehen \u2713"}).json()
        assert said["note"] == "gesehen \u2713"
        assert abs(said["acknowledged_at"] - time.time()) < 60
        listed = http.get("/api/alerts", params={"acknowledged": "true"}).json()["items"]
        assert [found["alert_id"] for found in listed] == [one.alert_id]
        assert http.delete(path).json()["acknowledged_at"] is None
        assert http.get("/api/alerts", params={"acknowledged": "true"}).json()["items"] == []

    def test_what_cannot_be_acknowledged(self, http: httpx.Client) -> None:
        path = "/api/alerts/none/acknowledgement"
        problem(http.post(path, json={}), 404)
        problem(http.delete(path), 404)
        assert "500" in problem(http.post(path, json={"note": "x" * 501}), 422)
        problem(http.post(path, content=b"{", headers={"content-type": "application/json"}), 422)
        problem(http.post(path, content=b"note=x", headers={"content-type": "text/plain"}), 422)
        problem(http.post(path, content=b'{"note": "\\ud800"}', headers={"content-type": "application/json"}), 422)


Event = tuple[int, str, dict[str, Any]]


@contextlib.contextmanager
def events(http: httpx.Client, **asked: Any) -> Iterator[Iterator[Event]]:
    """(id, event, data) of a stream, as they come."""
    with http.stream("GET", "/api/events", timeout=30, **asked) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}


def wait_for(stream: Iterator[Event], alerts: list[Alert]) -> list[Event]:
    """The next events `alert`, as many as there are alerts."""
    found = (event for event in stream if event[1] == "alert")
    return [next(found) for _ in alerts]


class TestEvents:
    def test_the_status_comes_first_and_every_transition_after(self, http: httpx.Client, sources: Sources) -> None:
        with events(http) as stream:
            place, name, data = next(stream)
            assert name == "status"
            assert [camera["camera_id"] for camera in data["cameras"]] == ["camera-01", "camera-02", "camera-03"]
            assert data["status"]["purpose"]
            new = [alert(11), alert(12)]
            sources.store.append(new)
            found = wait_for(stream, new)
        assert [data["alert_id"] for _, _, data in found] == [one.alert_id for one in new]
        assert [at for at, _, _ in found] == [place + 1, place + 2]

    @pytest.mark.parametrize("way", ["header", "query"])
    def test_whoever_comes_back_misses_nothing(self, http: httpx.Client, sources: Sources, way: str) -> None:
        with events(http) as stream:
            place, _, _ = next(stream)
        number = 20 if way == "header" else 30
        new = [alert(number + more) for more in range(3)]
        sources.store.append(new)
        asked = {"headers": {"Last-Event-ID": str(place)}} if way == "header" else {"params": {"after": place}}
        with events(http, **asked) as stream:
            found = wait_for(stream, new)
        assert [data["alert_id"] for _, _, data in found] == [one.alert_id for one in new]

    def test_a_place_in_a_store_that_is_no_more_is_the_end_of_this_one(
        self, http: httpx.Client, sources: Sources
    ) -> None:
        with events(http, params={"after": 1_000_000}) as stream:
            place, _, _ = next(stream)
            sources.store.append([alert(50)])
            assert wait_for(stream, [alert(50)])[0][0] == place + 1

    def test_the_status_comes_again_while_it_changes(self, http: httpx.Client) -> None:
        with events(http) as stream:
            uptimes = [next(stream)[2]["status"]["uptime_s"] for _ in range(3)]
        assert uptimes == sorted(set(uptimes))

    def test_a_status_that_stays_the_same_is_not_said_again(self, sources: Sources) -> None:
        frozen = sources.status()
        with (
            serving(replace(with_console(sources), status=lambda: frozen)) as url,
            httpx.Client(base_url=url) as http,
            events(http) as stream,
        ):
            assert next(stream)[1] == "status"
            time.sleep(2.5)
            sources.store.append([alert(40)])
            assert next(stream)[1] == "alert"

    def test_too_many_streams_are_refused(self, sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pipeline.web.events.STREAMS", 1)
        with client_of(sources) as http, events(http) as stream:
            next(stream)
            assert "streams" in problem(http.get("/api/events"), 503)

    def test_the_end_of_the_console_ends_its_streams(self, sources: Sources) -> None:
        with serving(with_console(sources)) as url:
            answer = httpx.stream("GET", f"{url}api/events", timeout=30)
            stream = answer.__enter__()
            lines = stream.iter_lines()
            next(lines)
        assert list(lines)[-1] == ""  # it came to its end, not to an error
        answer.__exit__(None, None, None)


def decoded(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


class TestABrokenStore:
    @pytest.fixture
    def broken(self, sources: Sources) -> Iterator[httpx.Client]:
        reader = StoreReader(sources.settings.store.path)
        reader.close()
        with serving(replace(with_console(sources), reader=reader)) as url, httpx.Client(base_url=url) as http:
            yield http

    @pytest.mark.parametrize("path", ["/api/alerts", "/api/alerts/none", "/api/events"])
    def test_it_is_said(self, broken: httpx.Client, path: str) -> None:
        assert problem(broken.get(path), 503).startswith("store ")

    def test_the_cameras_are_shown_all_the_same(self, broken: httpx.Client) -> None:
        assert len(broken.get("/api/cameras").json()) == 3
        with events(broken, params={"after": 5}) as stream:
            assert next(stream)[1] == "status"


class TestPicture:
    PATH = "/api/cameras/camera-01/picture"

    def test_it_is_a_jpeg_of_the_width_that_was_asked_for(self, http: httpx.Client) -> None:
        answer = http.get(self.PATH, params={"width": 320})
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "no-store"
        assert decoded(answer.content).shape == (180, 320, 3)

    def test_the_same_picture_is_not_sent_twice(self, sources: Sources) -> None:
        still = with_console(sources)
        seen = sources.memory.newest.of("camera-01")
        assert seen is not None
        memory = type(sources.memory)(still.settings)
        memory.newest.tape([seen.frame], [seen.observation])
        with serving(replace(still, memory=memory)) as url:
            first = httpx.get(f"{url}{self.PATH[1:]}")
            again = httpx.get(f"{url}{self.PATH[1:]}", headers={"If-None-Match": first.headers["etag"]})
            other = httpx.get(f"{url}{self.PATH[1:]}?width=200", headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, again.status_code, other.status_code) == (200, 304, 200)
        assert again.content == b""

    def test_off_means_off(self, sources: Sources) -> None:
        with client_of(sources, live="off") as http:
            assert "console.live" in problem(http.get(self.PATH), 404)

    def test_where_there_is_no_picture(self, http: httpx.Client) -> None:
        problem(http.get("/api/cameras/none/picture"), 404)
        problem(http.get("/api/cameras/camera-02/picture"), 404)
        problem(http.get(self.PATH, params={"width": 5000}), 422)


class TestWhoMayAsk:
    def test_a_token_is_needed_for_everything_that_says_anything(self, sources: Sources) -> None:
        with client_of(sources, token=TOKEN) as http:
            paths = http.get("/api/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()["paths"]
            open_to_all = set()
            for path, operations in paths.items():
                for method in operations:
                    answer = http.request(method, re.sub(r"{\w+}", "x", path), json={})
                    if answer.status_code != 401:
                        open_to_all.add((method, path))
            assert open_to_all == {
                ("get", "/healthz"),
                ("get", "/readyz"),
                ("get", "/api/session"),
                ("post", "/api/session"),
                ("delete", "/api/session"),
            }
            assert http.get("/api/openapi.json").status_code == 401
            assert http.get("/").status_code != 401

    @pytest.mark.parametrize(
        "said", ["Bearer wrong", f"Basic {TOKEN}", "Bearer", "", f"Bearer {TOKEN}x", "Bearer \xfc"]
    )
    def test_what_is_no_token(self, sources: Sources, said: str) -> None:
        with client_of(sources, token=TOKEN) as http:
            answer = http.get("/api/status", headers={"Authorization": said.encode("latin-1")})
            assert "Authorization" in problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert http.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200

    def test_a_session_begins_with_the_token_and_ends_when_asked(self, sources: Sources) -> None:
        with client_of(sources, token=TOKEN) as http:
            assert http.get("/api/session").json() == {"needed": True, "signed_in": False}
            assert "not the token" in problem(http.post("/api/session", json={"token": "wrong"}), 401)
            answer = http.post("/api/session", json={"token": TOKEN})
            cookie = answer.headers["set-cookie"]
            assert answer.json() == {"needed": True, "signed_in": True}
            assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
            assert TOKEN not in cookie
            assert http.get("/api/status").status_code == 200
            stolen = http.cookies["mien-session"]
            http.delete("/api/session")
            assert http.get("/api/status").status_code == 401
            assert http.get("/api/status", headers={"Cookie": f"mien-session={stolen}"}).status_code == 401

    def test_without_a_token_there_is_nothing_to_sign_in_to(self, http: httpx.Client) -> None:
        assert http.get("/api/session").json() == {"needed": False, "signed_in": True}
        answer = http.post("/api/session", json={"token": "any"})
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("localhost:8420", 200),
            ("LOCALHOST", 200),
            ("127.0.0.1", 200),
            ("127.3.2.1:80", 200),
            ("[::1]:8420", 200),
            ("mien.example.org", 200),
            ("evil.example.org", 421),
            ("mien.example.org.evil.com", 421),
            ("192.168.1.5:8420", 421),
            ("", 421),
            ("[", 421),
            ("localhost@evil.com", 421),
        ],
    )
    def test_only_by_a_name_of_its_own(self, sources: Sources, host: str, status: int) -> None:
        with client_of(sources, names=["mien.example.org"]) as http:
            assert http.get("/api/status", headers={"Host": host}).status_code == status
            assert http.get("/", headers={"Host": host}).status_code in ({200, 404} if status == 200 else {421})

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 404),
            ({"Sec-Fetch-Site": "same-origin"}, 404),
            ({"Sec-Fetch-Site": "none"}, 404),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Origin": "http://{host}"}, 404),
            ({"Origin": "http://evil.example.org"}, 403),
            ({"Origin": "http://{host}.evil.example.org"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://["}, 403),
        ],
        ids=str,
    )
    def test_other_sites_change_nothing(self, http: httpx.Client, headers: dict[str, str], status: int) -> None:
        host = f"{http.base_url.host}:{http.base_url.port}"
        said = {name: value.format(host=host) for name, value in headers.items()}
        answer = http.post("/api/alerts/none/acknowledgement", json={}, headers=said)
        assert answer.status_code == status

    def test_other_sites_see_nothing_but_may_link_to_the_page(self, http: httpx.Client) -> None:
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert http.get("/api/cameras/camera-01/picture", headers=elsewhere).status_code == 403
        assert http.get("/api/events", headers=elsewhere).status_code == 403
        assert http.get("/metrics", headers=elsewhere).status_code == 403
        assert http.get("/", headers=elsewhere).status_code != 403

    def test_bodies_are_small(self, http: httpx.Client) -> None:
        path = "/api/alerts/none/acknowledgement"
        large = b'{"note": "' + b"x" * 70_000 + b'"}'
        as_json = {"content-type": "application/json"}
        assert "65536 bytes" in problem(http.post(path, content=large, headers=as_json), 413)
        chunks = iter([large[:40_000], large[40_000:]])  # nothing says its length before
        assert "65536 bytes" in problem(http.post(path, content=chunks, headers=as_json), 413)

    @pytest.mark.parametrize("path", ["/", "/api/status", "/api/nothing", "/static/none.js", "/metrics"])
    def test_every_answer_tells_the_browser_to_be_careful(self, http: httpx.Client, path: str) -> None:
        headers = http.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == ("no-cache" if path == "/" or path.startswith("/static") else "no-store")
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers

    def test_a_page_that_is_not_there_is_an_error_as_all_are(self, http: httpx.Client) -> None:
        assert problem(http.get("/api/nothing"), 404)
        assert problem(http.put("/api/status"), 405)
        assert problem(http.get("/static/../pyproject.toml"), 404)


class TestWhereItListens:
    def test_a_port_that_nobody_set_may_be_taken(self) -> None:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # taken by somebody else already
                stack.enter_context(socket.create_server(("127.0.0.1", DEFAULT_PORT)))
            listening = stack.enter_context(listen(Console()))
            assert url_of(Console(), listening) == f"http://127.0.0.1:{listening.getsockname()[1]}/"
            assert listening.getsockname()[1] != DEFAULT_PORT

    def test_a_port_that_was_set_may_not(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*console\.port"):
                listen(Console(port=port))

    def test_an_address_of_another_machine_is_said(self) -> None:
        with pytest.raises(ConfigError, match=r"console\.host"):
            listen(Console(host="203.0.113.9", token=made_token(), port=0))

    def test_ipv6(self) -> None:
        try:
            listening = listen(Console(host="::1", port=0))
        except ConfigError:
            pytest.skip("no IPv6 on this machine")
        with listening:
            assert url_of(Console(host="::1"), listening).startswith("http://[::1]:")


def made_token() -> Any:
    return made_up_settings(Path("/"), token=TOKEN).console.token


def test_every_interface_is_shown_by_the_name_of_the_machine(sources: Sources) -> None:
    everywhere = with_console(sources, host="0.0.0.0", token=TOKEN)
    with serving(everywhere) as url:
        assert url.startswith(f"http://{socket.gethostname()}:")
        port = httpx.URL(url).port
        for host, status in (("10.1.2.3", 200), (socket.gethostname(), 200), ("evil.example.org", 421)):
            answer = httpx.get(f"http://127.0.0.1:{port}/healthz", headers={"Host": f"{host}:{port}"})
            assert answer.status_code == status
