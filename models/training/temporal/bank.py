"""The classifier's answers for many stills, each seen by a camera of its own at several sizes and in several crops.

Synthetic tracks are made of these answers: a head over time never sees a picture. As the classifier's own heads are
linear, fading from one still's features into another's is the same as fading between their logits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from models.training.augment import jpeg
from models.training.faces import Faces, Grey
from models.training.temporal.recipe import BankPlan
from operators.align import TEMPLATE
from operators.quality import Gate

__all__ = ["Answer", "Answers", "Bank", "build_bank", "cached_bank", "halves"]

Rng = np.random.Generator
Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Progress = Callable[[int, int], None]

_EYES = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
_CHUNK = 50
"""Stills that are answered together."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a classifier says of n pictures: `logits (n, k)`, `intensity (n,)`, `features (n, f)`, where f may be 0."""

    logits: Floats
    intensity: Floats
    features: Floats


Answer = Callable[[Sequence[Grey]], Answers]
"""Grey pictures `(h, w)` of any size -> answers."""


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Answers for n stills at s sizes in c crops.

    `logits (n, s, c, k)`, `intensity (n, s, c)`, `features (n, s, c, f)`, `quality (n, s, c)` as the product's gate
    sees a frontal face found with certainty; `truth (n,)` the class, `expressed (n,)` the share of raters who saw any
    expression, `key (n,)` a hash of the picture; `sizes (s,)` pixels.
    """

    logits: Halves
    intensity: Halves
    features: Halves
    quality: Halves
    truth: NDArray[np.int64]
    expressed: Floats
    key: NDArray[np.uint64]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def classes(self) -> int:
        """How many expressions there are."""
        return int(self.logits.shape[-1])

    def where(self, mask: NDArray[np.bool_]) -> Bank:
        """The stills of the mask."""
        return replace(self, **{f.name: getattr(self, f.name)[mask] for f in fields(self) if f.name != "sizes"})


def build_bank(
    answer: Answer, faces: Faces, head: str, plan: BankPlan, *, seed: int, progress: Progress = lambda _done, _of: None
) -> Bank:
    """Ask the classifier about faces whose label in `head` is beyond dispute; the rest is left out."""
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(faces.clear & (faces.targets[head].sum(1) > 0))
    rows = np.sort(rng.permutation(rows)[: plan.stills])
    parts: list[dict[str, NDArray[np.float16]]] = []
    for start in range(0, len(rows), _CHUNK):
        parts.append(_answered(answer, faces.images[rows[start : start + _CHUNK]], plan, rng))
        progress(min(start + _CHUNK, len(rows)), len(rows))
    targets = faces.targets[head][rows]
    return Bank(
        **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        truth=targets.argmax(1),
        expressed=(1 - targets[:, 0]).astype(np.float32),
        key=np.array([_key(image) for image in faces.images[rows]], np.uint64),
        sizes=np.array(plan.sizes),
    )


def cached_bank(
    folder: Path, identity: Mapping[str, object], plan: BankPlan, build: Callable[[], Bank]
) -> tuple[Bank, str]:
    """The bank that `identity` (classifier, data, split, seed) and the plan decide, from `folder` where it is there.

    Also returns the hash that it is filed under.
    """
    known = json.dumps({**identity, "plan": msgspec.to_builtins(plan)}, sort_keys=True)
    digest = hashlib.sha256(known.encode()).hexdigest()
    file = folder / f"bank-{digest[:16]}.npz"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        bank, partial = build(), file.with_suffix(".partial.npz")
        np.savez(partial, **{f.name: getattr(bank, f.name) for f in fields(Bank)})
        partial.replace(file)
    with np.load(file, allow_pickle=False) as arrays:
        return Bank(**{f.name: arrays[f.name] for f in fields(Bank)}), digest


def halves(bank: Bank, held: float) -> tuple[Bank, Bank]:
    """The part to learn from and the part to validate on; equal pictures are always in the same one."""
    validates = bank.key % np.uint64(1000) < held * 1000
    return bank.where(~validates), bank.where(validates)


def _answered(answer: Answer, images: Grey, plan: BankPlan, rng: Rng) -> dict[str, NDArray[np.float16]]:
    seen = [one for image in images for one in _looks(image, plan, rng)]
    shape = (len(images), len(plan.sizes), plan.crops)
    said = answer(seen)
    return {
        "logits": said.logits.astype(np.float16).reshape(*shape, -1),
        "intensity": said.intensity.astype(np.float16).reshape(shape),
        "features": said.features.astype(np.float16).reshape(*shape, said.features.shape[1]),
        "quality": np.array([_quality(one) for one in seen], np.float16).reshape(shape),
    }


def _looks(image: Grey, plan: BankPlan, rng: Rng) -> list[Grey]:
    """One still through one camera: sizes x crops pictures, each at its own resolution."""
    blur, noise = rng.uniform(0.2, 0.2 + plan.blur), rng.uniform(0, plan.noise)
    quality = int(rng.integers(30, 96)) if rng.random() < plan.jpeg else None
    mirrored = image[:, ::-1] if rng.random() < 0.5 else image
    looks = []
    for size in plan.sizes:
        for _ in range(plan.crops):
            small = _crop(np.ascontiguousarray(mirrored), size, plan, rng)
            small = cv2.GaussianBlur(small, (0, 0), blur)
            small = np.clip(small + rng.normal(0, noise, small.shape), 0, 255).astype(np.uint8)
            looks.append(small if quality is None else jpeg(small, quality))
    return looks


def _crop(image: Grey, size: int, plan: BankPlan, rng: Rng) -> Grey:
    """The face as it is aligned by landmarks that are a little off, shrunk by area."""
    side = image.shape[0]
    off = plan.wobble / size  # share of the face; eyes are _EYES of it apart, so they turn and scale by more
    turn = rng.uniform(-1, 1) * (plan.turn + np.degrees(off / _EYES))
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), turn, 1 + rng.uniform(-1, 1) * off / _EYES)
    matrix[:, 2] += rng.uniform(-off, off, 2) * side
    image = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return image if size == side else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _quality(picture: Grey) -> float:
    colour = np.repeat(picture[..., None], 3, axis=2)
    return Gate().assess(colour, source_px=picture.shape[0], landmarks=TEMPLATE, confidence=1.0).score


def _key(image: Grey) -> int:
    return int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "big")
