"""One picture in, its faces out: read as in a stream, but by itself, and kept nowhere."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import cv2
import msgspec
import numpy as np
from fastapi import APIRouter, HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from operators.analyze import Analyzer
from operators.errors import DecodeError, ModelError
from operators.records import Detections, FaceTrack, Image
from pipeline.web.answers import Answer, ProblemAnswer
from pipeline.web.uploads import TooLargeError, UnknownTypeError, decoded

__all__ = ["Predictor", "faces_of", "router"]

router = APIRouter(tags=["predict"])

LARGEST = 8 << 20
"""Bytes of a picture."""
LOOKED_AT = 1920
"""Longest side, in pixels, in which faces are looked for: a detector's memory grows with the picture, and stays."""
WAITING = 8
"""Pictures that wait for their turn; more are refused."""
NICE = 10
"""The cores belong to the analysis."""
PROBLEMS_OF_PICTURES: dict[int | str, dict[str, Any]] = {
    413: {"model": ProblemAnswer, "description": "The picture has too many bytes or pixels."},
    415: {"model": ProblemAnswer, "description": "This is no JPEG, PNG, WebP or BMP, or no form and no JSON."},
    422: {"model": ProblemAnswer, "description": "There is no picture, or it is damaged."},
    429: {"model": ProblemAnswer, "description": "Too many pictures wait."},
    503: {"model": ProblemAnswer, "description": "The models can't be loaded."},
}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["picture"],
                "properties": {"picture": {"type": "string", "format": "binary"}},
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["picture"],
                "properties": {"picture": {"type": "string", "format": "byte", "description": "in base64"}},
            }
        },
    },
}


class Face(Answer):
    """A face, read from one picture alone."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the picture, upright."""
    confidence: float
    label: str
    """The expression it shows most, or `unknown` where it can't be read."""
    scores: dict[str, float]
    """Probability of every expression; empty where it can't be read."""
    source_px: float
    """Longer side of the box."""
    quality: float
    """How well it can be read, in [0, 1]."""
    reasons: list[str]
    """What lowers the quality: small, blurred, turned, tilted, dark, bright, flat."""


class Prediction(Answer):
    """What one picture shows."""

    width: int
    height: int
    faces: list[Face]


class Predictor:
    """Reads one picture at a time, in a thread that gives way to the analysis."""

    def __init__(self, analyzer: Callable[[], Analyzer]) -> None:
        self._analyzer = analyzer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict", initializer=_give_way)
        self._waiting = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A place in the row, to be had before the picture is taken in; raises HTTPException where there is none."""
        if self._waiting > WAITING:
            raise HTTPException(429, "too many pictures wait: send them one after the other", {"Retry-After": "1"})
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def predict(self, read: Callable[[], bytes]) -> Prediction:
        """What the picture shows whose bytes `read` returns. Raises DecodeError and ModelError."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._predict, read)

    def _predict(self, read: Callable[[], bytes]) -> Prediction:
        image = decoded(read())
        faces = faces_of(self._analyzer(), image)
        return Prediction(width=image.shape[1], height=image.shape[0], faces=[_face(face) for face in faces])


def faces_of(analyzer: Analyzer, image: Image) -> tuple[FaceTrack, ...]:
    """The faces of a picture: looked for in a copy of bounded size, and read from the picture itself."""
    scale = min(1.0, LOOKED_AT / max(image.shape[:2]))
    if scale == 1.0:
        return analyzer.read(image, analyzer.detector(image))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    found = analyzer.detector(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8))
    grown = np.float32(1 / scale)
    return analyzer.read(image, Detections(found.xyxy * grown, found.confidence, found.landmarks * grown))


@router.post("/predict", responses=PROBLEMS_OF_PICTURES, openapi_extra={"requestBody": BODY})
async def predict(request: Request) -> Prediction:
    """Find the faces of one picture and read their expressions.

    A picture is JPEG, PNG, WebP or BMP, of 8 MiB and 4096 x 4096 pixels at most: the part `picture` of a form, or as
    base64 in JSON. It is turned upright by its EXIF orientation, read by the models of the cameras, one at a time and
    without smoothing, and kept nowhere.
    """
    predictor: Predictor = request.app.state.predictor
    try:
        with predictor.turn():
            return await predictor.predict(await _reader(request))
    except TooLargeError as error:
        raise HTTPException(413, str(error)) from error
    except UnknownTypeError as error:
        raise HTTPException(415, str(error)) from error
    except DecodeError as error:
        raise HTTPException(422, str(error)) from error
    except ModelError as error:
        raise HTTPException(503, str(error)) from error


async def _reader(request: Request) -> Callable[[], bytes]:
    """What gets the bytes of the picture out of the request, which is in memory by now."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        body = await request.body()
        return lambda: _of_json(body)
    if kind == "multipart/form-data":
        data = await _of_form(request)
        return lambda: data
    raise HTTPException(415, "expected a form with a part `picture` (multipart/form-data), or JSON")


class _Json(msgspec.Struct):
    picture: str


def _of_json(body: bytes) -> bytes:
    try:
        text = msgspec.json.decode(body, type=_Json).picture
        if text.startswith("data:"):
            text = text.partition(",")[2]
        data = base64.b64decode("".join(text.split()), validate=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise DecodeError('expected {"picture": "..."} with the picture in base64') from error
    return _limited(data)


class _InMemory(MultiPartParser):
    """A form whose files never touch the disk; the guard limits the whole request."""

    spool_max_size = 2 * LARGEST


async def _of_form(request: Request) -> bytes:
    async def stream() -> AsyncGenerator[bytes, None]:
        async for chunk in request.stream():
            yield chunk

    try:
        form = await _InMemory(request.headers, stream(), max_files=1, max_fields=1).parse()
    except (MultiPartException, KeyError) as error:
        raise HTTPException(422, "expected a form with one part, `picture`") from error
    async with AsyncExitStack() as stack:
        stack.push_async_callback(form.close)
        picture = form.get("picture")
        if not isinstance(picture, UploadFile):
            raise HTTPException(422, "expected the picture as a file in the part `picture`")
        return _limited(await picture.read())


def _limited(data: bytes) -> bytes:
    if len(data) > LARGEST:
        raise TooLargeError(f"expected a picture of at most {LARGEST} bytes, got {len(data)}")
    return data


def _face(face: FaceTrack) -> Face:
    x1, y1, x2, y2 = (round(edge, 1) for edge in face.xyxy)
    return Face(
        box=(x1, y1, x2, y2),
        confidence=round(face.confidence, 4),
        label=face.label,
        scores={name: round(score, 4) for name, score in face.scores.items()},
        source_px=round(face.source_px, 1),
        quality=round(face.quality, 4),
        reasons=list(face.reasons),
    )


def _give_way() -> None:
    thread = threading.get_native_id()  # of this thread only
    nice = max(NICE, os.getpriority(os.PRIO_PROCESS, thread))  # less than the process has may not be had
    os.setpriority(os.PRIO_PROCESS, thread, nice)
