import cv2
import numpy as np
import pytest

from operators.align import TEMPLATE
from operators.quality import Gate, estimate_pose, exposure, sharpness


def face(side=48, brightness=1.0):
    """Something with the spectrum of a face: a bright oval with dark features and skin texture."""
    rng = np.random.default_rng(3)
    image = np.full((192, 192), 60, np.float32)
    cv2.ellipse(image, (96, 100), (64, 84), 0, 0, 360, 170, -1)
    for x, y, w, h in ((60, 74, 16, 7), (131, 74, 16, 7), (96, 143, 30, 7), (96, 111, 7, 10)):
        cv2.ellipse(image, (x, y), (w, h), 0, 0, 360, 60, -1)
    image += cv2.GaussianBlur(rng.normal(0, 40, image.shape).astype(np.float32), (0, 0), 2)
    small = cv2.resize(image * brightness, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(np.clip(small, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def turned(shift):
    """Landmarks with the nose moved sideways by this share of half the distance of the eyes."""
    points = TEMPLATE.copy()
    points[2, 0] += shift * (TEMPLATE[1, 0] - TEMPLATE[0, 0]) / 2
    return points


def assess(crop, *, source_px=48.0, landmarks=TEMPLATE, confidence=1.0):
    return Gate().assess(crop, source_px=source_px, landmarks=landmarks, confidence=confidence)


def test_a_sharp_frontal_large_face_is_read_without_reservations():
    quality = assess(face())
    assert quality.readable
    assert quality.score > 0.95
    assert quality.reasons == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source_px": 11.9}, "small"),
        ({"landmarks": turned(0.9)}, "turned"),
        ({"crop": cv2.GaussianBlur(face(), (0, 0), 8)}, "blurred"),
        ({"crop": face(brightness=0.1)}, "dark"),
        ({"crop": face(brightness=4)}, "bright"),
        ({"crop": np.full((48, 48, 3), 120, np.uint8)}, "flat"),
        ({"landmarks": np.zeros((5, 2), np.float32)}, "turned"),
        ({"landmarks": np.full((5, 2), np.nan, np.float32)}, "turned"),
    ],
)
def test_a_face_that_cannot_be_read_says_why(change, reason):
    quality = assess(change.pop("crop", face()), **change)
    assert not quality.readable
    assert reason in quality.reasons


def test_a_far_frontal_face_is_read_with_little_confidence():
    quality = assess(face(side=16), source_px=16, confidence=0.9)
    assert quality.readable
    assert quality.score < 0.6
    assert quality.reasons == ("small",)


def test_enlarging_does_not_make_a_blurred_face_sharp():
    far = face(side=12)
    assert sharpness(cv2.resize(far, (96, 96), interpolation=cv2.INTER_CUBIC)) < sharpness(far)


def test_sharpness_is_the_same_near_and_a_little_farther():
    assert sharpness(face(side=96)) == pytest.approx(sharpness(face(side=48)), rel=0.15)


def test_exposure_looks_at_the_middle_only():
    crop = np.zeros((80, 80, 3), np.uint8)
    crop[10:70, 10:70] = 100
    assert exposure(crop) == (100, 0)


def test_pose_of_the_template_is_frontal_and_level():
    pose = estimate_pose(TEMPLATE)
    assert pose.yaw == pytest.approx(0, abs=1e-4)
    assert pose.pitch == pytest.approx(0, abs=0.02)


def test_pitch_sees_a_lowered_head():
    points = TEMPLATE.copy()
    points[2, 1] = TEMPLATE[3, 1]
    assert estimate_pose(points).pitch > 0.8


@pytest.mark.parametrize(
    "bad",
    [{"min_source_px": 0}, {"low_source_px": 10}, {"min_luma": 240}, {"max_yaw": 0}, {"min_score": 2}],
)
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        Gate(**bad)
