"""How many times faster than it was recorded a recording replays: `python tests/benchmarks/replay.py -o replay.json`.

The input is made here: cameras at the default analysis rate with a few faces each, whose expressions change slowly,
with all digits that real ones have. `--recording DIR` measures one of your own instead.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from connectors.recording import Manifest, RecordedCamera, Recording, open_recording
from connectors.recording_writer import RecordingWriter
from operators.records import Clock, FaceTrack, Gap, GapReason, Observation
from operators.rules import EXPRESSIONS, RuleEvaluator, RuleSet
from pipeline.config import load_rules
from pipeline.parallel import Part, evaluate, shares
from pipeline.processes import prepare
from pipeline.replay import Job, evaluator_for, replay_recording

ROOT = Path(__file__).parents[2]
RULES = ROOT / "tests" / "benchmarks" / "replay-rules.yaml"
START = 1_763_715_600.0


@dataclass(frozen=True)
class Load:
    """The synthetic input: the same for the same numbers."""

    cameras: int
    fps: float
    faces: int
    minutes: float
    seed: int


def make_recording(folder: Path, load: Load) -> Recording:
    """Record the load into `folder`."""
    names = [f"camera-{number}" for number in range(load.cameras)]
    cameras = {name: RecordedCamera(load.fps, ("desk",)) for name in names}
    head = Manifest(mien="benchmark", created_at="benchmark", purpose="a benchmark", cameras=cameras)
    with RecordingWriter(folder, head) as writer:
        for number, name in enumerate(names):
            writer.write(_records(name, load, np.random.default_rng(load.seed + number)))
    return open_recording(folder)


def _records(name: str, load: Load, rng: np.random.Generator) -> Iterator[Observation | Gap]:
    """Faces that stay for about a minute; now and then a picture is lost."""
    logits = rng.normal(0, 1.5, (load.faces, len(EXPRESSIONS)))
    began = np.zeros(load.faces, int)
    boxes = rng.uniform(0, 400, (load.faces, 2))
    last = START
    for frame in range(int(load.minutes * 60 * load.fps)):
        ts = START + frame / load.fps + float(rng.uniform(0, 0.005))
        if rng.random() < 0.005:
            continue
        if ts - last > 1.5 / load.fps:
            yield Gap(name, last, ts, GapReason.OVERLOAD, 1)
        last = ts
        logits = 0.98 * logits + rng.normal(0, 0.35, logits.shape)
        boxes += rng.normal(0, 1, boxes.shape)
        came = rng.random(load.faces) < 1 / (60 * load.fps)
        began[came] = frame
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        faces = tuple(_face(n, int(began[n]), boxes[n], probs[n]) for n in range(load.faces))
        yield Observation(name, 1, frame, ts, Clock.SENDER, faces)


def _face(number: int, began: int, corner: np.ndarray, probs: np.ndarray) -> FaceTrack:
    scores = dict(zip(EXPRESSIONS, probs.tolist(), strict=True))
    x, y = corner.tolist()
    return FaceTrack(
        f"t{number}-{began}",
        START,
        (x, y, x + 61.23456, y + 80.98765),
        0.987654321,
        80.98765,
        0.87654321,
        label=max(scores, key=scores.__getitem__),
        scores=scores,
        intensity=1 - scores["neutral"],
        zones=("desk",) if x > 200 else (),
    )


def measure(recording: Recording, rules: RuleSet, rounds: int) -> dict[str, object]:
    """The best of `rounds`; process time, in which other work on the machine counts little, beside wall time."""
    first, last = recording.span
    recorded = last - first
    evaluator = evaluator_for(rules, recording.manifest)
    reading = min(_process_time(lambda: deque(recording.records(), maxlen=0)) for _ in range(rounds))
    alone = min(_process_time(lambda: replay_recording(recording, rules, Job(processes=1))) for _ in range(rounds))
    parts = [_share_time(recording, evaluator, rounds, names) for names in shares(evaluator, recording, 2)]
    outcomes = [replay_recording(recording, rules, Job()) for _ in range(rounds)]
    wall = min(outcome.seconds for outcome in outcomes)
    records = outcomes[0].records
    return {
        "recorded_s": round(recorded, 1),
        "records": records,
        "bytes": sum(file.bytes for file in recording.files()),
        "rules": len(rules.rules),
        "transitions": outcomes[0].transitions,
        "cores": os.cpu_count(),
        "times_faster_wall": round(recorded / wall),
        "times_faster_one_process": round(recorded / alone),
        "times_faster_slower_of_two_processes": round(recorded / max(parts)),
        "records_per_s_one_process": round(records / alone),
        "records_per_s_reading_alone": round(records / reading),
    }


def _share_time(recording: Recording, evaluator: RuleEvaluator, rounds: int, names: Sequence[str]) -> float:
    """Process time of one share of the partitions, without what it takes to start a process."""
    prepare()
    part = Part(recording.folder, evaluator, tuple(names))
    best = min(_process_time(lambda: evaluate(part, lambda _: None)) for _ in range(rounds))
    gc.set_threshold(700)
    return best


def _process_time(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def machine() -> dict[str, object]:
    """Where and from what the figures come."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    cpu = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "load_1m": float(Path("/proc/loadavg").read_text().split()[0]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a synthetic recording, or one of your own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recording", type=Path)
    parser.add_argument("--rules", type=Path, default=RULES)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--faces", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args(arguments)
    rules = load_rules(args.rules)
    results: list[dict[str, object]] = []
    if args.recording:
        results.append({"input": str(args.recording), **measure(open_recording(args.recording), rules, args.rounds)})
    else:
        for faces in args.faces:
            load = Load(args.cameras, args.fps, faces, args.minutes, args.seed)
            with TemporaryDirectory() as folder:
                recording = make_recording(Path(folder) / "recording", load)
                results.append({"input": asdict(load), **measure(recording, rules, args.rounds)})
    text = json.dumps({"benchmark": "replay", "machine": machine(), "results": results}, indent=2)
    if args.output:
        args.output.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
