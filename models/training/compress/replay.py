"""A quantised ONNX file as a torch network, to be tuned as it will run, and written back.

Each pair of QuantizeLinear and DequantizeLinear becomes one fake quantisation, whose gradient is passed straight
through within the range (Jacob et al., arXiv 1712.05877). The ranges of activations are those of the file and stay; the
scales of weights follow the weights. So there is one opinion on what is rounded where, that of the quantiser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization.quant_utils import TENSOR_NAME_QUANT_SUFFIX
from torch import Tensor, nn

from operators.errors import ConfigError

__all__ = ["Replay"]

LARGEST = 127
"""Of a weight as a signed byte; -128 is not used, so that zero is in the middle."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One operator: what it does, the names of what it reads, and the name of its result."""

    do: Callable[..., Any]
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, Any]


class Replay(nn.Module):
    """Input `(n, 1, side, side)` in [0, 1]; output the logits of each head, as the quantised file computes them."""

    def __init__(self, quantised: ModelProto, source: ModelProto) -> None:
        """Take a file of `int8_static`, and the float one it was made from: its weights are what is tuned.

        Where both are the same float file, this is simply that network in torch. Raises ConfigError where it has an
        operator that this module doesn't know.
        """
        super().__init__()
        self.heads = tuple(output.name for output in quantised.graph.output)
        self._file = quantised
        self._input = quantised.graph.input[0].name
        stored = {one.name: numpy_helper.to_array(one) for one in quantised.graph.initializer}
        floats = {one.name: numpy_helper.to_array(one) for one in source.graph.initializer}
        masters = {name: value for name, value in floats.items() if value.dtype == np.float32 and value.ndim}
        self.weights = nn.ParameterDict({_key(name): torch.tensor(value) for name, value in masters.items()})
        self._constants = {name: value.tolist() for name, value in stored.items() if name not in masters}
        self._bytes = {
            node.output[0]: node.input[0].removesuffix(TENSOR_NAME_QUANT_SUFFIX)
            for node in quantised.graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in stored
        }
        self._steps = [_step(node, stored) for node in quantised.graph.node if node.output[0] not in self._bytes]

    @torch.compiler.disable  # one operator after the other is not what it can trace: it compiled each of them alone
    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        # bfloat16 is coarser than the steps to be learnt
        with torch.autocast(faces.device.type, enabled=False) if self._bytes else nullcontext():
            values: dict[str, Any] = {self._input: faces.float()}
            for step in self._steps:
                given = [values[name] if name in values else self._stored(name) for name in step.inputs]
                values[step.output] = step.do(*given, **step.attributes)
        return tuple(values[head] for head in self.heads)

    def file(self) -> ModelProto:
        """The quantised file with the weights as they are now."""
        model = ModelProto()
        model.CopyFrom(self._file)
        stored = {one.name: one for one in model.graph.initializer}
        dequantised = {node.output[0]: node for node in model.graph.node if node.output[0] in self._bytes}
        for name, one in stored.items():
            if _key(name) in self.weights:
                _put(one, self.weights[_key(name)])
        for node in model.graph.node:
            if node.op_type == "Conv" and node.input[1] in dequantised:
                weight, *bias = (dequantised[name] for name in node.input[1:])
                before = numpy_helper.to_array(stored[weight.input[1]])
                now = self._store_weight(stored, weight)
                for one in bias:  # its steps are those of the input times those of the weight
                    scale = numpy_helper.to_array(stored[one.input[1]]) * now / before
                    value = self.weights[_key(self._bytes[one.output[0]])].detach().numpy()
                    _put(stored[one.input[0]], np.round(value / scale).astype(np.int32))
                    _put(stored[one.input[1]], scale)
        return model

    def _stored(self, name: str) -> Any:  # noqa: ANN401 -- a weight or a constant; None where an input is left out
        if name in self._bytes:
            weight = self.weights[_key(self._bytes[name])]
            return _rounded(weight) if weight.ndim > 1 else weight  # a bias has 32 bits, which is as good as float
        return self.weights[_key(name)] if _key(name) in self.weights else self._constants.get(name)

    def _store_weight(self, stored: Mapping[str, TensorProto], node: NodeProto) -> NDArray[np.float32]:
        """Put the bytes of one weight and its scales; returns these, `(channels,)`."""
        weight = self.weights[_key(self._bytes[node.output[0]])].detach()
        scale = _scale(weight)
        steps = torch.round(weight / scale.view(-1, *[1] * (weight.ndim - 1)))
        _put(stored[node.input[0]], steps.clamp(-LARGEST, LARGEST).to(torch.int8).numpy())
        _put(stored[node.input[1]], scale.numpy())
        return scale.numpy()


def _step(node: NodeProto, stored: Mapping[str, NDArray[Any]]) -> _Step:
    """How torch does what a node asks for; raises ConfigError."""
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    if node.op_type == "QuantizeLinear":
        scale, zero = (stored[name].item() for name in node.input[1:])
        return _Step(_fake, node.input[:1], node.output[0], {"scale": scale, "zero": zero})
    if node.op_type == "DequantizeLinear":
        return _Step(lambda x: x, node.input[:1], node.output[0], {})
    if node.op_type not in _OPERATORS:
        raise ConfigError(f"tuning a quantised network doesn't know the operator {node.op_type}: use int8-static")
    return _Step(_OPERATORS[node.op_type], node.input, node.output[0], attributes)


def _key(name: str) -> str:
    """The name of an initialiser as that of a parameter, which has no dots."""
    return name.replace(".", "/")


def _put(stored: TensorProto, value: NDArray[Any] | Tensor) -> None:
    array = value.detach().numpy() if isinstance(value, Tensor) else value
    stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), stored.name))


def _fake(x: Tensor, *, scale: float, zero: int) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)


def _scale(weight: Tensor) -> Tensor:
    """Steps of a weight for each of its output channels, the first axis."""
    return (weight.detach().abs().flatten(1).amax(1) / LARGEST).clamp(min=1e-12)


def _rounded(weight: Tensor) -> Tensor:
    """A weight as it will be stored."""
    zeros = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, _scale(weight), zeros, 0, -LARGEST, LARGEST)


def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    group: int = 1,
    **_: object,
) -> Tensor:
    return F.conv2d(x, weight, bias, tuple(strides), tuple(pads[:2]), tuple(dilations), group)


def _gemm(x: Tensor, weight: Tensor, bias: Tensor, *, transB: int = 0, **_: object) -> Tensor:  # noqa: N803 -- ONNX's
    return F.linear(x, weight if transB else weight.T, bias)


def _pool(x: Tensor, *, kernel_shape: Sequence[int], strides: Sequence[int], **_: object) -> Tensor:
    return F.avg_pool2d(x, tuple(kernel_shape), tuple(strides))


_OPERATORS: Mapping[str, Callable[..., Tensor]] = {
    "Add": lambda a, b: a + b,
    "AveragePool": _pool,
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "Conv": _conv,
    "Div": lambda a, b: a / b,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "HardSigmoid": lambda x, **_: F.hardsigmoid(x),
    "HardSwish": F.hardswish,
    "Mul": lambda a, b: a * b,
    "ReduceMax": lambda x, axes, keepdims=1, **_: x.amax(tuple(axes), keepdim=bool(keepdims)),
    "ReduceMean": lambda x, axes, keepdims=1, **_: x.mean(tuple(axes), keepdim=bool(keepdims)),
    "Relu": torch.relu,
    "Reshape": lambda x, shape, **_: x.reshape(shape),
    "Sigmoid": torch.sigmoid,
    "Sub": lambda a, b: a - b,
}
