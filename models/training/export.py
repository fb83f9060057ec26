"""Export a trained network to ONNX, float32, with a free batch size, and compare it with torch.

Outputs are named by their heads. The file says the classes of each under the key `classes`, as JSON, so that it can be
measured and compressed without the run it comes from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto
from torch import nn

from models.training.expression import load_run
from models.training.tracing import agree, traced
from operators.errors import ConfigError

__all__ = ["check_target", "export", "to_onnx", "worst_difference"]


def check_target(target: Path) -> None:
    """Raise ConfigError where no file of that name can come to lie: better now than after the work."""
    folder = target.resolve().parent
    if not folder.is_dir():
        raise ConfigError(f"{target} can't be written: there is no folder {folder}; make it first")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder: expected the name of an ONNX file")


def export(run: Path, target: Path) -> str:
    """Write the result of a run and return its sha256; raises ModelError if it doesn't agree with torch."""
    result = load_run(run)
    onnx.save(to_onnx(result.model, result.classes, side=result.recipe.side), target)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def to_onnx(model: nn.Module, classes: Mapping[str, Sequence[str]], *, side: int) -> ModelProto:
    """A network with one output for each head, as ONNX; raises ModelError if the two don't agree."""
    network = traced(
        model,
        (torch.zeros(2, 1, side, side),),
        inputs=["faces"],
        outputs=list(classes),
        free={0: torch.export.Dim("n", min=1)},
    )
    onnx.helper.set_model_props(
        network, {"classes": json.dumps({head: list(names) for head, names in classes.items()})}
    )
    agree(worst_difference(model, network, side))
    return network


def worst_difference(model: nn.Module, exported: Path | ModelProto, side: int) -> float:
    """Largest difference between the logits of torch and of an ONNX file, on random pictures."""
    faces = torch.rand(5, 1, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = [output.numpy() for output in model(faces)]
    file = exported if isinstance(exported, Path) else exported.SerializeToString()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    got = session.run(None, {"faces": faces.numpy()})
    return max(float(np.abs(a - b).max()) for a, b in zip(expected, got, strict=True))
