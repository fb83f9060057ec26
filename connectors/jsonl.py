"""Alerts as JSON lines in a file that only grows: easy to ship, to grep, and to load into a data frame.

Delivery is at least once by contract; here it is made exact: before the first write to a file its tail is read, and a
transition whose id is there already is not written again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from connectors.sink import NOTIFIED
from connectors.wire import alert_document, encode
from operators.errors import SinkError
from operators.records import Alert, Status

__all__ = ["JsonlSettings", "JsonlSink"]

_TAIL_BYTES = 4 * 1024 * 1024
"""More than the largest batch can fill, so that a batch cut by a crash is found whole."""


@dataclass(frozen=True, slots=True)
class JsonlSettings:
    """Append alerts to a file, one JSON object a line."""

    path: Path
    """The file; created when missing, in a folder that exists. Moving it away (logrotate) starts a new one."""
    type: Literal["jsonl"] = "jsonl"
    """Which sink this is."""
    name: str = "jsonl"
    """Key of the position in the store; must differ between sinks."""
    max_bytes: int = 0
    """Start a new file once this one is larger; 0 means never."""
    keep: int = 5
    """How many full files stay, as `path.1` (the newest) to `path.N`."""
    statuses: tuple[Status, ...] = NOTIFIED
    """Which transitions are written."""

    def __post_init__(self) -> None:
        """Refuse sizes that can't be."""
        if self.max_bytes < 0 or self.keep < 1:
            raise ValueError(
                f"expected max_bytes of 0 or more and keep of 1 or more, got {self.max_bytes} and {self.keep}"
            )


class JsonlSink:
    """Appends to `settings.path`; every `deliver` ends with the lines on the disk."""

    def __init__(self, settings: JsonlSettings) -> None:
        self.name = settings.name
        self.statuses, self.silenced = settings.statuses, False
        self._settings = settings
        self._file: BinaryIO | None = None
        self._known: frozenset[str] = frozenset()

    def deliver(self, alerts: Sequence[Alert], /) -> None:
        """Append what the file doesn't have yet; raises a retryable SinkError that says what to check."""
        try:
            file = self._ready_file()
            new = [alert for alert in alerts if alert.transition_id not in self._known]
            file.write(b"".join(encode(alert_document(alert)) + b"\n" for alert in new))
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            self.close()  # some of it may be written: the next try looks at the tail first
            advice = "check that the folder exists, can be written to, and that the disk has room"
            raise SinkError(
                f"alerts can't be appended to {self._settings.path}: {error.strerror}: {advice}", retryable=True
            ) from error
        self._known = frozenset()

    def close(self) -> None:
        """Close the file; the next `deliver` opens it again."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # bytes that can't be flushed were never acknowledged and will come again
                file.close()

    def _ready_file(self) -> BinaryIO:
        """Return the open file, a new one after logrotate or when the last is full."""
        if self._file is not None and not _is_at(self._file, self._settings.path):
            self.close()
        if self._file is None:
            self._file, self._known = _open(self._settings.path)
        # A file whose tail is still to be compared is rotated at the next delivery.
        if 0 < self._settings.max_bytes < os.fstat(self._file.fileno()).st_size and not self._known:
            self.close()
            _rotate(self._settings.path, keep=self._settings.keep)
            self._file, self._known = _open(self._settings.path)
        return self._file


def _open(path: Path) -> tuple[BinaryIO, frozenset[str]]:
    """Open for appending, on a line of its own; also return the ids in the tail."""
    file = path.open("a+b")
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read()
    if tail and not tail.endswith(b"\n"):
        file.write(b"\n")  # a crash tore the last line; its alert was never acknowledged and comes again
    return file, frozenset(filter(None, map(_transition_id, tail.splitlines())))


def _transition_id(line: bytes) -> str | None:
    try:
        return msgspec.json.decode(line, type=_Line).id
    except msgspec.MsgspecError:
        return None


class _Line(msgspec.Struct):
    id: str


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _rotate(path: Path, *, keep: int) -> None:
    """Move `path` to `path.1`, `path.1` to `path.2` and so on; the oldest goes."""
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, keep + 1))]
    for older, newer in pairwise(reversed(names)):
        if newer.exists():
            newer.replace(older)
