"""ONNX in float32 -> INT8 or FP16, after training (Jacob et al., arXiv 1712.05877; Wu et al., arXiv 2004.09602).

Weights are signed bytes with a scale for each channel, activations unsigned bytes with one for each tensor: what the
integer dot products of x86 (VNNI) and Arm take as they are. The file holds QuantizeLinear and DequantizeLinear pairs
around float operators (QDQ), which ONNX Runtime fuses into integer ones; TensorRT and CUDA read the same file.
"""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_dynamic
from onnxruntime.quantization import quantize_static as quantize_qdq
from onnxruntime.transformers.float16 import convert_float_to_float16

from models.session import Session
from models.training.augment import degrade
from models.training.faces import Grey
from models.training.recipe import Degrade

__all__ = [
    "CALIBRATIONS",
    "Calibration",
    "answers",
    "calibration_faces",
    "fp16",
    "heads",
    "int8_dynamic",
    "int8_static",
]

Floats = NDArray[np.float32]
Calibration = Literal["percentile", "average", "minmax"]

CALIBRATIONS: Mapping[Calibration, tuple[CalibrationMethod, dict[str, float]]] = {
    "percentile": (CalibrationMethod.Percentile, {"CalibPercentile": 99.999}),
    "average": (CalibrationMethod.MinMax, {"CalibMovingAverage": True}),
    "minmax": (CalibrationMethod.MinMax, {}),
}
"""How the range of an activation follows from what calibration saw: all but one value in 100,000, the average of its
ends over batches, or all of it. ONNX Runtime's `entropy` has as many bins as levels, so it gives what `minmax` does."""

CALIBRATED_ON = 512
DEGRADED = 0.5
"""Share of the calibration faces that a camera has spoilt: ranges must hold for far faces too."""
BATCH = 64


def int8_dynamic(source: ModelProto) -> ModelProto:
    """Weights as INT8; the range of every activation is measured anew at each call, so nothing has to be calibrated."""
    copy = ModelProto()
    copy.CopyFrom(source)
    del copy.graph.value_info[:]  # the quantiser transposes weights, and shapes that were noted before contradict it
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "net.onnx"
        quantize_dynamic(copy, target, weight_type=QuantType.QUInt8, per_channel=True)
        return onnx.load(target)


def int8_static(source: ModelProto, faces: Floats, *, calibration: Calibration = "percentile") -> ModelProto:
    """Weights and activations as INT8, with ranges measured once on `faces (n, 1, side, side)` in [0, 1].

    The first convolution and the heads stay float: they are a hundredth of the work, and both exactness and, with
    one input channel, speed are better so.
    """
    prepared = integer_friendly(source)
    method, extra = CALIBRATIONS[calibration]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "net.onnx"
        quantize_qdq(
            prepared,
            target,
            _Batches(prepared.graph.input[0].name, faces),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=method,
            nodes_to_exclude=_kept_float(prepared.graph),
            extra_options=extra,
        )
        return onnx.load(target)


def fp16(source: ModelProto) -> ModelProto:
    """Weights and arithmetic in half precision, float32 at both ends: half the size, and fast on GPUs only."""
    copy = ModelProto()
    copy.CopyFrom(source)
    return convert_float_to_float16(copy, keep_io_types=True)


def calibration_faces(images: Grey, *, seed: int, count: int = CALIBRATED_ON) -> Floats:
    """Training faces drawn by a seed, half of them as a camera sees them from afar: `(count, 1, side, side)`."""
    rng = np.random.default_rng(seed)
    drawn = images[rng.choice(len(images), min(count, len(images)), replace=False)]
    how = Degrade()
    return as_faces(np.stack([degrade(image, rng, how) if rng.random() < DEGRADED else image for image in drawn]))


def as_faces(images: Grey) -> Floats:
    """Grey bytes `(n, side, side)` as the network reads them: `(n, 1, side, side)` in [0, 1]."""
    return np.asarray(images, np.float32)[:, None] / np.float32(255)


def heads(model: ModelProto) -> tuple[str, ...]:
    """Names of the outputs: the questions that the network answers."""
    return tuple(output.name for output in model.graph.output)


