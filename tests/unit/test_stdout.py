"""Tests of connectors/stdout.py."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace

import pytest

from connectors.stdout import StdoutSettings, StdoutSink, text_line
from connectors.wire import alert_document
from operators.errors import SinkError
from operators.records import Scope
from tests.alerts import FEAR, resolved


def test_a_line_a_person_can_read(capsys):
    StdoutSink().deliver([FEAR, resolved(FEAR)])
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        "2025-11-21T09:00:04.000Z FIRING   warning  fear-sustained camera=lobby zone=desk (for) "
        "| Sustained fear on lobby | value_max=0.8123 coverage=0.97 samples=31"
    )
    assert second.startswith("2025-11-21T09:00:09.000Z RESOLVED warning  fear-sustained camera=lobby")


@pytest.mark.parametrize(("labels", "shown"), [({"group": "entrance"}, "group=entrance"), ({}, "site")])
def test_a_group_and_the_site_stand_in_the_place_of_the_camera(labels, shown):
    scope = Scope.GROUP if labels else Scope.SITE
    line = text_line(replace(FEAR, camera_id="", scope=scope, labels=labels))
    assert f"fear-sustained {shown} (for)" in line


def test_json_is_the_public_document():
    stream = io.StringIO()
    StdoutSink(StdoutSettings(format="json"), stream=stream).deliver([FEAR])
    assert json.loads(stream.getvalue()) == alert_document(FEAR)


def test_a_label_cannot_start_a_line_or_colour_the_terminal():
    stream = io.StringIO()
    StdoutSink(stream=stream).deliver([replace(FEAR, labels={"zone": "desk\n1970 FIRING \x1b[31m"})])
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_a_reader_that_left_is_said():
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    with pytest.raises(SinkError, match="standard output can't be written to") as caught:
        StdoutSink(stream=stream).deliver([FEAR])
    assert caught.value.retryable
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_closing_leaves_the_stream_open():
    stream = io.StringIO()
    sink = StdoutSink(stream=stream)
    sink.close()
    assert not stream.closed
