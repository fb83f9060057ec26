"""Boxes as `(n, 4)` float32 arrays of `xyxy` pixels: left, top, right, bottom."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.records import Floats

__all__ = ["centre", "iou", "longer_side", "nms", "size"]


def centre(xyxy: Floats) -> Floats:
    """`(n, 2)` centre points, x and y."""
    return (xyxy[:, :2] + xyxy[:, 2:]) * np.float32(0.5)


def size(xyxy: Floats) -> Floats:
    """`(n, 2)` width and height; negative where a box is turned inside out."""
    return xyxy[:, 2:] - xyxy[:, :2]


def longer_side(xyxy: Floats) -> Floats:
    """`(n,)` the larger of width and height."""
    longer: Floats = size(xyxy).max(axis=1)
    return longer


def iou(a: Floats, b: Floats) -> Floats:
    """`(n, m)` intersection over union in [0, 1]; 0 where both boxes are empty."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    union = _area(a)[:, None] + _area(b)[None, :] - both
    share: Floats = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return share


def nms(xyxy: Floats, confidence: Floats, threshold: float, *, limit: int | None = None) -> NDArray[np.intp]:
    """Rows to keep, most confident first: none overlaps a more confident one by an IoU above `threshold`.

    At most `limit` of them. OpenCV's greedy search; comparing every pair takes some twenty times longer in a crowd.
    """
    if not len(xyxy):
        return np.zeros(0, np.intp)
    xywh = np.concatenate([xyxy[:, :2], size(xyxy)], axis=1).astype(np.float64)
    scores = np.maximum(confidence, np.finfo(np.float32).tiny)  # it drops what has a score of 0
    kept = cv2.dnn.NMSBoxes(xywh, scores, 0.0, threshold)  # type: ignore[arg-type]  # it takes arrays as well
    return np.asarray(kept, np.intp).reshape(-1)[:limit]


def _area(xyxy: Floats) -> Floats:
    area: Floats = np.prod(np.clip(size(xyxy), 0, None), axis=1)
    return area
