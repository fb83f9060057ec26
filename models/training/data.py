"""FER2013 faces with FER+ votes: loading, sampling, augmentation and degradation.

FER+ label distributions: Barsoum et al., arXiv 1608.01041. Images are `(48, 48)` uint8 grey throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
FER2013 = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """One split.

    `images (n, 48, 48)`; `votes (n, 8)` float32 FER+ distribution, all zero where raters found no usable face;
    `agreed (n,)` more than half of the votes are for one class; `label7 (n,)` int64 FER2013 class; `group (n,)`
    exact-duplicate group.
    """

    images: Grey
    votes: NDArray[np.float32]
    agreed: NDArray[np.bool_]
    label7: NDArray[np.int64]
    group: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.images)

    def where(self, mask: NDArray[np.bool_]) -> Faces:
        return Faces(self.images[mask], self.votes[mask], self.agreed[mask], self.label7[mask], self.group[mask])


def load_faces(path: Path) -> tuple[Faces, Faces]:
    """Read the npz into (training, public test); training images that also occur in the test split are left out."""
    with np.load(path, allow_pickle=False) as data:
        kept = np.where(data["ferplus_votes"] > 1, data["ferplus_votes"], 0).astype(np.float32)  # one vote is noise
        agreed = kept.max(1) > 0.5 * kept.sum(1)
        faces = Faces(data["images"], _distribution(kept), agreed, data["label7"].astype(np.int64), data["dup_group"])
        public = data["split"] == 1
    leaked = np.isin(faces.group, faces.group[public])
    return faces.where(~public & ~leaked), faces.where(public)


def _distribution(kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """Votes `(n, 10)` normalised over the 8 classes; `unknown` and `NF` majorities are not usable faces: all zero."""
    usable = kept[:, :8].max(1) > kept[:, 8:].max(1)
    votes = kept[:, :8] * usable[:, None]
    return np.asarray(votes / np.maximum(votes.sum(1, keepdims=True), 1), np.float32)


def sampling_weights(faces: Faces, balance: float) -> NDArray[np.float64]:
    """Inverse frequency of the FER+ majority class to the power of `balance`: 0 natural, 0.5 square root, 1 uniform."""
    majority = faces.votes.argmax(1)
    counts = np.bincount(majority, minlength=len(FERPLUS))
    return (np.maximum(counts, 1.0) ** -balance)[majority]


def augment(image: Grey, rng: np.random.Generator, *, degrade_share: float) -> Grey:
    """Flip, rotate +-15 degrees, scale, shift, change the light, degrade a share of the images, erase a patch."""
    image = _warp(image, rng)
    if rng.random() < degrade_share:
        image = degrade(image, rng)
    image = _relight(image, rng)
    return _erase(image, rng) if rng.random() < 0.3 else image


def degrade(image: Grey, rng: np.random.Generator) -> Grey:
    """What distance and a camera do to a face: blur, area-down to 10-40 px, noise, JPEG 30-95, back up."""
    side = image.shape[0]
    small = int(np.exp(rng.uniform(np.log(10), np.log(40))))
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5))
    image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        noisy = image + rng.normal(0, rng.uniform(1, 8), image.shape)
        image = np.clip(noisy, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        image = jpeg(image, int(rng.integers(30, 96)))
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)


def jpeg(image: Grey, quality: int) -> Grey:
    """Encode and decode at the given JPEG quality."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)


def _warp(image: Grey, rng: np.random.Generator) -> Grey:
    side = image.shape[0]
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-15, 15), rng.uniform(0.88, 1.15))
    matrix[:, 2] += rng.uniform(-0.08, 0.08, 2) * side
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _relight(image: Grey, rng: np.random.Generator) -> Grey:
    light = image.astype(np.float32)
    mean = light.mean()
    light = (light - mean) * rng.uniform(0.7, 1.3) + mean * rng.uniform(0.8, 1.2)
    if rng.random() < 0.3:
        light = 255 * (np.clip(light, 0, 255) / 255) ** rng.uniform(0.6, 1.6)
    return np.clip(light, 0, 255).astype(np.uint8)


def _erase(image: Grey, rng: np.random.Generator) -> Grey:
    side = image.shape[0]
    height, width = rng.integers(side // 8, side // 3, 2)
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    image = image.copy()
    image[top : top + height, left : left + width] = rng.integers(0, 256)
    return image
