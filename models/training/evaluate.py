"""Measure the registry's expression classifier on FER2013 / FER+ PublicTest: `python -m models.training.evaluate NPZ`.

Runs the shipped path (registry, pre- and post-processing, ONNX Runtime), not torch. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.registry import load
from models.training.data import FER2013, FERPLUS, Faces, Grey, jpeg, load_faces


def report(classes: Sequence[str], truth: NDArray[np.int64], probs: NDArray[np.float32]) -> dict[str, object]:
    """Accuracy, macro recall, per-class recall, precision and support, and expected calibration error (15 bins)."""
    guess = probs.argmax(1)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (truth, guess), 1)
    recall = confusion.diagonal() / np.maximum(confusion.sum(1), 1)
    precision = confusion.diagonal() / np.maximum(confusion.sum(0), 1)
    return {
        "accuracy": float((guess == truth).mean()),
        "macro_recall": float(recall.mean()),
        "calibration_error": calibration_error(probs, truth),
        "recall": dict(zip(classes, recall.round(4).tolist(), strict=True)),
        "precision": dict(zip(classes, precision.round(4).tolist(), strict=True)),
        "support": dict(zip(classes, confusion.sum(1).tolist(), strict=True)),
        "confusion": confusion.tolist(),
    }


def calibration_error(probs: NDArray[np.float32], truth: NDArray[np.int64], bins: int = 15) -> float:
    """Expected calibration error (Guo et al., arXiv 1706.04599) of the top probability."""
    confidence, right = probs.max(1), probs.argmax(1) == truth
    bucket = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[bucket == b].mean() - right[bucket == b].mean()) * (bucket == b).mean() for b in set(bucket)]
    return float(sum(gaps))


def shrink(image: Grey, side: int, quality: int | None) -> Grey:
    """The face as a camera that sees it `side` px wide would deliver it."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return small if quality is None else jpeg(small, quality)


def evaluate(public: Faces) -> dict[str, object]:
    """Both heads at 48 px, and the 8-class accuracy by face size and JPEG quality.

    The FER+ majority protocol counts images on which more than half of the votes agree; `plurality` counts all whose
    most frequent vote is one of the 8 classes.
    """
    usable = public.votes.sum(1) > 0
    truth8 = public.votes.argmax(1)[usable]
    agreed = public.agreed[usable]
    ferplus, fer2013 = load("expression"), load("expression-fer2013")
    if tuple(ferplus.labels) != FERPLUS or tuple(fer2013.labels) != FER2013:
        raise ValueError(f"label order of the registry differs: {ferplus.labels}, {fer2013.labels}")
    probs8 = ferplus(_rgb(public.images[usable]))
    rows: dict[str, object] = {
        "ferplus majority": report(FERPLUS, truth8[agreed], probs8[agreed]),
        "ferplus plurality": report(FERPLUS, truth8, probs8),
        "fer2013": report(FER2013, public.label7, fer2013(_rgb(public.images))),
    }
    for side in (8, 12, 16, 20, 24, 32):
        for quality in (None, 50):
            crops = _rgb([shrink(image, side, quality) for image in public.images[usable]])
            probs = ferplus(crops)
            rows[f"ferplus {side} px {'clean' if quality is None else f'JPEG {quality}'}"] = {
                "accuracy": float((probs.argmax(1) == truth8)[agreed].mean())
            }
    return rows


def _rgb(images: Sequence[Grey] | Grey) -> list[NDArray[np.uint8]]:
    return [np.repeat(image[..., None], 3, axis=2) for image in images]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="fer2013plus npz file")
    parser.add_argument("--json", type=Path, help="also write the whole report here")
    arguments = parser.parse_args()
    rows = evaluate(load_faces(arguments.data)[1])
    for name, row in rows.items():
        print(name, {key: round(v, 4) if isinstance(v, float) else v for key, v in row.items() if key != "confusion"})
    if arguments.json:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        context = {
            "machine": platform.platform(),
            "commit": commit.stdout.strip(),
            "input_sha256": hashlib.sha256(arguments.data.read_bytes()).hexdigest(),
        }
        arguments.json.write_text(json.dumps({**context, **rows}, indent=1))


if __name__ == "__main__":
    main()
