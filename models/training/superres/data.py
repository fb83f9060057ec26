"""Pairs to learn from: a face as it is, and as a camera far away sees it.

Blur, then shrink by area, then noise, then a codec, at the size at which the camera sees the face: the first-order
degradations of Real-ESRGAN (Wang et al., arXiv 2107.10833), with H.264 as cameras send it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from models.expression import resized
from models.training.arrays import array_names, read_arrays
from models.training.augment import augment, h264, jpeg
from models.training.faces import Data, Faces, Grey, load_data
from models.training.recipe import Degrade
from models.training.superres.recipe import Distance, SuperRecipe

__all__ = ["Pairs", "Some", "distant", "load_pictures"]

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Some:
    """One batch: `small (n, s, s)` and `clean (n, side, side)` uint8, and the labels of each head `(n, k)`."""

    small: Grey
    clean: Grey
    targets: Mapping[str, NDArray[np.float32]]


class Pairs:
    """The batches of one epoch by number; each is the same whenever it is asked for, in whichever process.

    All faces of a batch are of one small size, drawn anew for each.
    """

    def __init__(self, faces: Faces, recipe: SuperRecipe, epoch: int) -> None:
        self.faces, self.recipe, self.epoch = faces, recipe, epoch
        self.order = np.random.default_rng((recipe.seed, epoch)).permutation(len(faces))
        self.how = msgspec.structs.replace(recipe.augment, degrade=Degrade(share=0), jitter=0)

    def __len__(self) -> int:
        return len(self.faces) // self.recipe.batch_size

    def __getitem__(self, index: int) -> Some:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rng = np.random.default_rng((self.recipe.seed, self.epoch, index))
        count, distance = self.recipe.batch_size, self.recipe.distance
        rows = self.order[index * count : (index + 1) * count]
        side = int(np.exp(rng.uniform(np.log(distance.smallest), np.log(distance.largest + 1))))
        clean = [augment(self.faces.images[row], rng, self.how) for row in rows]
        small = [distant(face, side, rng, distance) for face in clean]
        targets = {head: labels[rows] for head, labels in self.faces.targets.items()}
        return Some(np.stack(small), np.stack(clean), targets)


def distant(face: Grey, side: int, rng: Rng, how: Distance) -> Grey:
    """A face `(s, s)` as a camera delivers it that sees it `side` pixels wide."""
    if rng.random() < how.blur:
        face = cv2.GaussianBlur(face, (0, 0), rng.uniform(0.3, 1.5) * face.shape[0] / 48)
    face = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < how.noise:
        face = np.clip(np.rint(face + rng.normal(0, rng.uniform(1, 8), face.shape)), 0, 255).astype(np.uint8)
    codec = rng.random()
    if codec < how.jpeg:
        return jpeg(face, int(rng.integers(30, 96)))
    return h264(face, int(rng.integers(23, 39))) if codec < how.jpeg + how.h264 else face


def load_pictures(path: Path, *, side: int) -> Data:
    """Faces of which labels matter, or only the pixels: what `load_data` reads, or an npz file of `images` alone.

    Where such `images (n, h, w)` come with a `subject (n,)`, every fifth subject is held out; else every fifth picture.
    Raises ConfigError.
    """
    names = array_names(path) if path.is_file() else ()
    if "images" not in names or "label" in names or "ferplus_votes" in names:
        return load_data(path, side=side)
    arrays = read_arrays(path, [name for name in ("images", "subject") if name in names])
    images = np.stack([resized(image, side) for image in arrays["images"]])
    held_out = arrays.get("subject", np.arange(len(images))) % 5 == 0
    faces = Faces(images, {}, np.ones(len(images), bool))
    return Data(faces.where(~held_out), faces.where(held_out), {}, hashlib.sha256(path.read_bytes()).hexdigest())
