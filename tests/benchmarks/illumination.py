"""Does evening out the light help the expression model? Accuracy on FER+ PublicTest under four kinds of light.

    .venv/bin/python tests/benchmarks/illumination.py ../shared

Majority of the FER+ votes over the eight expressions is the truth; faces whose majority is `unknown` or no face are
left out. Prints JSON: accuracy per light and setting. Switch a step on by default only if it helps dark or side-lit
faces and costs nothing on clean ones.
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from models.registry import load
from operators.illumination import Illumination

SETTINGS = {
    "off": Illumination(),
    "homomorphic": Illumination(homomorphic=True),
    "exposure": Illumination(exposure=True),
    "both": Illumination(homomorphic=True, exposure=True),
}
# FER+ names nouns, a model may name adjectives: they are compared by their first letters.
STEM = 3
BATCH = 256


def side_lit(face, rng):
    """Light from one random side: from a fifth to the whole."""
    ramp = np.linspace(0.2, 1.0, face.shape[1])[None, :]
    return face * (ramp if rng.random() < 0.5 else ramp[:, ::-1])


LIGHTS = {
    "clean": lambda face, _: face,
    "dark": lambda face, _: 255 * (face / 255) ** 2.5,
    "bright": lambda face, _: 255 * (face / 255) ** 0.4,
    "side": side_lit,
}


def main() -> None:
    """Print accuracy per light and setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path, help="folder that holds data/")
    parser.add_argument("--model", default="expression")
    parser.add_argument("--faces", type=int, default=4000, help="at most this many")
    arguments = parser.parse_args()
    archive = np.load(arguments.shared / "data/fer2013plus/fer2013plus_train_public.npz")
    votes, classes = archive["ferplus_votes"], [str(name) for name in archive["classes10"]]
    truth = votes.argmax(axis=1)
    rows = np.flatnonzero((archive["split"] == 1) & (truth < 8))[: arguments.faces]
    classifier = load(arguments.model)
    columns = [stem(name) for name in classifier.labels]
    expected = np.array([columns.index(stem(classes[truth[row]])) for row in rows])
    images = archive["images"][rows]
    accuracy = {}
    for light, relight in LIGHTS.items():
        rng = np.random.default_rng(0)
        faces = [to_rgb(relight(face.astype(np.float64), rng)) for face in images]
        for name, setting in SETTINGS.items():
            guess = classify(classifier, [setting.normalise(face) for face in faces])
            accuracy.setdefault(light, {})[name] = round(float((guess == expected).mean()), 4)
    sys.stdout.write(json.dumps({"faces": len(rows), "model": arguments.model, "accuracy": accuracy}, indent=2) + "\n")


def classify(classifier, crops):
    """`(n,)` most probable label of each crop."""
    starts = range(0, len(crops), BATCH)
    return np.array([one.probs.argmax() for start in starts for one in classifier(crops[start : start + BATCH])])


def to_rgb(face):
    """Three equal channels of uint8."""
    return cv2.cvtColor(np.clip(np.round(face), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def stem(name):
    """`anger` and `angry`, `sad` and `sadness` are one expression."""
    return name.lower()[:STEM]


if __name__ == "__main__":
    main()
