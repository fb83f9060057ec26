"""Expressions of faces: the pre- and post-processing around a classifier of 48x48 grey pictures.

The prior correction subtracts `tau` times the log share of each class in the training set from its logit (logit
adjustment, Menon et al., arXiv 2007.07314): rare expressions are found more often, at the cost of false alarms. Where
the shares of a site are known, they take the place of those of the training set, by Bayes' rule.

A network may have a second output, of two logits: that raters would see nothing in the face, or some expression. Its
softmax is the intensity; it has a temperature of its own and no prior correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from scipy.special import expit, softmax

from models.session import Session
from operators.errors import ModelError
from operators.records import Floats, Image, Reading

__all__ = [
    "SIDE",
    "ExpressionClassifier",
    "ExpressionOptions",
    "intensity",
    "probabilities",
    "resized",
    "site_shares",
    "to_face",
]

SIDE = 48
"""Pixels of the picture that the network reads."""


@dataclass(frozen=True, slots=True)
class ExpressionOptions:
    """How the network's answers become probabilities."""

    temperature: float = 1.0
    """Divides the logits: above 1 the classifier is less sure of itself. Fitted on a test split, not by hand."""
    intensity_temperature: float = 1.0
    """The same for the intensity, where the network has one."""
    tau: float = 0.0
    """Strength of the correction for how common each class was in training: 0 = none, 1 = full."""
    priors: tuple[float, ...] = ()
    """Share of each class in training, in the order of the labels."""
    site: Mapping[str, float] = field(default_factory=dict)
    """Share of classes where the network works, in place of `tau`; those not named share the rest as in training."""
    tta: Literal["none", "flip"] = "none"
    """`flip`: average over the face and its mirror image, at twice the cost."""
    max_batch: int = 32
    """Most faces in one call of the network: bounds its memory."""

    def __post_init__(self) -> None:
        if not min(self.temperature, self.intensity_temperature) > 0:
            raise ValueError(f"temperatures must be above 0, got {self.temperature} and {self.intensity_temperature}")
        if self.tau < 0:
            raise ValueError(f"tau must be 0 or more, got {self.tau}")
        if any(not 0 < prior <= 1 for prior in self.priors):
            raise ValueError(f"priors must be above 0 and at most 1, got {self.priors}")
        if (self.tau or self.site) and not self.priors:
            raise ValueError("tau and site need priors: the share of each label in training, in their order")
        if self.tta not in {"none", "flip"}:
            raise ValueError(f"tta must be none or flip, got {self.tta!r}")
        if self.max_batch < 1:
            raise ValueError(f"max_batch must be 1 or more, got {self.max_batch}")


class ExpressionClassifier:
    """A `Classifier`: RGB uint8 crops of any size -> readings with float32 probabilities over `labels`."""

    def __init__(self, session: Session, labels: Sequence[str], options: ExpressionOptions) -> None:
        """Take a session whose first output is logits in the order of `labels`, and whose second, if any, intensity.

        Raises ModelError where it reads anything but one batch of grey pictures of 48x48, or there is a prior too few.
        """
        _check_input(session.input_shapes)
        if options.priors and len(options.priors) != len(labels):
            raise ModelError(f"expected {len(labels)} priors, one per label, got {len(options.priors)}")
        self.options = options
        self._labels = tuple(labels)
        self._session = session
        self._site = site_shares(options.site, self._labels, options.priors) if options.site else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the expressions, in the order of the probabilities."""
        return self._labels

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider that really runs."""
        return self._session.provider

    def __call__(self, crops: Sequence[Image], /) -> list[Reading]:
        """Read faces; each result depends on its own crop only."""
        if not crops:
            return []
        faces = np.stack([to_face(crop) for crop in crops])
        results = self._read(faces)
        if self.options.tta == "flip":
            mirrored = self._read(faces[..., ::-1])
            results = [(a + b) * np.float32(0.5) for a, b in zip(results, mirrored, strict=True)]
        probs, *more = results
        intensities = more[0].tolist() if more else [None] * len(crops)
        return [Reading(row, one) for row, one in zip(probs, intensities, strict=True)]

    def _read(self, faces: Floats) -> list[Floats]:
        """Probabilities `(n, k)` and, where the network has it, intensity `(n,)`."""
        size = self.options.max_batch
        parts = [self._session(faces[start : start + size]) for start in range(0, len(faces), size)]
        logits, *more = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        return [probabilities(logits, self.options, self._site), *(intensity(rows, self.options) for rows in more)]


