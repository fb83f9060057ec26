"""Whom an expression network serves worse, as far as the data can say, and what it sees in neutral faces.

    python -m models.training.bias expression --data ../shared/data -o docs/figures/bias.MODEL.json

Groups are what the pictures themselves allow: light, contrast, sharpness, size in the picture, the data set and, in
faces112, the person. Age, gender, skin and ethnicity are not recorded in any data at hand, so nothing is known of them.
Accuracy is given as it is and for the class mix of the whole set, since the darker third may simply smile less.

A model of the registry and an ONNX file need no torch; the folder of a run does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.training.faces import FERPLUS, Grey, load_data
from models.training.provenance import here
from models.training.readers import Candidate, candidate
from models.training.report import (
    QUALITIES,
    SIZES,
    Floats,
    Reader,
    corrected,
    expected_calibration_error,
    shares,
    shrink,
)
from operators.errors import ConfigError, MienError

__all__ = ["Group", "Neutral", "Portraits", "groups", "neutral", "people", "read_faces112", "read_ferplus", "sizes"]

Classes = NDArray[np.int64]

NEUTRAL = "neutral"
THIRDS = ("lowest third", "middle third", "highest third")
FEWEST = 10
"""Pictures of a person that a share of them means something of."""
SITE = 0.8
"""Share of neutral faces at the made-up site; the other classes are as frequent among themselves as in training."""
FAR = (12, 16, 24)
"""Sizes at which whole sets are read again, clean: how much worse far faces are read, by set."""
LARGEST_OTHER = 0.35
"""What one other class may take of neutral far faces: the aim of issue 6."""


@dataclass(frozen=True, slots=True, eq=False)
class Portraits:
    """A test set: grey faces, the class of each as a column of the model, and who it is, where that is known."""

    name: str
    images: Sequence[Grey]
    truth: Classes
    people: NDArray[np.int64] | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Group:
    """How well the faces of one group are read; shares, not percent."""

    set: str
    trait: str
    group: str
    faces: int
    accuracy: float
    margin: float
    """Half the width of the 95 % interval of the accuracy."""
    same_mix: float
    """Accuracy if the classes were as frequent in the group as in the whole set."""
    macro_recall: float
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Neutral:
    """What neutral faces are read as."""

    set: str
    size: int
    jpeg: int | None
    setting: str
    faces: int
    shares: Mapping[str, float]
    largest_other: str
    largest_other_share: float


def read_ferplus(path: Path, classes: Sequence[str]) -> Portraits:
    """The public split of FER2013, where more than half of the FER+ raters agree."""
    data = load_data(path)
    order = data.classes["ferplus"]
    clear = data.test.where(data.test.clear & (data.test.targets["ferplus"].sum(1) > 0))
    named = [order[column] for column in clear.targets["ferplus"].argmax(1)]
    return _portraits("FER+ public", list(clear.images), named, classes, people=None, sha256=data.sha256)


def read_faces112(path: Path, classes: Sequence[str]) -> Portraits:
    """Press photographs by class and person; no network of this project has been trained on them to read."""
    with np.load(path, allow_pickle=False) as data:
        named = [str(data["classes"][label]) for label in data["label"]]
        images, subject = list(data["images"]), data["subject"].astype(np.int64)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _portraits("faces112", images, named, classes, people=subject, sha256=digest)


def groups(probs: Floats, faces: Portraits) -> Iterator[Group]:
    """By thirds of light, contrast and sharpness; then the whole set."""
    for trait, measure in TRAITS.items():
        values = np.array([measure(image) for image in faces.images])
        edges = np.quantile(values, [1 / 3, 2 / 3])
        third = np.searchsorted(edges, values, side="right")
        for index, group in enumerate(THIRDS):
            if (third == index).any():  # pictures that are all alike have no thirds
                yield _group(probs, faces, third == index, trait=trait, group=group)
    yield _group(probs, faces, np.ones(len(faces.truth), bool), trait="all", group="all")


def sizes(read: Reader, faces: Portraits) -> Iterator[Group]:
    """The whole set as a camera would see it that sees the faces so large."""
    everyone = np.ones(len(faces.truth), bool)
    for size in FAR:
        probs = read([shrink(image, size, None) for image in faces.images])
        yield _group(probs, faces, everyone, trait="size", group=f"{size} px")


def neutral(
    read: Reader, faces: Portraits, classes: Sequence[str], priors: Floats, *, tau: float = 0.0
) -> Iterator[Neutral]:
    """What neutral faces are read as, by size and compression, as shipped and with other prior corrections.

    `tau` is the strength of the one that `read` applies.
    """
    column = list(classes).index(NEUTRAL)
    still = [image for image, truth in zip(faces.images, faces.truth, strict=True) if truth == column]
    for size in SIZES:
        for quality in QUALITIES:
            probs = read([shrink(image, size, quality) for image in still])
            for setting, changed in settings(probs, priors, column, tau=tau).items():
                read_as = np.bincount(changed.argmax(1), minlength=len(classes)) / len(still)
                other = int(np.where(np.arange(len(classes)) == column, -1, read_as).argmax())
                named = dict(zip(classes, read_as.round(4).tolist(), strict=True))
                worst = (classes[other], round(float(read_as[other]), 4))
                yield Neutral(faces.name, size, quality, setting, len(still), named, *worst)


def settings(probs: Floats, priors: Floats, column: int, *, tau: float) -> dict[str, Floats]:
    """The probabilities, which `tau` is in; with 0.25 in its place, and with the prior of a site mostly neutral."""
    plain = corrected(probs, priors, -tau)
    site = priors * (1 - SITE) / (1 - priors[column])
    site[column] = SITE
    return {
        "as shipped": probs,
        "tau 0.25": corrected(plain, priors, 0.25),
        f"site {SITE:.0%} neutral": corrected(plain, priors, 1.0, site),
    }


def people(probs: Floats, faces: Portraits) -> dict[str, float]:
    """How much the accuracy varies from person to person, beside what chance alone would make of as many pictures."""
    if faces.people is None:
        return {}
    right = (probs.argmax(1) == faces.truth).astype(float)
    expected = _recall(probs, faces.truth)[faces.truth]  # of a person no different from the others of that expression
    rows = [faces.people == one for one in np.unique(faces.people)]
    rows = [row for row in rows if row.sum() >= FEWEST]
    if not rows:
        return {}
    accuracy = np.array([right[row].mean() for row in rows])
    excess = np.array([(right[row] - expected[row]).mean() for row in rows])
    chance = np.array([np.sqrt((expected[row] * (1 - expected[row])).sum()) / row.sum() for row in rows])
    return {
        "people": len(rows),
        "lowest": round(float(accuracy.min()), 4),
        "median": round(float(np.median(accuracy)), 4),
        "highest": round(float(accuracy.max()), 4),
        "deviation": round(float(np.sqrt((excess**2).mean())), 4),
        "deviation_by_chance": round(float(np.sqrt((chance**2).mean())), 4),
    }


TRAITS: Mapping[str, Callable[[Grey], float]] = {
    "light": lambda image: float(image.mean()),
    "contrast": lambda image: float(image.std()),
    "sharpness": lambda image: float(cv2.Laplacian(image, cv2.CV_32F).var()),
}
"""Mean and standard deviation of the grey levels; variance of the Laplacian."""


def examine(
    read: Reader, classes: Sequence[str], priors: Floats, sets: Sequence[Portraits], *, tau: float = 0.0
) -> dict[str, Any]:
    """Everything about one network, as plain values; `tau` is the strength of the correction that `read` applies."""
    rows, still, persons = [], [], {}
    for faces in sets:
        probs = read(list(faces.images))
        rows += [asdict(group) for group in (*groups(probs, faces), *sizes(read, faces))]
        persons[faces.name] = people(probs, faces)
        still += [asdict(one) for one in neutral(read, faces, classes, priors, tau=tau)]
    data = {faces.name: faces.sha256 for faces in sets}
    return {"data_sha256": data, "groups": rows, "people": persons, "neutral": still}


def _portraits(
    name: str,
    images: Sequence[Grey],
    named: Sequence[str],
    classes: Sequence[str],
    *,
    people: NDArray[np.int64] | None,
    sha256: str,
) -> Portraits:
    """Only the faces whose class the model has."""
    kept = [row for row, label in enumerate(named) if label in classes]
    truth = np.array([list(classes).index(named[row]) for row in kept], np.int64)
    who = None if people is None else people[kept]
    return Portraits(name, [images[row] for row in kept], truth, who, sha256)


def _group(probs: Floats, faces: Portraits, mask: NDArray[np.bool_], *, trait: str, group: str) -> Group:
    own, truth = probs[mask], faces.truth[mask]
    accuracy = float((own.argmax(1) == truth).mean())
    recall = _recall(own, truth)
    there = np.bincount(truth, minlength=probs.shape[1]) > 0
    mix = np.bincount(faces.truth, minlength=probs.shape[1]) * there
    return Group(
        set=faces.name,
        trait=trait,
        group=group,
        faces=len(truth),
        accuracy=round(accuracy, 4),
        margin=round(1.96 * float(np.sqrt(accuracy * (1 - accuracy) / len(truth))), 4),
        same_mix=round(float((recall * mix).sum() / mix.sum()), 4),
        macro_recall=round(float(recall[there].mean()), 4),
        calibration_error=round(expected_calibration_error(own, truth), 4),
    )


def _recall(probs: Floats, truth: Classes) -> NDArray[np.float64]:
    counts = np.bincount(truth, minlength=probs.shape[1])
    right = np.bincount(truth[probs.argmax(1) == truth], minlength=probs.shape[1])
    return right / np.maximum(counts, 1)


def _priors(network: Candidate, path: Path) -> Floats:
    """How frequent each class was in training: what the network says, or the training split of FER+."""
    if network.priors is not None:
        return network.priors
    if network.classes != FERPLUS:
        raise ConfigError(f"how frequent each class was in the training of {network.name} is not known")
    return shares(load_data(path).training, "ferplus")


def as_markdown(found: Mapping[str, Any]) -> str:
    """The groups, the people, and what neutral faces are read as."""
    lines = ["| set | | | faces | accuracy | of the same mix | macro recall | calibration error |", "|---" * 8 + "|"]
    for row in found["groups"]:
        cells = [row["set"], row["trait"], row["group"], f"{row['faces']:,}"]
        cells += [f"{row['accuracy']:.1%} +-{row['margin']:.1%}", f"{row['same_mix']:.1%}"]
        cells += [f"{row['macro_recall']:.1%}", f"{row['calibration_error']:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    for name, row in found["people"].items():
        if row:
            lines += ["", _people(name, row)]
    kinds = list(dict.fromkeys(row["setting"] for row in found["neutral"]))
    for name in found["data_sha256"]:
        rows = [row for row in found["neutral"] if row["set"] == name]
        faces = rows[0]["faces"]
        lines += ["", f"Neutral faces of {name} ({faces:,}): share read as neutral, and the largest other class.", ""]
        lines += ["| | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
        for size, jpeg in dict.fromkeys((row["size"], row["jpeg"]) for row in rows):
            own = {row["setting"]: row for row in rows if (row["size"], row["jpeg"]) == (size, jpeg)}
            cells = [_still(own[kind]) for kind in kinds]
            lines.append(f"| {size} px{f', JPEG {jpeg}' if jpeg else ''} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _people(name: str, row: Mapping[str, float]) -> str:
    return (
        f"{name}, {row['people']:.0f} people with {FEWEST} pictures or more: accuracy from {row['lowest']:.1%} to "
        f"{row['highest']:.1%}, median {row['median']:.1%}; from what their expressions lead to expect they differ by "
        f"{row['deviation']:.1%} (standard deviation), where chance alone makes {row['deviation_by_chance']:.1%}."
    )


def _still(row: Mapping[str, Any]) -> str:
    share = f"{row['largest_other_share']:.1%}"
    return f"{row['shares'][NEUTRAL]:.1%}; {row['largest_other']} " + (
        f"**{share}**" if row["largest_other_share"] > LARGEST_OTHER else share
    )


def main() -> int:
    """Measure one network and write it down; returns the exit status, 2 where that can't be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model of the registry, an ONNX file, or the folder of a run")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds fer2013plus/ and faces112/")
    parser.add_argument("-o", "--output", type=Path, help="all that was found, as JSON")
    given = parser.parse_args()
    try:
        _measure(given.model, given.data, given.output)
    except MienError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _measure(model: str, folder: Path, output: Path | None) -> None:
    network = candidate(model, classes={"ferplus": FERPLUS})
    ferplus = folder / "fer2013plus" / "fer2013plus_train_public.npz"
    sets = [
        read_ferplus(ferplus, network.classes),
        read_faces112(folder / "faces112" / "faces112.npz", network.classes),
    ]
    about = {"kind": "bias", "model": network.name, **here(), "about": network.about}
    found = {**about, **examine(network.read, network.classes, _priors(network, ferplus), sets, tau=network.tau)}
    sys.stdout.write(as_markdown(found))
    if output is not None:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        except OSError as error:
            raise ConfigError(f"{output} can't be written: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
