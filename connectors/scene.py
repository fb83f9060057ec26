"""The built-in scene: a person comes through a door, walks up to the camera, waits and walks back.

Two public-domain portraits that installed packages bring along stand in for people, so nothing is downloaded:
`skimage.data.astronaut()` (Eileen Collins, smiling; NASA, public domain as a work of the United States government) and
matplotlib's `grace_hopper.jpg` (Rear Admiral Grace Hopper, neutral; US Navy, public domain for the same reason).
The legs below the portraits, the room and the sensor noise are drawn.

A picture depends on the portrait, the time and the size alone: the same `t` gives the same pixels on every machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from math import ceil, pi, sin
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from connectors.camera import StreamSettings
from connectors.source import Facts, Picture
from operators.errors import Cause, SourceError
from operators.records import Floats, Image

__all__ = ["FPS", "LOOP_S", "NAMES", "Figure", "SceneSource", "face_px", "load_figure", "render"]

FPS = 12
"""Pictures per second of the scene."""
LOOP_S = 22.0
"""Length of the loop in seconds."""

FAR_PX, NEAR_PX = 12.0, 110.0
"""Width of the face at the door and in front of the camera, at a picture height of 360."""
ENTER_S, COME_S, NEAR_S, BACK_S, LEAVE_S, GONE_S = 1.5, 4.0, 9.5, 15.5, 18.5, 20.5
"""When the person steps into the door, sets off, arrives, turns back, is at the door again, and is gone."""

WIDTH, HEIGHT = 640, 360
"""Size of the pictures. The scene is laid out for this height and scaled to others."""
HORIZON = 118.0
"""Row of the camera's own eye level."""
DOOR_X, DOOR_Y, DOOR_WIDTH, FLOOR_Y = -90, 88, 92, 268
"""The door: its middle relative to the picture's, its upper edge, its width; and where wall and floor meet."""
NOISE_LEVELS, NOISE_PX = 2.0, 61
"""Sensor noise keeps the picture alive, as a real one is: a picture that doesn't change counts as frozen."""
FEATHER_PX = 1.5

STEP_ASIDE_S = 1.2
"""How long the step from behind the wall into the door takes."""

Points = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Portrait:
    """Where the person is in a portrait, in pixels of it.

    `outline` runs around the person, `face` is the middle and the width of the face as a detector sees it, `legs` is
    the drawn polygon below the portrait in the colour `cloth`, and `helmet` completes what the lower edge cuts off.
    """

    outline: Points
    face: tuple[float, float, float]
    legs: Points
    cloth: tuple[int, int, int]
    height: int
    helmet: tuple[int, int, int] | None = None


