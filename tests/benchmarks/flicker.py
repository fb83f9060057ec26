"""Label switches per 100 readings of a face, before and after the filter over time.

    .venv/bin/python tests/benchmarks/flicker.py CLIP [CLIP ...] [--detector yunet --mirror DIR] [--json FILE]

Consecutive readings of one track are compared; frames in which the face can't be read are passed over.
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
from operators.analyze import Analyzer
from operators.records import UNKNOWN, Clock, Frame
from operators.temporal import ExpressionFilter
from pipeline.bench import context

TIME_CONSTANTS_S = (0.001, 0.25, 0.5, 1.0)
"""The first is as good as no filter."""


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
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    detector = load(arguments.detector, mirror=arguments.mirror)
    analyzer = Analyzer(detector=detector, classifier=load("expression"))
    rows = []
    for clip in arguments.clips:
        frames = frames_of(clip)
        for seconds in TIME_CONSTANTS_S:
            filtered = replace(analyzer, temporal=ExpressionFilter(time_constant=seconds))
            changed, pairs = switches(filtered, frames)
            rate = 100 * changed / pairs if pairs else 0.0
            rows.append({"clip": clip.name, "time_constant_s": seconds, "pairs": pairs, "switches_per_100": rate})
            print(f"{clip.name:45} time constant {seconds:5.3f} s  {rate:5.1f} switches per 100 ({pairs} pairs)")
    if arguments.json:
        arguments.json.write_text(json.dumps({**context(arguments.clips[0]), "results": rows}, indent=1))


if __name__ == "__main__":
    main()
