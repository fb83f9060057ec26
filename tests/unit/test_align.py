import cv2
import numpy as np
import pytest

from operators.align import MAX_SIDE, TEMPLATE, align, crop, face_crop, similarity


def picture(width=200, height=160):
    """A smooth colour picture, so that resampling changes little."""
    rng = np.random.default_rng(7)
    small = rng.integers(0, 255, (10, 12, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def box_of(landmarks, side):
    middle = landmarks.mean(axis=0)
    return np.concatenate([middle - side / 2, middle + side / 2]).astype(np.float32)


def test_landmarks_on_the_template_give_the_picture_itself():
    image = picture(48, 48)
    assert (align(image, TEMPLATE * 48, size=48) == image).all()


@pytest.mark.parametrize("degrees", [-40, 15, 180])
def test_alignment_undoes_a_turn_of_the_head(degrees):
    image = picture()
    upright = (TEMPLATE * 60 + (70, 50)).astype(np.float32)
    matrix = cv2.getRotationMatrix2D((100, 80), degrees, 1.0)
    turned = cv2.warpAffine(image, matrix, (200, 160), borderMode=cv2.BORDER_REPLICATE)
    # warpAffine counts from the centre of the first pixel, landmarks from its corner.
    moved = ((upright - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5).astype(np.float32)
    difference = align(turned, moved, size=60).astype(int) - align(image, upright, size=60)
    assert np.abs(difference).mean() < 2


def test_coinciding_landmarks_are_refused():
    with pytest.raises(ValueError, match="different places"):
        similarity(np.ones((5, 2), np.float32), TEMPLATE)


def test_crop_is_the_square_around_the_box():
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:30, 5:25] = 90
    assert (crop(image, np.array([5, 10, 25, 30], np.float32), size=20) == 90).all()


def test_crop_repeats_the_edge_outside_the_picture():
    assert (crop(np.full((40, 40, 3), 90, np.uint8), np.array([-10, -10, 10, 10], np.float32), size=20) == 90).all()


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    small = crop(stripes, np.array([0, 0, 400, 400], np.float32), size=40)
    assert np.abs(small[2:-2, 2:-2].astype(int) - 100).max() <= 2


@pytest.mark.parametrize(("side", "expected"), [(18, 18), (60, 60), (150, MAX_SIDE), (4, 8)])
def test_a_face_keeps_its_own_resolution(side, expected):
    landmarks = (TEMPLATE * side + 30).astype(np.float32)
    assert face_crop(picture(), box_of(landmarks, side), landmarks).shape == (expected, expected, 3)


@pytest.mark.parametrize(
    "landmarks",
    [
        np.full((5, 2), np.nan, np.float32),
        np.zeros((5, 2), np.float32),
        (TEMPLATE * 4 + 60).astype(np.float32),
    ],
    ids=["nan", "all at one place", "much smaller than the box"],
)
def test_unusable_landmarks_fall_back_to_the_box(landmarks):
    image, box = picture(), np.array([50, 40, 90, 80], np.float32)
    assert (face_crop(image, box, landmarks) == crop(image, box, size=40)).all()
