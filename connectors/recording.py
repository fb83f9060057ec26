"""A recording: what was seen of some cameras, kept as files in a folder.

    DIR/manifest.json                          what it holds, who made it from what, and why
    DIR/lobby/observations-000001.jsonl.gz     one line per analysed frame or gap, exact, in the order it happened
    DIR/lobby/video-000001.mkv (.jsonl)        the pictures, only where a purpose was given: `connectors/footage.py`

Each camera has its own files, closed every hour of its time or when they are large. A crash costs the last second: a
cut line or a file that was never closed is told and read as far as it goes.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import merge
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

import msgspec

from connectors.wire import decode
from operators.errors import Cause, DecodeError, SourceError
from operators.records import Clock, Gap, Observation

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "Deleted",
    "Manifest",
    "RecordedCamera",
    "RecordedFile",
    "RecordedModel",
    "Recording",
    "Shot",
    "closed",
    "open_recording",
    "read_manifest",
    "read_records",
    "read_shots",
    "time_of",
]

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
SCHEMA = 1
_CHUNK = 1 << 20
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error)
"""What a compressed file raises where it was cut or damaged."""

Record = Observation | Gap
Damage = Callable[[Path, str], None]
"""Called with a file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RecordedCamera:
    """What the rules must know of a camera: analysed frames per second, and the names of its zones."""

    fps: float
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedModel:
    """A network that took part: its name in the registry, sha256 by file, and the expressions that it reads, if any."""

    name: str
    files: Mapping[str, str]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """One file of a recording; `name` is its path in the folder.

    `first_ts` and `last_ts` are event time in seconds. `records` counts observations and gaps, or pictures of a video;
    `dropped` counts pictures that came faster than they could be written. `closed_at` is wall-clock time, None while
    the file is being written (or since a crash).
    """

    name: str
    camera_id: str
    kind: Literal["observations", "video"] = "observations"
    first_ts: float | None = None
    last_ts: float | None = None
    records: int = 0
    gaps: int = 0
    dropped: int = 0
    clocks: tuple[str, ...] = ()
    bytes: int = 0
    closed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """What the retention took away."""

    files: int = 0
    records: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a recording holds, and what made it.

    `purpose` is the configuration's, `video_purpose` why pictures are kept (empty: none are). `configuration` is what
    was in force, without passwords and without sinks.
    """

    schema: int = SCHEMA
    mien: str
    created_at: str
    purpose: str
    video_purpose: str = ""
    models: Mapping[str, RecordedModel] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    cameras: Mapping[str, RecordedCamera] = field(default_factory=dict)
    retention_s: float | None = None
    deleted: Deleted = field(default_factory=Deleted)
    files: tuple[RecordedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Shot:
    """When one picture of a video was taken, as its `Frame` said."""

    seq: int
    epoch: int
    ts: float
    clock: Clock


class Recording:
    """A recording to read; `open_recording` makes one. `damaged` counts what could not be read so far."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.damaged = 0

    @property
    def cameras(self) -> Mapping[str, RecordedCamera]:
        """The cameras by id."""
        return self.manifest.cameras

    @property
    def span(self) -> tuple[float, float]:
        """Time of the first and of the last record, of observations and video; (0, 0) where there is none."""
        first = [file.first_ts for file in self.manifest.files if file.first_ts is not None]
        last = [file.last_ts for file in self.manifest.files if file.last_ts is not None]
        return (min(first), max(last)) if first and last else (0.0, 0.0)

    def files(self, kind: Literal["observations", "video"] = "observations") -> tuple[RecordedFile, ...]:
        """The files of one kind, oldest first for each camera."""
        return tuple(file for file in self.manifest.files if file.kind == kind)

    def records(self) -> Iterator[Record]:
        """Everything that was observed, of all cameras, by time; each camera's in the order it was recorded.

        A gap comes at its end: that is when it was known.
        """
        cameras = sorted({file.camera_id for file in self.files()})
        return merge(*map(self._records_of, cameras), key=time_of)

    def _records_of(self, camera_id: str) -> Iterator[Record]:
        for file in self.files():
            if file.camera_id == camera_id:
                damage = self._damage if file.closed_at is not None else _expected
                yield from read_records(self.folder / file.name, damage=damage)

    def _damage(self, path: Path, what: str) -> None:
        self.damaged += 1
        log.warning("recording file=%s: %s; the rest is read", path, what)


