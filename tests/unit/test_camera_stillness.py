"""Frozen and black pictures."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.stillness import Stillness, sample
from operators.records import GapReason, Image

RNG = np.random.default_rng(3)
ROOM = RNG.integers(0, 255, (180, 320, 3), dtype=np.uint8)


def reasons(images: list[Image], *, fps: float = 5) -> list[GapReason | None]:
    stillness = Stillness(frozen_after=2.0, black_after=1.0)
    return [stillness.reason(sample(image), index / fps) for index, image in enumerate(images)]


def noisy(image: Image, sigma: float) -> Image:
    return np.clip(image + RNG.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def test_a_repeated_picture_is_frozen_after_its_time_and_thaws_at_once() -> None:
    found = reasons([ROOM] * 15 + [noisy(ROOM, 3)])
    assert found[9] is None
    assert found[10:15] == [GapReason.FROZEN] * 5
    assert found[15] is None


def test_a_quiet_room_is_not_frozen() -> None:
    assert set(reasons([noisy(ROOM, 1) for _ in range(30)])) == {None}


@pytest.mark.parametrize("level", [0, 16, 128, 255])
def test_one_colour_is_black_even_with_noise(level: int) -> None:
    flat = np.full((180, 320, 3), level, np.uint8)
    assert reasons([noisy(flat, 1) for _ in range(10)])[-1] is GapReason.BLACK


def test_a_dark_room_is_not_black() -> None:
    assert set(reasons([noisy(ROOM // 10, 1) for _ in range(10)])) == {None}


@pytest.mark.parametrize("shape", [(1, 1, 3), (20, 30, 3), (1080, 1920, 3)])
def test_every_size_can_be_sampled(shape: tuple[int, ...]) -> None:
    grey = sample(np.zeros(shape, np.uint8))
    assert grey.shape[0] <= 36
    assert grey.shape[1] <= 64
