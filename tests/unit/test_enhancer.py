from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.enhancer import Upscaler, UpscalerOptions
from models.registry import load
from models.session import Session
from operators.errors import ModelError
from tests.networks import expression_network, upscaling_network

RNG = np.random.default_rng(5)


def crops(*sizes: tuple[int, int]) -> list[np.ndarray]:
    return [RNG.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def luma_upscaler(scale: int = 4, max_batch: int = 8) -> Upscaler:
    return Upscaler(Session(upscaling_network(scale, channels=1)), UpscalerOptions(max_batch=max_batch))


@pytest.mark.parametrize("max_batch", [1, 2, 8])
def test_crops_of_mixed_sizes_keep_their_order_and_pixels(max_batch: int) -> None:
    enhancer = Upscaler(Session(upscaling_network(4)), UpscalerOptions(max_batch=max_batch))
    some = crops((8, 6), (5, 5), (8, 6), (8, 6), (5, 5))
    for crop, result in zip(some, enhancer(some), strict=True):
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, crop.repeat(4, axis=0).repeat(4, axis=1))


@pytest.mark.parametrize("max_batch", [1, 3])
@pytest.mark.parametrize("scale", [2, 4])
def test_a_luma_network_draws_the_light_and_leaves_grey_grey(scale: int, max_batch: int) -> None:
    grey = [crop[..., :1].repeat(3, axis=2) for crop in crops((9, 7), (5, 5), (9, 7), (9, 7))]
    for crop, result in zip(grey, luma_upscaler(scale, max_batch)(grey), strict=True):
        np.testing.assert_array_equal(result, crop.repeat(scale, axis=0).repeat(scale, axis=1))


def test_a_luma_network_keeps_the_colours() -> None:
    crop = np.zeros((16, 12, 3), np.uint8)
    crop[:, :6], crop[:, 6:] = (200, 40, 90), (30, 160, 220)
    (result,) = luma_upscaler()([crop])
    wanted = cv2.resize(crop, (48, 64), interpolation=cv2.INTER_NEAREST)
    away_from_the_edge = np.r_[0:16, 32:48]
    difference = result[:, away_from_the_edge].astype(int) - wanted[:, away_from_the_edge]
    assert np.abs(difference).max() <= 3  # what bytes of YCrCb round away


def test_no_crops() -> None:
    assert Upscaler(Session(upscaling_network(4)), UpscalerOptions())([]) == []
    assert luma_upscaler()([]) == []


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_scale_is_that_of_the_network(scale: int, channels: int) -> None:
    enhancer = Upscaler(Session(upscaling_network(scale, channels=channels)), UpscalerOptions())
    assert enhancer.scale == scale
    assert enhancer(crops((8, 6)))[0].shape == (8 * scale, 6 * scale, 3)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (upscaling_network(2, channels=4), "of any size, this network reads .*4"),
        (expression_network(), "of any size, this network reads .*48, 48"),
    ],
)
def test_another_kind_of_network_is_refused(network: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Upscaler(Session(network), UpscalerOptions())


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="max_batch must be 1 or more, got 0"):
        UpscalerOptions(max_batch=0)


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
