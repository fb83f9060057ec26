"""Faces per frame that each detector finds in video clips, looking normally and far.

`python tests/benchmarks/detect_clips.py ../shared/data/clips --mirror ../shared/data/weights --json out.json`
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from models.registry import load
from operators.detail import Tiled
from operators.ports import Detector
from operators.records import Image

CLIPS = ("classroom.gif", "face-demographics-walking.gif", "face-demographics-walking-and-pause.gif")


def frames(file: Path) -> Iterator[Image]:
    with av.open(str(file)) as clip:
        for frame in clip.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def measure(detector: Detector, pictures: list[Image]) -> dict[str, float]:
    """Mean, fewest and most faces of a frame, and the median height and confidence of all of them."""
    found = [detector(picture) for picture in pictures]
    counts = [len(detections) for detections in found]
    heights = np.concatenate([detections.xyxy[:, 3] - detections.xyxy[:, 1] for detections in found])
    confidence = np.concatenate([detections.confidence for detections in found])
    return {
        "frames": len(counts),
        "mean": round(float(np.mean(counts)), 2),
        "fewest": min(counts),
        "most": max(counts),
        "height_px": round(float(np.median(heights)), 1),
        "confidence": round(float(np.median(confidence)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with the clips")
    parser.add_argument("--mirror", type=Path, required=True, help="folder with yunet_n_dynamic.onnx")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    yunet = load("yunet", mirror=arguments.mirror)
    detectors: dict[str, Detector] = {
        "mtcnn, 20 px": load("mtcnn"),
        "mtcnn, 15 px": load("mtcnn", min_face_size=15),
        "mtcnn, 20 px, far": Tiled(load("mtcnn")),
        "yunet": yunet,
        "yunet, far": Tiled(yunet),
    }
    rows = {}
    for clip in CLIPS:
        pictures = list(frames(arguments.folder / clip))
        rows[clip] = {name: measure(detector, pictures) for name, detector in detectors.items()}
        for name, row in rows[clip].items():
            cells = (clip, name, f"{row['mean']:.2f}", f"{row['fewest']}-{row['most']}", f"{row['height_px']:.0f} px")
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
    if arguments.json:
        head = ["git", "rev-parse", "--short", "HEAD"]
        result = {
            "machine": f"{platform.processor() or platform.machine()} {platform.system()}",
            "commit": subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip(),
            "input": str(arguments.folder),
            "clips": rows,
        }
        arguments.json.write_text(json.dumps(result, indent=1), "utf-8")


if __name__ == "__main__":
    main()
