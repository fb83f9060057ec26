"""Pairs, chains side by side and their statistics: all that needs no torch."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.training.faces import Faces
from models.training.recipe import Schedule, read_recipe
from models.training.superres.data import Pairs, distant, load_pictures
from models.training.superres.enlarge import at, by_bicubic, by_bilinear, of_model, of_onnx
from models.training.superres.grid import TILE, draw_grid
from models.training.superres.recipe import Distance, SuperRecipe
from models.training.superres.table import (
    CELLS,
    Chain,
    Row,
    as_document,
    as_markdown,
    compare,
    gate,
    kind,
    measure,
    pooled,
)
from operators.enhance import EnhanceGate
from operators.errors import ConfigError
from tests.networks import upscaling_network

FIGURES = Path(__file__).parents[2] / "docs/figures/superres.json"
RECIPES = sorted((Path(__file__).parents[2] / "models/training/recipes").glob("superres_*.yaml"))
PLAIN = Distance(blur=0, noise=0, jpeg=0, h264=0)


def faces(count: int = 12) -> Faces:
    """Discs on a ground, bright or dark; what they show is which."""
    rng = np.random.default_rng(4)
    images = np.full((count, 48, 48), 110, np.uint8)
    for i, image in enumerate(images):
        cv2.circle(image, (int(rng.integers(16, 32)), 24), int(rng.integers(6, 14)), (200, 30)[i % 2], -1)
    labels = np.eye(8, dtype=np.float32)[np.arange(count) % 2]
    return Faces(images, {"ferplus": labels}, np.ones(count, bool))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_read(path: Path) -> None:
    recipe = read_recipe(path, SuperRecipe)
    assert recipe.name.split(".")[0] == path.stem
    assert recipe.shape is not None or recipe.tune


def test_the_rival_is_tuned_as_long_on_the_same_faces_by_the_same_losses() -> None:
    own, joint, rival = (read_recipe(_recipe(name), SuperRecipe) for name in ("own", "joint", "rival"))
    assert rival.schedule.epochs == own.schedule.epochs + joint.schedule.epochs
    assert rival.optimizer == joint.optimizer
    for name in ("distance", "augment", "batch_size", "side", "averaging"):
        assert getattr(rival, name) == getattr(joint, name) == getattr(own, name)
    for name in ("answer", "label", "features"):
        assert getattr(rival.losses, name) == getattr(joint.losses, name) == getattr(own.losses, name)


def _recipe(name: str) -> Path:
    return next(path for path in RECIPES if path.stem == f"superres_{name}")


def test_an_epoch_is_the_same_whenever_it_is_drawn() -> None:
    recipe = SuperRecipe(name="a.b", batch_size=4, seed=3, schedule=Schedule(epochs=1))
    once, again, other = (Pairs(faces(), recipe, epoch)[1] for epoch in (2, 2, 3))
    np.testing.assert_array_equal(once.small, again.small)
    np.testing.assert_array_equal(once.clean, again.clean)
    np.testing.assert_array_equal(once.targets["ferplus"], again.targets["ferplus"])
    assert not np.array_equal(once.clean, other.clean)


def test_an_epoch_shows_every_face_once_and_sizes_within_bounds() -> None:
    some = faces(24)
    pairs = Pairs(some, SuperRecipe(name="a.b", batch_size=4, distance=Distance(smallest=10, largest=14)), 0)
    batches = [pairs[i] for i in range(len(pairs))]
    assert sorted(pairs.order.tolist()) == list(range(24))
    assert {batch.small.shape[1] for batch in batches} <= set(range(10, 15))
    with pytest.raises(IndexError, match="batch 6 of 6"):
        pairs[6]


def test_distance_alone_is_shrinking_by_area() -> None:
    (face,) = faces(1).images
    wanted = cv2.resize(face, (12, 12), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(distant(face, 12, np.random.default_rng(1), PLAIN), wanted)


@pytest.mark.parametrize("what", ["blur", "noise", "jpeg", "h264"])
def test_each_degradation_changes_the_face(what: str) -> None:
    (face,) = faces(1).images
    plain = distant(face, 16, np.random.default_rng(1), PLAIN)
    how = Distance(**{"blur": 0, "noise": 0, "jpeg": 0, "h264": 0, what: 1})
    spoilt = distant(face, 16, np.random.default_rng(1), how)
    assert spoilt.shape == (16, 16)
    assert 0 < np.abs(spoilt.astype(int) - plain).mean() < 40


def test_pictures_without_labels_are_split_by_person(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (30, 64, 64), np.uint8)
    np.savez(tmp_path / "some.npz", images=images, subject=np.repeat(np.arange(10), 3))
    data = load_pictures(tmp_path / "some.npz", side=32)
    assert (len(data.training), len(data.test)) == (24, 6)
    assert data.training.images.shape[1:] == (32, 32)
    assert data.classes == {}


def test_pictures_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no training data"):
        load_pictures(tmp_path / "none.npz", side=48)


def row(name: str, right: np.ndarray) -> Row:
    return Row(name, [], {}, right)


def test_what_chance_could_do_is_told_from_what_it_could_not() -> None:
    base = np.random.default_rng(2).random((400, len(CELLS))) < 0.7
    better = base | (np.random.default_rng(3).random(base.shape) < 0.2)
    ahead = pooled(row("a", better), row("b", base))
    assert ahead.low > 0.03
    assert ahead.low < ahead.ahead < ahead.high
    assert all(one.p < 0.01 and one.only_second == 0 for one in compare(row("a", better), row("b", base)))
    same = pooled(row("a", base), row("b", base))
    assert (same.ahead, same.low, same.high) == (0, 0, 0)
    assert {one.p for one in compare(row("a", base), row("b", base))} == {1.0}


@pytest.mark.parametrize(
    ("gains", "interval"),
    [
        ((0.3, 0.3, 0.3), (12, 32)),
        ((0.3, 0.3, 0.0), (12, 20)),
        ((0.0, 0.3, 0.3), (14, 32)),
        ((0.3, 0.0, 0.3), (12, 14)),
        ((0.0, 0.0, 0.0), None),
    ],
)
def test_the_gate_lets_those_sizes_through_that_gain(gains: tuple[float, ...], interval: object) -> None:
    rng = np.random.default_rng(6)
    base = rng.random((500, len(CELLS))) < 0.6
    by_size = dict(zip((12, 16, 24), gains, strict=True))
    better = base | (rng.random(base.shape) < [by_size[side] for side, _ in CELLS])
    assert gate(row("a", better), row("b", base)) == interval


def test_the_gate_is_that_of_the_figures_and_the_page_is_theirs() -> None:
    if not FIGURES.exists():
        pytest.skip("no table has been measured with the classifier that is shipped")
    document = json.loads(FIGURES.read_text())
    assert FIGURES.with_suffix(".md").read_text() == as_markdown(document)
    pairs = {(pair["first"], pair["second"]): pair["gate"] for pair in document["pairs"]}
    interval = pairs["own + classifier", "bilinear + classifier"]
    assert interval is None or tuple(interval) == (EnhanceGate().min_px, EnhanceGate().max_px)


def test_mcnemar_is_the_exact_test() -> None:
    a, b = np.zeros((20, len(CELLS)), bool), np.zeros((20, len(CELLS)), bool)
    a[:9], b[9] = True, True
    (first, *_) = compare(row("a", a), row("b", b))
    assert (first.only_first, first.only_second) == (9, 1)
    assert first.p == pytest.approx(2 * 11 / 2**10)


def test_chains_are_measured_and_told() -> None:
    pytest.importorskip("skimage", reason="needs the extra scene")
    some = faces(16)
    truth = some.targets["ferplus"].argmax(1)

    def read(seen: list[np.ndarray]) -> np.ndarray:
        bright = np.array([at(face, 48)[20:28, 16:32].mean() > 110 for face in seen])
        return np.eye(8, dtype=np.float32)[np.where(bright, 0, 1)]

    double = of_onnx(upscaling_network(2, channels=1))
    rows = [
        measure(Chain(name, way, read), some, truth)
        for name, way in (("a", by_bilinear), ("b", by_bicubic), ("c", double))
    ]
    context = {"machine": "m", "commit": None, "command": "table", "data_sha256": "0" * 64, "faces": 16}
    document = json.loads(json.dumps(as_document(rows, [(rows[1], rows[0])], context)))
    cells = document["rows"][1]["cells"]
    assert [kind(cell["side"], cell["quality"]) for cell in cells[:4]] == ["12 px", "16 px", "24 px", "12 px JPEG 50"]
    assert all(cell["accuracy"] == 1.0 for cell in cells)
    assert cells[0]["psnr"] < cells[1]["psnr"] < cells[2]["psnr"]
    assert all(0 < ms < 1000 for one in document["rows"] for ms in one["ms"].values())
    text = as_markdown(document)
    assert "b against a: +0.00 points" in text
    assert text.count("| c |") == 4


def test_the_grid_has_a_row_for_each_kind_and_a_column_for_each_enlargement() -> None:
    picture = draw_grid(list(faces(2).images), {"bilinear": by_bilinear, "bicubic": by_bicubic}, [(12, None), (24, 50)])
    assert picture.shape == (24 + 4 * TILE, 4 * TILE)


def test_an_official_enhancer_enlarges_grey_faces(shared: Path) -> None:
    enlarge = of_model("realesr-animevideov3", mirror=str(shared / "data/weights"))
    (larger,) = enlarge([faces(1).images[0][::3, ::3]])
    assert larger.shape == (64, 64)
