"""The official package: what can be said of it without, and a real run where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.realesrgan import RealEsrgan, RealEsrganOptions
from models.registry import find, load
from operators.errors import ModelError

INSTALLED = importlib.util.find_spec("realesrgan") is not None
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def official(shared: Path) -> bytes:
    """The official weights as the package reads them, taken out of their ONNX export: GitHub isn't asked."""
    if not INSTALLED:
        pytest.skip("needs the extra realesrgan: PyTorch and its package")
    torch = importlib.import_module("torch")
    network = onnx.load(shared / "data/weights/RealESRGAN_General_x4_v3.onnx")
    tensors = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in network.graph.initializer}
    layers = [node for node in network.graph.node if node.op_type in {"Conv", "PRelu"}]
    state = {}
    for index, layer in enumerate(layers):
        state |= {
            f"body.{index}.{kind}": tensors[name]
            for name, kind in zip(layer.input[1:], ("weight", "bias"), strict=False)
        }
        if layer.op_type == "PRelu":
            state[f"body.{index}.weight"] = state[f"body.{index}.weight"].flatten()
    file = io.BytesIO()
    torch.save({"params": state}, file)
    return file.getvalue()


@pytest.mark.skipif(INSTALLED, reason="the package is installed")
def test_without_the_package_the_message_says_what_to_install() -> None:
    with pytest.raises(ModelError, match=r"pip install 'mien\[realesrgan\]', or use the same network as ONNX"):
        RealEsrgan(b"", RealEsrganOptions())


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        RealEsrganOptions(scale=0)


def test_the_registry_pins_the_official_file() -> None:
    entry = find("realesrgan")
    ((file, sha256),) = entry.files.items()
    assert entry.urls[file].endswith(f"/v0.2.5.0/{file}")
    assert len(sha256) == 64


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "realesr-general-x4v3.pth").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"is not the realesr-general-x4v3\.pth"):
        load("realesrgan", mirror=tmp_path)


def test_it_draws_what_the_onnx_file_draws(official: bytes, shared: Path) -> None:
    crops = [RNG.integers(0, 256, (height, 20, 3), np.uint8) for height in (8, 24)]
    mine = RealEsrgan(official, RealEsrganOptions())(crops)
    theirs = load("realesr-general-x4v3", mirror=shared / "data/weights")(crops)
    for a, b in zip(mine, theirs, strict=True):
        assert a.shape == b.shape
        assert np.abs(a.astype(int) - b).max() <= 1


def test_a_device_that_is_not_there_is_named(official: bytes) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ModelError, match="can't run on cuda"):
        RealEsrgan(official, RealEsrganOptions(), device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not INSTALLED, reason="needs the extra realesrgan: PyTorch and its package")
def test_the_official_file_runs_on_a_gpu() -> None:
    pytest.importorskip("torch").cuda.is_available() or pytest.skip("needs a CUDA device")
    enhancer = load("realesrgan", device="cuda")  # after `mien models fetch realesrgan`
    assert enhancer([RNG.integers(0, 256, (24, 24, 3), np.uint8)])[0].shape == (96, 96, 3)
