"""Write an enlarging network as ONNX: free batch, height and width, compared with torch on several sizes."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto

from models.training.export import OPSET, TOLERANCE, strip
from models.training.superres.chain import load_chain
from models.training.superres.network import LumaNet
from operators.errors import ConfigError, ModelError

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
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "net.onnx"
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 1, 20, 24),),
            target,
            input_names=["small"],
            output_names=["large"],
            dynamic_shapes=(free,),
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
        made = onnx.load(target)
    strip(made)
    worst = worst_difference(network, made)
    if worst > TOLERANCE:
        raise ModelError(f"the ONNX network differs from torch by {worst:.2g}, allowed is {TOLERANCE:g}")
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
