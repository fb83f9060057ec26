"""A torch network as ONNX, without what the exporter notes of the machine it runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from onnx import ModelProto
from torch import Tensor, nn

from operators.errors import ModelError

__all__ = ["TOLERANCE", "agree", "traced"]

TOLERANCE = 1e-4
"""Largest difference from torch that is allowed."""
OPSET = 18


def traced(
    model: nn.Module,
    example: tuple[Tensor, ...],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    free: Mapping[int, object],
) -> ModelProto:
    """The network as float32 ONNX; `free` are the dimensions of every input that may have any size."""
    program = torch.onnx.export(
        model.eval(),
        example,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=(free,) * len(example),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    network = program.model_proto
    for part in (network, network.graph, *network.graph.node, *network.graph.value_info, *network.graph.initializer):
        del part.metadata_props[:]  # stack traces with the paths of this machine
        part.ClearField("doc_string")
    return network


def agree(worst: float, *, allowed: float = TOLERANCE) -> None:
    """Raise ModelError where the largest difference between torch and ONNX is more than that."""
    if worst > allowed:
        raise ModelError(f"the exported network differs from torch by {worst:.2g}, allowed is {allowed:g}")
