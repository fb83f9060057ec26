"""Recall and AP50 by face height on WIDER FACE validation pictures: normal against far, for both detectors.

`python tests/benchmarks/detect_wider.py ../shared/data/wider100 --mirror ../shared/data/weights --json out.json`

The pictures hold 416 pixels of detail across and are brought to their true proportions at each width first: above 416
faces get larger without getting sharper, and upscaling gains less than it would on a camera's own pixels. A face counts
in the bucket of its height in pixels of that picture; faces of other buckets are neither right nor wrong, and false
alarms are those of the bucket's height (PASCAL VOC rules, every point of the curve).
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from models.registry import load
from operators.boxes import iou
from operators.detail import Tiled, Upscaled
from operators.ports import Detector
from operators.records import Detections, Floats, Image

BUCKETS = ((8, 12), (12, 16), (16, 24), (24, 48), (48, 10_000), (8, 10_000))
MATCH = 0.5


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and the faces in it, `xyxy` in its pixels."""

    image: Image
    faces: Floats


def pictures(folder: Path, width: int) -> Iterator[Picture]:
    """The pictures at `width`, in their true proportions."""
    labels = json.loads((folder / "labels.json").read_text("utf-8"))
    for name, label in labels.items():
        image = cv2.cvtColor(cv2.imread(str(folder / "images" / name)), cv2.COLOR_BGR2RGB)
        height = round(width * label["orig_h"] / label["orig_w"])
        ratio = np.array([width, height, width, height]) / 416
        yield Picture(
            np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8),
            np.asarray(np.array(label["boxes_xyxy_416"]).reshape(-1, 4) * ratio, np.float32),
        )


def variants(mirror: Path, min_face_size: float) -> Mapping[str, Detector]:
    """Detector and way of looking, by name."""
    mtcnn = load("mtcnn", min_face_size=min_face_size)
    finer = load("mtcnn", min_face_size=min_face_size / 2)
    yunet = load("yunet", mirror=mirror)
    return {
        "mtcnn normal": mtcnn,
        "mtcnn half min_face_size": finer,
        "mtcnn upscaled": Upscaled(mtcnn),
        "mtcnn tiled": Tiled(mtcnn),
        "yunet normal": yunet,
        "yunet upscaled": Upscaled(yunet),
        "yunet tiled": Tiled(yunet),
    }


def measure(detector: Detector, data: Sequence[Picture]) -> dict[str, dict[str, float]]:
    """Recall at the detector's own thresholds, AP50 and counts for each bucket of face height."""
    found = [detector(picture.image) for picture in data]
    return {name(bucket): score(found, data, bucket) for bucket in BUCKETS}


def name(bucket: tuple[int, int]) -> str:
    low, high = bucket
    return f"{low}+" if high >= 10_000 else f"{low}-{high}"


def score(found: Sequence[Detections], data: Sequence[Picture], bucket: tuple[int, int]) -> dict[str, float]:
    rows = [match(detections, picture.faces, bucket) for detections, picture in zip(found, data, strict=True)]
    confidence = np.concatenate([row[0] for row in rows])
    right = np.concatenate([row[1] for row in rows])
    faces = sum(row[2] for row in rows)
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return {
        "faces": faces,
        "recall": float(right.sum() / max(faces, 1)),
        "precision": float(right.mean()) if len(right) else 0.0,
        "ap50": float(best[right[order]].sum() / max(faces, 1)),
    }


def match(found: Detections, faces: Floats, bucket: tuple[int, int]) -> tuple[Floats, np.ndarray, int]:
    """Confidence and hit of each detection that counts in the bucket, and the number of its faces."""
    wanted = within(faces, bucket)
    free = np.ones(len(faces), bool)
    overlap = iou(found.xyxy, faces)
    confidence, right = [], []
    for i in np.argsort(-found.confidence, kind="stable"):
        candidates = np.where(free, overlap[i], 0)
        j = int(candidates.argmax()) if len(faces) else -1
        hit = j >= 0 and candidates[j] >= MATCH
        if hit:
            free[j] = False
        if wanted[j] if hit else within(found.xyxy[i : i + 1], bucket)[0]:
            confidence.append(found.confidence[i])
            right.append(hit)
    return np.array(confidence, np.float32), np.array(right, bool), int(wanted.sum())


def within(boxes: Floats, bucket: tuple[int, int]) -> np.ndarray:
    height = boxes[:, 3] - boxes[:, 1]
    return (height >= bucket[0]) & (height < bucket[1])


def commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


def table(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Recall / AP50 for people."""
    heads = [name(bucket) for bucket in BUCKETS]
    lines = ["| detector | " + " | ".join(f"{head} px" for head in heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for variant, buckets in rows.items():
        cells = [f"{buckets[head]['recall']:.2f} / {buckets[head]['ap50']:.2f}" for head in heads]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="wider100: images/ and labels.json")
    parser.add_argument("--mirror", type=Path, required=True, help="folder with yunet_n_dynamic.onnx")
    parser.add_argument("--width", type=int, nargs="+", default=[416, 640])
    parser.add_argument("--min-face-size", type=float, default=20)
    parser.add_argument("--only", default="", help="variants whose name starts with this")
    parser.add_argument("--limit", type=int, default=None, help="first pictures only")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    result = {
        "machine": f"{platform.processor() or platform.machine()} {platform.system()}",
        "commit": commit(),
        "input": f"{arguments.folder.name}, first {arguments.limit or 'all'} pictures",
        "widths": {},
    }
    for width in arguments.width:
        data = list(pictures(arguments.folder, width))[: arguments.limit]
        rows = {}
        for variant, detector in variants(arguments.mirror, arguments.min_face_size).items():
            if variant.startswith(arguments.only):
                start = time.perf_counter()
                rows[variant] = measure(detector, data)
                sys.stderr.write(f"{width} {variant} {time.perf_counter() - start:.0f} s\n")
        result["widths"][width] = rows
        counts = {head: int(value["faces"]) for head, value in next(iter(rows.values())).items()}
        sys.stdout.write(f"\nwidth {width}: recall / AP50; faces {counts}\n{table(rows)}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), "utf-8")


if __name__ == "__main__":
    main()
