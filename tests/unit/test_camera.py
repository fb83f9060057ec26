"""Settings, states and back-off of a camera."""

from __future__ import annotations

import pickle

import pytest
from pydantic import SecretStr, TypeAdapter

from connectors.camera import ADVICE, TRANSITIONS, Backoff, Event, State, StreamSettings, stall_limit
from operators.errors import Cause

NASTY = "p@ss:w/rd#%"


@pytest.mark.parametrize(
    ("url", "clean", "username", "password"),
    [
        ("rtsp://10.0.0.5:554/live", "rtsp://10.0.0.5:554/live", "", None),
        ("rtsp://admin:secret@10.0.0.5/live", "rtsp://10.0.0.5/live", "admin", "secret"),
        (f"rtsp://admin:{NASTY}@10.0.0.5:554/live", "rtsp://10.0.0.5:554/live", "admin", NASTY),
        ("rtsp://admin:p%40ss@cam.local/live", "rtsp://cam.local/live", "admin", "p@ss"),
        ("rtsp://admin:x@[fe80::1]:554/live", "rtsp://[fe80::1]:554/live", "admin", "x"),
        ("rtsp://admin@cam/live", "rtsp://cam/live", "admin", None),
        ("rtsp://cam/live@2", "rtsp://cam/live@2", "", None),
        ("rtsp://admin:x@cam/live@2", "rtsp://cam/live@2", "admin", "x"),
        ("/videos/a@b.mp4", "/videos/a@b.mp4", "", None),
        ("scene://smile", "scene://smile", "", None),
    ],
)
def test_credentials_move_out_of_the_address(url: str, clean: str, username: str, password: str | None) -> None:
    settings = StreamSettings(url)
    assert (settings.url, settings.username) == (clean, username)
    assert (settings.password.get_secret_value() if settings.password else None) == password


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("rstp://admin:hush@cam/live", "begins with rstp://"),
        ("10.0.0.5:554/live", "without its protocol"),
        ("admin:hush@10.0.0.5/live", "without its protocol"),
        ("rtsp://admin:p@hush/x@10.0.0.5:554/live", "more than one way"),
        ("rtsps://admin:hush@cam:99999/live", "no host and port"),
        ("http://admin:hush", "no host and port"),
        ("rtsp://[::1/hush", "no host and port"),
        ("rtsp:///hush", "no host and port"),
        ("rtsp://admin:p@hush/x@cam/live", "more than one way"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_without_repeating_it(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        StreamSettings(url)
    assert "hush" not in str(raised.value)


def test_credentials_given_apart_are_encoded() -> None:
    settings = StreamSettings("rtsp://cam/live", username="me@home", password=SecretStr(NASTY))
    assert settings.address() == "rtsp://me%40home:p%40ss%3Aw%2Frd%23%25@cam/live"


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://admin:hush@cam/live",
        "rtsp://cam/user=admin_password=hush_channel=1",
        "http://cam/video?user=a&pwd=hush",
        "http://cam/video?token=hush&x=1",
    ],
)
def test_no_secret_is_shown(url: str) -> None:
    settings = StreamSettings(url)
    assert "hush" not in settings.shown
    assert "hush" not in repr(settings)
    assert "cam" in settings.shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": " "}, "url is empty"),
        ({"fps": 0}, "fps must be"),
        ({"fps": 500}, "fps must be"),
        ({"read_timeout": 0}, "read_timeout must be"),
        ({"masks": (((0.0, 0.0), (1.0, 1.0)),)}, "at least 3 points"),
        ({"masks": (((0.0, 0.0), (9.0, 1.0), (1.0, 1.0)),)}, "between 0 and 1"),
    ],
)
def test_bad_settings_say_what_is_allowed(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StreamSettings(**{"url": "rtsp://cam/", **options})  # type: ignore[arg-type]


def test_settings_are_read_by_pydantic_and_travel_to_a_process() -> None:
    settings = TypeAdapter(StreamSettings).validate_python(
        {"url": "rtsp://a:b@cam/x", "read_timeout": "3s", "masks": [[[0, 0], [1, 0], [1, 1]]]}
    )
    assert settings.read_timeout == 3
    assert settings.username == "a"
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_every_event_is_legal_in_every_state() -> None:
    assert set(TRANSITIONS) == {(state, event) for state in State for event in Event}


@pytest.mark.parametrize("state", State)
def test_a_camera_can_be_stopped_and_started_from_every_state(state: State) -> None:
    assert TRANSITIONS[state, Event.STOP] is State.STOPPED
    assert TRANSITIONS[State.STOPPED, Event.START] is State.CONNECTING


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([Event.PICTURE], State.LIVE),
        ([Event.PICTURE, Event.SILENCE], State.STALLED),
        ([Event.PICTURE, Event.SILENCE, Event.PICTURE], State.LIVE),
        ([Event.PICTURE, Event.FAILED], State.BACKING_OFF),
        ([Event.FAILED, Event.PICTURE], State.BACKING_OFF),
        ([Event.FAILED, Event.START], State.CONNECTING),
        ([Event.PICTURE, Event.ENDED, Event.FAILED], State.STOPPED),
        ([Event.SILENCE], State.CONNECTING),
    ],
)
def test_histories_end_where_they_should(events: list[Event], state: State) -> None:
    now = State.CONNECTING
    for event in events:
        now = TRANSITIONS[now, event]
    assert now is state


def test_backoff_doubles_up_to_its_cap_and_spreads() -> None:
    backoff = Backoff(first=1.0, longest=60.0)
    assert [backoff.delay(n, cause=Cause.NETWORK, jitter=1) for n in (1, 2, 3, 7, 1000)] == [1, 2, 4, 60, 60]
    assert backoff.delay(3, cause=Cause.EOF, jitter=0) == 2


def test_wrong_passwords_wait_longest() -> None:
    delays = {cause: Backoff().delay(1, cause=cause, jitter=0.5) for cause in Cause}
    assert max(delays, key=lambda cause: delays[cause]) is Cause.AUTH
    assert delays[Cause.AUTH] > 30


def test_a_slow_camera_may_be_silent_longer() -> None:
    assert stall_limit(25) == stall_limit(0) == 2
    assert stall_limit(1) == 8


def test_every_cause_comes_with_advice() -> None:
    assert set(ADVICE) == set(Cause)
