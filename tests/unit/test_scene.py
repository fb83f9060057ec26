from __future__ import annotations

import sys
from itertools import islice

import numpy as np
import pytest

from connectors.camera import StreamSettings
from connectors.scene import FPS, LOOP_S, NAMES, face_px, load_figure, render
from connectors.schemes import open_source
from connectors.stillness import Stillness, sample
from models.registry import load
from operators.errors import SourceError
from operators.ports import Detector

pytest.importorskip("skimage", reason="the scene's portraits come with the extra `scene`")
pytest.importorskip("matplotlib", reason="the scene's portraits come with the extra `scene`")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load("detector")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_time_gives_the_same_picture(name: str) -> None:
    figure = load_figure(name)
    picture = render(figure, 7.0)
    assert picture.shape == (360, 640, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, render(load_figure(name), 7.0))


@pytest.mark.parametrize("name", NAMES)
def test_one_loop_goes_from_nobody_to_near_and_back(name: str) -> None:
    figure = load_figure(name)
    sizes = [face_px(figure, t) for t in np.arange(0, LOOP_S, 1 / FPS)]
    seen = [size for size in sizes if size is not None]
    assert 2.0 < sizes.count(None) / FPS < 5.0
    assert min(seen) == pytest.approx(12)
    assert max(seen) == pytest.approx(110)
    assert sum(size > 100 for size in seen) / FPS > 5.0
    assert face_px(figure, LOOP_S + 3.0) == face_px(figure, 3.0)


def test_the_cameras_are_half_a_loop_apart() -> None:
    assert face_px(load_figure("smile"), 3.0) == face_px(load_figure("neutral"), 3.0 + LOOP_S / 2)


def test_other_sizes_show_the_same_scene() -> None:
    figure = load_figure("smile")
    large = render(figure, 12.0, width=1280, height=720)
    assert large.shape == (720, 1280, 3)
    shrunk = large.reshape(360, 2, 640, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - render(figure, 12.0)).mean() < 6


def test_an_empty_room_is_neither_frozen_nor_black() -> None:
    figure = load_figure("smile")
    still = Stillness(frozen_after=0.3, black_after=0.3)
    reasons = {still.reason(sample(render(figure, t)), t) for t in np.arange(0, 1.4, 1 / FPS)}
    assert reasons == {None}


@pytest.mark.parametrize("name", NAMES)
def test_the_detector_finds_the_face_from_14_px_up(name: str, detector: Detector) -> None:
    figure = load_figure(name)
    times = [t for t in np.arange(0, LOOP_S, 0.9) if (face_px(figure, t) or 0) >= 14]
    assert len(times) > 9
    for t in times:
        found = detector(render(figure, t)).xyxy
        widths = found[:, 2] - found[:, 0]
        assert any(abs(width / face_px(figure, t) - 1) < 0.2 for width in widths), f"{t=} {widths=}"


def test_nobody_is_found_in_the_empty_room(detector: Detector) -> None:
    assert len(detector(render(load_figure("smile"), 0.5))) == 0


def test_a_source_plays_at_its_own_pace() -> None:
    source = open_source(StreamSettings("scene://smile"))
    pictures = list(islice(source, 4))
    source.close()
    assert source.facts.live
    assert [picture.pts for picture in pictures] == pytest.approx([0, 1 / FPS, 2 / FPS, 3 / FPS])
    assert pictures[3].received - pictures[0].received > 2 / FPS
    assert pictures[0].rgb().shape == (source.facts.height, source.facts.width, 3)


def test_an_unknown_scene_names_the_known_ones() -> None:
    with pytest.raises(SourceError, match="scene://smile or scene://neutral, got scene://frown"):
        open_source(StreamSettings("scene://frown"))


def test_a_missing_package_comes_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(SourceError, match=r"pip install 'mien\[scene\]'"):
        load_figure("smile")
