"""Tiny ONNX networks with the signatures of the real ones and seeded random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

HEADS = {"ferplus": 8, "fer2013": 7, "intensity": 2}
NUMBERS = {"middle": 0.5, "factor": 8.0}
"""Of `brightness_network`."""


def expression_network(seed: int = 1) -> bytes:
    """Input `faces (n, 1, 48, 48)`; logits `(n, k)` of each head: one dense layer each."""
    rng = np.random.default_rng(seed)
    weights, nodes = [], [helper.make_node("Flatten", ["faces"], ["flat"])]
    for name, classes in HEADS.items():
        weights.append(numpy_helper.from_array(rng.normal(0, 0.1, (48 * 48, classes)).astype(np.float32), f"w_{name}"))
        nodes.append(helper.make_node("MatMul", ["flat", f"w_{name}"], [name]))
    results = [(name, ["n", classes]) for name, classes in HEADS.items()]
    return _serialise(nodes, [("faces", ["n", 1, 48, 48])], results, weights)


def upscaling_network(scale: int, *, channels: int = 3) -> bytes:
    """Input `x (n, channels, h, w)`; output `y`, every pixel repeated `scale` times."""
    scales = numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "scales")
    resize = helper.make_node(
        "Resize", ["x", "", "scales"], ["y"], coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    result = ("y", ["n", channels, "larger_h", "larger_w"])
    return _serialise([resize], [("x", ["n", channels, "h", "w"])], [result], [scales])


def temporal_network(classes: int = 8) -> bytes:
    """The signature of a temporal head; what it does is the exponential average over 1 s: remembered are probabilities.

    Inputs `probs (n, k)`, `intensity`, `quality` and `dt (n, 1)`, `memory (n, k + 1)`.
    """
    nodes = [
        helper.make_node("Mul", ["dt", "quality"], ["seen"]),
        helper.make_node("Neg", ["seen"], ["ago"]),
        helper.make_node("Exp", ["ago"], ["stays"]),
        helper.make_node("Concat", ["probs", "intensity"], ["reading"], axis=1),
        helper.make_node("Sub", ["memory", "reading"], ["old"]),
        helper.make_node("Mul", ["old", "stays"], ["rest"]),
        helper.make_node("Add", ["reading", "rest"], ["remembered"]),
        helper.make_node("Split", ["remembered", "parts"], ["probs_over_time", "intensity_over_time"], axis=1),
    ]
    cell = ["n", 1]
    sources = [("probs", ["n", classes]), ("intensity", cell), ("quality", cell), ("dt", cell)]
    results = [("probs_over_time", ["n", classes]), ("intensity_over_time", cell), ("remembered", ["n", classes + 1])]
    parts = numpy_helper.from_array(np.array([classes, 1], np.int64), "parts")
    return _serialise(nodes, [*sources, ("memory", ["n", classes + 1])], results, [parts])


def brightness_network(heads: Sequence[str]) -> bytes:
    """The signature of a classifier that calls bright faces bright.

    Each head's two logits are 0 and 8 times how far the mean grey is above 0.5.
    """
    middle, factor = (numpy_helper.from_array(np.array([value], np.float32), name) for name, value in NUMBERS.items())
    nodes = [
        helper.make_node("ReduceMean", ["faces"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Sub", ["mean", "middle"], ["above"]),
        helper.make_node("Mul", ["above", "factor"], ["bright"]),
        helper.make_node("Sub", ["bright", "bright"], ["dark"]),
        *(helper.make_node("Concat", ["dark", "bright"], [head], axis=1) for head in heads),
    ]
    results = [(head, ["n", 2]) for head in heads]
    return _serialise(nodes, [("faces", ["n", 1, 48, 48])], results, [middle, factor])


MINE = {"label": ["dark", "bright"], "intensity": ["neutral", "expressive"]}
"""What a classifier of one's own reads: classes by head."""


def own_classifier(
    path: Path, classes: Mapping[str, Sequence[str]] | None = MINE, *, heads: Sequence[str] = tuple(MINE)
) -> Path:
    """Write `brightness_network` to a file that names its classes, as `mien export` does; returns `path`."""
    model = ModelProto.FromString(brightness_network(heads))
    if classes is not None:
        helper.set_model_props(model, {"classes": json.dumps(classes)})
    path.write_bytes(model.SerializeToString())
    return path


Shape = tuple[str, Sequence[int | str]]


def _serialise(nodes: list, sources: Sequence[Shape], results: Sequence[Shape], weights: list) -> bytes:
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values]
        for values in (sources, results)
    )
    graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()
