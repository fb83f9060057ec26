"""Tests of connectors/wire.py."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from connectors.wire import TEXT_LIMIT, alert_document, decode, encode, iso_time, observation_document, place_of
from operators.errors import DecodeError
from operators.records import (
    Alert,
    Clock,
    FaceTrack,
    Frame,
    Gap,
    GapReason,
    Observation,
    Tick,
    TrackEvent,
    TrackEventKind,
)
from tests.alerts import FEAR

FACE = FaceTrack(
    track_id="lobby-7",
    first_ts=1.0,
    xyxy=(10.04, 20.0, 50.0, 60.06),
    confidence=0.987654,
    source_px=40.04,
    quality=0.75,
    label="fear",
    scores={"fear": 0.7000001, "neutral": 0.2999999},
)
SEEN = Observation(camera_id="lobby", epoch=5, seq=9, ts=12.3456789, clock=Clock.MEDIA, faces=(FACE,))


@pytest.mark.parametrize(
    "record",
    [
        FEAR,
        SEEN,
        replace(SEEN, faces=(), events=(TrackEvent(TrackEventKind.MERGED, "a", into="b"),), reused=True),
        Gap("lobby", 1.0, 2.0, GapReason.OVERLOAD, frames=3),
        Tick("lobby", 4.5),
    ],
    ids=lambda record: type(record).__name__,
)
def test_what_is_encoded_is_decoded_as_it_was(record):
    assert decode(encode(record), type(record)) == record


def test_decode_passes_over_fields_of_a_newer_version():
    newer = json.loads(encode(FEAR)) | {"mood": "new"}
    assert decode(json.dumps(newer), Alert) == FEAR


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "not text"),
        (encode(FEAR)[:-9], "torn"),
        (b'{"alert_id": 3}', "wrong type"),
        (encode(FEAR).replace(b"firing", b"smoking"), "unknown status"),
    ],
)
def test_decode_says_what_is_wrong(data, why):
    with pytest.raises(DecodeError, match="expected Alert as JSON"):
        decode(data, Alert)


def test_numpy_scalars_are_numbers_and_arrays_are_refused():
    assert b'"peak":0.5' in encode(replace(FEAR, evidence={"peak": np.float32(0.5)}))
    with pytest.raises(TypeError, match="got ndarray"):
        encode({"face": np.zeros((2, 2))})
    with pytest.raises(TypeError, match="got ndarray"):
        encode(Frame("lobby", 0, 0, 0.0, Clock.STREAM, np.zeros((2, 2, 3), np.uint8)))


def test_an_alert_as_the_world_sees_it():
    assert alert_document(FEAR) == {
        "id": "a1b2c3-1-firing",
        "alert_id": "a1b2c3",
        "seq": 1,
        "rule": "fear-sustained",
        "scope": "track",
        "camera_id": "lobby",
        "status": "firing",
        "reason": "for",
        "severity": "warning",
        "ts": "2025-11-21T09:00:04.000Z",
        "starts_at": "2025-11-21T09:00:01.000Z",
        "fired_at": "2025-11-21T09:00:04.000Z",
        "ends_at": None,
        "labels": {"zone": "desk"},
        "annotations": {"title": "Sustained fear on lobby"},
        "evidence": {"value_max": 0.8123, "coverage": 0.97, "samples": 31.0},
        "config": "5f1d0c7be2a9",
        "silenced_by": "",
    }


@pytest.mark.parametrize(
    ("camera_id", "labels", "place"),
    [("lobby", {"camera": "lobby"}, "lobby"), ("", {"group": "entrance"}, "group entrance"), ("", {}, "site")],
)
def test_where_an_alert_is_about(camera_id, labels, place):
    assert place_of(replace(FEAR, camera_id=camera_id, labels=labels)) == place


def test_evidence_that_is_no_number_and_text_that_could_hide_a_picture_stay_behind():
    document = alert_document(
        replace(FEAR, evidence={"nan": float("nan"), "inf": float("-inf"), "ok": 1.0}, annotations={"crop": "A" * 9000})
    )
    assert document["evidence"] == {"ok": 1.0}
    assert len(document["annotations"]["crop"]) == TEXT_LIMIT


def test_an_observation_as_the_world_sees_it():
    document = observation_document(SEEN)
    assert document == {
        "ts": 12.346,
        "camera_id": "lobby",
        "seq": 9,
        "faces": [
            {
                "track_id": "lobby-7",
                "xyxy": [10.0, 20.0, 50.0, 60.1],
                "confidence": 0.9877,
                "source_px": 40.0,
                "quality": 0.75,
                "label": "fear",
                "scores": {"fear": 0.7, "neutral": 0.3},
                "enhanced": False,
            }
        ],
        "clock": "media",
    }
    assert list(document)[:4] == ["ts", "camera_id", "seq", "faces"]


def test_what_is_known_beyond_the_required_keys_follows_them():
    face = replace(FACE, intensity=0.7, zones=("desk",), reasons=("blurred",))
    document = observation_document(replace(SEEN, faces=(face,), reused=True))
    assert document["reused"] is True
    assert list(document["faces"][0])[-3:] == ["intensity", "zones", "reasons"]


@pytest.mark.parametrize(
    ("ts", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1.0006, "1970-01-01T00:00:01.001Z"), (1.9996, "1970-01-01T00:00:02.000Z")],
)
def test_times_are_rounded_to_milliseconds(ts, text):
    assert iso_time(ts) == text
