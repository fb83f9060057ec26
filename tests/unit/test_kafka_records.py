"""Records and alerts as bytes in a topic."""

from __future__ import annotations

import pytest

from connectors.kafka_records import decode_alert, decode_record, encode_alert, encode_record
from operators.errors import DecodeError
from operators.records import Clock, FaceTrack, Gap, GapReason, Observation, Tick
from tests.alerts import FEAR

FACE = FaceTrack("lobby-1", 1.5, (1.0, 2.0, 3.0, 4.0), 0.9, 80.0, 0.7, scores={"fear": 0.1 + 0.2})
RECORDS = (
    Observation("lobby", 7, 1, 1_795_212_000.123456, Clock.SENDER, (FACE,)),
    Gap("lobby", 1.0, 2.5, GapReason.DOWN, 3),
    Tick("quay", 2.0),
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_exactly(record):
    assert decode_record(encode_record(record)) == record


def test_an_alert_comes_back_exactly():
    assert decode_alert(encode_alert(FEAR)) == FEAR


@pytest.mark.parametrize(
    "data",
    [None, b"", b"\xff\xd8\xff", b"{}", b"[]", b'{"observation": {"camera_id": "lobby"}}', b'{"observation": null}'],
    ids=["nothing", "empty", "picture", "no kind", "list", "fields missing", "null"],
)
def test_what_is_no_record_is_a_decode_error(data):
    with pytest.raises(DecodeError, match="expected"):
        decode_record(data)


@pytest.mark.parametrize("data", [None, b"", b"\xff\xd8\xff", b"{}"], ids=["nothing", "empty", "picture", "fields"])
def test_what_is_no_alert_is_a_decode_error(data):
    with pytest.raises(DecodeError, match="expected an alert"):
        decode_alert(data)
