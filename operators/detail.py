"""Finding far faces: give the detector more pixels than the camera did.

A detector misses faces of under about 12 pixels because its finest cell is 8 or 12 pixels wide, not because nothing is
there to see. Both operators here are detectors around a detector. On WIDER FACE at 416 pixels, YuNet finds .30 of the
faces of 8-12 pixels in the frame as it is, .62 in the frame upscaled and .61 in tiles; of those of 24-48 pixels .85,
.92 and .92; of larger ones .88, .88 and .91, since `Tiled` also sees the frame as it is
(`tests/benchmarks/detect_wider.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from operators.boxes import longer_side, nms
from operators.ports import Detector
from operators.records import Detections, Image

__all__ = ["Tiled", "Upscaled"]

SAME = 0.45
"""Boxes that overlap more (intersection over union) are one face seen twice."""


@dataclass(frozen=True, slots=True)
class Upscaled:
    """Detect in the whole frame, `scale` times larger: costs about `scale` squared times as much."""

    detector: Detector
    scale: float = 2.0
    """How many times larger."""

    def __post_init__(self) -> None:
        if not self.scale > 1:
            raise ValueError(f"scale must be above 1, got {self.scale}")

    def __call__(self, image: Image, /) -> Detections:
        """Find faces; boxes are in pixels of the image as given."""
        return shrink(self.detector(enlarge(image, self.scale)), self.scale)


@dataclass(frozen=True, slots=True)
class Tiled:
    """Detect in overlapping tiles, each `scale` times larger, and once in the frame as it is.

    Memory is that of one tile whatever the frame's size. A face larger than the overlap may be cut by every tile, so
    tiles answer for smaller ones only, and the pass over the whole frame for the rest.
    """

    detector: Detector
    tile: int = 640
    """Longest side of a tile in pixels of the frame."""
    overlap: int = 64
    """Pixels that neighbouring tiles share, and the largest face that is looked for in them."""
    scale: float = 2.0
    """How many times larger each tile becomes."""

    def __post_init__(self) -> None:
        if not self.scale >= 1:
            raise ValueError(f"scale must be 1 or more, got {self.scale}")
        if not 1 <= self.overlap < self.tile:
            raise ValueError(f"overlap must be at least 1 and below tile ({self.tile}), got {self.overlap}")

    def __call__(self, image: Image, /) -> Detections:
        """Find faces; boxes are in pixels of the image as given."""
        found = [self.detector(image)]
        height, width = image.shape[:2]
        for top, bottom in spans(height, tile=self.tile, overlap=self.overlap):
            for left, right in spans(width, tile=self.tile, overlap=self.overlap):
                part = image[top:bottom, left:right]
                seen = shrink(self.detector(enlarge(part, self.scale)), self.scale)
                found.append(shift(up_to(seen, self.overlap), left, top))
        return merge(found)


def enlarge(image: Image, scale: float) -> Image:
    """The image `scale` times larger, by bilinear interpolation."""
    height, width = image.shape[:2]
    shape = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_LINEAR), np.uint8)


def shrink(found: Detections, scale: float) -> Detections:
    """Detections of an enlarged image, in pixels of the image before."""
    factor = np.float32(1 / scale)
    return Detections(found.xyxy * factor, found.confidence, found.landmarks * factor)


def up_to(found: Detections, pixels: float) -> Detections:
    """The faces whose longer side is at most `pixels`."""
    small = longer_side(found.xyxy) <= pixels
    return Detections(found.xyxy[small], found.confidence[small], found.landmarks[small])


def shift(found: Detections, left: int, top: int) -> Detections:
    """Detections of a part of a frame, in pixels of the frame."""
    corner = np.array([left, top], np.float32)
    return Detections(found.xyxy + np.tile(corner, 2), found.confidence, found.landmarks + corner)


def merge(found: list[Detections]) -> Detections:
    """All detections, each face once, most confident first."""
    xyxy = np.concatenate([part.xyxy for part in found])
    confidence = np.concatenate([part.confidence for part in found])
    landmarks = np.concatenate([part.landmarks for part in found])
    keep = nms(xyxy, confidence, SAME)
    return Detections(xyxy[keep], confidence[keep], landmarks[keep])


def spans(length: int, *, tile: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Cut `length` pixels into the fewest equal stretches of at most `tile` that share `overlap` pixels or more."""
    count = max(1, -(-(length - overlap) // (tile - overlap)))
    stretch = min(length, -(-(length + (count - 1) * overlap) // count))
    for i in range(count):
        start = round(i * (length - stretch) / max(count - 1, 1))
        yield start, start + stretch
