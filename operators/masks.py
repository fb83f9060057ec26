"""Polygons in relative coordinates, and the privacy masks that are drawn with them.

A polygon is a sequence of (x, y) points in [0, 1], x to the right and y down, so that it fits every resolution of the
same camera. Zones use the same polygons.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.records import Image

__all__ = ["Polygon", "black_out", "checked_polygon"]

Polygon = tuple[tuple[float, float], ...]
"""At least three (x, y) points, each in [0, 1] of the picture's width and height."""

_SUBPIXEL_BITS = 8


def checked_polygon(points: Sequence[Sequence[float]]) -> Polygon:
    """The points as a `Polygon`; raises ValueError saying what is wrong with them."""
    if any(len(point) != 2 for point in points):
        raise ValueError(f"expected points [x, y], got {list(points)}")
    polygon = tuple((float(x), float(y)) for x, y in points)
    if len(polygon) < 3:
        raise ValueError(f"expected a polygon of at least 3 points [x, y], got {len(polygon)}")
    for x, y in polygon:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"expected points relative to the picture, between 0 and 1, got [{x:g}, {y:g}]")
    if _doubled_area(polygon) == 0:
        raise ValueError("expected a polygon with an area, got points on one line")
    return polygon


def black_out(image: Image, masks: Sequence[Polygon]) -> Image:
    """A copy of the image with the polygons, their edges included, painted black; the image itself without masks.

    A pixel that a mask touches is black, and so may be the next two: better that than one that must not be seen.
    """
    if not masks:
        return image
    painted = image.copy()
    for polygon in masks:
        corners = [_to_pixels(polygon, image)]
        # One by one: a shared fillPoly call would leave the overlap of two masks unpainted.
        cv2.fillPoly(painted, corners, (0, 0, 0), shift=_SUBPIXEL_BITS)
        # OpenCV rounds slanted edges and misses pixels whose centre is inside: a thick outline covers them.
        cv2.polylines(painted, corners, isClosed=True, color=(0, 0, 0), thickness=3, shift=_SUBPIXEL_BITS)
    return painted


def _to_pixels(polygon: Polygon, image: Image) -> NDArray[np.int32]:
    """Corners in OpenCV's fixed point, where whole numbers are the centres of pixels."""
    height, width = image.shape[:2]
    corners = np.array(polygon) * (width, height) - 0.5
    return np.round(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _doubled_area(polygon: Polygon) -> float:
    x, y = np.array(polygon).T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))
