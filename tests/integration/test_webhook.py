"""The webhook sink and the delivery against a real HTTP server."""

from __future__ import annotations

import hashlib
import hmac
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.memory import MemorySink
from connectors.sink import RetryAfterError
from connectors.store import Store, StoreSettings
from connectors.webhook import WebhookSettings, WebhookSink
from operators.errors import SinkError
from pipeline.delivery import Delivery, Worker
from tests.alerts import FEAR, alert, resolved
from tests.hook_server import hook_server

pytestmark = pytest.mark.integration


@pytest.fixture
def store(tmp_path: Path):
    store = Store(StoreSettings(path=tmp_path / "mien.sqlite"))
    yield store
    store.close()


@pytest.fixture
def webhook():
    """Makes webhooks and closes them."""
    made: list[WebhookSink] = []

    def make(url: str, **changes) -> WebhookSink:
        made.append(WebhookSink(WebhookSettings(url=url, **changes)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def soon(check: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not check():
        assert time.monotonic() < ends_at, "did not happen within 30 s"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_request_can_be_checked_and_told_apart(webhook):
    with hook_server() as hooks:
        sink = webhook(hooks.url, secret=SecretStr("key"), token=SecretStr("token-1"))
        sink.deliver([FEAR])
        sink.deliver([FEAR])
        sink.deliver([resolved(FEAR)])
    first, again, other = hooks.requests
    stamp, digest = (part.split("=")[1] for part in first.headers["x-mien-signature"].split(","))
    signed = stamp.encode() + b"." + first.body
    assert hmac.compare_digest(digest, hmac.new(b"key", signed, hashlib.sha256).hexdigest())
    assert abs(time.time() - int(stamp)) < 300
    assert first.headers["authorization"] == "Bearer token-1"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"] != other.headers["idempotency-key"]


def test_without_secrets_nothing_is_signed(webhook):
    with hook_server() as hooks:
        webhook(hooks.url).deliver([FEAR])
    assert not {"x-mien-signature", "authorization"} & set(hooks.requests[0].headers)


def test_a_user_and_password_in_the_url_become_a_header(webhook):
    with hook_server() as hooks:
        webhook(hooks.url.replace("//", "//bob:p%40ss@")).deliver([FEAR])
    assert hooks.requests[0].headers["authorization"] == "Basic Ym9iOnBAc3M="
    assert hooks.requests[0].path == "/hook"


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 502, 503])
def test_what_time_may_cure_is_tried_again(webhook, status):
    with hook_server(status) as hooks, pytest.raises(SinkError, match=f"answered {status}") as caught:
        webhook(hooks.url).deliver([FEAR])
    assert caught.value.retryable


@pytest.mark.parametrize("status", [302, 400, 404, 413, 422])
def test_what_is_refused_is_not(webhook, status):
    with (
        hook_server((status, {}, "no such\nfield")) as hooks,
        pytest.raises(SinkError, match="no such field") as caught,
    ):
        webhook(hooks.url).deliver([FEAR])
    assert not caught.value.retryable


def test_retry_after_is_passed_on(webhook):
    with hook_server((429, {"Retry-After": "7"}, "")) as hooks, pytest.raises(RetryAfterError) as caught:
        webhook(hooks.url).deliver([FEAR])
    assert caught.value.seconds == 7


def test_a_server_that_does_not_answer_is_given_up(webhook):
    with hook_server(slow_s=1.5) as hooks, pytest.raises(SinkError, match="can't be reached") as caught:
        webhook(hooks.url, timeout=0.2).deliver([FEAR])
    assert caught.value.retryable


def test_secrets_are_in_no_error_and_no_log(webhook, caplog):
    caplog.set_level(logging.DEBUG)
    port = free_port()
    sink = webhook(
        f"http://bob:hush1@127.0.0.1:{port}/hush2?key=hush3", secret=SecretStr("hush4"), token=SecretStr("hush5")
    )
    with pytest.raises(SinkError) as caught:
        sink.deliver([FEAR])
    with hook_server(200, 500, port=port):
        sink.deliver([FEAR])
        with pytest.raises(SinkError) as refused:
            sink.deliver([FEAR])
    for text in (str(caught.value), str(refused.value), caplog.text):
        assert "hush" not in text
    assert f"http://127.0.0.1:{port}" in str(caught.value)


def test_two_errors_then_success(store, webhook):
    with hook_server(500, 500) as hooks:
        worker = Worker(store, webhook(hooks.url))
        store.append([FEAR])
        assert worker.step() > 0
        assert worker.step() > 0
        assert worker.step() == 0
        assert worker.step() > 0
    assert [request.ids for request in hooks.requests] == [["a1b2c3-1-firing"]] * 3
    assert len({request.headers["idempotency-key"] for request in hooks.requests}) == 1
    assert store.waiting("webhook") == 0
    assert store.dead_letters() == []


def test_a_refused_alert_becomes_a_dead_letter(store, webhook):
    with hook_server((400, {}, "bad label")) as hooks:
        worker = Worker(store, webhook(hooks.url))
        store.append([alert(1)])
        worker.step()
        store.append([alert(2)])
        worker.step()
    (letter,) = store.dead_letters()
    assert letter.alert == alert(1)
    assert letter.reason == f"webhook http://127.0.0.1:{hooks.port} answered 400 Bad Request: bad label"
    assert hooks.requests[1].ids == ["alert-00002-1-firing"]


def test_a_server_that_is_down_gets_everything_once_it_is_up(store, webhook):
    port = free_port()
    delivery = Delivery(store, [webhook(f"http://127.0.0.1:{port}/hook")])
    delivery.start()
    alerts = [alert(number) for number in range(70)]
    delivery.accept(alerts)
    soon(lambda: "can't be reached" in delivery.status()[0].error)
    assert delivery.status()[0].waiting == 70
    with hook_server(port=port) as hooks:
        soon(lambda: delivery.status()[0].waiting == 0)
    delivery.stop(5)
    assert [name for request in hooks.requests for name in request.ids] == [each.transition_id for each in alerts]


def test_a_slow_server_delays_nobody(store, webhook):
    quick = MemorySink("quick")
    with hook_server(slow_s=3.0) as hooks:
        delivery = Delivery(store, [webhook(hooks.url), quick])
        delivery.start()
        alerts = [alert(number) for number in range(100)]
        for each in alerts:
            delivery.accept([each])
        soon(lambda: quick.delivered == alerts)
        assert hooks.answered <= 1
        delivery.stop(0.1)
    assert store.waiting("webhook") > 0
    soon(lambda: not any(thread.is_alive() for thread in delivery._threads))
