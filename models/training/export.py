"""Export a trained classifier to ONNX: `python -m models.training.export RUN_DIR models/weights/NAME.onnx`.

The averaged weights are exported, float32, with a free batch size, and compared with torch on random input.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from models.training.archs import SEResNet

TOLERANCE = 1e-4


def export(run: Path, target: Path) -> str:
    """Write the ONNX file and return its sha256; raises ValueError if it doesn't agree with torch."""
    saved = torch.load(run / "checkpoint.pt", weights_only=True)["averaged"]
    model = SEResNet()
    model.load_state_dict({key.removeprefix("module."): value for key, value in saved.items() if key != "n_averaged"})
    model.eval()
    torch.onnx.export(
        model,
        (torch.zeros(2, 1, 48, 48),),
        target,
        input_names=["faces"],
        output_names=["ferplus", "fer2013"],
        dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        opset_version=18,
        external_data=False,
        dynamo=True,
    )
    _strip(target)
    _agree(model, target)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def _strip(target: Path) -> None:
    """Drop what the exporter notes of this machine: stack traces with its paths."""
    network = onnx.load(target)
    for part in (network, network.graph, *network.graph.node, *network.graph.value_info, *network.graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    onnx.save(network, target)


def _agree(model: torch.nn.Module, target: Path) -> None:
    faces = torch.rand(5, 1, 48, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = [output.numpy() for output in model(faces)]
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    got = session.run(["ferplus", "fer2013"], {"faces": faces.numpy()})
    worst = max(float(np.abs(a - b).max()) for a, b in zip(expected, got, strict=True))
    if worst > TOLERANCE:
        raise ValueError(f"{target} differs from torch by {worst:.2g}, allowed is {TOLERANCE:g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder with checkpoint.pt")
    parser.add_argument("target", type=Path, help="ONNX file to write")
    arguments = parser.parse_args()
    print("sha256", export(arguments.run, arguments.target))


if __name__ == "__main__":
    main()
