"""What a training begins from: the weights of another run, or the trunk of a network that is already ONNX.

The exporter folds each batch norm into the convolution before it. Read back, such a norm only adds the bias; that is
the same function as long as the trunk stays frozen, and nothing to train it on from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from models.registry import weights as files_of
from models.training.archs import Network
from models.training.fit import load_checkpoint
from operators.errors import ConfigError

__all__ = ["beginning"]

TRUNK = "trunk."
EPSILON = 1e-5
"""Of every batch norm here."""


def beginning(init: Path, model: Network, *, device: str) -> dict[str, Tensor]:
    """Weights for a network, but for heads with other classes.

    `init` is the folder of a run, or where the trunk is frozen an ONNX file or a model of the registry too. Raises
    ConfigError where its architecture is another one.
    """
    own = model.state_dict()
    if init.is_dir():
        weights, _ = load_checkpoint(init, device)
    elif model.frozen:
        weights = {name: value.to(device) for name, value in _unfolded(_network(init), own).items()}
    else:
        raise ConfigError(f"expected the folder of a run to begin from, got {init}: others need freeze: true")
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    missing = [name for name in own if name.startswith(TRUNK) and name not in fitting]
    if missing and not all(name.endswith("num_batches_tracked") for name in missing):
        raise ConfigError(f"{init} holds another architecture: expected the model of the recipe")
    return fitting


def _network(init: Path) -> onnx.ModelProto:
    data = init.read_bytes() if init.is_file() else next(iter(files_of(str(init)).values()))
    try:
        network = onnx.load_from_string(data)
    except DecodeError as error:
        raise ConfigError(f"{init} is no ONNX file") from error
    if any(node.op_type == "DequantizeLinear" for node in network.graph.node):
        raise ConfigError(f"{init} is compressed: expected a network in float32, such as seresnet_base.ferplus-1")
    return network


def _unfolded(network: onnx.ModelProto, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by the names that torch gives them; batch norms add the biases that were folded."""
    values = {one.name: numpy_helper.to_array(one) for one in network.graph.initializer}
    weights = {name: torch.tensor(value) for name, value in values.items() if name in own and name.startswith(TRUNK)}
    for node in network.graph.node:
        if node.op_type == "Conv" and len(node.input) > 2:
            weights |= _norm(_after(node.input[1]), values[node.input[2]], own)
    return weights


def _after(weight: str) -> str:
    """Name of the layer after that of a convolution's weight: `trunk.3.body.0.weight` -> `trunk.3.body.1`."""
    layer = weight.removesuffix(".weight")
    before, _, number = layer.rpartition(".")
    return f"{before}.{int(number) + 1}" if number.isdigit() else layer


def _norm(name: str, bias: NDArray[np.float32], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if f"{name}.running_var" not in own:
        return {}
    shift = torch.tensor(bias)
    return {
        f"{name}.weight": torch.full_like(shift, math.sqrt(1 + EPSILON)),
        f"{name}.bias": shift,
        f"{name}.running_mean": torch.zeros_like(shift),
        f"{name}.running_var": torch.ones_like(shift),
    }
