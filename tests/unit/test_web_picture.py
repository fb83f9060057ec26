"""Tests of pipeline/web/picture.py: what a live picture shows, and what it can't."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from connectors.scene import load_figure
from connectors.scene import render as render_scene
from models.registry import load
from operators.records import Clock, FaceTrack, Frame, Image, Observation
from pipeline.config import Settings
from pipeline.web.picture import CELLS, KEPT, Pictures, render
from pipeline.web.sources import FRESH_S, Memory, Newest, Seen

NEAR_S = 12.0
"""When the person of the scene stands before the camera."""
FACE = FaceTrack(
    "track-1", 0.0, (250.0, 75.0, 357.0, 216.0), 0.99, 141, 0.9, label="happiness", scores={"happiness": 0.98}
)


def seen(image: Image, *faces: FaceTrack, before: tuple[Observation, ...] = ()) -> Seen:
    observation = Observation("lobby", 1, 7, 100.0, Clock.SENDER, faces)
    return Seen(Frame("lobby", 1, 7, 100.0, Clock.SENDER, image), observation, before, 0.0)


def shown(what: Seen, mode: str, width: int = 640) -> Image:
    data = render(what, mode, width=width)  # type: ignore[arg-type]
    return np.asarray(cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB), np.uint8)


@pytest.fixture(scope="module")
def scene() -> Image:
    return render_scene(load_figure("smile"), NEAR_S)


@pytest.fixture(scope="module")
def close_up(scene: Image) -> Image:
    """A face that fills the whole picture."""
    left, top, right, bottom = (int(edge) for edge in FACE.xyxy)
    middle = (top + bottom) // 2
    return np.asarray(cv2.resize(scene[middle - 60 : middle + 60, left - 53 : right + 53], (640, 360)), np.uint8)


@pytest.mark.parametrize("picture", ["scene", "close_up"])
def test_no_face_is_found_in_a_coarse_picture(picture: str, request: pytest.FixtureRequest) -> None:
    image, detector = request.getfixturevalue(picture), load("mtcnn")
    assert len(detector(image)) == 1
    for width in (320, 640):
        assert len(detector(shown(seen(image), "outlines", width))) == 0


def test_a_coarse_picture_knows_nothing_but_the_mean_of_each_square(scene: Image) -> None:
    """However the pixels of each square are shuffled, the picture is the same: nothing finer reaches it."""
    side = scene.shape[1] // CELLS
    shuffled = scene.copy()
    random = np.random.default_rng(0)
    for top in range(0, scene.shape[0], side):
        for left in range(0, scene.shape[1], side):
            square = shuffled[top : top + side, left : left + side]
            square[:] = random.permutation(square.reshape(-1, 3)).reshape(square.shape)
    assert not np.array_equal(shuffled, scene)
    assert np.array_equal(shown(seen(shuffled), "outlines"), shown(seen(scene), "outlines"))


@pytest.mark.parametrize("size", [(1080, 1920), (480, 640), (1920, 1080), (37, 900), (1, 1)], ids=str)
def test_squares_are_as_large_in_every_picture(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    coarse = shown(seen(noise), "outlines", 1280)
    assert coarse.shape[1] == min(1280, size[1])
    grey = cv2.resize(cv2.cvtColor(coarse, cv2.COLOR_RGB2GRAY), (0, 0), fx=1, fy=1)
    edges = np.abs(np.diff(grey.astype(int), axis=1)) > 16
    assert edges.any(axis=0).sum() <= 3 * CELLS  # at each of 15 borders some columns, for the sake of JPEG


def test_outlines_are_where_the_faces_are(scene: Image) -> None:
    bare, outlined = shown(seen(scene), "outlines"), shown(seen(scene, FACE), "outlines")
    rows, columns = np.nonzero(np.abs(bare.astype(int) - outlined).max(axis=2) > 60)
    assert 50 <= rows.min() < 75 <= rows.max() <= 219  # the label is above it
    assert 246 <= columns.min() <= columns.max() <= 362


@pytest.mark.parametrize("width", [320, 640])
def test_a_face_that_was_found_is_unreadable_in_a_blurred_picture(scene: Image, width: int) -> None:
    detector = load("mtcnn")
    assert len(detector(shown(seen(scene), "blurred"))) == 1  # missed: as the documentation says
    assert len(detector(shown(seen(scene, FACE), "blurred", width))) == 0


def test_a_face_that_was_found_a_moment_before_is_unreadable_too(scene: Image) -> None:
    memory = Newest()
    frame = Frame("lobby", 1, 1, 100.0, Clock.SENDER, scene)
    with_face = Observation("lobby", 1, 1, 100.0, Clock.SENDER, (FACE,))
    without = replace(with_face, faces=())
    memory.tape([frame], [with_face])
    memory.tape([replace(frame, ts=101.0)], [replace(without, ts=101.0)])
    missed = memory.of("lobby")
    assert missed is not None
    assert len(load("mtcnn")(shown(missed, "blurred"))) == 0
    memory.tape([replace(frame, ts=104.0)], [replace(without, ts=104.0)])
    later = memory.of("lobby")
    assert later is not None
    assert later.before == ()


def test_a_full_picture_is_the_picture(scene: Image) -> None:
    assert np.abs(shown(seen(scene, FACE), "full").astype(int) - scene).mean() < 4


def test_boxes_beyond_the_edge_do_no_harm(scene: Image) -> None:
    outside = [
        replace(FACE, xyxy=box)
        for box in ((-50.0, -40.0, 30.0, 20.0), (600.0, 340.0, 900.0, 500.0), (700.0, 0.0, 800.0, 9.0))
    ]
    for mode in ("outlines", "blurred"):
        assert shown(seen(scene, *outside), mode).shape == scene.shape


def test_one_picture_is_made_for_all_who_look(scene: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("pipeline.web.picture.time.monotonic", lambda: clock[0])
    pictures, first = Pictures(), seen(scene)
    second = replace(first, frame=Frame("lobby", 1, 8, 100.2, Clock.SENDER, scene))
    assert pictures.made(first, "outlines", width=320) is None
    made = pictures.make(first, "outlines", width=320)
    assert pictures.make(first, "outlines", width=320) is made
    assert pictures.make(second, "outlines", width=320) is made  # a moment ago
    assert pictures.make(second, "outlines", width=640) is not made
    clock[0] = 0.6
    newer = pictures.make(second, "outlines", width=320)
    assert (newer.tag, newer.ts) == ('"1-8-outlines-320"', 100.2)


def test_pictures_of_all_widths_are_not_all_kept(scene: Image) -> None:
    pictures, what = Pictures(), seen(scene)
    made = [pictures.make(what, "outlines", width=width) for width in range(160, 160 + KEPT + 40)]
    assert list(pictures._made.values()) == made[-KEPT:]


def test_a_picture_of_the_past_is_not_shown(scene: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("pipeline.web.sources.time.monotonic", lambda: clock[0])
    memory, now = Newest(), seen(scene)
    memory.tape([now.frame], [now.observation])
    clock[0] = FRESH_S
    assert memory.of("lobby") is not None
    clock[0] += 0.1
    assert memory.of("lobby") is None
    assert memory.of("quay") is None


def test_nothing_is_kept_where_pictures_are_off(scene: Image) -> None:
    now = seen(scene)
    for live, kept in (("off", False), ("outlines", True)):
        whole = {"purpose": "a test", "cameras": {"lobby": {"url": "a.mp4"}}, "console": {"live": live}}
        memory = Memory(Settings.model_validate(whole))
        memory.tape([now.frame], [now.observation])
        assert (memory.newest.of("lobby") is not None) is kept
