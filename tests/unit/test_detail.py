from __future__ import annotations

import cv2
import numpy as np
import pytest

from operators.detail import Tiled, Upscaled, spans
from operators.records import Detections, Image


def bright_spots(image: Image, /) -> Detections:
    """A detector of white rectangles of at least 10 pixels a side; landmarks at the centre."""
    mask = (image[..., 0] > 127).astype(np.uint8)
    _, _, stats, centres = cv2.connectedComponentsWithStats(mask)
    stats, centres = stats[1:].astype(np.float32), centres[1:].astype(np.float32)
    large = (stats[:, 2:4] >= 10).all(axis=1)
    stats, centres = stats[large], centres[large]
    xyxy = np.concatenate([stats[:, :2], stats[:, :2] + stats[:, 2:4]], axis=1)
    return Detections(xyxy, np.full(len(xyxy), 0.9, np.float32), np.repeat(centres[:, None], 5, axis=1))


def frame(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (300, 500)) -> Image:
    image = np.zeros((*shape, 3), np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 255
    return image


FAR = (100, 50, 106, 56)
NEAR = (200, 100, 260, 180)


@pytest.mark.parametrize("far", [Upscaled(bright_spots), Tiled(bright_spots, tile=200, overlap=20)])
def test_finds_what_the_detector_alone_misses(far: Upscaled | Tiled) -> None:
    image = frame(FAR, NEAR)
    assert len(bright_spots(image)) == 1
    found = far(image)
    order = np.argsort(found.xyxy[:, 0])
    np.testing.assert_allclose(found.xyxy[order], [FAR, NEAR], atol=1)
    np.testing.assert_allclose(found.landmarks[order][:, 0], [[103, 53], [230, 140]], atol=1)


def test_a_face_in_the_overlap_of_tiles_is_one_face() -> None:
    tiled = Tiled(bright_spots, tile=100, overlap=40)
    seams = [start for start, _ in spans(500, tile=100, overlap=40)][1:]
    found = tiled(frame(*[(start + 10, 40, start + 25, 55) for start in seams]))
    assert len(found) == len(seams)


def test_a_face_larger_than_the_overlap_is_found_once_and_whole() -> None:
    found = Tiled(bright_spots, tile=100, overlap=20)(frame((40, 40, 400, 260)))
    np.testing.assert_allclose(found.xyxy, [(40, 40, 400, 260)], atol=1)


@pytest.mark.parametrize("far", [Upscaled(bright_spots), Tiled(bright_spots)])
@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (300, 500)])
def test_nothing_there(far: Upscaled | Tiled, shape: tuple[int, int]) -> None:
    found = far(frame(shape=shape))
    assert found.xyxy.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overlap": 700}, r"overlap must be at least 1 and below tile \(640\), got 700"),
        ({"overlap": 0}, "overlap must be at least 1"),
        ({"scale": 0.5}, "scale must be 1 or more, got 0.5"),
    ],
)
def test_bad_tiles(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tiled(bright_spots, **settings)


def test_bad_scale() -> None:
    with pytest.raises(ValueError, match="scale must be above 1, got 1"):
        Upscaled(bright_spots, scale=1)
