"""What a section console may say."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from pipeline.config import Settings
from pipeline.sections import Console

TOKEN = SecretStr("a-token-that-nobody-guesses")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"port": 65536}, "expected port from 0 to 65535"),
        ({"port": -1}, "expected port from 0 to 65535"),
        ({"history": 30.0}, "expected a history from 1m to 7d"),
        ({"history": 8 * 86400.0}, "expected a history from 1m to 7d"),
        ({"host": "0.0.0.0"}, "expected a token, as 0.0.0.0 can be reached"),
        ({"host": "::"}, "expected a token"),
        ({"host": "192.168.1.5"}, "expected a token"),
        ({"host": "mien.example.org"}, "expected a token"),
        ({"host": "localhost.example.org"}, "expected a token"),
        ({"token": SecretStr("hunter2")}, "expected a token of 16 or more"),
        ({"token": SecretStr("hunter2-h\u00fcnter2-hunter2")}, "printable ASCII"),
        ({"token": SecretStr("hunter2-hunter2-hunter2\n")}, "printable ASCII"),
        ({"names": ("https://mien.example.org",)}, "without scheme and port"),
        ({"names": ("mien.example.org:443",)}, "without scheme and port"),
    ],
)
def test_what_would_let_strangers_in_or_can_not_work_is_refused(settings, said):
    with pytest.raises(ValueError, match=said) as caught:
        Console(**settings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machine_needs_no_token(host):
    assert Console(host=host).local


def test_other_machines_may_come_with_a_token():
    console = Console(host="0.0.0.0", token=TOKEN)
    assert not console.local
    assert "nobody-guesses" not in repr(console)


def test_it_is_served_to_this_machine_without_being_asked_for():
    settings = Settings.model_validate({"purpose": "a test", "cameras": {"lobby": {"url": "a.mp4"}}})
    assert (settings.console.enabled, settings.console.local, settings.console.live) == (True, True, "outlines")
