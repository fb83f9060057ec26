"""Export a trained network to ONNX, float32, with a free batch size, and compare it with torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from models.training.archs import Network
from models.training.expression import load_run
from operators.errors import ModelError

__all__ = ["export", "worst_difference"]

TOLERANCE = 1e-4
OPSET = 18


def export(run: Path, target: Path) -> str:
    """Write the result of a run and return its sha256; raises ModelError if it doesn't agree with torch."""
    result = load_run(run)
    side = result.recipe.side
    torch.onnx.export(
        result.model,
        (torch.zeros(2, 1, side, side),),
        target,
        input_names=["faces"],
        output_names=list(result.classes),
        dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
    )
    _strip(target)
    worst = worst_difference(result.model, target, side)
    if worst > TOLERANCE:
        target.unlink()
        raise ModelError(f"{target} differs from torch by {worst:.2g}, allowed is {TOLERANCE:g}")
    return hashlib.sha256(target.read_bytes()).hexdigest()


def worst_difference(model: Network, target: Path, side: int) -> float:
    """Largest difference between the logits of torch and of an ONNX file, on random pictures."""
    faces = torch.rand(5, 1, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = [output.numpy() for output in model(faces)]
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    got = session.run(None, {"faces": faces.numpy()})
    return max(float(np.abs(a - b).max()) for a, b in zip(expected, got, strict=True))


def _strip(target: Path) -> None:
    """Drop what the exporter notes of this machine: stack traces with its paths."""
    network = onnx.load(target)
    for part in (network, network.graph, *network.graph.node, *network.graph.value_info, *network.graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    onnx.save(network, target)
