"""No secret in any log line: message, arguments, traceback."""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
from urllib.parse import quote

import pytest

from pipeline.logs import Redaction, set_up

SECRET = 'p@ss:w/rd "quoted" \\é\''
OTHER = "hunter2"


@pytest.fixture
def stream() -> io.StringIO:
    text = io.StringIO()
    set_up(secrets=[SECRET, OTHER], stream=text)
    return text


def leaks(text: str) -> bool:
    forms = (SECRET, OTHER, quote(SECRET, safe=""), quote(SECRET), repr(SECRET)[1:-1])
    return any(form in text for form in forms)


def raises(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("message", "args"),
    [
        (f"opening with {SECRET}", ()),
        ("opening %s with %r", ("lobby", SECRET)),
        ("url=%s", (f"rtsp://admin:{quote(SECRET, safe='')}@10.0.0.5/stream1",)),
        ("options=%s", ({"password": SECRET, "token": OTHER},)),
        ("%(password)s", ({"password": OTHER},)),
        ("error=%s", (ValueError(f"401 for {OTHER}"),)),
    ],
)
def test_messages_and_arguments(stream: io.StringIO, message: str, args: tuple[object, ...]) -> None:
    logging.getLogger("test").warning(message, *args)
    assert "**********" in stream.getvalue()
    assert not leaks(stream.getvalue())


def test_tracebacks_with_their_causes(stream: io.StringIO) -> None:
    try:
        try:
            raises(OSError(f"can't open rtsp://admin:{OTHER}@10.0.0.5"))
        except OSError as cause:
            raise RuntimeError(f"bad password {SECRET!r}") from cause
    except RuntimeError:
        logging.getLogger("test").exception("capture failed camera=%s", "lobby", stack_info=True)
    text = stream.getvalue()
    assert "Traceback" in text
    assert "RuntimeError: bad password" in text
    assert not leaks(text)


def test_an_error_that_nobody_caught(stream: io.StringIO) -> None:
    try:
        raises(RuntimeError(f"bad password {SECRET}"))
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    assert "RuntimeError: bad password" in stream.getvalue()
    assert not leaks(stream.getvalue())


@pytest.mark.parametrize(
    "url",
    ["rtsp://admin:unknown-secret@10.0.0.5/1", "http://u:unknown-secret@h:80/x?y=1", "rtsp://u:unknown-secret/@h"],
)
def test_credentials_of_any_url_even_of_unknown_ones(stream: io.StringIO, url: str) -> None:
    logging.getLogger("test").error("url=%s reason=%s", url, "timeout")
    assert "unknown-secret" not in stream.getvalue()
    assert "reason=timeout" in stream.getvalue()


def test_a_thread_that_dies_is_in_the_log_without_the_secret(stream: io.StringIO) -> None:
    thread = threading.Thread(target=raises, args=(ValueError(f"401 for {OTHER}"),), name="captures")
    thread.start()
    thread.join()
    assert "thread=captures" in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert not leaks(stream.getvalue())


def test_the_record_itself_holds_nothing_either() -> None:
    record = logging.LogRecord("test", logging.INFO, "f.py", 1, "with %s", (OTHER,), None)
    assert Redaction([OTHER]).filter(record)
    assert not leaks(repr(record.__dict__))


def test_a_line_is_time_level_logger_message_in_utc(stream: io.StringIO) -> None:
    logging.getLogger("pipeline.local").info("camera=%s state=%s", "lobby", "live")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    pipeline\.local camera=lobby state=live\n", stream.getvalue()
    )


def test_set_up_again_replaces_the_handler(stream: io.StringIO) -> None:
    second = io.StringIO()
    set_up(stream=second)
    logging.getLogger("test").info("once")
    assert stream.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_request_lines_of_http_libraries_are_off(stream: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: POST https://hooks.example.org/T0/secret-path")
    assert stream.getvalue() == ""
