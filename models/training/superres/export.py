"""Write an enlarging network as ONNX: free batch, height and width, compared with torch on several sizes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto

from models.training.superres.chain import load_chain
from models.training.superres.network import LumaNet
from models.training.tracing import agree, traced
from operators.errors import ConfigError

__all__ = ["export", "to_onnx", "worst_difference"]

SIZES = ((1, 12, 12), (3, 17, 24), (2, 40, 9))
"""Batch, height and width of the pictures that the two are compared on."""


def export(run: Path, target: Path) -> str:
    """Write the enlarging network of a run and return its sha256; raises ConfigError where the run has none."""
    network = load_chain(run).chain.enlarger
    if network is None:
        raise ConfigError(f"{run} tuned a classifier behind a bilinear enlargement: there is no network to export")
    onnx.save(to_onnx(network), target)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def to_onnx(network: LumaNet) -> ModelProto:
    """The network, `small (n, 1, h, w)` -> `large`; raises ModelError if the two don't agree."""
    free = {0: torch.export.Dim("n", min=1), 2: torch.export.Dim("h", min=4), 3: torch.export.Dim("w", min=4)}
    example = (torch.zeros(2, 1, 20, 24),)
    made = traced(network, example, inputs=["small"], outputs=["large"], free=free)
    agree(worst_difference(network, made))
    return made


@torch.no_grad()
def worst_difference(network: LumaNet, made: ModelProto) -> float:
    """Largest difference between the grey values in [0, 1] of torch and ONNX, on random pictures."""
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    draw = torch.Generator().manual_seed(1)
    worst = 0.0
    for count, height, width in SIZES:
        small = torch.rand(count, 1, height, width, generator=draw)
        (large,) = session.run(None, {"small": small.numpy()})
        worst = max(worst, float(np.abs(network(small).numpy() - large).max()))
    return worst
