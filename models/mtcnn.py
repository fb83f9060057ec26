"""MTCNN: three small networks in a cascade, from coarse to fine. Zhang et al., arXiv 1604.02878.

The weights are the plain arrays that the `mtcnn` package (MIT) carries; `models.mtcnn_graphs` builds the graphs around
them for ONNX Runtime, so no TensorFlow is needed. Boxes are continuous pixel coordinates: a face that fills the picture
is `(0, 0, W, H)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.session import Session
from operators.boxes import centre, nms, size
from operators.records import Detections, Floats, Image

__all__ = ["Mtcnn", "MtcnnOptions"]

CELL = 12
"""Pixels that one P-Net output looks at, and the size of face it finds."""
STRIDE = 2
"""Pixels between two P-Net outputs."""
GREY = (128, 128, 128)
"""What lies outside of the picture: zero once normalised."""


@dataclass(frozen=True, slots=True)
class MtcnnOptions:
    """What to look for, and how sure to be."""

    min_face_size: float = 20
    """Size of face, in pixels of the picture, at which the search starts; clear faces of half of it may be found too.
    Half the size is about four times the work."""
    scale_factor: float = 0.709
    """Ratio of one step of the image pyramid to the next: larger is slower and misses less."""
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    """Confidence that a candidate needs to pass the first, second and third network."""
    max_candidates: int = 1000
    """Most candidates the second network looks at, best first: bounds the time of one frame."""

    def __post_init__(self) -> None:
        if self.min_face_size < 4:
            raise ValueError(f"min_face_size must be 4 pixels or more, got {self.min_face_size}")
        if not 0.3 <= self.scale_factor <= 0.95:
            raise ValueError(f"scale_factor must be from 0.3 to 0.95, got {self.scale_factor}")
        if len(self.thresholds) != 3 or not all(0 < t < 1 for t in self.thresholds):
            raise ValueError(f"thresholds must be three numbers between 0 and 1, got {self.thresholds}")
        if self.max_candidates < 1:
            raise ValueError(f"max_candidates must be 1 or more, got {self.max_candidates}")


class Mtcnn:
    """The cascade as a `Detector`: `(H, W, 3)` uint8 RGB -> `Detections`, most confident first."""

    def __init__(self, pnet: Session, rnet: Session, onet: Session, options: MtcnnOptions) -> None:
        self.options = options
        self._pnet = pnet
        self._rnet = rnet
        self._onet = onet

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that really runs."""
        return self._pnet.provider

    def __call__(self, image: Image, /) -> Detections:
        """Find faces of at least `min_face_size` pixels."""
        boxes = self._refine(image, self._propose(image))
        return self._conclude(image, boxes)

    def _propose(self, image: Image) -> Floats:
        """P-Net at every scale: candidate squares `(n, 4)`."""
        found, level = [], image
        for scale in pyramid(image.shape[:2], self.options):
            level = _resized(
                level, image.shape[:2], scale
            )  # from the level before: half the work of going back to the top
            found.append(self._scan(level, image.shape[:2]))
        boxes = np.concatenate([np.zeros((0, 4), np.float32), *(boxes for boxes, _ in found)])
        scores = np.concatenate([np.zeros(0, np.float32), *(scores for _, scores in found)])
        keep = nms(boxes, scores, 0.7, limit=self.options.max_candidates)
        return squares(boxes[keep])

    def _scan(self, level: Image, shape: Sequence[int]) -> tuple[Floats, Floats]:
        """Candidates in one level of the pyramid, in pixels of the picture of `shape`."""
        offsets, scores = self._pnet(level[None])
        rows, columns = np.nonzero(scores[0] > self.options.thresholds[0])
        scores = scores[0, rows, columns]
        corner = np.stack([columns, rows], axis=1) * STRIDE
        cells = np.concatenate([corner, corner + CELL], axis=1) + offsets[0][:, rows, columns].T * CELL
        ratio = np.array([shape[1] / level.shape[1], shape[0] / level.shape[0]] * 2)
        boxes = (cells * ratio).astype(np.float32)
        keep = nms(boxes, scores, 0.5, limit=self.options.max_candidates)
        return boxes[keep], scores[keep]

    def _refine(self, image: Image, boxes: Floats) -> Floats:
        """R-Net: fewer and better squares."""
        offsets, scores = _run(self._rnet, image, boxes, side=24)
        sure = scores > self.options.thresholds[1]
        boxes = adjust(boxes[sure], offsets[sure])
        return squares(boxes[nms(boxes, scores[sure], 0.7, limit=self.options.max_candidates)])

    def _conclude(self, image: Image, boxes: Floats) -> Detections:
        """O-Net: the final boxes, confidences and landmarks."""
        offsets, scores, points = _run(self._onet, image, boxes, side=48)
        sure = scores > self.options.thresholds[2]
        boxes, scores = boxes[sure], scores[sure]
        # The network gives five x, then five y, as shares of its square.
        landmarks = points[sure].reshape(-1, 2, 5).transpose(0, 2, 1) * size(boxes)[:, None] + boxes[:, None, :2]
        boxes = adjust(boxes, offsets[sure])
        keep = _drop_nested(boxes, scores, 0.7)
        return Detections(boxes[keep], scores[keep], landmarks[keep].astype(np.float32))


