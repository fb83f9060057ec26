"""Write a temporal head as ONNX: one reading of each of n faces in, readings over time and what is remembered out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from models.session import Session
from models.temporal import TEMPORAL_INPUTS, TEMPORAL_OUTPUTS
from models.training.temporal.arch import TimedGru
from models.training.temporal.train import Head, load_head
from models.training.tracing import agree, traced
from operators.errors import ConfigError

__all__ = ["as_onnx", "export"]

TOLERANCE = 1e-5
_STEPS = 50


def export(run: Path, target: Path) -> str:
    """Write the result of a run and return its sha256.

    Raises ConfigError for an architecture that needs more than readings, ModelError if ONNX doesn't agree with torch.
    """
    data = as_onnx(load_head(run))
    target.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def as_onnx(head: Head) -> bytes:
    """The network of a head, after comparing it with torch over a track; raises as `export`."""
    model = head.model
    if not isinstance(model, TimedGru):
        raise ConfigError(
            f"{head.recipe.model.arch} reads the features of a classifier, which no runtime has: it is there to be "
            "measured; expected arch: gru"
        )
    # Each a tensor of its own: given one tensor twice, the exporter takes two inputs for the same.
    example = tuple(torch.full((2, width), 0.1) for width in (len(head.labels), 1, 1, 1, model.remembered))
    network = traced(
        model, example, inputs=TEMPORAL_INPUTS, outputs=TEMPORAL_OUTPUTS, free={0: torch.export.Dim.DYNAMIC}
    )
    data = bytes(network.SerializeToString())
    agree(_worst_difference(model, data, len(head.labels)), allowed=TOLERANCE)
    return data


@torch.no_grad()
def _worst_difference(model: TimedGru, data: bytes, classes: int) -> float:
    """Largest difference of any output over some steps, each from its own memory."""
    rng = np.random.default_rng(1)
    session = Session(data, threads=1, outputs=TEMPORAL_OUTPUTS)
    ours = theirs = np.zeros((3, model.remembered), np.float32)
    worst = 0.0
    for _ in range(_STEPS):
        probs = rng.dirichlet(np.ones(classes), 3).astype(np.float32)
        rest = [rng.uniform(low, 1, (3, 1)).astype(np.float32) for low in (0.0, 0.15, 0.02)]
        got = session(probs, *rest, theirs)
        expected = [one.numpy() for one in model(*map(torch.from_numpy, (probs, *rest, ours)))]
        worst = max(worst, *(float(np.abs(a - b).max()) for a, b in zip(expected, got, strict=True)))
        ours, theirs = expected[2], got[2]
    return worst