SMILE = Portrait(
    outline=(
        *((201, 23), (185, 38), (163, 51), (156, 58), (153, 68), (156, 101), (170, 116), (174, 128), (182, 133)),
        *((182, 147), (153, 151), (131, 167), (121, 183), (120, 201), (113, 202), (90, 227), (65, 246), (40, 294)),
        *((39, 306), (26, 342), (25, 375), (19, 397), (26, 484), (39, 512), (498, 512), (498, 440), (491, 415)),
        *((478, 384), (459, 365), (412, 345), (364, 348), (360, 344), (360, 331), (333, 269), (329, 252), (303, 233)),
        *((292, 207), (266, 178), (257, 172), (266, 137), (275, 134), (290, 117), (300, 92), (296, 58), (290, 47)),
        *((265, 34), (258, 24), (248, 18), (227, 16)),
    ),
    face=(224.0, 121.0, 91.0),
    legs=((60, 505), (345, 505), (335, 720), (325, 1180), (232, 1180), (214, 800), (196, 1180), (104, 1180), (82, 720)),
    cloth=(196, 74, 38),
    height=1200,
    helmet=(390, 465, 110),
)
NEUTRAL = Portrait(
    outline=(
        *((218, 30), (213, 43), (197, 49), (181, 64), (176, 73), (175, 84), (156, 104), (156, 148), (164, 156)),
        *((164, 169), (156, 197), (157, 211), (171, 256), (170, 280), (178, 288), (200, 298), (203, 318), (165, 344)),
        *((121, 360), (80, 368), (61, 380), (53, 381), (47, 387), (38, 411), (30, 427), (30, 459), (20, 526)),
        *((14, 600), (511, 600), (511, 434), (505, 431), (494, 396), (488, 389), (483, 389), (464, 377), (422, 366)),
        *((365, 342), (337, 321), (337, 313), (348, 297), (351, 280), (361, 262), (369, 225), (367, 191), (373, 190)),
        *((373, 185), (369, 183), (371, 134), (369, 100), (365, 89), (352, 86), (348, 71), (335, 56), (313, 44)),
        *((302, 43), (281, 27), (249, 23), (229, 30)),
    ),
    face=(266.0, 230.0, 178.0),
    legs=(
        (14, 590),
        (511, 590),
        (480, 1000),
        (455, 2120),
        (300, 2120),
        (262, 1250),
        (225, 2120),
        (70, 2120),
        (45, 1000),
    ),
    cloth=(13, 14, 22),
    height=2150,
)
NAMES = ("smile", "neutral")


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A person cut out of a portrait, standing.

    `colours (h, w, 4)` uint8 holds RGB multiplied by the matte, and the matte; `face_x, face_y, face_width` say where
    the face is in it; `phase_s` is how far into the loop this camera begins.
    """

    colours: Image
    face_x: float
    face_y: float
    face_width: float
    phase_s: float


class SceneSource:
    """One virtual camera that never ends and, as a real one does, keeps its own pace."""

    def __init__(self, settings: StreamSettings) -> None:
        self._figure = load_figure(settings.url.partition("://")[2].strip("/"))
        self.facts = Facts("drawn", WIDTH, HEIGHT, float(FPS), live=True)

    def __iter__(self) -> Iterator[Picture]:
        start = time.monotonic()
        for number in count():
            pts = number / FPS
            time.sleep(max(0.0, start + pts - time.monotonic()))
            yield Picture(pts, partial(render, self._figure, pts), time.time())

    def close(self) -> None:
        """Nothing is held open."""


def load_figure(name: str) -> Figure:
    """The person of `scene://smile` or `scene://neutral`.

    Raises SourceError for another name and where the packages that hold the portraits are not installed.
    """
    if name not in NAMES:
        raise SourceError(
            f"expected scene://{' or scene://'.join(NAMES)}, got scene://{name}: use one of these",
            cause=Cause.NOT_FOUND,
        )
    try:
        picture = _astronaut() if name == "smile" else _hopper()
    except ImportError as error:
        raise SourceError(
            f"scene://{name} needs the package {error.name}: install it with pip install 'mien[scene]'",
            cause=Cause.NOT_FOUND,
        ) from error
    return _cut_out(picture, SMILE) if name == "smile" else _cut_out(picture, NEUTRAL, phase_s=LOOP_S / 2)


def render(figure: Figure, t: float, *, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """The picture at `t` seconds: `(height, width, 3)` uint8, RGB."""
    picture = _room(width, height).copy()
    size = face_px(figure, t)
    if size is not None:
        unit = height / HEIGHT
        centre = _face_centre(figure, t, size=size, middle=width / 2, unit=unit)
        _place(picture, figure, size * unit, centre=centre, columns=_columns(figure, t, width=width, unit=unit))
    return _with_noise(picture, round(t * FPS))


def face_px(figure: Figure, t: float) -> float | None:
    """Width of the face at `t` at a picture height of 360, or None while nobody is there."""
    at = (t + figure.phase_s) % LOOP_S
    if not ENTER_S <= at < GONE_S:
        return None
    nearness = _ease((at - COME_S) / (NEAR_S - COME_S)) - _ease((at - BACK_S) / (LEAVE_S - BACK_S))
    return float(FAR_PX * (NEAR_PX / FAR_PX) ** nearness)


def _astronaut() -> Image:
    from skimage.data import astronaut  # noqa: PLC0415 - an optional package

    return np.asarray(astronaut(), np.uint8)


def _hopper() -> Image:
    import matplotlib as mpl  # noqa: PLC0415 - an optional package

    path = Path(mpl.get_data_path(), "sample_data", "grace_hopper.jpg")
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise SourceError(f"expected matplotlib's portrait at {path}: reinstall matplotlib", cause=Cause.NOT_FOUND)
    return np.asarray(picture, np.uint8)


def _cut_out(picture: Image, portrait: Portrait, *, phase_s: float = 0.0) -> Figure:
    """The person with a soft edge, on drawn legs."""
    below = portrait.height - picture.shape[0]
    colours = cv2.copyMakeBorder(picture, 0, below, 0, 0, cv2.BORDER_CONSTANT, value=portrait.cloth)
    matte = np.zeros(colours.shape[:2], np.uint8)
    for polygon in (portrait.outline, portrait.legs):
        cv2.fillPoly(matte, [np.array(polygon)], 255)
    if portrait.helmet:
        x, y, radius = portrait.helmet
        cap = np.zeros_like(matte)
        cv2.circle(cap, (x, y), radius, 255, cv2.FILLED)
        cap[: picture.shape[0]] = 0
        colours[cap > 0] = (12, 12, 14)
        matte |= cap
    matte = cv2.GaussianBlur(cv2.erode(matte, np.ones((3, 3), np.uint8)), (0, 0), FEATHER_PX)
    opaque = colours * (matte[..., None].astype(np.float32) / 255.0)
    face_x, face_y, face_width = portrait.face
    return Figure(np.dstack([opaque.astype(np.uint8), matte]), face_x, face_y, face_width, phase_s)


def _ease(x: float) -> float:
    """Smooth step from 0 to 1."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