def open_recording(path: Path) -> Recording:
    """Open the recording in a folder; raises SourceError saying what, where and what to do."""
    manifest = read_manifest(path)
    files = tuple(file if file.closed_at is not None else closed(path, file) for file in manifest.files)
    return Recording(path, replace(manifest, files=files))


def read_manifest(path: Path) -> Manifest:
    """What a recording says of itself, without a look into files that are still being written.

    Raises SourceError as `open_recording` does.
    """
    try:
        data = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise SourceError(
            f"no recording at {path}: can't read {path / MANIFEST} ({error.strerror}); make one with "
            "`mien record -c mien.yaml -o DIR` or `mien analyze VIDEO --record DIR`",
            cause=Cause.NOT_FOUND,
        ) from error
    return _manifest(data, path)


def closed(folder: Path, file: RecordedFile) -> RecordedFile:
    """The entry of a file that is still being written, or was when the process died, with what it holds by now."""
    path = folder / file.name
    if not path.is_file():
        return file
    records: list[Record | Shot] = []
    if file.kind == "observations":
        records += read_records(path, damage=_expected)
    else:
        records += read_shots(path.with_suffix(".jsonl"))
    times = [time_of(record) for record in records]
    return replace(
        file,
        first_ts=min(times, default=None),
        last_ts=max(times, default=None),
        records=len(records),
        gaps=sum(isinstance(record, Gap) for record in records),
        clocks=tuple(sorted({record.clock for record in records if not isinstance(record, Gap)})),
        bytes=path.stat().st_size,
    )


def time_of(record: Record | Shot) -> float:
    """When a record was known: the time of an observation or picture, the end of a gap."""
    return record.to_ts if type(record) is Gap else record.ts  # type: ignore[union-attr]  # type() is the faster test


def read_records(path: Path, *, damage: Damage) -> Iterator[Record]:
    """The records of one file; what can't be read is told to `damage` and passed over."""
    rest = b""
    try:
        with _opened(path) as file:
            while chunk := file.read1(_CHUNK):  # type: ignore[attr-defined]  # every buffered reader has it
                lines, _, rest = (rest + chunk).rpartition(b"\n")
                yield from _decoded(lines, path, damage)
    except _BROKEN:
        damage(path, "it was not closed, so its last second may be missing")
    except OSError as error:
        damage(path, f"it can't be read ({error.strerror})")
    if rest:
        damage(path, "its last line is cut and left out")


def read_shots(path: Path) -> Iterator[Shot]:
    """When the pictures of a video were taken, in its order; ends at the first line that can't be read."""
    try:
        with path.open("rb") as file:
            for line in file:
                yield decode(line, Shot)
    except (OSError, DecodeError) as error:
        log.warning("recording file=%s: it ends early: %s", path, error)


def _expected(path: Path, what: str) -> None:
    """A file that is being written has no end yet."""
    log.info("recording file=%s: %s; it is being written, or was when mien ended", path, what)


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _decoded(lines: bytes, path: Path, damage: Damage) -> list[Record]:
    try:
        read = _LINE.decode_lines(lines)
    except msgspec.MsgspecError:
        read = [line for line in (_one(text, path, damage) for text in lines.splitlines()) if line is not None]
    return [record for line in read if (record := line.observation or line.gap) is not None]


def _one(text: bytes, path: Path, damage: Damage) -> _Line | None:
    try:
        return _LINE.decode(text)
    except msgspec.MsgspecError as error:
        damage(path, f"a line of {len(text)} bytes is left out: {error}")
        return None


def _manifest(data: bytes, folder: Path) -> Manifest:
    try:
        schema = decode(data, _Schema).schema
        if schema > SCHEMA:
            raise SourceError(
                f"the recording {folder} was made by a newer mien (schema {schema}, this one reads up to {SCHEMA}): "
                "upgrade mien",
                cause=Cause.CODEC,
            )
        manifest = decode(data, Manifest)
    except DecodeError as error:
        raise SourceError(
            f"{folder / MANIFEST} is not the manifest of a recording ({error}): restore it from a copy",
            cause=Cause.CODEC,
        ) from error
    for file in manifest.files:
        name = PurePosixPath(file.name)
        if name.is_absolute() or ".." in name.parts:
            raise SourceError(
                f"{folder / MANIFEST} names {file.name!r}: expected a file inside the folder", cause=Cause.CODEC
            )
    return manifest


class _Line(msgspec.Struct):
    """One line: a record under the name of its kind."""

    observation: Observation | None = None
    gap: Gap | None = None


class _Schema(msgspec.Struct):
    schema: int


_LINE = msgspec.json.Decoder(_Line)
