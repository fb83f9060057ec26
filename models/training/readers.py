"""What answers for a network when it is measured: a model of the registry as it is shipped, a run, or an ONNX file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax

from models.expression import ExpressionClassifier, ExpressionOptions, resized
from models.own import INTENSITY, classes_of
from models.registry import find, load
from models.session import Session
from models.training.faces import FER2013, FERPLUS, Grey
from models.training.report import Reader
from operators.errors import ConfigError, ModelError
from operators.records import Floats

__all__ = ["Candidate", "candidate", "of_model", "of_run"]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A network to be measured.

    `read` gives probabilities over `classes`, before any prior correction where it was asked for so; `intensity` the
    share of raters `(n,)`, where the network says it; `priors (k,)` are those of its training, where they are known.
    """

    name: str
    classes: tuple[str, ...]
    read: Reader
    intensity: Callable[[Sequence[Grey]], Floats] | None = None
    priors: Floats | None = None
    tau: float = 0.0
    """Strength of the prior correction that `read` applies."""
    shipped_tau: float = 0.0
    """Strength of the one that the registry asks for."""
    side: int = 48
    about: Mapping[str, object] = field(default_factory=dict)
    """Where it comes from: the hash of its weights, the seed of its training, its settings."""
    log: Path | None = None
    """The log.csv of its training, where it is a run that has one."""


def candidate(
    name: str,
    *,
    head: str | None = None,
    flip: bool = False,
    plain: bool = False,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> Candidate:
    """The network that a name means: the folder of a run, an ONNX file, or a model of the registry.

    Args:
        name: folder, file that ends in .onnx, or name or alias in the registry.
        head: of a run or file, which of its heads; None = the first of the run, or of `classes`.
        flip: average over each face and its mirror image.
        plain: leave the prior correction out that the registry asks for.
        classes: those of each head, for a file that doesn't say.

    Raises:
        ConfigError: there is no such run, file or head.
        ModelError: the registry has no such model, or the file is no network.
    """
    if Path(name).is_dir():
        return _run(Path(name), head, flip=flip)
    if name.endswith(".onnx"):
        return _file(Path(name), head, classes or {}, flip=flip)
    if "/" in name:
        raise ConfigError(
            f"there is no folder or file {name}: expected a run, an ONNX file, or a model of the registry"
        )
    return _shipped(name, flip=flip, plain=plain)


def of_model(name: str, **options: object) -> tuple[Reader, Sequence[str]]:
    """The reader of a model of the registry as it is shipped, through all of its pre- and post-processing."""
    if find(name).task != "expression":
        raise ConfigError(f"expected a model that reads expressions, got {name!r}, a {find(name).task}")
    classifier = load(name, **options)
    return _probs(classifier), classifier.labels


def of_run(run: Path, head: str, *, temperature: float = 1.0, flip: bool = False) -> tuple[Reader, Sequence[str]]:
    """The reader of one head of a training run, in torch."""
    from models.training.expression import answers, load_run  # noqa: PLC0415 -- torch: only runs need it

    result = load_run(run)
    if head not in result.classes:
        raise ConfigError(f"{run} has no head {head!r}: it has {', '.join(result.classes)}")

    def read(faces: Sequence[Grey]) -> Floats:
        images = np.stack([resized(face, result.recipe.side) for face in faces])
        return np.asarray(softmax(answers(result.model, images, flip=flip)[head] / temperature, axis=1), np.float32)

    return read, tuple(result.classes[head])


def _shipped(name: str, *, flip: bool, plain: bool) -> Candidate:
    entry = find(name)
    if entry.task != "expression":
        raise ConfigError(f"expected a model that reads expressions, got {name!r}, a {entry.task}")
    options = {"tta": "flip"} if flip else {}
    shipped = load(name, **options)
    classifier = load(name, **options, tau=0.0) if plain else shipped
    priors = np.asarray(classifier.options.priors, np.float32) if classifier.options.priors else None
    settings = {"temperature": classifier.options.temperature, "tau": classifier.options.tau}
    return Candidate(
        entry.name,
        classifier.labels,
        _probs(classifier),
        _intensity(classifier) if INTENSITY in entry.outputs else None,
        priors,
        tau=classifier.options.tau,
        shipped_tau=shipped.options.tau,
        about={"weights_sha256": ", ".join(entry.files.values()), "flip": flip, **settings},
    )


def _file(path: Path, head: str | None, known: Mapping[str, Sequence[str]], *, flip: bool) -> Candidate:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}: expected an ONNX file, a run, or a model of the registry")
    data = path.read_bytes()
    said = {name: labels for name, labels in classes_of(path, data).items() if name != INTENSITY}
    head, known = head or next(iter(said or known), ""), {"ferplus": FERPLUS, "fer2013": FER2013, **known, **said}
    if head not in known:
        raise ConfigError(
            f"the classes of the head {head!r} of {path} are not known: expected one of {', '.join(known)}"
        )
    classes = tuple(known[head])
    options = ExpressionOptions(tta="flip" if flip else "none")
    try:
        classifier = ExpressionClassifier(Session(data, outputs=[head, INTENSITY]), classes, options)
        second = True
    except ModelError:  # most networks have no such output; where the head is missing too, the next line says so
        classifier = ExpressionClassifier(Session(data, outputs=[head]), classes, options)
        second = False
    about = {"weights_sha256": hashlib.sha256(data).hexdigest(), "head": head, "flip": flip}
    intensity = _intensity(classifier) if second else None
    return Candidate(path.name, classes, _probs(classifier), intensity, about=about)


def _run(run: Path, head: str | None, *, flip: bool) -> Candidate:
    from models.training.expression import answers, load_run  # noqa: PLC0415 -- torch: only runs need it

    result = load_run(run)
    head = head or next(iter(result.classes))
    read, classes = of_run(run, head, flip=flip)

    def intensity(faces: Sequence[Grey]) -> Floats:
        images = np.stack([resized(face, result.recipe.side) for face in faces])
        logits = answers(result.model, images, flip=flip)[INTENSITY]
        return np.asarray(expit(logits[:, 1] - logits[:, 0]), np.float32)

    about = {"recipe": result.recipe.name, "seed": result.recipe.seed, "head": head, "flip": flip}
    return Candidate(
        str(run),
        tuple(classes),
        read,
        intensity if INTENSITY in result.classes else None,
        side=result.recipe.side,
        about=about,
        log=run / "log.csv" if (run / "log.csv").is_file() else None,
    )


def _probs(classifier: ExpressionClassifier) -> Reader:
    return lambda faces: np.stack([one.probs for one in classifier(_coloured(faces))])


def _intensity(classifier: ExpressionClassifier) -> Callable[[Sequence[Grey]], Floats]:
    return lambda faces: np.array([one.intensity for one in classifier(_coloured(faces))], np.float32)


def _coloured(faces: Sequence[Grey]) -> list[Grey]:
    return [np.repeat(face[..., None], 3, axis=2) for face in faces]
