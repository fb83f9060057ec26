from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.enhancer import RealEsrgan, RealEsrganOptions
from models.registry import load
from models.session import Session
from operators.errors import ModelError
from tests.networks import upscaling_network

RNG = np.random.default_rng(5)


def crops(*sizes: tuple[int, int]) -> list[np.ndarray]:
    return [RNG.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


@pytest.mark.parametrize("max_batch", [1, 2, 8])
def test_crops_of_mixed_sizes_keep_their_order_and_pixels(max_batch: int) -> None:
    enhancer = RealEsrgan(Session(upscaling_network(4)), RealEsrganOptions(max_batch=max_batch))
    some = crops((8, 6), (5, 5), (8, 6), (8, 6), (5, 5))
    for crop, result in zip(some, enhancer(some), strict=True):
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, crop.repeat(4, axis=0).repeat(4, axis=1))


def test_no_crops() -> None:
    assert RealEsrgan(Session(upscaling_network(4)), RealEsrganOptions())([]) == []


def test_a_network_of_another_scale_is_refused() -> None:
    enhancer = RealEsrgan(Session(upscaling_network(2)), RealEsrganOptions())
    with pytest.raises(ModelError, match=r"should turn .* it made .* set its scale"):
        enhancer(crops((8, 8)))


@pytest.mark.parametrize("field", ["scale", "max_batch"])
def test_bad_options(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be 1 or more, got 0"):
        RealEsrganOptions(**{field: 0})


@pytest.mark.parametrize("name", ["realesr-general-x4v3", "realesr-animevideov3"])
def test_real_esrgan_enlarges_a_face_and_keeps_its_colours(shared: Path, name: str) -> None:
    data = pytest.importorskip("skimage.data")
    face = data.astronaut()[60:180, 170:280][::4, ::4]
    enhancer = load(name, mirror=shared / "data" / "weights")
    result, other = enhancer([face, face[:20]])
    assert enhancer.scale == 4
    assert result.shape == (face.shape[0] * 4, face.shape[1] * 4, 3)
    assert other.shape[:2] == (80, face.shape[1] * 4)
    np.testing.assert_allclose(result.mean(axis=(0, 1)), face.mean(axis=(0, 1)), atol=6)


def test_by_local_path(shared: Path) -> None:
    file = shared / "data" / "weights" / "RealESRGAN_General_x4_v3.onnx"
    assert load("enhancer", path=str(file))(crops((6, 7)))[0].shape == (24, 28, 3)
