"""Records as bytes, and the public shape of an alert and of an observation.

`encode` and `decode` are exact and for our own use (the store, topics). `alert_document` and `observation_document` are
what the world reads: one shape for all sinks, times as people write them, figures rounded to what they are worth.
Nothing here can carry a picture: arrays have no encoding, texts are short, evidence is finite numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import numpy as np

from operators.errors import DecodeError
from operators.records import Alert, FaceTrack, Observation

__all__ = [
    "TEXT_LIMIT",
    "alert_document",
    "decode",
    "encode",
    "iso_time",
    "observation_document",
    "place_of",
    "presentable",
]

T = TypeVar("T")

TEXT_LIMIT = 500
"""Longest label or annotation in characters: room for a sentence, none for a picture or an embedding."""


def encode(value: object) -> bytes:
    """Return a record, rule state or document as one line of JSON without the line end; equal values give equal bytes.

    Arrays are a TypeError, so that `Frame` and `Detections` can't leave the process. NaN and infinity become null.
    """
    return _ENCODER.encode(value)


def decode(data: bytes | str, type_: type[T]) -> T:
    """Read what `encode` wrote; unknown fields are skipped. Raises DecodeError."""
    try:
        return msgspec.json.decode(data, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"expected {type_.__name__} as JSON, got {len(data)} bytes that are not: {error}") from error


def presentable(alert: Alert) -> Alert:
    """Return the alert as it may leave the process: finite evidence, short texts. Applying it twice changes nothing."""
    return replace(
        alert,
        labels={name: _short(text) for name, text in alert.labels.items()},
        annotations={name: _short(text) for name, text in alert.annotations.items()},
        evidence={name: value for name, value in alert.evidence.items() if math.isfinite(value)},
    )


def alert_document(alert: Alert) -> dict[str, Any]:
    """Return the public shape of an alert; times are ISO 8601 in UTC with milliseconds, evidence has four digits."""
    alert = presentable(alert)
    return {
        "id": alert.transition_id,
        "alert_id": alert.alert_id,
        "seq": alert.seq,
        "rule": alert.rule,
        "scope": str(alert.scope),
        "camera_id": alert.camera_id,
        "status": str(alert.status),
        "reason": alert.reason,
        "severity": str(alert.severity),
        "ts": iso_time(alert.ts),
        "starts_at": iso_time(alert.starts_at),
        "fired_at": None if alert.fired_at is None else iso_time(alert.fired_at),
        "ends_at": None if alert.ends_at is None else iso_time(alert.ends_at),
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "evidence": _rounded(alert.evidence),
        "config": alert.config,
        "silenced_by": alert.silenced_by,
    }


def place_of(alert: Alert) -> str:
    """Where an alert is about, for people: a camera, `group NAME`, or `site`."""
    return alert.camera_id or (f"group {alert.labels['group']}" if "group" in alert.labels else "site")


def observation_document(observation: Observation) -> dict[str, Any]:
    """Return the public shape of an observation; `ts` stays in seconds, as a file may have no wall clock."""
    document: dict[str, Any] = {
        "ts": round(observation.ts, 3),
        "camera_id": observation.camera_id,
        "seq": observation.seq,
        "faces": [_face_document(face) for face in observation.faces],
        "clock": str(observation.clock),
    }
    if observation.reused:
        document["reused"] = True
    return document


def iso_time(ts: float) -> str:
    """Return `2026-11-21T09:06:56.123Z` for seconds since the epoch."""
    return datetime.fromtimestamp(round(ts, 3), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _face_document(face: FaceTrack) -> dict[str, Any]:
    document: dict[str, Any] = {
        "track_id": face.track_id,
        "xyxy": [round(float(edge), 1) for edge in face.xyxy],
        "confidence": round(float(face.confidence), 4),
        "source_px": round(float(face.source_px), 1),
        "quality": round(float(face.quality), 4),
        "label": face.label,
        "scores": _rounded(face.scores),
        "enhanced": face.enhanced,
    }
    if face.intensity is not None:
        document["intensity"] = round(float(face.intensity), 4)
    if face.zones:
        document["zones"] = list(face.zones)
    if face.reasons:
        document["reasons"] = list(face.reasons)
    return document


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in values.items()}


def _short(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"


def _plain(value: object) -> object:
    """Turn a numpy scalar into Python's; anything else, arrays first of all, must not be encoded."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"expected values of a record (text, numbers, lists of them), got {type(value).__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
