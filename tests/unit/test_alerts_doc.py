"""docs/alerts.md says what the code does: its check of the signature runs, its examples have the real keys."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from connectors.webhook import payload, sign
from connectors.wire import alert_document, observation_document
from operators.records import Clock, FaceTrack, Observation
from tests.alerts import FEAR

TEXT = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
ALERT, HOOK, OBSERVATION = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture(scope="module")
def is_ours():
    (source,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict = {}
    exec(source, names)
    return names["is_ours"]


def test_the_alert_has_the_keys_of_the_code():
    assert list(ALERT) == list(alert_document(FEAR))
    for key in ALERT:
        assert f"`{key}`" in TEXT.partition("## store")[0]


def test_the_webhook_has_the_keys_of_the_code():
    real = payload([FEAR])
    assert set(HOOK) == set(real)
    assert set(HOOK["alerts"][0]) == set(real["alerts"][0])
    assert set(HOOK["alerts"][0]["mien"]) == set(real["alerts"][0]["mien"])


def test_the_observation_has_the_keys_of_the_code():
    face = FaceTrack("a", 0, (0, 0, 1, 1), confidence=1, source_px=1, quality=1, scores={"fear": 1})
    real = observation_document(Observation("lobby", 0, 0, 0, Clock.MEDIA, faces=(face,)))
    assert list(OBSERVATION) == list(real)
    assert list(OBSERVATION["faces"][0]) == list(real["faces"][0])


def test_the_check_of_the_signature_accepts_ours_and_nothing_else(is_ours):
    now = int(time.time())
    good = sign(b"{}", secret="key", timestamp=now)
    assert is_ours(b"{}", good, "key")
    assert not is_ours(b"{ }", good, "key")
    assert not is_ours(b"{}", good, "other")
    assert not is_ours(b"{}", sign(b"{}", secret="key", timestamp=now - 1000), "key")
    assert not is_ours(b"{}", good.replace(f"t={now}", f"t={now + 1}"), "key")
    assert not is_ours(b"{}", "", "key")
    assert not is_ours(b"{}", "v1=x", "key")
