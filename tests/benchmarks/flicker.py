"""Label switches per 100 readings of a face, by what stands between the classifier and the rules.

    python tests/benchmarks/flicker.py CLIP [CLIP ...] [--detector yunet --mirror DIR] [--head FILE] [--json FILE]

Consecutive readings of one track are compared; frames in which the face can't be read are passed over. `--head` is the
ONNX file of a temporal head (`mien export`).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from connectors.camera import StreamSettings
from connectors.schemes import open_source
from models.registry import load
from models.session import Session
from models.temporal import TEMPORAL_OUTPUTS, TemporalHead, TemporalOptions
from models.training.temporal.baselines import Majority
from operators.analyze import Analyzer
from operators.records import UNKNOWN, Clock, Frame
from operators.temporal import ExpressionFilter
from pipeline.bench import context

TIME_CONSTANTS_S = (0.0, 0.1, 0.25, 0.5, 1.0)
"""The first is no filter."""


def frames_of(clip: Path) -> list[Frame]:
    source = open_source(StreamSettings(str(clip)))
    return [
        Frame("clip", 0, seq, seq / 10 if picture.pts is None else picture.pts, Clock.MEDIA, picture.rgb())
        for seq, picture in enumerate(source)
    ]


def switches(analyzer: Analyzer, frames: list[Frame]) -> tuple[int, int]:
    """(label switches, pairs of consecutive readings)."""
    labels: defaultdict[str, list[str]] = defaultdict(list)
    for observation in analyzer.step(None, frames)[1]:
        for face in observation.faces:
            if face.label != UNKNOWN:
                labels[face.track_id].append(face.label)
    changed = sum(a != b for track in labels.values() for a, b in pairwise(track))
    return changed, sum(max(len(track) - 1, 0) for track in labels.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--detector", default="mtcnn")
    parser.add_argument("--mirror", type=Path)
    parser.add_argument("--head", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    classifier = load("expression")
    analyzer = Analyzer(detector=load(arguments.detector, mirror=arguments.mirror), classifier=classifier)
    models = {f"average, {seconds:g} s": ExpressionFilter(time_constant=seconds) for seconds in TIME_CONSTANTS_S}
    models |= {"majority, 0.3 s": Majority(0.3)}
    if arguments.head:
        session = Session(arguments.head, threads=1, outputs=TEMPORAL_OUTPUTS)
        models |= {arguments.head.stem: TemporalHead(session, classifier.labels, TemporalOptions())}
    rows = []
    for clip in arguments.clips:
        frames = frames_of(clip)
        for name, model in models.items():
            changed, pairs = switches(replace(analyzer, temporal=model), frames)
            rate = 100 * changed / pairs if pairs else 0.0
            rows.append({"clip": clip.name, "model": name, "pairs": pairs, "switches_per_100": round(rate, 1)})
            print(f"{clip.name:45} {name:28} {rate:5.1f} switches per 100 ({pairs} pairs)", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({**context(arguments.clips[0]), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
