"""Recall and AP50 by face height on WIDER FACE validation pictures, and milliseconds per frame, for every detector.

    python -m tests.benchmarks.detect_wider accuracy --data ../shared/data/wider100 --mirror ../shared/data/weights
    python -m tests.benchmarks.detect_wider speed    --data ../shared/data/wider100 --mirror ../shared/data/weights
    python -m tests.benchmarks.detect_wider page

`accuracy` (about 20 minutes on one core) and `speed` (under 3 minutes, on a quiet machine) write their part of
docs/figures/detection.json; `page` puts both into docs/detection.md (`tests.benchmarks.detection_table`).

The pictures hold 416 pixels of detail across and are brought to their true proportions at each width first: above 416
faces get larger without getting sharper, and upscaling gains less than it would on a camera's own pixels. A face counts
in the bucket of its height in pixels of that picture; faces of other buckets are neither right nor wrong, and false
alarms are those of the bucket's height (PASCAL VOC rules, every point of the curve). AP50 is that of everything down to
a confidence of 0.05; recall and precision are those at the thresholds that mien ships.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.registry import load
from models.training.provenance import here
from operators.boxes import iou
from operators.detail import Tiled, Upscaled
from operators.ports import Detector
from operators.records import Detections, Floats, Image
from tests.benchmarks import detection_table

BUCKETS = ((8, 12), (12, 16), (16, 24), (24, 48), (48, 10_000), (8, 10_000))
WIDTHS = (416, 640, 832)
SIZES = ((640, 384), (1280, 736), (1920, 1088))
THREADS = (1, 2)
MATCH = 0.5
TAIL = 0.05
"""The lowest confidence that AP50 looks at."""
TIMED = 4
"""Pictures that detectors are timed on, at least once each."""
SECONDS = 2.0
"""How long one detector is timed for on frames of one size."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and the faces in it, `xyxy` in its pixels."""

    image: Image
    faces: Floats


@dataclass(frozen=True, slots=True)
class Way:
    """A model of the registry, and how it is made to look for small faces."""

    model: str
    detail: str
    wrap: Callable[[Detector], Detector] = lambda detector: detector
    options: Mapping[str, Any] = field(default_factory=dict)


WAYS = (
    *(Way(model, "normal") for model in ("mtcnn.wider", "yunet_n.wider")),
    *(Way(model, "far", Tiled) for model in ("mtcnn.wider", "yunet_n.wider")),
    *(Way(model, "upscaled", Upscaled) for model in ("mtcnn.wider", "yunet_n.wider")),
    Way("mtcnn.wider", "half min_face_size", options={"min_face_size": 10}),
)
"""`normal` and `far` are what cameras can be set to; the others are what `far` might have been."""

UNSURE: Mapping[str, Mapping[str, Any]] = {
    "mtcnn.wider": {"thresholds": (0.6, 0.7, TAIL)},
    "yunet_n.wider": {"threshold": TAIL},
}
"""Options with which a detector also says what it is hardly sure of."""


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


def accuracy(data: Path, mirror: Path, *, limit: int | None) -> dict[str, Any]:
    """Recall, precision and AP50 of every way of looking, by width and height of the face."""
    rows = []
    for width, way in itertools.product(WIDTHS, WAYS):
        start = time.perf_counter()
        some = list(itertools.islice(pictures(data, width), limit))
        detector = way.wrap(load(way.model, mirror=mirror, threads=1, **{**way.options, **UNSURE[way.model]}))
        found = [detector(picture.image) for picture in some]
        for bucket in BUCKETS:
            scores = score(found, some, bucket, threshold=shipped_threshold(way.model, mirror))
            rows.append({"model": way.model, "detail": way.detail, "width": width, "height": name(bucket), **scores})
        sys.stderr.write(f"{width} {way.model} {way.detail}: {time.perf_counter() - start:.0f} s\n")
    return {**here(), "data": describe(data), "pictures": len(some), "rows": rows}


def shipped_threshold(model: str, mirror: Path) -> float:
    """The confidence that a face needs, as mien ships the model."""
    options = load(model, mirror=mirror).options
    return float(options.thresholds[-1] if model == "mtcnn.wider" else options.threshold)


