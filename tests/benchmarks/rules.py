"""How many observations a second the rules take on one core: `python tests/benchmarks/rules.py --output rules.json`."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np

from operators.records import Clock, FaceTrack, Observation, Scope
from operators.rules import EvaluatorState, Predicate, Rule, RuleEvaluator, RuleSet, Where

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
FPS = 10


@dataclass(frozen=True)
class Load:
    """The synthetic input: the same for the same numbers."""

    observations: int
    faces: int
    rules: int
    busy: float
    """Share of the time in which a face shows some expression strongly."""
    seed: int


def make_rules(count: int) -> tuple[Rule, ...]:
    """Sustained rules over all expressions in turn: every fourth for the camera, every fifth for a zone."""
    scopes = [Scope.CAMERA if n % 4 == 3 else Scope.ZONE if n % 5 == 4 else Scope.TRACK for n in range(count)]
    return tuple(
        Rule(
            f"rule-{n}",
            Predicate(prob=LABELS[1 + n % 7], enter=0.6, exit=0.45),
            scope=scope,
            where=Where(zones=("desk",)) if scope is Scope.ZONE else Where(),
            for_=1.0 + n % 3,
            max_gap=0.7,
            cooldown=5.0,
            summary="{camera}: {duration}, peak {value.max:.2f}",
        )
        for n, scope in enumerate(scopes)
    )


def make_observations(load: Load) -> list[Observation]:
    """One camera at 10 frames a second: each face shows one expression for 2 s at a time, or is neutral."""
    rng = np.random.default_rng(load.seed)
    stretch = 2 * FPS
    shape = (load.observations // stretch + 1, load.faces)
    shown = np.where(rng.random(shape) < load.busy, rng.integers(1, len(LABELS), shape), 0)
    levels = rng.uniform(0.5, 0.95, (load.observations, load.faces))
    return [
        Observation(
            "cam", 1, i, 1_763_715_600 + i / FPS, Clock.SENDER,
            tuple(_face(n, int(shown[i // stretch, n]), float(levels[i, n])) for n in range(load.faces)),
        )
        for i in range(load.observations)
    ]  # fmt: skip


def _face(number: int, shown: int, level: float) -> FaceTrack:
    rest = (1 - level) / (len(LABELS) - 1)
    scores = {label: level if i == shown else rest for i, label in enumerate(LABELS)}
    box = (100.0 * number, 50.0, 100.0 * number + 60, 120.0)
    return FaceTrack(
        f"t{number}", 0.0, box, 0.99, 60.0, 0.8, label=LABELS[shown], scores=scores, intensity=0.5, zones=("desk",)
    )


def measure(load: Load, rounds: int) -> dict[str, object]:
    """Process time of the best of `rounds`, so that other work on the machine counts little."""
    evaluator = RuleEvaluator(RuleSet(make_rules(load.rules)))
    observations = make_observations(load)
    best = float("inf")
    for _ in range(rounds):
        state = EvaluatorState("cam")
        transitions = 0
        began = time.process_time()
        for observation in observations:
            transitions += len(evaluator.apply(state, observation))
        best = min(best, time.process_time() - began)
        stored = msgspec.json.encode(state)
    return {
        "observations_per_s": round(load.observations / best),
        "us_per_observation": round(best / load.observations * 1e6, 2),
        "transitions": transitions,
        "state_bytes_at_end": len(stored),
    }


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
    """Measure idle, usual and busy cameras."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--observations", type=int, default=20_000)
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rules", type=int, default=8)
    parser.add_argument("--busy", type=float, nargs="+", default=[0.0, 0.1, 1.0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args(arguments)
    loads = [Load(args.observations, faces, args.rules, busy, args.seed) for faces in args.faces for busy in args.busy]
    results = [{"input": asdict(load), **measure(load, args.rounds)} for load in loads]
    text = json.dumps({"benchmark": "rules", "machine": machine(), "results": results}, indent=2)
    if args.output:
        args.output.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
