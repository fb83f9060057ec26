"""The observations of the last minutes at full rate: bounded, packed, and without the ids of tracks."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice

import msgspec

from operators.records import Clock, FaceTrack, Gap, Observation
from operators.units import Seconds

__all__ = ["Key", "PackedFace", "PackedLook", "Recent", "unpack"]

KEPT_S = 600.0
KEPT_BYTES = 32 << 20
ENTRY_BYTES = 120
"""What Python adds to the bytes of one observation."""

Key = tuple[float, str]
"""Time and camera: no two observations have the same."""


class PackedFace(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A face as it is kept."""

    box: tuple[float, float, float, float]
    confidence: float
    source_px: float
    quality: float
    reasons: tuple[str, ...]
    enhanced: bool
    label: str
    scores: dict[str, float]
    intensity: float | None
    zones: tuple[str, ...]


class PackedLook(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An observation as it is kept: bytes, a fraction of its size as objects."""

    seq: int
    clock: Clock
    faces: list[PackedFace]
    reused: bool


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(PackedLook).decode


class Recent:
    """The observations of the last minutes at full rate. Filled by one thread at a time, read by any.

    Bounded by time and by bytes; each of so many `cameras` has its share of them. What a camera saw in a time that its
    clock has been set back to is forgotten, so its times always rise.
    """

    def __init__(self, cameras: int, *, keep: Seconds = KEPT_S, most_bytes: int = KEPT_BYTES) -> None:
        self.keep_s = keep
        self._share = most_bytes // max(cameras, 1)
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}

    def take(self, records: Iterable[Observation | Gap]) -> None:
        """Take in what was seen, each camera's records in order."""
        with self._lock:
            for record in records:
                if not isinstance(record, Observation):
                    continue
                camera = self._cameras.get(record.camera_id)
                if camera is None:
                    camera = self._cameras[record.camera_id] = _Camera(self.keep_s, self._share)
                camera.add(record)

    @property
    def size_bytes(self) -> int:
        """What all observations take."""
        return sum(camera.size for camera in list(self._cameras.values()))

    def page(
        self, *, camera_id: str | None, begin: float, end: float, before: Key | None, limit: int
    ) -> list[tuple[Key, bytes]]:
        """At most `limit` observations from `begin` up to `end` (not itself) that come before a key, newest first."""
        with self._lock:
            names = [name for name in self._cameras if camera_id in (None, name)]
            each = (self._of(name, begin, end, before) for name in names)
            return list(islice(merge(*each, key=lambda entry: entry[0], reverse=True), limit))

    def _of(self, name: str, begin: float, end: float, before: Key | None) -> Iterator[tuple[Key, bytes]]:
        """Those of one camera, newest first."""
        kept = self._cameras[name].kept
        stop = bisect_left(kept, end, key=_time)
        if before is not None:
            stop = min(stop, bisect_right(kept, before[0], key=_time))
        for place in range(stop - 1, -1, -1):
            ts, data = kept[place]
            if ts < begin:
                return
            if before is None or (ts, name) < before:
                yield (ts, name), data


def unpack(data: bytes) -> PackedLook:
    """An observation as it was kept."""
    return _unpack(data)


class _Camera:
    """The observations of one camera in order of time."""

    def __init__(self, keep_s: float, most_bytes: int) -> None:
        self.kept: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self._keep_s = keep_s
        self._most_bytes = most_bytes

    def add(self, observation: Observation) -> None:
        kept, ts = self.kept, observation.ts
        while kept and kept[-1][0] >= ts:
            self.size -= _size(kept.pop())
        entry = (ts, _pack(_look(observation)))
        kept.append(entry)
        self.size += _size(entry)
        while kept[0][0] < ts - self._keep_s or (self.size > self._most_bytes and len(kept) > 1):
            self.size -= _size(kept.popleft())


def _time(entry: tuple[float, bytes]) -> float:
    return entry[0]


def _size(entry: tuple[float, bytes]) -> int:
    return len(entry[1]) + ENTRY_BYTES


def _look(observation: Observation) -> PackedLook:
    return PackedLook(
        observation.seq, observation.clock, [_face(face) for face in observation.faces], observation.reused
    )


def _face(face: FaceTrack) -> PackedFace:
    return PackedFace(
        face.xyxy,
        face.confidence,
        face.source_px,
        face.quality,
        face.reasons,
        face.enhanced,
        face.label,
        dict(face.scores),
        face.intensity,
        face.zones,
    )