def _check_input(shapes: Mapping[str, tuple[int | str | None, ...]]) -> None:
    if len(shapes) != 1 or not all(_reads_faces(shape) for shape in shapes.values()):
        there = ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in shapes.items())
        raise ModelError(f"the network should read faces (n, 1, {SIDE}, {SIDE}), one input; it reads {there}")


def _reads_faces(shape: Sequence[int | str | None]) -> bool:
    """Whether faces fit; a free axis, which has no number, takes any size."""
    wanted = (1, SIDE, SIDE)
    return len(shape) == 4 and all(
        not isinstance(axis, int) or axis == size for axis, size in zip(shape[1:], wanted, strict=True)
    )


def to_face(crop: Image) -> Floats:
    """`(h, w, 3)` RGB bytes -> `(1, 48, 48)` grey in [0, 1]."""
    if crop.ndim != 3 or crop.shape[2] != 3 or 0 in crop.shape or crop.dtype != np.uint8:
        raise ModelError(f"a crop should be (h, w, 3) uint8 with at least one pixel, got {crop.shape} {crop.dtype}")
    grey = resized(np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8), SIDE)
    return np.asarray(grey, np.float32)[None] / np.float32(255)


def resized(grey: Image, side: int) -> Image:
    """A grey picture `(h, w)` at `(side, side)`: by area where an axis shrinks, else bilinear."""
    if grey.shape == (side, side):
        return grey
    way = cv2.INTER_AREA if max(grey.shape) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (side, side), interpolation=way), np.uint8)


def site_shares(given: Mapping[str, float], labels: Sequence[str], priors: Sequence[float]) -> Floats:
    """Shares `(k,)` of all labels at a site; those that aren't given share the rest as they do in training."""
    unknown = [name for name in given if name not in labels]
    if unknown:
        raise ModelError(f"no share can be given for {', '.join(unknown)}: the network reads {', '.join(labels)}")
    others = sum(prior for name, prior in zip(labels, priors, strict=True) if name not in given)
    rest = 1 - sum(given.values())
    if min(given.values()) <= 0 or rest < -1e-6 or (others > 0) != (rest > 1e-6):
        said = ", ".join(f"{name} {share:g}" for name, share in given.items())
        raise ModelError(f"the shares of a site should be above 0 and leave something for other labels: got {said}")
    pairs = zip(labels, priors, strict=True)
    return np.array([given[name] if name in given else prior / others * rest for name, prior in pairs], np.float32)


def probabilities(logits: Floats, options: ExpressionOptions, site: Floats | None = None) -> Floats:
    """Softmax of logits `(n, k)` after temperature and prior correction; rows sum to 1.

    `site (k,)` are the shares of the labels where the network works; they take the place of `tau`.
    """
    scaled = logits.astype(np.float64) / options.temperature
    if site is not None:
        scaled = scaled + np.log(site) - np.log(options.priors)
    elif options.tau:
        scaled = scaled - options.tau * np.log(options.priors)
    return np.asarray(softmax(scaled, axis=1), np.float32)


def intensity(logits: Floats, options: ExpressionOptions) -> Floats:
    """Share of raters that would see some expression `(n,)`, of logits `(n, 2)` for still and expressive faces."""
    return np.asarray(expit((logits[:, 1] - logits[:, 0]) / options.intensity_temperature), np.float32)