def _face_centre(figure: Figure, t: float, *, size: float, middle: float, unit: float) -> tuple[float, float]:
    """Where the face is: on the way from the door to the camera, swaying with the steps."""
    at = (t + figure.phase_s) % LOOP_S
    nearness = (size - FAR_PX) / (NEAR_PX - FAR_PX)
    aside = 1.0 - _ease((at - ENTER_S) / STEP_ASIDE_S) + _ease((at - GONE_S + STEP_ASIDE_S) / STEP_ASIDE_S)
    sway = 0.16 * sin(2 * pi * 7 * at / LOOP_S)
    bob = 0.03 * sin(2 * pi * 23 * at / LOOP_S)
    x = DOOR_X * (1.0 - nearness) + DOOR_WIDTH * aside + size * sway
    return middle + unit * x, unit * (HORIZON + size * (0.3 + bob))


def _columns(figure: Figure, t: float, *, width: int, unit: float) -> tuple[int, int]:
    """Where the wall leaves the person visible: the door while behind it, everything once in the room."""
    if COME_S <= (t + figure.phase_s) % LOOP_S < LEAVE_S:
        return 0, width
    left, right = _door(width / unit)
    return round(left * unit), round(right * unit)


def _place(
    picture: Image, figure: Figure, size: float, *, centre: tuple[float, float], columns: tuple[int, int]
) -> None:
    """Draw the figure into the picture with a face `size` pixels wide around `centre`, between two columns."""
    scale = size / figure.face_width
    left, top = round(centre[0] - figure.face_x * scale), round(centre[1] - figure.face_y * scale)
    rows = min(figure.colours.shape[0], ceil((picture.shape[0] - top) / scale))
    shrunk = cv2.resize(figure.colours[:rows], None, fx=scale, fy=scale, interpolation=_interpolation(scale))
    x1, x2 = max(left, columns[0]), min(left + shrunk.shape[1], columns[1])
    y1, y2 = max(top, 0), min(top + shrunk.shape[0], picture.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    part = shrunk[y1 - top : y2 - top, x1 - left : x2 - left]
    behind = picture[y1:y2, x1:x2] * (1.0 - part[..., 3:].astype(np.float32) / 255.0)
    picture[y1:y2, x1:x2] = np.minimum(behind + part[..., :3], 255.0).astype(np.uint8)


def _interpolation(scale: float) -> int:
    return cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR


@cache
def _room(width: int, height: int) -> Image:
    """An empty room with a door in its back wall: `(height, width, 3)` uint8, RGB."""
    room = np.empty((HEIGHT, HEIGHT * width // height, 3), np.float32)
    _gradient(room[:FLOOR_Y], top=(176, 182, 178), bottom=(146, 150, 144))
    _gradient(room[FLOOR_Y:], top=(104, 90, 76), bottom=(146, 128, 108))
    room[FLOOR_Y - 7 : FLOOR_Y] = (206, 204, 196)
    x1, x2 = _door(room.shape[1])
    room[DOOR_Y - 6 : FLOOR_Y, x1 - 6 : x2 + 6] = (210, 206, 196)
    _gradient(room[DOOR_Y:FLOOR_Y, x1:x2], top=(122, 128, 132), bottom=(98, 102, 104))
    room += _texture(room.shape[:2])
    levels = np.clip(room, 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _door(width: float) -> tuple[int, int]:
    middle = round(width / 2 + DOOR_X)
    return middle - DOOR_WIDTH // 2, middle + DOOR_WIDTH // 2


def _gradient(part: Floats, *, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> None:
    share = np.linspace(0.0, 1.0, len(part), dtype=np.float32)[:, None, None]
    part[:] = np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share


def _texture(shape: tuple[int, int]) -> Floats:
    """Faint uneven paint, the same in every run: `(h, w, 1)` in levels."""
    grain = np.random.default_rng(7).normal(0.0, 1.0, shape).astype(np.float32)
    blotches = cv2.GaussianBlur(grain, (0, 0), 12.0)
    return np.asarray(2.0 * grain + 4.0 * blotches / blotches.std(), np.float32)[..., None]


@cache
def _noise(width: int, height: int) -> NDArray[np.int16]:
    """More sensor noise than one picture needs, so that each picture can take another part of it."""
    size = (height + NOISE_PX, width + NOISE_PX, 3)
    return np.random.default_rng(11).normal(0.0, NOISE_LEVELS, size).round().astype(np.int16)


def _with_noise(picture: Image, number: int) -> Image:
    height, width = picture.shape[:2]
    y, x = number * 29 % NOISE_PX, number * 17 % NOISE_PX
    noise = _noise(width, height)[y : y + height, x : x + width]
    return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)
