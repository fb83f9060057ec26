"""What networks learn from: recipes, pictures by class, variations, and what is said of the result. No torch."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.augment import augment, degrade, h264, jpeg
from models.training.faces import FERPLUS, load_data
from models.training.recipe import Augment, Degrade, Recipe, Schedule, read_recipe, write_recipe
from models.training.report import by_size, evaluate, fit_temperature, labelled
from models.training.tasks import read_any
from operators.errors import ConfigError

RECIPES = sorted(Path("models/training/recipes").glob("*.yaml"))


def a_face(seed: int = 0, side: int = 48) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(0, 256, (side, side), dtype=np.uint8), (0, 0), 3)


@pytest.fixture
def folder(tmp_path):
    """Forty pictures of two classes; the last of each is the first once more."""
    for label in ("open", "shut"):
        (tmp_path / label).mkdir()
        for i in range(20):
            assert cv2.imwrite(str(tmp_path / label / f"{i}.png"), a_face(hash(label) % 1000 * 100 + i % 19, 60))
    return tmp_path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_read_and_survives_being_written(path, tmp_path):
    recipe = read_any(path)
    write_recipe(recipe, tmp_path / "again.yaml")
    again = read_any(tmp_path / "again.yaml")
    assert again == recipe
    assert again.network() == recipe.network()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: a\nheads: {label: {}}\nepochs: 3\n", "epochs"),
        ("name: a\nheads: {label: {wight: 1}}\n", r"heads\[...\]"),
        ("name: a\nheads: {label: {}}\nbalance: 2\n", "balance"),
        ("name: a\n", "heads"),
        ("name: [\n", "wrong"),
    ],
)
def test_a_wrong_recipe_is_told_where(text, complaint, tmp_path):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        read_recipe(tmp_path / "recipe.yaml", Recipe)


def test_an_unknown_task_is_told_what_there_is(tmp_path):
    (tmp_path / "recipe.yaml").write_text("task: poetry\nname: a\n")
    with pytest.raises(ConfigError, match=r"one of expression, superres, temporal, got 'poetry'"):
        read_any(tmp_path / "recipe.yaml")


def test_the_rate_rises_then_falls_to_nothing():
    schedule = Schedule(epochs=10, warmup=2)
    rates = [schedule.rate(epoch / 10) for epoch in range(101)]
    top = rates.index(max(rates))
    assert 15 <= top <= 20
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == 0


def test_a_folder_of_classes_is_split_without_a_picture_on_both_sides(folder):
    data = load_data(folder, side=32)
    assert data.classes == {"label": ("open", "shut")}
    assert data.training.images.shape[1:] == (32, 32)
    assert len(data.training) + len(data.test) == 40
    seen = {image.tobytes() for image in data.training.images}
    assert not seen & {image.tobytes() for image in data.test.images}
    assert np.array_equal(load_data(folder, side=32).test.images, data.test.images)


def test_a_folder_may_name_its_test_split(folder):
    for split in ("train", "test"):
        (folder / split).mkdir()
    for label in ("open", "shut"):
        (folder / label).rename(folder / "train" / label)
        (folder / "test" / label).mkdir()
        (folder / "train" / label / "3.png").rename(folder / "test" / label / "held.png")
    data = load_data(folder)
    assert (len(data.training), len(data.test)) == (38, 2)


def test_what_is_no_training_data_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no training data"):
        load_data(tmp_path / "absent")
    with pytest.raises(ConfigError, match="two or more classes"):
        load_data(tmp_path)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
    with pytest.raises(ConfigError, match="no pictures"):
        load_data(tmp_path)
    (tmp_path / "a" / "x.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="not a picture"):
        load_data(tmp_path)


def test_votes_become_distributions(shared):
    data = load_data(shared / "data/fer2013plus/fer2013plus_train_public.npz")
    assert data.classes["ferplus"] == FERPLUS
    for split in (data.training, data.test):
        sums = split.targets["ferplus"].sum(1)
        assert np.all(np.isclose(sums, 0, atol=1e-6) | np.isclose(sums, 1, atol=1e-5))
        assert np.allclose(split.targets["intensity"].sum(1), sums, atol=1e-5)
        assert np.all(split.targets["fer2013"].sum(1) == 1)


@given(seed=st.integers(0, 1 << 32), side=st.sampled_from([32, 48, 64]))
def test_every_variation_is_a_picture_of_the_same_size(seed, side):
    how = Augment(degrade=Degrade(share=0.5), jitter=0.5, occlude=0.5, gamma=0.5)
    image = a_face(1, side)
    before = image.copy()
    varied = augment(image, np.random.default_rng(seed), how)
    assert varied.shape == (side, side)
    assert varied.dtype == np.uint8
    assert np.array_equal(image, before)
    assert np.array_equal(varied, augment(image, np.random.default_rng(seed), how))


def test_distance_takes_detail_away():
    image = np.random.default_rng(3).integers(0, 256, (48, 48), dtype=np.uint8)
    far = degrade(image, np.random.default_rng(0), Degrade(smallest=10, largest=10, noise=0, jpeg=0, h264=0))
    assert cv2.Laplacian(far, cv2.CV_64F).var() < 0.05 * cv2.Laplacian(image, cv2.CV_64F).var()


@pytest.mark.parametrize(("codec", "strong", "weak"), [(jpeg, 20, 95), (h264, 45, 18)])
@pytest.mark.parametrize("side", [13, 48])
def test_compression_costs_what_it_should(codec, strong, weak, side):
    image = a_face(5, side)
    errors = [np.abs(codec(image, level).astype(int) - image).mean() for level in (strong, weak)]
    assert errors[0] > errors[1]
    assert errors[1] < 6


def test_a_report_counts_by_class():
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]], np.float32)
    report = evaluate(probs, np.array([0, 0, 1, 1]), ("a", "b"))
    assert report.confusion == [[2, 0], [1, 1]]
    assert report.accuracy == 0.75
    assert report.recall == {"a": 1.0, "b": 0.5}
    assert report.precision == {"a": pytest.approx(2 / 3, abs=1e-4), "b": 1.0}
    assert report.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)


def test_a_network_that_means_what_it_says_has_no_calibration_error():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 200_000)
    truth = (rng.uniform(size=len(sure)) > sure).astype(int)
    probs = np.stack([sure, 1 - sure], 1).astype(np.float32)
    assert evaluate(probs, truth, ("a", "b")).calibration_error < 0.005
    assert fit_temperature(np.log(probs), truth) == pytest.approx(1, abs=0.02)
    assert fit_temperature(3 * np.log(probs), truth) == pytest.approx(3, abs=0.06)


def test_sizes_are_asked_for_one_by_one(folder):
    faces, truth = labelled(load_data(folder), "label", clear=False)
    asked = []

    def read(seen):
        asked.append(seen[0].shape)
        return np.eye(2, dtype=np.float32)[truth]

    rows = by_size(read, faces, truth)
    assert set(rows.values()) == {1.0}
    assert asked[:4] == [(8, 8), (8, 8), (12, 12), (12, 12)]
    assert "16 px JPEG 50" in rows
