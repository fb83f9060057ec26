"""Writes recordings: one open file per camera, closed every hour of its time or when it is large; old ones deleted.

What is written reaches the disk every second, as far as the operating system takes it there; a crash costs no more. The
manifest is replaced whole, so that it can be read at any moment.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Literal, Self

import msgspec

from connectors.recording import MANIFEST, Deleted, Manifest, RecordedFile, closed, open_recording, time_of
from connectors.wire import encode
from operators.errors import SinkError
from operators.records import Gap, Observation

__all__ = ["RecordingWriter"]

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024
"""Compressed size at which a file is closed before its hour is over."""
FLUSH_EVERY_S = 1.0
PRUNE_EVERY_S = 60.0
HOUR_S = 3600
_LOCK = ".lock"
_GZIP = 31
"""What makes zlib write the format of gzip."""


class RecordingWriter:
    """Appends to the recording in `folder`, or begins one; `head` says what it holds, its `files` are left alone.

    Any thread may call it. `close`, or leaving it as a context manager, ends every file. Raises SinkError where the
    folder can't be written, holds something else, or another process records into it.
    """

    def __init__(
        self, folder: Path, head: Manifest, *, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self._max_bytes, self._clock = max_bytes, clock
        self._lock = threading.RLock()
        self._parts: dict[str, _Part] = {}
        self._flushed_at = time.monotonic()
        with self._translated():
            self._claim = _claim(folder)
        with ExitStack() as stack:
            stack.callback(self._claim.close)
            self.manifest = self._continued(head)
            self.prune()
            stack.pop_all()
        self._pruned_at = time.monotonic()

    def write(self, records: Iterable[Observation | Gap]) -> None:
        """Append records; those of one camera in the order in which the rules see them."""
        with self._lock, self._translated():
            for record in records:
                self._part(record).write(record)
            now = time.monotonic()
            if now - self._flushed_at >= FLUSH_EVERY_S:
                self._flushed_at = now
                for part in self._parts.values():
                    part.flush()
            if now - self._pruned_at >= PRUNE_EVERY_S:
                self._pruned_at = now
                self.prune()

    def new_file(self, camera_id: str, kind: Literal["observations", "video"], suffix: str) -> RecordedFile:
        """A file that doesn't exist yet, noted in the manifest as being written."""
        with self._lock:
            prefix = f"{camera_id}/{kind}-"
            numbers = [_number(file.name) for file in self.manifest.files if file.name.startswith(prefix)]
            file = RecordedFile(
                name=f"{prefix}{max(numbers, default=0) + 1:06d}{suffix}", camera_id=camera_id, kind=kind
            )
            with self._translated():
                (self.folder / camera_id).mkdir(exist_ok=True)
            self.note(file)
            return file

    def note(self, file: RecordedFile) -> None:
        """Put a file's entry into the manifest in place of its last one."""
        with self._lock:
            files = {known.name: known for known in self.manifest.files} | {file.name: file}
            self._save(replace(self.manifest, files=tuple(files.values())))

    def finish(self, file: RecordedFile) -> None:
        """Note that a file is complete; its age counts from now on."""
        self.note(replace(file, closed_at=self._clock()))

    def prune(self) -> None:
        """Delete what is older than the retention, and count it."""
        with self._lock:
            retention = self.manifest.retention_s
            limit = self._clock() - (float("inf") if retention is None else retention)
            old = [file for file in self.manifest.files if file.closed_at is not None and file.closed_at < limit]
            if not old:
                return
            with self._translated():
                for file in old:  # before the manifest forgets it: nothing may be left that nobody knows of
                    for path in _paths(self.folder / file.name):
                        path.unlink(missing_ok=True)
            before = self.manifest.deleted
            deleted = Deleted(before.files + len(old), before.records + sum(file.records for file in old))
            kept = tuple(file for file in self.manifest.files if file not in old)
            self._save(replace(self.manifest, files=kept, deleted=deleted))
            log.info("retention deleted files=%d of the recording=%s", len(old), self.folder)

    def close(self) -> None:
        """End every file; what was written can be read without loss from now on."""
        with self._lock, self._claim, ExitStack() as ends:
            for camera_id in list(self._parts):
                ends.callback(self._end, camera_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _part(self, record: Observation | Gap) -> _Part:
        """The open file that a record belongs to."""
        camera_id, hour = record.camera_id, int(time_of(record) // HOUR_S)
        part = self._parts.get(camera_id)
        if part is not None and (part.hour != hour or part.size > self._max_bytes):
            self._end(camera_id)
            part = None
        if part is None:
            part = _Part(self.folder, self.new_file(camera_id, "observations", ".jsonl.gz"), hour)
            self._parts[camera_id] = part
        return part

    def _end(self, camera_id: str) -> None:
        with self._translated():
            file = self._parts.pop(camera_id).close()
        self.finish(file)

    def _continued(self, head: Manifest) -> Manifest:
        """The manifest to go on with: the new head over the files that are there."""
        if not (self.folder / MANIFEST).exists():
            if others := sorted(path.name for path in self.folder.iterdir() if path.name != _LOCK):
                raise SinkError(
                    f"{self.folder} holds other files ({', '.join(others[:3])}): name an empty or new folder",
                    retryable=False,
                )
            manifest = replace(head, files=())
        else:
            before = open_recording(self.folder).manifest
            if before.models != head.models:
                log.warning("recording=%s goes on with other models than it began with", self.folder)
            files = tuple(self._ended(file) for file in before.files if (self.folder / file.name).is_file())
            manifest = replace(
                head,
                created_at=before.created_at,
                video_purpose=head.video_purpose or before.video_purpose,
                cameras={**before.cameras, **head.cameras},
                deleted=before.deleted,
                files=files,
            )
        self._save(manifest)
        return manifest

    def _ended(self, file: RecordedFile) -> RecordedFile:
        """A file that a crash left open has ended when it was last written."""
        if file.closed_at is not None:
            return file
        return replace(closed(self.folder, file), closed_at=(self.folder / file.name).stat().st_mtime)

    def _save(self, manifest: Manifest) -> None:
        self.manifest = manifest
        path = self.folder / MANIFEST
        with self._translated():
            part = path.with_suffix(".json.part")
            with part.open("wb") as file:
                file.write(msgspec.json.format(encode(manifest), indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(
                f"can't record to {self.folder}: {error.strerror}: check that the folder can be written to and that "
                "the disk has room",
                retryable=False,
            ) from error


class _Part:
    """One file of observations that is being written."""

    def __init__(self, folder: Path, file: RecordedFile, hour: int) -> None:
        self.hour = hour
        self._file = file
        self._clocks: set[str] = set()
        self._records = self._gaps = 0
        self._first: float | None = None
        self._last: float | None = None
        self._raw = (folder / file.name).open("xb")
        self._deflate = zlib.compressobj(1, wbits=_GZIP)

    @property
    def size(self) -> int:
        """Compressed bytes so far."""
        return self._raw.tell()

    def write(self, record: Observation | Gap) -> None:
        line = encode({"gap" if isinstance(record, Gap) else "observation": record}) + b"\n"
        self._raw.write(self._deflate.compress(line))
        ts = time_of(record)
        self._first = ts if self._first is None else min(self._first, ts)
        self._last = ts if self._last is None else max(self._last, ts)
        self._records += 1
        if isinstance(record, Gap):
            self._gaps += 1
        else:
            self._clocks.add(record.clock)

    def flush(self) -> None:
        self._raw.write(self._deflate.flush(zlib.Z_SYNC_FLUSH))  # what is there can be read without the rest
        self._raw.flush()

    def close(self) -> RecordedFile:
        with self._raw:
            self._raw.write(self._deflate.flush())
            self._raw.flush()
            os.fsync(self._raw.fileno())
            size = self._raw.tell()
        return replace(
            self._file,
            first_ts=self._first,
            last_ts=self._last,
            records=self._records,
            gaps=self._gaps,
            clocks=tuple(sorted(self._clocks)),
            bytes=size,
        )


def _claim(folder: Path) -> BinaryIO:
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / _LOCK).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise SinkError(
            f"another mien records to {folder}: stop it, or name another folder", retryable=False
        ) from error
    return lock


def _number(name: str) -> int:
    return int(name.rpartition("-")[2].partition(".")[0])


def _paths(path: Path) -> tuple[Path, Path]:
    """A file and, of a video, what says when its pictures were taken."""
    return path, path.with_suffix(".jsonl")
