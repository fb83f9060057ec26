"""Faces to learn from: the FER2013 / FER+ file, any folder of pictures by class, or an npz file of pictures and labels.

FER+ label distributions: Barsoum et al., arXiv 1608.01041. Every label is a distribution over the classes of a head; a
row of zeros means that nobody said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.expression import resized
from models.training.arrays import Arrays, array_names, read_arrays
from operators.errors import ConfigError

__all__ = ["FER2013", "FERPLUS", "INTENSITY", "Data", "Faces", "Grey", "load_data"]

FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
FER2013 = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
INTENSITY = ("still", "expressive")
"""Share of raters who saw nothing, and who saw some expression."""

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
HELD_OUT = 5
"""Where a folder has no test split, every fifth picture of a class is one, by the hash of its bytes."""
TRAIN_NAMES, TEST_NAMES = ("train", "training"), ("test", "val", "valid", "validation")


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """One split: `images (n, side, side)` grey, `targets` by head `(n, k)`, in the order of the head's classes.

    `clear (n,)` says where the label of the first head is beyond dispute: more than half of the raters agree; `copied
    (n,)` where the very same picture occurs again, in either split, as far as the data say so.
    """

    images: Grey
    targets: Mapping[str, Floats]
    clear: NDArray[np.bool_]
    copied: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __add__(self, other: Faces) -> Faces:
        """These, then those of the other split."""
        targets = {head: np.concatenate([rows, other.targets[head]]) for head, rows in self.targets.items()}
        copied = None if self.copied is None or other.copied is None else np.append(self.copied, other.copied)
        return Faces(np.concatenate([self.images, other.images]), targets, np.append(self.clear, other.clear), copied)

    def where(self, mask: NDArray[np.bool_]) -> Faces:
        """Those of the mask."""
        targets = {head: rows[mask] for head, rows in self.targets.items()}
        copied = None if self.copied is None else self.copied[mask]
        return Faces(self.images[mask], targets, self.clear[mask], copied)


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Both splits, the classes of each head, and the hash of what they came from."""

    training: Faces
    test: Faces
    classes: Mapping[str, tuple[str, ...]]
    sha256: str


def load_data(path: Path, *, side: int = 48) -> Data:
    """Read a folder with a folder of pictures for each class, the FER2013 / FER+ file, or an npz file of one's own.

    A folder may hold `train` and `test` (or `val`) with the classes below; else a fifth of it is held out, always the
    same one. Such a file has the arrays `images (n, h, w)` uint8 grey, `label (n,)` and `classes (k,)`. Pictures of the
    training split that occur in the test split too are left out. Raises ConfigError.
    """
    if path.is_dir():
        return _load_folder(path, side)
    if not path.is_file():
        raise ConfigError(f"no training data at {path}: expected an npz file, or a folder with one folder per class")
    return _load_npz(path, side)


FER_SIDE = 48
FER_ARRAYS = ("images", "label7", "ferplus_votes", "split", "dup_group")
OWN_ARRAYS = ("images", "label", "classes")


def _load_npz(path: Path, side: int) -> Data:
    there = array_names(path)
    wanted = FER_ARRAYS if "ferplus_votes" in there else OWN_ARRAYS
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ConfigError(
            f"{path} has the arrays {', '.join(there)}: expected {', '.join(OWN_ARRAYS)}, or {', '.join(FER_ARRAYS)}; "
            f"{', '.join(missing)} is missing"
        )
    arrays = read_arrays(path, wanted)
    if wanted is OWN_ARRAYS:
        return _own_npz(path, arrays, side)
    if side != FER_SIDE:
        raise ConfigError(f"the pictures of {path} are {FER_SIDE}x{FER_SIDE}: set side: {FER_SIDE}, got {side}")
    return _fer_npz(path, arrays)


def _fer_npz(path: Path, data: Arrays) -> Data:
    _, height, width = data["images"].shape
    if (height, width) != (FER_SIDE, FER_SIDE):
        raise ConfigError(f"the pictures of {path} should be {FER_SIDE}x{FER_SIDE}, got {width}x{height}")
    kept = np.where(data["ferplus_votes"] > 1, data["ferplus_votes"], 0).astype(np.float32)  # one vote is noise
    votes = _distribution(kept)
    label7 = np.eye(len(FER2013), dtype=np.float32)[data["label7"].astype(int)]
    still = votes[:, :1]
    intensity = np.hstack([still, votes.sum(1, keepdims=True) - still])
    clear = kept[:, : len(FERPLUS)].max(1) > 0.5 * kept.sum(1)
    public, group = data["split"] == 1, data["dup_group"]
    copied = np.bincount(group)[group] > 1
    faces = Faces(data["images"], {"ferplus": votes, "fer2013": label7, "intensity": intensity}, clear, copied)
    leaked = np.isin(group, group[public])
    classes = {"ferplus": FERPLUS, "fer2013": FER2013, "intensity": INTENSITY}
    return Data(faces.where(~public & ~leaked), faces.where(public), classes, _digest(path.read_bytes()))


