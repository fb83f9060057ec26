"""Non-maximum suppression for the thousands of candidates that a detector starts from.

`operators.boxes.nms` compares every pair and is meant for the few boxes of a finished frame; OpenCV's greedy one stops
early and is some twenty times faster here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.boxes import size
from operators.records import Floats

__all__ = ["suppress"]


def suppress(xyxy: Floats, confidence: Floats, threshold: float, *, limit: int) -> NDArray[np.intp]:
    """Rows of the at most `limit` boxes to keep, most confident first: none overlaps a better one above `threshold`."""
    if not len(xyxy):
        return np.zeros(0, np.intp)
    xywh = np.concatenate([xyxy[:, :2], size(xyxy)], axis=1).astype(np.float64)
    kept = cv2.dnn.NMSBoxes(xywh, confidence, 0.0, threshold)  # type: ignore[arg-type]  # it takes arrays as well
    return np.asarray(kept, np.intp).reshape(-1)[:limit]
