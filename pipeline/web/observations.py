"""What was seen in the last minutes, frame by frame, without the ids of tracks."""

from __future__ import annotations

from struct import Struct
from typing import Annotated

from fastapi import APIRouter, Query

from operators.records import Clock
from pipeline.web.answers import Answer
from pipeline.web.recent import Key, PackedFace, unpack
from pipeline.web.sources import From

__all__ = ["Face", "Look", "Page", "router"]

MOST_ITEMS = 1000
CURSOR = "^[0-9]{1,19}/[a-z0-9_-]{1,100}$"
_DOUBLE, _BITS = Struct(">d"), Struct(">Q")


class Face(Answer):
    """What was known of one face then. Nothing tells whether two faces are one person's."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the frame."""
    confidence: float
    source_px: float
    """Longer side of the box in the frame, before any upscaling."""
    quality: float
    """How well it can be read, in [0, 1]."""
    reasons: tuple[str, ...]
    """What lowers the quality."""
    enhanced: bool
    """It was upscaled before it was read."""
    label: str
    """The expression it showed most, or `unknown`."""
    scores: dict[str, float]
    """Probability of every expression; empty where the face can't be read."""
    intensity: float | None
    """How many raters would see any expression, from 0 to 1."""
    zones: tuple[str, ...]

    @classmethod
    def of(cls, face: PackedFace) -> Face:
        """A face with figures rounded to what they are worth."""
        x1, y1, x2, y2 = (round(edge, 1) for edge in face.box)
        return cls(
            box=(x1, y1, x2, y2),
            confidence=round(face.confidence, 4),
            source_px=round(face.source_px, 1),
            quality=round(face.quality, 4),
            reasons=face.reasons,
            enhanced=face.enhanced,
            label=face.label,
            scores={name: round(score, 4) for name, score in face.scores.items()},
            intensity=None if face.intensity is None else round(face.intensity, 4),
            zones=face.zones,
        )


class Look(Answer):
    """One analysed frame."""

    camera_id: str
    ts: float
    clock: Clock
    seq: int
    """Number of the frame."""
    reused: bool
    """Nothing moved, so these are the faces of the frame before."""
    faces: list[Face]

    @classmethod
    def of(cls, key: Key, data: bytes) -> Look:
        """An observation as it is kept."""
        look = unpack(data)
        ts, camera_id = key
        faces = [Face.of(face) for face in look.faces]
        return cls(camera_id=camera_id, ts=ts, clock=look.clock, seq=look.seq, reused=look.reused, faces=faces)


class Page(Answer):
    """Observations, newest first."""

    items: list[Look]
    next: str | None
    """The `cursor` of the next page; null on the last one."""


router = APIRouter(prefix="/api/observations", tags=["observations"])


@router.get("")
def observations(
    sources: From,
    *,
    camera: Annotated[str | None, Query(description="Id of a camera; without it, all.")] = None,
    since: Annotated[float, Query(alias="from", allow_inf_nan=False)] = 0.0,
    until: Annotated[
        float, Query(alias="to", allow_inf_nan=False, description="Observations before this time.")
    ] = 1e12,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS)] = 100,
    cursor: Annotated[str | None, Query(pattern=CURSOR, description="`next` of the page before.")] = None,
) -> Page:
    """What was seen in the last minutes, frame by frame, newest first.

    At most the last ten minutes are there, and fewer where many faces are seen: 32 MiB are kept of all cameras.
    """
    before = None if cursor is None else _key(cursor)
    found = sources.recent.page(camera_id=camera, begin=since, end=until, before=before, limit=limit + 1)
    items = [Look.of(*entry) for entry in found[:limit]]
    return Page(items=items, next=_cursor(found[limit - 1][0]) if len(found) > limit else None)


def _cursor(key: Key) -> str:
    """Exact, whatever the time: its bits as a number."""
    (bits,) = _BITS.unpack(_DOUBLE.pack(key[0]))
    return f"{bits}/{key[1]}"


def _key(cursor: str) -> Key:
    bits, _, camera_id = cursor.partition("/")
    (ts,) = _DOUBLE.unpack(_BITS.pack(int(bits)))
    return ts, camera_id