def speed(data: Path, mirror: Path) -> dict[str, Any]:
    """Median milliseconds per frame of every way of looking, by size of the frame and threads."""
    labels = json.loads((data / "labels.json").read_text("utf-8"))
    images = [cv2.imread(str(data / "images" / name)) for name in list(labels)[:: len(labels) // TIMED]]
    rows = []
    for threads, way in itertools.product(THREADS, WAYS):
        detector = way.wrap(load(way.model, mirror=mirror, threads=threads, **way.options))
        for size in SIZES:
            frames = [np.asarray(cv2.resize(image, size), np.uint8) for image in images]
            took = milliseconds(detector, frames)
            at = f"{size[0]}x{size[1]}"
            rows.append({"model": way.model, "detail": way.detail, "frame": at, "threads": threads, "ms": took})
            sys.stderr.write(f"{threads} {way.model} {way.detail} {at}: {took:.1f} ms\n")
    return {
        **here(),
        "load_at_start": os.getloadavg()[0],
        "data": f"{len(images)} pictures of {describe(data)}",
        "rows": rows,
    }


def milliseconds(detector: Detector, frames: Sequence[Image]) -> float:
    """The median over calls with one frame after the other, for some seconds, after a first one that doesn't count."""
    detector(frames[0])
    took: list[float] = []
    for frame in itertools.cycle(frames):
        start = time.perf_counter()
        detector(frame)
        took.append(time.perf_counter() - start)
        if len(took) >= len(frames) and sum(took) > SECONDS:
            return round(1000 * float(np.median(took)), 2)
    raise AssertionError


def describe(data: Path) -> str:
    """The data by name and hash."""
    digest = hashlib.sha256((data / "labels.json").read_bytes()).hexdigest()
    return f"{data.name}, labels.json {digest[:16]}"


def name(bucket: tuple[int, int]) -> str:
    """`8-12`, `48+`."""
    low, high = bucket
    return f"{low}+" if high >= 10_000 else f"{low}-{high}"


def score(
    found: Sequence[Detections], data: Sequence[Picture], bucket: tuple[int, int], *, threshold: float
) -> dict[str, float]:
    """AP50 of all that was found, recall and precision of what reaches `threshold`, and the number of faces."""
    matches = [match(detections, picture.faces, bucket) for detections, picture in zip(found, data, strict=True)]
    confidence = np.concatenate([row[0] for row in matches])
    right = np.concatenate([row[1] for row in matches])
    faces = sum(row[2] for row in matches)
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    sure = right[confidence >= threshold]
    return {
        "faces": faces,
        "recall": round(float(sure.sum() / max(faces, 1)), 4),
        "precision": round(float(sure.mean()) if len(sure) else 0.0, 4),
        "ap50": round(float(best[right[order]].sum() / max(faces, 1)), 4),
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
    """Which boxes are as high as the bucket says."""
    height = boxes[:, 3] - boxes[:, 1]
    return (height >= bucket[0]) & (height < bucket[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("accuracy", "speed", "page"))
    parser.add_argument("--data", type=Path, help="wider100: images/ and labels.json")
    parser.add_argument("--mirror", type=Path, help="folder with yunet_n_dynamic.onnx")
    parser.add_argument("--limit", type=int, help="first pictures only, to try it out")
    parser.add_argument("--json", type=Path, default=detection_table.FIGURES, help="where the figures are kept")
    arguments = parser.parse_args()
    figures = json.loads(arguments.json.read_text("utf-8")) if arguments.json.exists() else {}
    if arguments.part == "accuracy":
        figures["accuracy"] = accuracy(arguments.data, arguments.mirror, limit=arguments.limit)
    if arguments.part == "speed":
        figures["speed"] = speed(arguments.data, arguments.mirror)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    sys.stdout.write(detection_table.as_markdown(figures))
    if arguments.part == "page":
        detection_table.insert(detection_table.PAGE, detection_table.as_markdown(figures))


if __name__ == "__main__":
    main()
