"""Everything that is measured of a network that reads expressions, on the test split of some data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.expression import site_shares
from models.training.faces import Data, Faces
from models.training.readers import Candidate
from models.training.report import (
    Agreement,
    Curve,
    Floats,
    Reader,
    Report,
    agreement,
    choose_tau,
    corrected,
    curve,
    evaluate,
    fit_intensity,
    fit_temperature,
    shares,
    sharpened,
    size_reports,
)
from operators.errors import ConfigError

__all__ = ["Asked", "AtSite", "Evaluation", "at_site", "examine"]

NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a report should say."""

    clear: bool = False
    """Only faces on whose label more than half of the raters agree: the FER+ majority protocol."""
    whole: bool = False
    """On all pictures, not only those of the test split; for data that the network has never seen."""
    calibrate: bool = False
    """With the temperature that fits this split best: for runs and files, which have none of their own yet."""
    sizes: bool = False
    """Also by size of the face, clean and as JPEG 50."""
    taus: tuple[float, ...] = ()
    """Also with the prior correction at these strengths."""
    curves: tuple[str, ...] = ()
    """Also precision against recall for these classes, as shipped: a rule sees it so."""
    site: Mapping[str, float] = field(default_factory=dict)
    """Also where classes are as frequent as this; those that aren't named share the rest as in training."""


@dataclass(frozen=True, slots=True)
class AtSite:
    """What the same network would do where the classes are as frequent as at a site.

    Computed from the share of each class that is read as each other, so it supposes that its faces look alike.
    """

    accuracy: float
    precision: Mapping[str, float]
    recall: Mapping[str, float]
    read: Mapping[str, float]
    """Share of all faces that is read as each class."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found of one network."""

    model: str
    about: Mapping[str, object]
    head: str
    report: Report
    temperature: float
    """By which its temperature would have to be multiplied to fit this split best; near 1 where it is calibrated."""
    intensity_temperature: float | None = None
    """The same for its intensity, where it has one and the data have votes."""
    unique: Report | None = None
    """Without the faces whose very picture occurs again in the data."""
    by_size: Mapping[str, Report] = field(default_factory=dict)
    sweep: Mapping[float, Report] = field(default_factory=dict)
    """By strength of the prior correction."""
    tau: float | None = None
    """The strength that the rule of `choose_tau` picks."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    intensity: Mapping[str, Agreement] = field(default_factory=dict)
    """`network`: what it says itself; `1 - neutral`: from its classes. Against the votes, on faces that have them."""
    log: Path | None = None
    """How its training went, where it is a run."""
    site: Mapping[str, AtSite] = field(default_factory=dict)
    """`as it is`, with the correction that it is shipped with, and `corrected` with the site's own shares as prior."""


def examine(found: Candidate, data: Data, asked: Asked) -> Evaluation:
    """Measure a network; raises ConfigError where the data have no labels that it reads, or what is asked can't be."""
    head, columns = _head(found, data)
    faces, truth = _test(data, head, columns, asked)
    unknown = [name for name in (*asked.curves, *asked.site) if name not in found.classes]
    if unknown:
        raise ConfigError(f"{found.name} has no class {', '.join(unknown)}: it has {', '.join(found.classes)}")
    raw = found.read(list(faces.images))
    temperature = fit_temperature(np.log(np.maximum(raw, 1e-12)), truth)
    read = _calibrated(found.read, temperature) if asked.calibrate else found.read
    probs = sharpened(raw, temperature) if asked.calibrate else raw
    plain = evaluate(probs, truth, found.classes)
    fresh = None if faces.copied is None else ~faces.copied
    sweep: dict[float, Report] = {}
    if asked.taus:
        priors = _priors(found, data, head)
        strengths = sorted({0.0, *asked.taus})
        sweep = {tau: evaluate(corrected(probs, priors, tau), truth, found.classes) for tau in strengths}
    intensity, intensity_temperature = _intensity(found, faces, probs, calibrate=asked.calibrate)
    return Evaluation(
        model=found.name,
        about=found.about,
        head=head,
        report=plain,
        temperature=temperature,
        intensity_temperature=intensity_temperature,
        unique=None if fresh is None else evaluate(probs[fresh], truth[fresh], found.classes),
        by_size=size_reports(read, faces, truth, found.classes) if asked.sizes else {},
        sweep=sweep,
        tau=choose_tau(sweep) if sweep else None,
        curves={one: _curve(_as_shipped(found, probs), truth, found.classes.index(one)) for one in asked.curves},
        intensity=intensity,
        log=found.log,
        site=_site(found, probs, truth, priors=_priors(found, data, head), given=asked.site) if asked.site else {},
    )


