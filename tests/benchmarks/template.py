"""Measure the alignment template: where YuNet finds landmarks on FER2013 training faces.

    .venv/bin/python tests/benchmarks/template.py ../shared

Each 48x48 face is enlarged four times and surrounded by a border of its mean brightness, so that a face that fills its
picture can be found. Prints the median and the interquartile range in units of the side, and the share found.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from models.registry import load

SIDE, ZOOM, BORDER = 48, 4, 32


def main() -> None:
    """Print the template."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path, help="folder that holds data/")
    parser.add_argument("--faces", type=int, default=4000)
    arguments = parser.parse_args()
    archive = np.load(arguments.shared / "data/fer2013plus/fer2013plus_train_public.npz")
    training = np.flatnonzero(archive["split"] == 0)
    chosen = np.random.default_rng(0).choice(training, arguments.faces, replace=False)
    detector = load("yunet", mirror=arguments.shared / "data/weights", threads=1)
    images = archive["images"]
    found = [landmarks for landmarks in (locate(detector, images[row]) for row in chosen) if landmarks is not None]
    points = np.stack(found)
    low, median, high = np.percentile(points, [25, 50, 75], axis=0)
    sys.stdout.write(f"faces {len(chosen)} found {len(found)}\n")
    for name, middle, spread in zip(
        ("left eye", "right eye", "nose", "left mouth", "right mouth"), median, high - low, strict=True
    ):
        sys.stdout.write(f"{name:12} x {middle[0]:.4f} y {middle[1]:.4f}  iqr {spread[0]:.4f} {spread[1]:.4f}\n")


def locate(detector, face):
    """Landmarks `(5, 2)` in units of the side, or None."""
    large = cv2.resize(face, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    grey = int(face.mean())
    padded = cv2.copyMakeBorder(large, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_CONSTANT, value=grey)
    found = detector(cv2.cvtColor(padded, cv2.COLOR_GRAY2RGB))
    return (found.landmarks[0] - BORDER) / (SIDE * ZOOM) if len(found) else None


if __name__ == "__main__":
    main()
