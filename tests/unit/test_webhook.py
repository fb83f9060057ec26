"""Tests of connectors/webhook.py that need no server; the others are in tests/integration/test_webhook.py."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from pydantic import SecretStr

from connectors.webhook import WebhookSettings, _retry_after, payload, sign
from operators.records import Scope
from tests.alerts import FEAR, resolved

NOW = 1_700_000_000.0


def test_one_alert_in_alertmanager_s_payload():
    message = payload([FEAR], receiver="ops", external_url="https://mien.example")
    (item,) = message.pop("alerts")
    labels = {
        "alertname": "fear-sustained",
        "camera_id": "lobby",
        "scope": "track",
        "severity": "warning",
        "zone": "desk",
    }
    assert message == {
        "version": "4",
        "groupKey": '{}:{alertname="fear-sustained", camera_id="lobby"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "ops",
        "groupLabels": {"alertname": "fear-sustained", "camera_id": "lobby"},
        "commonLabels": labels,
        "commonAnnotations": {"title": "Sustained fear on lobby"},
        "externalURL": "https://mien.example",
    }
    assert item == {
        "status": "firing",
        "labels": labels,
        "annotations": {"title": "Sustained fear on lobby"},
        "startsAt": "2025-11-21T09:00:01.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://mien.example",
        "fingerprint": hashlib.sha256(b"a1b2c3").hexdigest()[:16],
        "mien": {
            "id": "a1b2c3-1-firing",
            "alert_id": "a1b2c3",
            "seq": 1,
            "status": "firing",
            "reason": "for",
            "severity": "warning",
            "ts": "2025-11-21T09:00:04.000Z",
            "fired_at": "2025-11-21T09:00:04.000Z",
            "evidence": {"value_max": 0.8123, "coverage": 0.97, "samples": 31.0},
            "config": "5f1d0c7be2a9",
        },
    }


def test_the_end_of_an_alert_has_the_fingerprint_of_its_beginning():
    (begin,), (end,) = payload([FEAR])["alerts"], payload([resolved(FEAR)])["alerts"]
    assert end["status"] == "resolved"
    assert end["endsAt"] == "2025-11-21T09:00:09.000Z"
    assert end["fingerprint"] == begin["fingerprint"]


def test_a_group_and_the_site_have_no_camera():
    crowd = replace(FEAR, camera_id="", scope=Scope.GROUP, labels={"group": "entrance"})
    message = payload([crowd, replace(crowd, seq=2)])
    assert message["groupKey"] == '{}:{alertname="fear-sustained", group="entrance"}'
    assert message["alerts"][0]["labels"] == {
        "alertname": "fear-sustained",
        "group": "entrance",
        "scope": "group",
        "severity": "warning",
    }
    (site,) = payload([replace(crowd, scope=Scope.SITE, labels={})])["alerts"]
    assert "camera_id" not in site["labels"]


@pytest.mark.parametrize(
    ("alerts", "status", "group"),
    [
        ([FEAR, resolved(FEAR)], "firing", ["alertname", "camera_id"]),
        ([resolved(FEAR)], "resolved", ["alertname", "camera_id"]),
        ([FEAR, replace(FEAR, camera_id="door")], "firing", ["alertname"]),
        ([FEAR, replace(FEAR, camera_id="door", rule="other")], "firing", []),
    ],
)
def test_a_batch_is_grouped_by_what_its_alerts_share(alerts, status, group):
    message = payload(alerts)
    assert message["status"] == status
    assert list(message["groupLabels"]) == group


def test_a_label_cannot_take_the_place_of_the_rule_or_the_camera():
    (item,) = payload([replace(FEAR, labels={"alertname": "x", "camera_id": "y", "severity": "z"})])["alerts"]
    assert (item["labels"]["alertname"], item["labels"]["camera_id"]) == ("fear-sustained", "lobby")


def test_the_signature_is_of_the_time_and_the_body():
    expected = hmac.new(b"key", b"17.{}", hashlib.sha256).hexdigest()
    assert sign(b"{}", secret="key", timestamp=17) == f"t=17,v1={expected}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("99999", 300.0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_capped(value, seconds):
    assert _retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "ftp://bob:hush@example.org/x"}, r"got ftp://example\.org$"),
        ({"url": "example.org/hook-hush"}, "starts with http"),
        ({"url": "http://"}, "names a host"),
        ({"url": "http://example.org:port/hush"}, "expected a URL such as"),
        ({"timeout": 0.0}, "timeout above 0s"),
        ({"token": SecretStr("hush\n")}, "printable ASCII"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_telling_secrets(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        WebhookSettings(**{"url": "https://example.org/hook", **changes})
    assert "hush" not in str(caught.value)