def _own_npz(path: Path, data: Arrays, side: int) -> Data:
    classes, label = tuple(map(str, data["classes"])), data["label"].astype(int)
    if len(classes) < 2 or len(set(classes)) < len(classes) or not 0 <= label.min() <= label.max() < len(classes):
        raise ConfigError(
            f"the labels of {path} should be rows of its classes, of which there are two or more, no two alike: got "
            f"labels from {label.min()} to {label.max()} and the classes {', '.join(classes)}"
        )
    rows = zip(data["images"], label.tolist(), strict=True)
    pictures = [(resized(image, side), one, _held(_digest(image.tobytes()))) for image, one in rows]
    return _of_pictures(path, pictures, classes, _digest(path.read_bytes()))


def _distribution(kept: Floats) -> Floats:
    """Votes `(n, 10)` as shares of the 8 classes; where `unknown` or `NF` has most, the face isn't usable: zeros."""
    usable = kept[:, :8].max(1) > kept[:, 8:].max(1)
    votes = kept[:, :8] * usable[:, None]
    return np.asarray(votes / np.maximum(votes.sum(1, keepdims=True), 1), np.float32)


def _load_folder(path: Path, side: int) -> Data:
    parts = {one.name.lower(): one for one in sorted(path.iterdir()) if one.is_dir()}
    train = next((parts[name] for name in TRAIN_NAMES if name in parts), None)
    test = next((parts[name] for name in TEST_NAMES if name in parts), None)
    labels = tuple(sorted(one.name for one in (train or path).iterdir() if one.is_dir()))
    if len(labels) < 2:
        raise ConfigError(f"expected a folder for each of two or more classes in {train or path}, got {labels}")
    if train and test:
        _check_tested(train, test, labels)
    seen: dict[str, bool] = {}
    pictures: list[tuple[Grey, int, bool]] = []
    rows: list[str] = []
    for root, fixed in [(test, True), (train, False)] if train and test else [(train or path, None)]:
        for index, label in enumerate(labels):
            for file in sorted(one for one in (root / label).rglob("*") if one.suffix.lower() in PICTURES):
                digest = _digest(file.read_bytes())
                held = _held(digest) if fixed is None else fixed
                if seen.setdefault(digest, held) == held:
                    pictures.append((_read(file, side), index, held))
                    rows.append(f"{'test' if held else 'training'} {label} {digest}")
    return _of_pictures(path, pictures, labels, _digest("\n".join(rows).encode()))


def _check_tested(train: Path, test: Path, labels: Sequence[str]) -> None:
    unknown = sorted(one.name for one in test.iterdir() if one.is_dir() and one.name not in labels)
    if unknown:
        raise ConfigError(
            f"{test} has the classes {', '.join(unknown)}, which {train} lacks: add pictures there, or remove them"
        )


def _of_pictures(path: Path, pictures: Sequence[tuple[Grey, int, bool]], classes: tuple[str, ...], sha256: str) -> Data:
    """Both splits of pictures with their class, and whether they are held out."""
    there = {index for _, index, _ in pictures}
    empty = [name for index, name in enumerate(classes) if index not in there]
    if not pictures:
        raise ConfigError(f"no pictures below {path}: expected files of {', '.join(PICTURES)} in the folder of a class")
    if empty:
        raise ConfigError(f"no pictures of {', '.join(empty)} in {path}: add some, or remove the class")
    images = np.stack([image for image, _, _ in pictures])
    targets = np.eye(len(classes), dtype=np.float32)[[index for _, index, _ in pictures]]
    faces = Faces(images, {"label": targets}, np.ones(len(images), bool))
    held_out = np.array([held for _, _, held in pictures])
    return Data(faces.where(~held_out), faces.where(held_out), {"label": classes}, sha256)


def _held(digest: str) -> bool:
    """Whether a picture is held out for the test."""
    return int(digest[:8], 16) % HELD_OUT == 0


def _read(file: Path, side: int) -> Grey:
    data = file.read_bytes()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if image is None:
        raise ConfigError(f"{file} is not a picture: take it out of the training data")
    return resized(image, side)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
