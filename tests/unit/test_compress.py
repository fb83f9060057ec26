"""Quantisation of ONNX files and the table about it: what needs no torch."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("onnxruntime", reason="networks need one of the extras cpu and gpu")

from models.training.compress.measure import alike, answer, far_away, lost, pace, reports, temperatures
from models.training.compress.quantize import (
    CALIBRATIONS,
    answers,
    as_faces,
    calibration_faces,
    fp16,
    heads,
    int8_dynamic,
    int8_static,
    integer_friendly,
)
from models.training.compress.table import BEGIN, END, FLOAT, best, markdown, page, row
from models.training.faces import Data, Faces
from operators.errors import ConfigError

SIDE = 16


def network(seed: int = 1) -> onnx.ModelProto:
    """A residual network with a gate and a pooled shortcut, as those of this project are exported."""
    rng = np.random.default_rng(seed)
    stored = [numpy_helper.from_array(np.array([2, 3], np.int64), "axes")]
    nodes = []

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def conv(x: str, name: str, shape: tuple[int, ...], **attributes: object) -> str:
        weight = rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        stored.extend([numpy_helper.from_array(weight, f"{name}.w"), _vector(rng, shape[0], f"{name}.b")])
        return node("Conv", [x, f"{name}.w", f"{name}.b"], name, **attributes)

    around = {"pads": [1, 1, 1, 1]}
    stem = node("Relu", [conv("faces", "stem", (8, 1, 3, 3), **around)], "stem.relu")
    body = conv(stem, "body", (16, 8, 3, 3), strides=[2, 2], **around)
    mean = node("ReduceMean", [body, "axes"], "gate.mean", keepdims=1)
    squeezed = node("Relu", [conv(mean, "squeeze", (4, 16, 1, 1))], "squeeze.relu")
    gate = node("Sigmoid", [conv(squeezed, "excite", (16, 4, 1, 1))], "gate")
    pooled = node("AveragePool", [stem], "pool", kernel_shape=[2, 2], strides=[2, 2])
    shortcut = conv(pooled, "shortcut", (16, 8, 1, 1))
    both = node("Add", [node("Mul", [body, gate], "gated"), shortcut], "both")
    last = node("ReduceMean", [node("Relu", [both], "block"), "axes"], "last", keepdims=0)
    for head, classes in (("ferplus", 8), ("intensity", 2)):
        weight = rng.normal(0, 1, (classes, 16)).astype(np.float32)
        stored.extend([numpy_helper.from_array(weight, f"{head}.w"), _vector(rng, classes, f"{head}.b")])
        node("Gemm", [last, f"{head}.w", f"{head}.b"], head, transB=1)
    results = [helper.make_tensor_value_info(name, 1, ["n", k]) for name, k in (("ferplus", 8), ("intensity", 2))]
    source = helper.make_tensor_value_info("faces", 1, ["n", 1, SIDE, SIDE])
    noted = [helper.make_tensor_value_info("ferplus.w", 1, [8, 16])]  # as the exporter does
    graph = helper.make_graph(nodes, "net", [source], results, stored, value_info=noted)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _vector(rng: np.random.Generator, length: int, name: str) -> TensorProto:
    return numpy_helper.from_array(rng.normal(0, 0.1, length).astype(np.float32), name)


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    rng = np.random.default_rng(3)
    return as_faces(rng.integers(0, 256, (96, SIDE, SIDE), np.uint8))


@pytest.fixture(scope="module")
def data() -> Data:
    """Faces labelled as the float network reads them."""
    images = np.random.default_rng(4).integers(0, 256, (64, SIDE, SIDE), np.uint8)
    said = answers(network(), as_faces(images))
    targets = {head: np.eye(rows.shape[1], dtype=np.float32)[rows.argmax(1)] for head, rows in said.items()}
    split = Faces(images, targets, np.arange(64) % 4 > 0)
    classes = {"ferplus": ("fear", *"bcdefgh"), "intensity": ("still", "expressive")}
    return Data(split, split, classes, "0" * 64)


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_what_integers_are_slow_at_is_said_otherwise(faces):
    source = network()
    friendly = integer_friendly(source)
    assert "AveragePool" in kinds(source)
    assert "AveragePool" not in kinds(friendly)
    assert kinds(friendly).count("GlobalAveragePool") == 1  # the one that keeps its axes
    for head, rows in answers(friendly, faces).items():
        assert np.allclose(rows, answers(source, faces)[head], atol=1e-5)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_int8_static_answers_nearly_as_float(faces, calibration):
    made, source = int8_static(network(), faces, calibration=calibration), network()
    like = alike(answers(made, faces), answers(source, faces))
    assert like["ferplus"].agreement > 0.9
    assert like["ferplus"].difference < 0.01
    assert heads(made) == ("ferplus", "intensity")


def test_int8_static_keeps_the_first_convolution_and_the_heads_in_float(faces):
    made = int8_static(network(), faces)
    types = {one.name: one.data_type for one in made.graph.initializer}
    assert all(types[name] == TensorProto.FLOAT for name in ("stem.w", "ferplus.w", "intensity.w"))
    for name in ("body", "squeeze", "excite", "shortcut"):
        assert types[f"{name}.w_quantized"] == TensorProto.INT8
        assert types[f"{name}.w_scale"] == TensorProto.FLOAT
    by_channel = next(one for one in made.graph.initializer if one.name == "body.w_scale")
    assert list(by_channel.dims) == [16]


def test_int8_static_depends_on_nothing_but_the_face(faces):
    made = int8_static(network(), faces)
    assert made == int8_static(network(), faces)
    together, alone = answers(made, faces[:8]), [answers(made, face[None]) for face in faces[:8]]
    for head, rows in together.items():
        assert np.allclose(rows, np.concatenate([one[head] for one in alone]), atol=1e-5)


def test_the_source_stays_as_it_is(faces):
    source, before = network(), network()
    for make in (fp16, int8_dynamic, integer_friendly, lambda one: int8_static(one, faces)):
        make(source)
        assert source == before


def test_fp16_halves_the_weights_and_keeps_float_at_both_ends(faces):
    made = fp16(network())
    weight = next(one for one in made.graph.initializer if one.name == "body.w")
    assert weight.data_type == TensorProto.FLOAT16
    assert answers(made, faces)["ferplus"].dtype == np.float32
    assert alike(answers(made, faces), answers(network(), faces))["ferplus"].difference < 1e-3


def test_int8_dynamic_answers_nearly_as_float(faces):
    made = int8_dynamic(network())
    assert any(node.op_type == "ConvInteger" for node in made.graph.node)
    assert alike(answers(made, faces), answers(network(), faces))["ferplus"].difference < 0.02


def test_calibration_faces_are_drawn_by_the_seed():
    images = np.random.default_rng(5).integers(0, 256, (40, 48, 48), np.uint8)
    drawn = calibration_faces(images, seed=1, count=16)
    assert drawn.shape == (16, 1, 48, 48)
    assert 0 <= drawn.min() < drawn.max() <= 1
    assert np.array_equal(drawn, calibration_faces(images, seed=1, count=16))
    assert not np.array_equal(drawn, calibration_faces(images, seed=2, count=16))
    assert len(calibration_faces(images[:3], seed=1)) == 3
    originals = {image.tobytes() for image in (images / np.float32(255)).astype(np.float32)}
    kept = sum(face.tobytes() in originals for face in calibration_faces(images, seed=1)[:, 0])
    assert 5 < kept < 35  # the rest are degraded


def test_reports_are_those_of_the_heads_that_have_right_answers(data):
    said = answer(network(), data)
    found = reports(said, data, temperatures(said, data))
    assert list(found) == ["ferplus"]
    assert found["ferplus"].accuracy == 1.0
    assert found["ferplus"].faces == 48  # those beyond dispute
    cooler = reports(said, data, {"ferplus": 0.01})["ferplus"]
    assert cooler.calibration_error < reports(said, data)["ferplus"].calibration_error


def test_what_was_lost_is_told_from_half_a_point_on(data):
    said = answer(network(), data)
    before = reports(said, data)
    assert lost(before, before) == {}
    worse = {**said, "ferplus": said["ferplus"].copy()}
    first = np.flatnonzero(data.test.clear)[0]  # one face of 48 is two points
    worse["ferplus"][first] *= -1
    assert lost(reports(worse, data), before) == {"ferplus": pytest.approx(1 / 48)}
    assert lost(before, reports(worse, data)) == {}


def test_a_row_of_the_table(data):
    base = network()
    made, far = int8_static(base, as_faces(data.training.images)), far_away(data)
    found = row("int8", made, base, answer(base, data), data, far=far, rounds=2)
    assert found["variant"] == "int8"
    assert abs(found["accuracy"] - found["same_answer"]) < 0.1  # labels are the answers of the float network
    assert found["fear_recall"] <= 1
    assert found["batch_effect"] < 1e-4
    assert found["ms_16_faces_2_threads"] > 0 < found["float_ms_16_faces_2_threads"]
    assert 0 < found["intensity_difference"] < 0.02
    assert found["small_faces_accuracy"] == reports(answer(made, far), far)["ferplus"].accuracy


def test_faces_are_seen_from_far_away_at_every_size_and_quality(data):
    far, clear = far_away(data), int(data.test.clear.sum())
    assert set(far.classes) == {"ferplus"}
    assert len(far.test) == 6 * clear
    assert far.test.images.shape[1:] == data.test.images.shape[1:]
    assert (far.test.targets["ferplus"][:clear] == far.test.targets["ferplus"][-clear:]).all()
    assert (far.test.images[:clear] != far.test.images[-clear:]).any()


def made_up(
    variant: str, *, accuracy: float = 0.87, fer: float = 0.7, small: float = 0.6, ms: float = 1.0, effect: float = 0.0
) -> dict:
    paces = {f"ms_{count}_faces_{threads}_threads": ms for count in (1, 16) for threads in (1, 2)}
    floats = {f"float_{key}": 1.0 for key in paces}
    shares = {"accuracy": accuracy, "fer2013_accuracy": fer, "small_faces_accuracy": small}
    return {"variant": variant, **shares, "batch_effect": effect, "bytes": 1234567, **paces, **floats}


@pytest.mark.parametrize(
    ("other", "chosen"),
    [
        (made_up("b", ms=0.5), "b"),
        (made_up("b", ms=1.5), FLOAT),
        (made_up("b", ms=0.5, accuracy=0.8651), "b"),
        (made_up("b", ms=0.5, accuracy=0.8649), FLOAT),
        (made_up("b", ms=0.5, fer=0.69), FLOAT),
        (made_up("b", ms=0.5, small=0.59), FLOAT),
        (made_up("b", ms=0.5, effect=0.1), FLOAT),
    ],
    ids=[
        "faster",
        "slower",
        "loses little",
        "loses too much",
        "the other head does",
        "small faces do",
        "depends on the batch",
    ],
)
def test_the_default_is_the_fastest_that_loses_little(other, chosen):
    assert best([made_up(FLOAT), made_up("a", ms=0.9), other]) == (chosen if chosen == "b" else "a")
    assert best([made_up(FLOAT), other]) == chosen


def test_of_those_that_are_as_fast_the_first_is_taken():
    assert best([made_up(FLOAT), made_up("a", ms=0.54), made_up("b", ms=0.5)]) == "a"
    assert best([made_up(FLOAT), made_up("a", ms=0.56), made_up("b", ms=0.5)]) == "b"


def test_speed_is_against_the_float_network_beside_it():
    busy = {**made_up("b", ms=1.2), "float_ms_1_faces_1_threads": 4.0}
    assert best([made_up(FLOAT), made_up("a", ms=0.9), busy]) == "b"


def test_the_table_in_markdown():
    head, _, line = markdown([made_up("a", ms=0.5, effect=0.25)]).splitlines()
    assert head.startswith(
        "| variant | accuracy | fer2013 accuracy | small faces accuracy | batch effect | bytes | ms, 1 face, 1 thread |"
    )
    assert line == "| a | 87.0% | 70.0% | 60.0% | 0.2500 | 1,234,567 | " + " | ".join(["0.50 (1.00)"] * 4) + " |"


def test_both_networks_of_a_pace_are_timed(faces):
    timed = pace(network(), network(2), faces[:1], rounds=3)
    assert timed.ms > 0 < timed.float_ms


def figures(**changes: object) -> dict:
    rows = [made_up(FLOAT), made_up("int8", ms=0.5)]
    where = {"commit": "abc1234", "machine": "a machine", "data_sha256": "0" * 64, "trial": False}
    return {**where, "default": "int8", "rows": rows, **changes}


def test_the_figures_stand_in_the_page():
    text = page(f"before\n{BEGIN}old\n{END}after\n", figures())
    assert text.startswith(f"before\n{BEGIN}\n| variant |")
    assert "| int8 | 87.0%" in text
    assert "the default is **int8**.\nMeasured with commit abc1234 on a machine; data 000000000000." in text
    assert text.endswith(f"{END}after\n")
    assert page(text, figures()) == text
    with pytest.raises(ConfigError, match="expected the lines '<!-- figures"):
        page("nothing", figures())


def test_figures_of_a_trial_say_so():
    rows = [{"variant": FLOAT, "accuracy": 0.5, "bytes": 1}]
    text = page(f"{BEGIN}{END}", figures(trial=True, default=None, rows=rows))
    assert "A trial: no times" in text
    assert "| variant | accuracy | bytes |\n| --- | --- | --- |\n| float32 | 50.0% | 1 |" in text


def test_the_page_has_not_drifted_from_its_figures():
    docs = Path(__file__).parents[2] / "docs"
    text = (docs / "compression.md").read_text("utf-8")
    assert page(text, json.loads((docs / "figures/compression.json").read_text())) == text