def answers(model: ModelProto, faces: Floats) -> dict[str, Floats]:
    """Logits of each head `(n, k)`, as the run time computes them."""
    session = Session(model.SerializeToString(), threads=1, outputs=heads(model))
    parts = [session(faces[start : start + BATCH]) for start in range(0, len(faces), BATCH)]
    return {head: np.concatenate(rows) for head, rows in zip(heads(model), zip(*parts, strict=True), strict=True)}


def integer_friendly(source: ModelProto) -> ModelProto:
    """The same function, said so that all of it has fast integer kernels in ONNX Runtime.

    A mean over all places becomes GlobalAveragePool, and a pool of 2x2 before a 1x1 convolution one convolution of 2x2:
    it multiplies four times as much, but the integer pool costs more than that, and rounds once more.
    """
    model = ModelProto()
    model.CopyFrom(source)
    graph = model.graph
    for node in list(graph.node):
        if _is_global_mean(node, graph):
            node.CopyFrom(helper.make_node("GlobalAveragePool", node.input[:1], node.output, node.name))
        elif node.op_type == "AveragePool":
            _merge_pool(node, graph)
    used = {name for node in graph.node for name in node.input}
    kept = [one for one in graph.initializer if one.name in used]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    return model


def _is_global_mean(node: NodeProto, graph: GraphProto) -> bool:
    if node.op_type != "ReduceMean" or _attributes(node).get("keepdims", 1) != 1 or len(node.input) < 2:
        return False
    axes = _initialiser(graph, node.input[1])
    return axes is not None and sorted(axes.tolist()) in ([2, 3], [-2, -1])


def _merge_pool(pool: NodeProto, graph: GraphProto) -> None:
    """Let the 1x1 convolution that alone reads a pool without overlap do its work."""
    readers = [node for node in graph.node if pool.output[0] in node.input]
    side, stride = (tuple(_attributes(pool).get(name, ())) for name in ("kernel_shape", "strides"))
    if side != stride or any(_attributes(pool).get("pads", ())) or len(readers) != 1 or readers[0].op_type != "Conv":
        return
    conv = readers[0]
    weight = _initialiser(graph, conv.input[1])
    if weight is None or weight.shape[2:] != (1, 1) or _attributes(conv).get("group", 1) != 1:
        return
    if any(_attributes(conv).get("pads", ())) or set(_attributes(conv).get("strides", ())) - {1}:
        return
    spread = np.broadcast_to(weight / np.float32(np.prod(side)), (*weight.shape[:2], *side))
    stored = next(one for one in graph.initializer if one.name == conv.input[1])
    stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(spread), stored.name))
    merged = helper.make_node(
        "Conv", [pool.input[0], *conv.input[1:]], conv.output, conv.name, kernel_shape=side, strides=side
    )
    conv.CopyFrom(merged)
    graph.node.remove(pool)


def _kept_float(graph: GraphProto) -> list[str]:
    """Names of the nodes before the second convolution, and of the heads with what flattens for them."""
    first = next(node for node in graph.node if node.op_type == "Conv")
    stem = [first, *(node for node in graph.node if node.op_type == "Relu" and node.input[0] == first.output[0])]
    ends = [node for node in graph.node if node.op_type in {"Gemm", "Reshape", "Flatten"}]
    return [node.name for node in (*stem, *ends)]


def _attributes(node: NodeProto) -> dict[str, object]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _initialiser(graph: GraphProto, name: str) -> NDArray[np.generic] | None:
    return next((numpy_helper.to_array(one) for one in graph.initializer if one.name == name), None)


class _Batches(CalibrationDataReader):
    """The calibration faces, some at a time, as their activations have to fit into memory.

    All batches are of one size, which the histograms of ONNX Runtime ask for; what is left over isn't used.
    """

    def __init__(self, name: str, faces: Floats) -> None:
        size = min(BATCH, len(faces))
        starts = range(0, len(faces) - size + 1, size)
        self._left: Iterator[dict[str, Floats]] = ({name: faces[start : start + size]} for start in starts)

    def get_next(self) -> dict[str, Floats] | None:
        return next(self._left, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser prints its progress, and advises a pre-processing that the exporter has done already."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.root.setLevel(level)
