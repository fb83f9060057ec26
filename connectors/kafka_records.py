"""What is in the observations and alerts topics: one JSON object a record, exact, under the name of its kind.

{"observation": {...}}    {"gap": {...}}    {"tick": {...}}    an alert is by itself
"""

from __future__ import annotations

import msgspec

from connectors.wire import encode
from operators.errors import DecodeError
from operators.records import Alert, Gap, Observation, Tick

__all__ = ["Record", "decode_alert", "decode_record", "encode_alert", "encode_record"]

Record = Observation | Gap | Tick


def encode_record(record: Record) -> bytes:
    """One record as it is sent; equal records give equal bytes."""
    match record:
        case Observation():
            return encode({"observation": record})
        case Gap():
            return encode({"gap": record})
        case Tick():
            return encode({"tick": record})


def decode_record(data: bytes | None) -> Record:
    """Read what `encode_record` wrote. Raises DecodeError."""
    try:
        found = _RECORD.decode(data or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"expected a record as JSON, got {len(data or b'')} bytes that are not: {error}") from error
    record = found.observation or found.gap or found.tick
    if record is None:
        raise DecodeError("expected an observation, a gap or a tick, got a JSON object without one")
    return record


def encode_alert(alert: Alert) -> bytes:
    """One alert transition as it is sent."""
    return encode(alert)


def decode_alert(data: bytes | None) -> Alert:
    """Read what `encode_alert` wrote. Raises DecodeError."""
    try:
        return _ALERT.decode(data or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"expected an alert as JSON, got {len(data or b'')} bytes that are not: {error}") from error


class _Record(msgspec.Struct):
    """A record under the name of its kind."""

    observation: Observation | None = None
    gap: Gap | None = None
    tick: Tick | None = None


_RECORD = msgspec.json.Decoder(_Record)
_ALERT = msgspec.json.Decoder(Alert)
