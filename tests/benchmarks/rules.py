"""How fast the rules are, and how much they remember: `python tests/benchmarks/rules.py --output rules.json`.

Eight rules of mixed conditions (sustained, ratio, count, sequence, pulses, change, absence, share) look at a synthetic
camera. `--soak 24h` runs five busy cameras through virtual time and reports memory by the hour.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil

from operators.records import Clock, FaceTrack, Observation
from operators.rules import EvaluatorState, RuleEvaluator, Watched
from operators.units import parse_duration
from pipeline.config import Settings

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
ZONE = {"polygon": [[0, 0], [1, 0], [1, 1]]}
START = 1_763_715_600
RULES: list[dict[str, Any]] = [
    {"id": "sustained", "when": {"prob": "fear", "enter": 0.6, "exit": 0.45}, "for": "3s"},
    {
        "id": "ratio",
        "scope": "zone",
        "where": {"zones": ["desk"]},
        "when": {"prob": "confusion", "enter": 0.5, "exit": 0.35, "smooth": {"median": "1s"}},
        "for": "5m",
        "ratio": {"at_least": 0.7, "bucket": "5s"},
        "max_gap": "20s",
    },
    {
        "id": "count",
        "scope": "camera",
        "when": {"prob": "fear", "enter": 0.55, "exit": 0.4, "hold": "500ms"},
        "count": {"at_least": 3, "within": "10s"},
        "inhibit": [{"rules": ["sustained"]}],
    },
    {
        "id": "sequence",
        "sequence": {
            "steps": [
                {"as": "smile", "when": {"prob": "happiness", "enter": 0.7, "exit": 0.5}, "for": "500ms"},
                {"as": "anger", "when": {"prob": "anger", "enter": 0.6, "exit": 0.45}, "for": "500ms"},
            ],
            "within": "4s",
            "max_pause": "1500ms",
            "not_between": {"when": {"prob": "neutral", "enter": 0.8, "exit": 0.7}, "for": "1s"},
        },
        "momentary": True,
    },
    {
        "id": "pulses",
        "when": {"prob_any": ["fear", "disgust", "anger", "contempt"], "enter": 0.55, "exit": 0.4},
        "pulse": {"min": "80ms", "max": "500ms", "flank": {"when": {"prob": "neutral", "enter": 0.5}}},
        "count": {"of": "pulses", "at_least": 4, "within": "60s"},
    },
    {
        "id": "change",
        "when": {"value": "valence"},
        "change": {"direction": "down", "zscore": 3.0, "absolute": 0.25},
        "for": "1500ms",
    },
    {
        "id": "absence",
        "scope": "zone",
        "where": {"zones": ["desk"]},
        "absence": {"fewer_than": 1},
        "for": "10m",
        "keep_firing_for": "3s",
    },
    {
        "id": "share",
        "scope": "camera",
        "when": {"prob_any": ["anger", "fear", "sadness", "disgust"], "enter": 0.5, "exit": 0.4},
        "share": {"at_least": 0.4, "exit": 0.3, "min_population": 3, "over": "10s"},
        "for": "20s",
    },
]


@dataclass(frozen=True)
class Load:
    """The synthetic input: the same for the same numbers."""

    observations: int
    faces: int
    fps: int
    busy: float
    """Share of the time in which a face shows some expression strongly."""
    stays_s: int
    """A track is replaced by a new one after so long."""
    seed: int


def make_evaluator(cameras: Sequence[str], fps: int) -> RuleEvaluator:
    """The eight rules."""
    settings = Settings.model_validate(
        {
            "purpose": "benchmark",
            "cameras": {name: {"url": "scene://smile", "zones": {"desk": ZONE}} for name in cameras},
            "rules": RULES,
            "signals": {"confusion": {"surprise": 0.5, "anger": 0.3, "sadness": 0.2}},
        }
    )
    watched = {name: Watched(interval=1 / fps, zones=("desk",)) for name in cameras}
    return RuleEvaluator(settings.rule_set, cameras=watched)


def make_observations(load: Load, camera: str = "cam") -> Iterator[Observation]:
    """One camera: each face shows one expression for 2 s at a time, or is neutral."""
    rng = np.random.default_rng(load.seed)
    stretch, stay = 2 * load.fps, load.stays_s * load.fps
    shown = np.zeros(load.faces, int)
    for i in range(load.observations):
        if i % stretch == 0:
            strong = rng.random(load.faces) < load.busy
            shown = np.where(strong, rng.integers(1, len(LABELS), load.faces), 0)
        levels = rng.uniform(0.5, 0.95, load.faces)
        faces = tuple(
            _face(f"{camera}-{n}-{(i + n * stay // load.faces) // stay}", n, int(shown[n]), float(levels[n]))
            for n in range(load.faces)
        )
        yield Observation(camera, 1, i, START + i / load.fps, Clock.SENDER, faces)


def _face(track: str, place: int, shown: int, level: float) -> FaceTrack:
    rest = (1 - level) / (len(LABELS) - 1)
    scores = {label: level if i == shown else rest for i, label in enumerate(LABELS)}
    box = (100.0 * place, 50.0, 100.0 * place + 60, 120.0)
    label, intensity = LABELS[shown], 1 - scores["neutral"]
    return FaceTrack(track, 0.0, box, 0.99, 60.0, 0.8, label=label, scores=scores, intensity=intensity, zones=("desk",))


def measure(load: Load, rounds: int) -> dict[str, object]:
    """Process time of the best of `rounds`, so that other work on the machine counts little."""
    observations = list(make_observations(load))
    best = float("inf")
    for _ in range(rounds):
        evaluator, state = make_evaluator(["cam"], load.fps), EvaluatorState("cam")
        transitions = 0
        began = time.process_time()
        for observation in observations:
            transitions += len(evaluator.apply(state, observation))
        best = min(best, time.process_time() - began)
    return {
        "observations_per_s": round(load.observations / best),
        "us_per_observation": round(best / load.observations * 1e6, 2),
        "transitions": transitions,
        **memory_of(state),
    }


def memory_of(state: EvaluatorState) -> dict[str, object]:
    """Bytes of the stored state: of all, and of the largest slot of each rule."""
    largest = {
        rule: max((len(msgspec.json.encode(slot)) for slot in book.slots.values()), default=0)
        for rule, book in state.books.items()
    }
    return {"state_bytes": len(msgspec.json.encode(state)), "largest_slot_bytes": largest}


def soak(hours: float, load: Load, cameras: int) -> list[dict[str, object]]:
    """Memory by the hour while `cameras` busy cameras run through virtual time."""
    names = [f"cam-{n}" for n in range(cameras)]
    evaluator = make_evaluator(names, load.fps)
    states = {name: EvaluatorState(name) for name in names}
    count = int(hours * 3600 * load.fps)
    streams = [make_observations(replace(load, observations=count), name) for name in names]
    process, rows, transitions = psutil.Process(), [], 0
    for i, observations in enumerate(zip(*streams, strict=True)):
        for observation in observations:
            transitions += len(evaluator.apply(states[observation.camera_id], observation))
        if (i + 1) % (3600 * load.fps) == 0:
            stored = [memory_of(state) for state in states.values()]
            rows.append(
                {
                    "hour": (i + 1) // (3600 * load.fps),
                    "transitions": transitions,
                    "rss_mb": round(process.memory_info().rss / 1e6, 1),
                    "state_bytes": sum(int(str(one["state_bytes"])) for one in stored),
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def machine() -> dict[str, object]:
    """Where and from what the figures come."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "operators/rules"], capture_output=True, text=True, check=True
    )
    cpu = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip() + ("+" if changed.stdout else ""),
        "load_1m": float(Path("/proc/loadavg").read_text().split()[0]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure idle, usual and busy cameras, or let them soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--observations", type=int, default=20_000)
    parser.add_argument("--faces", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--busy", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--stays", type=int, default=60, help="seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--soak", type=parse_duration, help="virtual time, such as 24h, instead of the speeds")
    parser.add_argument("--cameras", type=int, default=5, help="of the soak")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args(arguments)
    if args.soak:
        load = Load(0, args.faces[-1], args.fps, args.busy[-1], args.stays, args.seed)
        results: list[Any] = soak(args.soak / 3600, load, args.cameras)
    else:
        loads = [
            Load(args.observations, faces, args.fps, busy, args.stays, args.seed)
            for faces in args.faces
            for busy in (args.busy if faces else args.busy[:1])
        ]
        results = [{"input": asdict(load), **measure(load, args.rounds)} for load in loads]
    text = json.dumps({"benchmark": "rules", "machine": machine(), "results": results}, indent=2)
    if args.output:
        args.output.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
