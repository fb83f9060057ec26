"""`mien enhance` on pictures that are one, and on what is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.cli import main
from tests.networks import upscaling_network


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    path = tmp_path / "crop.png"
    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 256, (20, 16, 3), np.uint8))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["mien", "enhance", *map(str, words)])
    return main()


def test_a_face_gets_larger_and_stays_the_same_face(crop: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    target = tmp_path / "larger.png"
    assert run(monkeypatch, crop, target) == 0
    assert "16 x 20 -> 32 x 40 by luma_s-x2.fer-1. What is new in it is plausible" in capsys.readouterr().out
    small, large = cv2.imread(str(crop)), cv2.imread(str(target))
    assert large.shape == (40, 32, 3)
    again = cv2.resize(large, (16, 20), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(again.ravel(), small.ravel())[0, 1] > 0.9


def test_a_network_of_ones_own(crop: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "own.onnx").write_bytes(upscaling_network(3))
    assert run(monkeypatch, crop, tmp_path / "larger.jpg", "--model", tmp_path / "own.onnx") == 0
    assert "48 x 60 by own.onnx" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "larger.jpg")).shape == (60, 48, 3)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["absent.png", "out.png"], "absent.png can't be read: No such file"),
        (["text.png", "out.png"], "text.png is not a picture"),
        (["empty.png", "out.png"], "empty.png is not a picture"),
        (["wide.png", "out.png"], "wide.png is 600 x 8: cut out the face, at most 512 pixels a side"),
        (["crop.png", "crop.png"], "crop.png is the picture itself"),
        (["crop.png", "out.poem"], "out.poem should end as a picture does"),
        (["crop.png", "nowhere/out.png"], "nowhere/out.png can't be written: No such file"),
        (["crop.png", "out.png", "--model", "expression"], "expression doesn't enlarge pictures"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    words: list[str], complaint: str, crop: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(crop.parent)
    Path("text.png").write_text("no picture")
    Path("empty.png").touch()
    cv2.imwrite("wide.png", np.zeros((8, 600, 3), np.uint8))
    before = crop.read_bytes()
    assert run(monkeypatch, *words) == 2
    assert complaint in capsys.readouterr().err
    assert crop.read_bytes() == before
    assert not Path("out.png").exists()
