"""The live picture: made when somebody asks, from the newest frame, never stored.

`outlines` shows a picture so coarse that no face in it can be read, whether it was found or not, with outlines over
it. `blurred` shows the picture with the faces that were found made unreadable: one that was missed stays visible.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
from fastapi import APIRouter, Header, HTTPException, Path, Query, Request
from fastapi.responses import Response

from operators.records import FaceTrack, Image
from pipeline.web.answers import ProblemAnswer
from pipeline.web.sources import From, Seen

__all__ = ["CELLS", "Pictures", "render", "router"]

router = APIRouter(prefix="/api", tags=["now"])

Mode = Literal["outlines", "blurred", "full"]

CELLS = 16
"""Squares along the longer side of a coarse picture: a face that fills the picture has 9 x 7 of them at most, and one
of a third of its height 3 x 2. From 7 x 10 squares in colour people still name half of the faces that they know well
(Sinha et al., Face recognition by humans, Proceedings of the IEEE 2006)."""
GREYS = 16
"""Levels of brightness in a coarse picture."""
MARGIN = 0.35
"""So much of a face's size is made unreadable around it, for hair, chin, and movement since it was found."""
FACE_CELLS = 4
"""Squares along each side of a face that was made unreadable."""
WIDTHS = (160, 1280)
EVERY_S = 0.5
"""So often a new picture of a camera is made at most, however many look."""
FORGOTTEN_S = 10.0
"""A picture that was made so long ago is not kept."""
KEPT = 64
"""Pictures that are kept at most: of some widths of each camera, not of every width that somebody may ask for."""
QUALITY = 80
INK, PAPER = (255, 255, 255), (24, 24, 24)


def render(seen: Seen, mode: Mode, *, width: int) -> bytes:
    """The newest frame as JPEG at most `width` pixels wide, as `mode` allows."""
    image = seen.frame.image
    scale = min(1.0, width / image.shape[1])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    if mode == "outlines":
        shown = _outlined(_coarse(image, size), seen.observation.faces, scale)
    elif mode == "blurred":
        faces = (face for one in (*seen.before, seen.observation) for face in one.faces)
        shown = _blurred(_resized(image, size), faces, scale)
    else:
        shown = _resized(image, size)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    return data.tobytes()


@dataclass(frozen=True, slots=True)
class Made:
    """A picture that was made, of a frame taken at `ts`."""

    tag: str
    ts: float
    jpeg: bytes
    at: float


class Pictures:
    """The last picture made of each camera, for all who look: one is made at a time, and few in a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[tuple[str, int], Made] = {}

    def made(self, seen: Seen, mode: Mode, *, width: int) -> Made | None:
        """The picture of what was seen, or one made a moment ago, where there is one."""
        made = self._made.get((seen.frame.camera_id, width))
        if made is None or made.tag == _tag(seen, mode, width) or time.monotonic() - made.at < EVERY_S:
            return made
        return None

    def make(self, seen: Seen, mode: Mode, *, width: int) -> Made:
        """The picture of what was seen; takes some milliseconds where nobody else has asked for it."""
        with self._lock:
            made = self.made(seen, mode, width=width)
            if made is None:
                now = time.monotonic()
                made = Made(_tag(seen, mode, width), seen.frame.ts, render(seen, mode, width=width), now)
                place = (seen.frame.camera_id, width)
                others = {key: one for key, one in self._made.items() if key != place and now - one.at < FORGOTTEN_S}
                self._made = {**dict(list(others.items())[1 - KEPT :]), place: made}
            return made


@router.get(
    "/cameras/{camera_id}/picture",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
        304: {"description": "No newer picture than the one of `If-None-Match`."},
        404: {"model": ProblemAnswer, "description": "No such camera, no picture now, or pictures are off."},
    },
)
async def picture(
    request: Request,
    sources: From,
    camera_id: Annotated[str, Path(max_length=200)],
    width: Annotated[int, Query(ge=WIDTHS[0], le=WIDTHS[1])] = 640,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The newest picture of a camera, as `console.live` allows it."""
    mode = sources.settings.console.live
    if mode == "off":
        raise HTTPException(404, "pictures are off in this configuration (console.live: off)")
    if camera_id not in sources.settings.active_cameras:
        raise HTTPException(404, f"there is no camera {camera_id[:100]}: see /api/cameras")
    seen = sources.memory.newest.of(camera_id)
    if seen is None:
        raise HTTPException(404, "there is no picture of this camera now: try again when it is live")
    pictures: Pictures = request.app.state.pictures
    made = pictures.made(seen, mode, width=width)
    if made is None:
        made = await asyncio.to_thread(pictures.make, seen, mode, width=width)
    headers = {"ETag": made.tag, "Cache-Control": "no-store", "X-Frame-Time": f"{made.ts:.3f}"}
    if if_none_match == made.tag:
        return Response(status_code=304, headers=headers)
    return Response(made.jpeg, media_type="image/jpeg", headers=headers)


def _tag(seen: Seen, mode: Mode, width: int) -> str:
    return f'"{seen.frame.epoch}-{seen.frame.seq}-{mode}-{width}"'


def _coarse(image: Image, size: tuple[int, int]) -> Image:
    """The picture as a few grey squares."""
    height, width = image.shape[:2]
    cell = max(width, height) / CELLS
    cells = max(1, round(width / cell)), max(1, round(height / cell))
    grey = cv2.cvtColor(_resized(image, cells), cv2.COLOR_RGB2GRAY)
    step = 256 // GREYS
    levels = (grey // step * step + step // 2).astype(np.uint8)
    large = cv2.resize(levels, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2RGB), np.uint8)


def _outlined(image: Image, faces: Iterable[FaceTrack], scale: float) -> Image:
    """The picture with each face's outline, label and score."""
    thick = max(1, round(image.shape[1] / 400))
    for face in faces:
        left, top, right, bottom = (round(edge * scale) for edge in face.xyxy)
        said = f"{face.label} {face.scores[face.label]:.2f}" if face.label in face.scores else face.label
        for colour, width in ((PAPER, thick + 2), (INK, thick)):
            cv2.rectangle(image, (left, top), (right, bottom), colour, width)
        _label(image, said, (left, top - 6))
    return image


def _label(image: Image, text: str, at: tuple[int, int]) -> None:
    """Write on a plate of its own; `at` is the left end of the base line."""
    font, letters = cv2.FONT_HERSHEY_SIMPLEX, max(0.45, image.shape[1] / 1200)
    (width, height), below = cv2.getTextSize(text, font, letters, 1)
    left, base = max(0, min(at[0], image.shape[1] - width)), max(height + 2, at[1])
    cv2.rectangle(image, (left - 2, base - height - 2), (left + width + 2, base + below), PAPER, cv2.FILLED)
    cv2.putText(image, text, (left, base), font, letters, INK, 1, cv2.LINE_AA)


def _blurred(image: Image, faces: Iterable[FaceTrack], scale: float) -> Image:
    """The picture with what is inside and around each face as a few squares."""
    height, width = image.shape[:2]
    for face in faces:
        left, top, right, bottom = (edge * scale for edge in face.xyxy)
        wide, high = (right - left) * MARGIN, (bottom - top) * MARGIN
        x0, x1 = max(0, int(left - wide)), min(width, int(right + wide) + 1)
        y0, y1 = max(0, int(top - high)), min(height, int(bottom + high) + 1)
        if x0 < x1 and y0 < y1:
            few = _resized(image[y0:y1, x0:x1], (FACE_CELLS, FACE_CELLS))
            image[y0:y1, x0:x1] = cv2.resize(few, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    return image


def _resized(image: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
