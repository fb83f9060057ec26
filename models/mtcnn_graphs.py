"""The three networks of MTCNN as ONNX graphs around plain arrays. Zhang et al., arXiv 1604.02878, figure 2.

The `mtcnn` package stores convolutions as `(height, width, in, out)` and dense layers as `(in, out)` over features in
the order width, height, channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

__all__ = ["Weights", "build_graphs"]

Weights = Sequence[NDArray[np.float32]]


def build_graphs(weights: Mapping[str, Weights]) -> dict[str, bytes]:
    """Serialised networks `pnet`, `rnet` and `onet` from their arrays in the order of the layers.

    Input of each: `(n, h, w, 3)` uint8 RGB. Outputs of P-Net are the maps `offsets (n, 4, h', w')` and
    `scores (n, h', w')`; of R-Net `offsets (n, 4)`, `scores (n,)`; of O-Net `offsets (n, 4)`, `scores (n,)` and
    `points (n, 10)`.
    """
    return {"pnet": _pnet(weights["pnet"]), "rnet": _rnet(weights["rnet"]), "onet": _onet(weights["onet"])}


def _pnet(weights: Weights) -> bytes:
    net = _Network("pnet", weights)
    x = net.convolve(net.normalise("image"))
    x = net.convolve(net.pool(x, 2))
    x = net.convolve(x)
    net.output("offsets", net.linear_map(x), [None, 4, None, None])
    net.output("scores", net.face_share(net.linear_map(x)), [None, None, None])
    return net.serialise()


def _rnet(weights: Weights) -> bytes:
    net = _Network("rnet", weights)
    x = net.convolve(net.normalise("image"))
    x = net.convolve(net.pool(x, 3))
    x = net.convolve(net.pool(x, 3, ceil=False))
    x = net.prelu(net.dense(net.flatten(x)))
    net.output("offsets", net.dense(x), [None, 4])
    net.output("scores", net.face_share(net.dense(x)), [None])
    return net.serialise()


def _onet(weights: Weights) -> bytes:
    net = _Network("onet", weights)
    x = net.convolve(net.normalise("image"))
    x = net.convolve(net.pool(x, 3))
    x = net.convolve(net.pool(x, 3, ceil=False))
    x = net.convolve(net.pool(x, 2))
    x = net.prelu(net.dense(net.flatten(x)))
    offsets, points, classes = net.dense(x), net.dense(x), net.dense(x)
    net.output("offsets", offsets, [None, 4])
    net.output("scores", net.face_share(classes), [None])
    net.output("points", points, [None, 10])
    return net.serialise()


class _Network:
    """A graph under construction: each method adds a layer to a tensor, by name, and returns the name of the result."""

    def __init__(self, name: str, weights: Weights) -> None:
        self._name = name
        self._weights = iter(weights)
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._outputs: list[ValueInfoProto] = []

    def normalise(self, image: str) -> str:
        """`(n, h, w, 3)` bytes -> `(n, 3, h, w)` floats in about [-1, 1]."""
        floats = self._add("Transpose", self._add("Cast", image, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        centred = self._add("Sub", floats, self._constant(np.float32(127.5)))
        return self._add("Mul", centred, self._constant(np.float32(1 / 128)))

    def convolve(self, x: str) -> str:
        return self.prelu(self.linear_map(x))

    def linear_map(self, x: str) -> str:
        kernel = self._constant(np.ascontiguousarray(next(self._weights).transpose(3, 2, 0, 1)))
        return self._add("Conv", x, kernel, self._constant(next(self._weights)))

    def prelu(self, x: str) -> str:
        slope = next(self._weights)
        return self._add("PRelu", x, self._constant(slope.reshape(-1, 1, 1) if slope.ndim == 3 else slope))

    def pool(self, x: str, size: int, *, ceil: bool = True) -> str:
        return self._add("MaxPool", x, kernel_shape=[size, size], strides=[2, 2], ceil_mode=int(ceil))

    def flatten(self, x: str) -> str:
        return self._add("Flatten", self._add("Transpose", x, perm=[0, 3, 2, 1]))

    def dense(self, x: str) -> str:
        return self._add("Gemm", x, self._constant(next(self._weights)), self._constant(next(self._weights)))

    def face_share(self, classes: str) -> str:
        """Probability of the second class (a face) of two, along axis 1, which goes away."""
        axis = self._constant(np.array(1, np.int64))
        return self._add("Gather", self._add("Softmax", classes, axis=1), axis, axis=1)

    def output(self, name: str, x: str, shape: Sequence[int | None]) -> None:
        self._nodes.append(helper.make_node("Identity", [x], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def serialise(self) -> bytes:
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, [None, None, None, 3])
        graph = helper.make_graph(self._nodes, self._name, [image], self._outputs, self._constants)
        # Old enough for every ONNX Runtime that the extras allow.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(model.SerializeToString())

    def _add(self, kind: str, *inputs: str, **attributes: int | list[int]) -> str:
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _constant(self, value: ArrayLike) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name
