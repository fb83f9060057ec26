from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from models.session import Session, kernel_seconds
from operators.errors import ModelError
from tests.networks import expression_network, temporal_network

FACES = np.random.default_rng(7).random((5, 1, 48, 48), np.float32)


def test_outputs_come_in_the_order_asked_for() -> None:
    session = Session(expression_network(), outputs=["fer2013", "ferplus"])
    assert [output.shape for output in session(FACES)] == [(5, 7), (5, 8)]


def test_all_outputs_by_default() -> None:
    assert [output.shape for output in Session(expression_network())(FACES)] == [(5, 8), (5, 7), (5, 2)]


def test_a_file_and_its_bytes_are_the_same_network(tmp_path: Path) -> None:
    file = tmp_path / "network.onnx"
    file.write_bytes(expression_network())
    np.testing.assert_array_equal(Session(file)(FACES)[0], Session(expression_network())(FACES)[0])


def test_a_view_with_negative_strides_is_read_right() -> None:
    session = Session(expression_network())
    np.testing.assert_array_equal(session(FACES[..., ::-1])[0], session(FACES[..., ::-1].copy())[0])


def test_several_inputs_are_given_in_their_order() -> None:
    session = Session(temporal_network(2), outputs=["probs_over_time"])
    one, nothing = np.ones((1, 1), np.float32), np.zeros((1, 3), np.float32)
    (probs,) = session(np.array([[0.25, 0.75]], np.float32), one, one, 99 * one, nothing)
    np.testing.assert_allclose(probs, [[0.25, 0.75]])
    with pytest.raises(ModelError, match="reads probs, intensity, quality, dt, memory; it was given 2 inputs"):
        session(one, one)


@pytest.mark.parametrize(
    "batch", [np.zeros((1, 1, 64, 64), np.float32), np.zeros((1, 1, 48, 48), np.float64)], ids=["shape", "type"]
)
def test_a_batch_that_the_network_can_not_read_is_told(batch: np.ndarray) -> None:
    side = batch.shape[-1]
    with pytest.raises(ModelError, match=rf"failed on faces \(1, 1, {side}, {side}\) {batch.dtype}: .*"):
        Session(expression_network())(batch)


def test_says_the_shapes_of_its_inputs() -> None:
    shapes = Session(temporal_network(2)).input_shapes
    assert list(shapes) == ["probs", "intensity", "quality", "dt", "memory"]
    assert (shapes["probs"], shapes["memory"]) == (("n", 2), ("n", 3))


def test_says_which_provider_runs() -> None:
    assert Session(expression_network()).provider == "CPUExecutionProvider"


def test_time_in_networks_adds_up() -> None:
    session = Session(expression_network(), threads=1)
    before = kernel_seconds()
    for _ in range(20):
        session(np.repeat(FACES, 50, axis=0))
    assert kernel_seconds() > before


@pytest.mark.parametrize(
    ("device", "threads", "outputs", "message"),
    [
        ("npu", 0, None, "device must be one of cpu, cuda, tensorrt, got 'npu'"),
        ("cpu", -1, None, r"threads must be 0 \(one per core\) or more, got -1"),
        ("cpu", 0, ["age"], "should have the outputs age; it has ferplus, fer2013, intensity"),
    ],
)
def test_bad_arguments(device: str, threads: int, outputs: list[str] | None, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Session(expression_network(), device=device, threads=threads, outputs=outputs)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_this_runtime_lacks_is_an_error_not_a_fallback(device: str) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime was built for CUDA")
    with pytest.raises(ModelError, match=rf"device {device} needs .* install mien\[gpu\]"):
        Session(expression_network(), device=device)


@pytest.mark.gpu
def test_cuda_agrees_with_cpu() -> None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA")
    session = Session(expression_network(), device="cuda")
    assert session.provider == "CUDAExecutionProvider"
    np.testing.assert_allclose(session(FACES)[0], Session(expression_network())(FACES)[0], rtol=1e-3, atol=1e-3)


def test_garbage_is_not_a_network() -> None:
    with pytest.raises(ModelError, match="not a network that ONNX Runtime can run"):
        Session(b"not a network")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"nowhere\.onnx is not a network"):
        Session(Path("nowhere.onnx"))


def test_without_onnx_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"install mien\[cpu\]"):
        Session(expression_network())
