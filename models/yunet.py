"""YuNet: an anchor-free face detector of 75,856 parameters. Wu et al., 10.1007/s11633-023-1423-y.

Decoding follows the description of its training code, https://github.com/ShiqiYu/libfacedetection.train: each cell of
the strides 8, 16 and 32 gives class and object scores, a box about the cell and five landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.session import Session
from operators.boxes import longer_side, nms
from operators.records import Detections, Floats, Image

__all__ = ["YUNET_OUTPUTS", "Yunet", "YunetOptions"]

STRIDES = (8, 16, 32)
YUNET_OUTPUTS = tuple(f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps"))


@dataclass(frozen=True, slots=True)
class YunetOptions:
    """What to look for, and how sure to be."""

    min_face_size: float = 8
    """Faces whose longer side is smaller, in pixels of the picture, are left out."""
    threshold: float = 0.6
    """Confidence that a face needs."""
    overlap: float = 0.45
    """Two boxes that overlap more (intersection over union) are one face."""
    max_faces: int = 1000
    """Most faces of one frame, best first."""

    def __post_init__(self) -> None:
        if self.min_face_size < 0:
            raise ValueError(f"min_face_size must be 0 pixels or more, got {self.min_face_size}")
        for name, value in (("threshold", self.threshold), ("overlap", self.overlap)):
            if not 0 < value < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")
        if self.max_faces < 1:
            raise ValueError(f"max_faces must be 1 or more, got {self.max_faces}")


class Yunet:
    """A `Detector`: `(H, W, 3)` uint8 RGB -> `Detections`, most confident first."""

    def __init__(self, session: Session, options: YunetOptions) -> None:
        """Take a session made with the outputs `YUNET_OUTPUTS`."""
        self.options = options
        self._session = session

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that really runs."""
        return self._session.provider

    def __call__(self, image: Image, /) -> Detections:
        """Find faces at the resolution of the image."""
        blob = to_blob(image)
        outputs = self._session(blob)
        columns = blob.shape[3]
        parts = [
            decode(
                *(output[0] for output in outputs[4 * i : 4 * i + 4]),
                stride=stride,
                columns=columns // stride,
                threshold=self.options.threshold,
            )
            for i, stride in enumerate(STRIDES)
        ]
        return self._select(Detections(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True))))

    def _select(self, found: Detections) -> Detections:
        rows = np.nonzero(longer_side(found.xyxy) >= self.options.min_face_size)[0]
        limit = self.options.max_faces
        keep = rows[nms(found.xyxy[rows], found.confidence[rows], self.options.overlap, limit=limit)]
        return Detections(found.xyxy[keep], found.confidence[keep], found.landmarks[keep])


def to_blob(image: Image) -> Floats:
    """RGB bytes -> `(1, 3, h, w)` BGR floats in [0, 255], padded with black to multiples of the largest stride."""
    bottom, right = (-side % STRIDES[-1] for side in image.shape[:2])
    if bottom or right:
        image = np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT), np.uint8)
    return np.asarray(cv2.dnn.blobFromImage(image, swapRB=True), np.float32)


def decode(
    classes: Floats, objects: Floats, boxes: Floats, points: Floats, *, stride: int, columns: int, threshold: float
) -> tuple[Floats, Floats, Floats]:
    """Raw outputs of one stride, one row per cell -> `xyxy (n, 4)`, `confidence (n,)`, `landmarks (n, 5, 2)`.

    Only cells with a confidence of at least `threshold`.
    """
    product = classes[:, 0] * objects[:, 0]
    sure = np.nonzero(product >= threshold**2)[0]  # few of thousands of cells: all else is for these only
    confidence = np.sqrt(np.clip(product[sure], 0, 1))
    cells = np.stack([sure % columns, sure // columns], axis=1).astype(np.float32)
    centres = (cells + boxes[sure, :2]) * stride
    half = np.exp(boxes[sure, 2:]) * stride / 2
    landmarks = (cells[:, None] + points[sure].reshape(-1, 5, 2)) * stride
    return np.concatenate([centres - half, centres + half], axis=1), confidence, landmarks