def _resized(level: Image, shape: Sequence[int], scale: float) -> Image:
    width, height = (max(CELL, round(side * scale)) for side in (shape[1], shape[0]))
    shrinks = width < level.shape[1]
    resized = cv2.resize(level, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def pyramid(shape: Sequence[int], options: MtcnnOptions) -> list[float]:
    """Scales at which a face of `min_face_size`, and then ever larger ones, fill a cell of P-Net."""
    scale = CELL / options.min_face_size
    scales = []
    while min(shape) * scale >= CELL:
        scales.append(scale)
        scale *= options.scale_factor
    return scales


def squares(boxes: Floats) -> Floats:
    """Boxes grown to squares about their centres."""
    middle = centre(boxes)
    half = size(boxes).max(axis=1, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def adjust(boxes: Floats, offsets: Floats) -> Floats:
    """Boxes with each side moved by `offsets (n, 4)`, given as shares of the box."""
    return boxes + offsets * np.tile(size(boxes), 2)


def patches(image: Image, boxes: Floats, *, side: int) -> Image:
    """Cut `boxes (n, 4)` out of the image, resized to `(n, side, side, 3)`; grey outside of the image."""
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side
    at = boxes[:, None, :2] + size(boxes)[:, None] * steps[:, None] - 0.5
    shape = (len(boxes), side, side)
    xs = np.broadcast_to(at[:, None, :, 0], shape).reshape(-1, side)
    ys = np.broadcast_to(at[:, :, None, 1], shape).reshape(-1, side)
    cut = cv2.remap(image, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=GREY)
    return np.asarray(cut, np.uint8).reshape(*shape, 3)


def _run(net: Session, image: Image, boxes: Floats, *, side: int, batch: int = 256) -> list[Floats]:
    """Run a network on the patches of `boxes`, at least once so that the outputs have their shapes."""
    starts = range(0, max(len(boxes), 1), batch)
    parts = [net(_patches_or_empty(image, boxes[start : start + batch], side=side)) for start in starts]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _patches_or_empty(image: Image, boxes: Floats, *, side: int) -> Image:
    return patches(image, boxes, side=side) if len(boxes) else np.zeros((0, side, side, 3), np.uint8)


def _drop_nested(boxes: Floats, scores: Floats, threshold: float) -> NDArray[np.intp]:
    """Non-maximum suppression by the share of the smaller box that is covered: a mouth inside a face goes too."""
    order = np.argsort(-scores, kind="stable")
    boxes = boxes[order]
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    areas = np.maximum(size(boxes), 0).prod(axis=1)
    smaller = np.maximum(np.minimum(areas[:, None], areas[None]), 1e-9)
    covered = np.maximum(high - low, 0).prod(axis=2) / smaller > threshold
    keep: list[int] = []
    for i in range(len(boxes)):
        if not covered[i, keep].any():
            keep.append(i)
    return order[keep]
