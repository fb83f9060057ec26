"""Both detectors on real pictures, through the registry."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import pytest
from skimage import data

from models.mtcnn import MtcnnOptions, adjust, patches, pyramid, squares
from models.registry import load
from models.yunet import YunetOptions, decode, to_blob
from operators.boxes import iou
from operators.ports import Detector
from operators.records import Detections

ASTRONAUT = np.array([[178, 63, 269, 175]], np.float32)
HOPPER = np.array([[174, 112, 356, 334]], np.float32)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut()


@pytest.fixture(scope="module")
def hopper() -> np.ndarray:
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        encoded = np.frombuffer(file.read(), np.uint8)
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.fixture(params=["mtcnn", "yunet"])
def detector(request: pytest.FixtureRequest) -> Detector:
    if request.param == "mtcnn":
        return load("detector")
    shared = request.getfixturevalue("shared")
    return load("yunet", mirror=shared / "data" / "weights")


def assert_one_face(found: Detections, expected: np.ndarray) -> None:
    """One face where it is, with landmarks where a face has them."""
    assert len(found) == 1
    assert iou(found.xyxy, expected)[0, 0] > 0.6
    assert found.confidence[0] > 0.8
    left_eye, right_eye, nose, left_mouth, right_mouth = found.landmarks[0]
    left, top, right, bottom = found.xyxy[0]
    assert left < left_eye[0] < nose[0] < right_eye[0] < right
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert top < max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1]) < bottom


def test_astronaut(detector: Detector, astronaut: np.ndarray) -> None:
    """Her shoulders are cut off: MTCNN takes a badge there for a small face."""
    assert_one_face(detector(astronaut[:220]), ASTRONAUT)


def test_hopper(detector: Detector, hopper: np.ndarray) -> None:
    assert_one_face(detector(hopper), HOPPER)


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.7])
def test_at_other_scales(detector: Detector, hopper: np.ndarray, scale: float) -> None:
    resized = cv2.resize(hopper, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    assert_one_face(detector(resized), HOPPER * np.float32(scale))


def test_in_a_corner_of_an_odd_sized_frame(detector: Detector, astronaut: np.ndarray) -> None:
    frame = np.full((383, 611, 3), 90, np.uint8)
    frame[:150, 451:] = astronaut[50:200, 150:310]
    assert_one_face(detector(frame), ASTRONAUT + np.array([301, -50, 301, -50], np.float32))


def test_records_have_their_types(detector: Detector, astronaut: np.ndarray) -> None:
    found = detector(astronaut)
    assert [array.dtype for array in (found.xyxy, found.confidence, found.landmarks)] == [np.float32] * 3
    assert [array.shape[1:] for array in (found.xyxy, found.confidence, found.landmarks)] == [(4,), (), (5, 2)]


@pytest.mark.parametrize("shape", [(480, 640), (33, 65), (8, 200), (1, 1)])
def test_nothing_there(detector: Detector, shape: tuple[int, int]) -> None:
    found = detector(np.full((*shape, 3), 127, np.uint8))
    assert found.xyxy.shape == (0, 4)
    assert found.confidence.shape == (0,)
    assert found.landmarks.shape == (0, 5, 2)


def test_a_picture_is_not_changed(detector: Detector, astronaut: np.ndarray) -> None:
    before = astronaut.copy()
    detector(astronaut)
    np.testing.assert_array_equal(astronaut, before)


def test_views_are_taken(detector: Detector, astronaut: np.ndarray) -> None:
    view = astronaut[:, 40:400][:, ::-1]
    np.testing.assert_array_equal(detector(view).xyxy, detector(np.ascontiguousarray(view)).xyxy)


@pytest.mark.parametrize("name", ["mtcnn", "yunet"])
def test_min_face_size_leaves_smaller_faces_out(shared: Path, astronaut: np.ndarray, name: str) -> None:
    mirror = shared / "data" / "weights" if name == "yunet" else None
    head = cv2.resize(astronaut[:220], None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    assert len(load(name, mirror=mirror, min_face_size=20)(head)) == 1
    assert len(load(name, mirror=mirror, min_face_size=120)(head)) == 0


@pytest.mark.parametrize("name", ["mtcnn", "yunet"])
def test_four_far_faces_in_the_classroom(shared: Path, name: str) -> None:
    av = pytest.importorskip("av")
    mirror = shared / "data" / "weights" if name == "yunet" else None
    detector = load(name, mirror=mirror, min_face_size=15)
    with av.open(str(shared / "data" / "clips" / "classroom.gif")) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)][::9]
    assert all(len(detector(frame)) >= 4 for frame in frames)


def test_pyramid_starts_at_the_smallest_face_and_ends_at_the_largest() -> None:
    scales = pyramid((480, 640), MtcnnOptions(min_face_size=24, scale_factor=0.5))
    assert scales == [0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_squares_keep_centres_and_longer_sides() -> None:
    boxes = np.array([[10, 20, 30, 60], [0, 0, 8, 4]], np.float32)
    np.testing.assert_allclose(squares(boxes), [[0, 20, 40, 60], [0, -2, 8, 6]])


def test_offsets_are_shares_of_the_box() -> None:
    box, offsets = np.array([[10, 20, 30, 60]], np.float32), np.array([[0.1, -0.1, -0.5, 0.25]], np.float32)
    np.testing.assert_allclose(adjust(box, offsets), [[12, 16, 20, 70]])


def test_patches_cut_whole_pixels_and_are_grey_outside() -> None:
    image = np.random.default_rng(2).integers(0, 256, (30, 40, 3), np.uint8)
    boxes = np.array([[5, 3, 29, 27], [-12, -12, 12, 12]], np.float32)
    inside, corner = patches(image, boxes, side=24)
    np.testing.assert_array_equal(inside, image[3:27, 5:29])
    np.testing.assert_array_equal(corner[12:, 12:], image[:12, :12])
    assert (corner[:11, :11] == 128).all()


def test_blob_is_blue_first_and_padded_to_the_stride() -> None:
    image = np.zeros((33, 64, 3), np.uint8)
    image[..., 0] = 200
    blob = to_blob(image)
    assert blob.shape == (1, 3, 64, 64)
    assert (blob[0, 2, :33] == 200).all()
    assert blob[0, :2].max() == 0
    assert blob[0, 2, 33:].max() == 0


def test_decode_places_a_cell() -> None:
    one = np.ones((6, 1), np.float32)
    boxes = np.tile(np.array([0.5, 0.25, 0, np.log(2)], np.float32), (6, 1))
    points = np.tile(np.array([0, 1] * 5, np.float32), (6, 1))
    xyxy, confidence, landmarks = decode(one * 0.81, one, boxes, points, stride=8, columns=3, threshold=0.0)
    np.testing.assert_allclose(xyxy[4], [8 * 1.5 - 4, 8 * 1.25 - 8, 8 * 1.5 + 4, 8 * 1.25 + 8])
    np.testing.assert_allclose(confidence, 0.9, rtol=1e-6)
    np.testing.assert_allclose(landmarks[4], [[8, 16]] * 5)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (MtcnnOptions, {"min_face_size": 3}, "min_face_size must be 4 pixels or more, got 3"),
        (MtcnnOptions, {"scale_factor": 1}, "scale_factor must be from 0.3 to 0.95, got 1"),
        (MtcnnOptions, {"thresholds": (0.6, 0.7)}, "thresholds must be three numbers between 0 and 1"),
        (MtcnnOptions, {"max_candidates": 0}, "max_candidates must be 1 or more"),
        (YunetOptions, {"min_face_size": -1}, "min_face_size must be 0 pixels or more"),
        (YunetOptions, {"threshold": 1}, "threshold must be between 0 and 1, got 1"),
        (YunetOptions, {"overlap": 0}, "overlap must be between 0 and 1, got 0"),
        (YunetOptions, {"max_faces": 0}, "max_faces must be 1 or more"),
    ],
)
def test_bad_options(kind: type, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**options)