def at_site(report: Report, site: Floats) -> AtSite:
    """The report where the classes have these shares `(k,)`; one without a test face counts as missed."""
    counts = np.array(report.confusion, float)
    flow = counts / np.maximum(counts.sum(1, keepdims=True), 1) * site[:, None]
    right, read = flow.diagonal(), flow.sum(0)

    def named(values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(report.classes, values.round(4).tolist(), strict=True))

    precision = right / np.maximum(read, 1e-12)
    return AtSite(float(right.sum()), named(precision), dict(report.recall), named(read))


def _head(found: Candidate, data: Data) -> tuple[str, list[int]]:
    """The head of the data whose labels a network reads, and the column in its answers for each of them."""
    same = [head for head, labels in data.classes.items() if tuple(labels) == found.classes]
    part = [head for head, labels in data.classes.items() if set(labels) <= set(found.classes)]
    for head in (*same, *part):
        return head, [found.classes.index(name) for name in data.classes[head]]
    have = "; ".join(f"{head}: {', '.join(labels)}" for head, labels in data.classes.items())
    raise ConfigError(f"{found.name} reads {', '.join(found.classes)}; the data have labels for {have}")


def _test(data: Data, head: str, columns: Sequence[int], asked: Asked) -> tuple[Faces, NDArray[np.int64]]:
    """The faces to test on that have a label, and the column of the right answer."""
    faces = data.test + data.training if asked.whole else data.test
    targets = faces.targets[head]
    mask = targets.sum(1) > 0
    if asked.clear:
        mask &= faces.clear
    if not mask.any():
        raise ConfigError("no face to test on: expected a test split with labels (--whole tests on every picture)")
    return faces.where(mask), np.array(columns)[targets.argmax(1)[mask]]


def _calibrated(read: Reader, temperature: float) -> Reader:
    return lambda faces: sharpened(read(faces), temperature)


def _priors(found: Candidate, data: Data, head: str) -> Floats:
    if found.priors is not None:
        return found.priors
    if tuple(data.classes[head]) != found.classes:
        raise ConfigError(f"how frequent each class was in the training of {found.name} is not known")
    return shares(data.training, head)


def _curve(probs: Floats, truth: NDArray[np.int64], column: int) -> Curve:
    return curve(probs[:, column], truth == column)


def _intensity(
    found: Candidate, faces: Faces, probs: Floats, *, calibrate: bool
) -> tuple[dict[str, Agreement], float | None]:
    """How well expressive faces are told from still ones, where the data have votes on it; and the best temperature."""
    votes = faces.targets.get("intensity")
    if votes is None or NEUTRAL not in found.classes:
        return {}, None
    share, rated, temperature = votes[:, 1], votes.sum(1) > 0, None
    said = {"1 - neutral": 1 - probs[:, found.classes.index(NEUTRAL)]}
    if found.intensity is not None:
        own = found.intensity(list(faces.images))
        temperature = fit_intensity(own[rated], share[rated])
        if calibrate:
            own = sharpened(np.stack([1 - own, own], 1), temperature)[:, 1]
        said = {"network": own, **said}
    return {name: agreement(values[rated], share[rated]) for name, values in said.items()}, temperature


def _as_shipped(found: Candidate, probs: Floats) -> Floats:
    """What rules see: with the prior correction of the registry, where `probs` were read without it."""
    missing = found.shipped_tau - found.tau
    return corrected(probs, found.priors, missing) if missing and found.priors is not None else probs


def _site(
    found: Candidate, probs: Floats, truth: NDArray[np.int64], *, priors: Floats, given: Mapping[str, float]
) -> dict[str, AtSite]:
    there = site_shares(given, found.classes, priors.tolist())
    plain = corrected(probs, priors, -found.tau)
    settings = {"as it is": _as_shipped(found, probs), "corrected": corrected(plain, priors, 1.0, there)}
    return {name: at_site(evaluate(one, truth, found.classes), there) for name, one in settings.items()}
