"""What the network of a model answers to a made-up input, kept in tests/golden/models and compared on every machine.

    python -m tests.golden_models NAME [--run RUN] [--mirror DIR]

With the run that a network was exported from, the answers are those of torch, so that CI proves without torch that the
ONNX file is the network that was trained. Without one they are those of ONNX Runtime here, and prove that the file
answers the same on other machines and in later versions.

Two tolerances hold for each output, in units of its standard deviation: no value is off by more than `worst`, and on
the mean they are off by no more than `mean`. Nothing is written where the ONNX file itself is further off.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnxruntime

from models.catalogue import Entry, find
from models.mtcnn_graphs import build_graphs
from models.registry import weights
from operators.errors import ConfigError

FOLDER = Path(__file__).parent / "golden" / "models"
SEED = 6
SAMPLES = 32
"""How many values of each output are kept, evenly spread over it."""
TOLERANCES = {"-int8": (0.5, 0.15), "-fp16": (0.02, 0.005)}
"""By the end of a model's name."""
FLOAT = (1e-3, 1e-4)
SIDES = {"rnet": 24, "onet": 48}
"""Pixels that a graph wants although its shape leaves them free."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Golden:
    """What is kept of one model: `[graph][output]` sampled values; `spread` is the standard deviation of the output."""

    made_by: str
    run: str
    worst: float
    mean: float
    values: Mapping[str, Mapping[str, list[float]]]
    spread: Mapping[str, Mapping[str, float]]


def read(name: str) -> Golden:
    """The golden answers of a model."""
    return Golden(**json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


def graphs(entry: Entry, mirror: Path | None = None) -> dict[str, bytes]:
    """The ONNX networks that a model consists of."""
    files = weights(entry.name, mirror=mirror)
    if entry.arch == "mtcnn":
        return dict(build_graphs({Path(file).stem: joblib.load(io.BytesIO(data)) for file, data in files.items()}))
    return dict(files)


def answers(entry: Entry, mirror: Path | None = None) -> dict[str, Arrays]:
    """Every output that the model uses of every graph, in ONNX Runtime."""
    found = {}
    for graph, data in graphs(entry, mirror).items():
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        names = list(entry.outputs) or [output.name for output in session.get_outputs()]
        found[graph] = dict(zip(names, session.run(names, made_up(session, entry, graph)), strict=True))
    return found


def made_up(session: onnxruntime.InferenceSession, entry: Entry, graph: str) -> Arrays:
    """Noise for every input: a batch of two, 64 pixels where the size is free; bytes, shares, or what YuNet reads."""
    rng = np.random.default_rng(SEED)
    inputs = {}
    for each in session.get_inputs():
        free = [2] + [SIDES.get(graph, 64)] * (len(each.shape) - 1)
        shape = [side if isinstance(side, int) else free[axis] for axis, side in enumerate(each.shape)]
        if "uint8" in each.type:
            inputs[each.name] = rng.integers(0, 256, shape, np.uint8)
        else:
            top = 255 if entry.arch == "yunet" else 1
            inputs[each.name] = (top * rng.random(shape)).astype(np.float16 if "float16" in each.type else np.float32)
    return inputs


def of_torch(entry: Entry, run: Path, mirror: Path | None = None) -> dict[str, Arrays]:
    """The same outputs from the run in torch."""
    if entry.task not in {"expression", "enhancer"}:
        raise ConfigError(f"no run of a model that is a {entry.task} can be read here: leave --run out")
    import torch  # noqa: PLC0415 -- only where there is a run

    from models.training.expression import load_run  # noqa: PLC0415
    from models.training.superres.chain import load_chain  # noqa: PLC0415

    ((graph, data),) = graphs(entry, mirror).items()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (pictures,) = made_up(session, entry, graph).values()
    given = torch.from_numpy(pictures.astype(np.float32))
    with torch.no_grad():
        if entry.task == "enhancer":
            return {graph: {session.get_outputs()[0].name: load_chain(run).chain.enlarger(given).numpy()}}
        result = load_run(run)
        named = dict(zip(result.classes, result.model.eval()(given), strict=True))
    return {graph: {name: named[name].numpy() for name in entry.outputs}}


def sampled(output: np.ndarray) -> list[float]:
    """Some values, evenly spread."""
    flat = output.reshape(-1).astype(float)
    return [float(value) for value in flat[np.linspace(0, len(flat) - 1, min(SAMPLES, len(flat))).astype(int)]]


def differences(golden: Golden, found: Mapping[str, Arrays]) -> dict[str, tuple[float, float]]:
    """The largest and the mean difference of each output, in units of its spread."""
    off = {}
    for graph, outputs in golden.values.items():
        for name, values in outputs.items():
            gap = np.abs(np.array(sampled(found[graph][name])) - np.array(values)) / golden.spread[graph][name]
            off[f"{graph} {name}"] = (float(gap.max()), float(gap.mean()))
    return off


def make(entry: Entry, *, run: Path | None = None, mirror: Path | None = None) -> Golden:
    """The golden answers of a model; raises ConfigError where its ONNX file differs from the run beyond tolerance."""
    here = answers(entry, mirror)
    true = here if run is None else of_torch(entry, run, mirror)
    worst, mean = next((both for end, both in TOLERANCES.items() if entry.name.endswith(end)), FLOAT)
    golden = Golden(
        made_by=f"onnxruntime {onnxruntime.__version__}" if run is None else "torch",
        run="" if run is None else run.name,
        worst=worst,
        mean=mean,
        values={graph: {name: sampled(one) for name, one in outputs.items()} for graph, outputs in true.items()},
        spread={
            graph: {name: max(float(one.std()), 1e-6) for name, one in outputs.items()}
            for graph, outputs in true.items()
        },
    )
    for output, (most, usual) in differences(golden, here).items():
        if most > worst or usual > mean:
            off = f"off by {most:.2g}, on the mean {usual:.2g}"
            raise ConfigError(f"{output} of {entry.name} is not that of {run}: {off}")
    return golden


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--run", type=Path, help="folder of the training that it was exported from; needs torch")
    parser.add_argument("--mirror", type=Path, help="folder with files that don't come with mien")
    given = parser.parse_args()
    entry = find(given.name)
    golden: dict[str, Any] = asdict(make(entry, run=given.run, mirror=given.mirror))
    target = FOLDER / f"{entry.name}.json"
    target.write_text(json.dumps(golden, indent=1) + "\n", "utf-8")
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
