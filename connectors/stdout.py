"""Alerts on standard output: a line for people, or JSON for a program behind a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TextIO

from connectors.sink import NOTIFIED
from connectors.wire import alert_document, encode
from operators.errors import SinkError
from operators.records import Alert, Status

__all__ = ["StdoutSettings", "StdoutSink", "text_line"]


@dataclass(frozen=True, slots=True)
class StdoutSettings:
    """Write alerts to standard output."""

    type: Literal["stdout"] = "stdout"
    """Which sink this is."""
    name: str = "stdout"
    """Key of the position in the store; must differ between sinks."""
    format: Literal["text", "json"] = "text"
    """One readable line, or one JSON object, per transition."""
    statuses: tuple[Status, ...] = NOTIFIED
    """Which transitions are written."""


class StdoutSink:
    """Writes one line per transition to `stream` (standard output at the time of writing, unless given)."""

    def __init__(self, settings: StdoutSettings | None = None, *, stream: TextIO | None = None) -> None:
        settings = settings or StdoutSettings()
        self.name = settings.name
        self.statuses, self.silenced = settings.statuses, False
        self._line = _json_line if settings.format == "json" else text_line
        self._stream = stream

    def deliver(self, alerts: Sequence[Alert], /) -> None:
        """Write and flush; raises a retryable SinkError when nobody reads the pipe any more."""
        stream = self._stream or sys.stdout
        try:
            stream.write("".join(self._line(alert) + "\n" for alert in alerts))
            stream.flush()
        except (OSError, ValueError) as error:
            raise SinkError(f"standard output can't be written to: {error}", retryable=True) from error

    def close(self) -> None:
        """Leave the stream open: it isn't ours."""


def text_line(alert: Alert) -> str:
    """Return `time STATUS severity rule camera=... label=... | title | figure=...` without control characters.

    A group stands in the place of the camera, or `site`.
    """
    document = alert_document(alert)
    labels = {name: text for name, text in document["labels"].items() if name not in {"camera", "rule", "severity"}}
    place = {"camera": alert.camera_id} if alert.camera_id else {}
    parts = [
        f"{document['ts']} {document['status'].upper():8} {document['severity']:8} {document['rule']}",
        _pairs({**place, **labels}) or document["scope"],
        f"({document['reason']})",
    ]
    title = document["annotations"].get("title")
    if title:
        parts.append(f"| {title}")
    if document["evidence"]:
        parts.append("| " + _pairs(document["evidence"]))
    # A label can't start a line of its own or colour the terminal.
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(parts))


def _pairs(values: dict[str, object]) -> str:
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )


def _json_line(alert: Alert) -> str:
    return encode(alert_document(alert)).decode()
