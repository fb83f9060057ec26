"""Cut faces out upright, framed as the expression network was taught.

The similarity transform (turn, uniform scale, shift) that brings five landmarks closest to a template in the
least-squares sense is that of Umeyama (IEEE PAMI 13, 1991). The template is measured, not taken from another project:
the median of the landmarks that YuNet finds on 2,876 of 3,000 FER2013 training faces, made symmetric because training
mirrors them. `tests/benchmarks/template.py` repeats the measurement.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.records import Floats, Image

__all__ = ["TEMPLATE", "align", "crop", "face_crop", "similarity"]

TEMPLATE: Floats = np.array(
    [[0.317, 0.387], [0.683, 0.387], [0.5, 0.578], [0.347, 0.745], [0.653, 0.745]],
    np.float32,
)
"""`(5, 2)` left eye, right eye, nose, left and right mouth corner in an upright crop of side 1."""

MAX_SIDE = 96
"""Largest crop in pixels: twice what the network sees, so that its own resizing has something to average."""
_MIN_SIDE = 8

_Matrix = NDArray[np.float64]
"""`(2, 3)` similarity transform."""


def similarity(points: NDArray[np.floating], onto: NDArray[np.floating]) -> _Matrix:
    """The `(2, 3)` matrix that brings `points (n, 2)` closest to `onto (n, 2)` by turn, scale and shift, unmirrored.

    Raises ValueError where all points coincide.
    """
    a, b = points.astype(np.float64), onto.astype(np.float64)
    centre_a, centre_b = a.mean(axis=0), b.mean(axis=0)
    # In the plane Umeyama's singular value decomposition has a closed form: with points as complex numbers the best
    # turn and scale is one complex factor.
    p, q = ((x - c) @ np.array([1, 1j]) for x, c in ((a, centre_a), (b, centre_b)))
    spread = float(np.vdot(p, p).real)
    if spread == 0:
        raise ValueError("expected landmarks at different places, got all at one")
    factor = complex(np.vdot(p, q)) / spread
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([turn, centre_b - turn @ centre_a])


def align(image: Image, landmarks: Floats, *, size: int) -> Image:
    """The upright face `(size, size, 3)` with its `landmarks (5, 2)` on the template.

    What lies outside the image repeats its edge. Raises ValueError where all landmarks coincide.
    """
    return _cut(image, similarity(landmarks, TEMPLATE), size)


def crop(image: Image, xyxy: Floats, *, size: int) -> Image:
    """The square `(size, size, 3)` around a box `(4,)`, for faces without landmarks; outside the image is its edge."""
    return _cut(image, _square(xyxy), size)


def face_crop(image: Image, xyxy: Floats, landmarks: Floats, *, max_side: int = MAX_SIDE) -> Image:
    """The face at its own resolution, at most `max_side` pixels wide: far faces stay small.

    Aligned by `landmarks (5, 2)` where they agree with the box `(4,)`, else the square around the box.
    """
    by_box = _square(xyxy)
    by_landmarks = similarity(landmarks, TEMPLATE) if _usable(landmarks) else by_box
    agree = 0.5 <= _zoom(by_landmarks) / _zoom(by_box) <= 2
    matrix = by_landmarks if agree else by_box
    return _cut(image, matrix, min(max(round(1 / _zoom(matrix)), _MIN_SIDE), max_side))


def _usable(landmarks: Floats) -> bool:
    return bool(np.isfinite(landmarks).all() and np.ptp(landmarks, axis=0).max() > 1)


def _square(xyxy: Floats) -> _Matrix:
    """The transform that brings the square around a box to side 1."""
    left, top, right, bottom = (float(value) for value in xyxy)
    side = max(right - left, bottom - top, 1.0)
    middle = np.array([left + right, top + bottom]) / 2
    return np.column_stack([np.eye(2) / side, 0.5 - middle / side])


def _zoom(matrix: _Matrix) -> float:
    """By how much a similarity enlarges."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def _cut(image: Image, matrix: _Matrix, size: int) -> Image:
    """Sample the unit square that `matrix` maps the face onto with `size` by `size` pixels."""
    # Shrinking by two or more would skip source pixels: sample finely, then average.
    fine = max(1, int(1 / max(_zoom(matrix) * size, 0.01)))
    width = size * fine
    # A corner of the picture is at (0, 0) for landmarks, but OpenCV puts the centre of the first pixel there.
    pixels = matrix * width
    pixels[:, 2] += pixels[:, :2] @ (0.5, 0.5) - 0.5
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    sampled = cv2.warpAffine(image, pixels, (width, width), flags=flags, borderMode=border)
    if fine > 1:
        sampled = cv2.resize(sampled, (size, size), interpolation=cv2.INTER_AREA)
    return sampled.astype(np.uint8, copy=False)
