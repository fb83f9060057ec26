"""Training data and recipes that are wrong are told so, and the same seed gives the same pictures on every machine."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from models.training.faces import Data, Faces, load_data
from models.training.recipe import Augment, Degrade, Head, Model, Recipe, Schedule
from models.training.superres.data import load_pictures
from operators.errors import ConfigError

TORCH = "trainings need the extra `train`"
IMAGES = np.random.default_rng(1).integers(0, 256, (40, 8, 8), np.uint8)
OWN = {"images": IMAGES, "label": np.arange(40) % 2, "classes": np.array(["a", "b"])}
FER = {
    "images": np.zeros((40, 48, 48), np.uint8),
    "label7": np.zeros(40, int),
    "ferplus_votes": np.ones((40, 10), np.uint8),
    "split": np.arange(40) % 2,
    "dup_group": np.arange(40),
}
RECIPE = Recipe(
    name="a.test",
    heads={"label": Head()},
    side=16,
    batch_size=8,
    model=Model(stem=4, widths=(4,), blocks=(1,), drop=0.0),
    augment=Augment(degrade=Degrade(h264=0)),
    schedule=Schedule(epochs=1),
)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (20, 20), np.uint8)


def write(folder: Path, *names: str) -> Path:
    """Pictures by their paths; no two alike."""
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / f"{name}.png"), picture(seed))
    return folder


def split(*counts: int, classes: int = 2, head: str = "label") -> Faces:
    """Faces with as many of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.random.default_rng(3).integers(0, 256, (len(labels), 16, 16), np.uint8)
    return Faces(images, {head: np.eye(classes, dtype=np.float32)[labels]}, np.ones(len(labels), bool))


def some(*counts: int) -> Data:
    return Data(split(*counts), split(*counts), {"label": ("a", "b")}, "0" * 64)


def test_a_class_that_is_only_tested_is_told(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1", "train/b/1", "test/a/2", "test/b/2", "test/c/2")
    with pytest.raises(ConfigError, match=r"test has the classes c, which .*train lacks"):
        load_data(tmp_path)


def test_the_hash_of_a_folder_knows_split_class_and_picture(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1", "train/a/2", "train/a/3", "train/b/4", "test/a/5", "test/b/6")
    hashes = [load_data(tmp_path).sha256, load_data(tmp_path).sha256]
    assert hashes[0] == hashes[1]
    (tmp_path / "train/a/3.png").rename(tmp_path / "train/b/3.png")
    hashes.append(load_data(tmp_path).sha256)
    (tmp_path / "train/b/3.png").rename(tmp_path / "test/b/3.png")
    hashes.append(load_data(tmp_path).sha256)
    assert len(set(hashes)) == 3


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({**OWN, "label": np.array(["a", "b"] * 20)}, r"`label` of .*bad.npz should be \(n,\) integers.*\(40,\) <U1"),
        ({**OWN, "label": np.zeros((40, 2), int)}, r"`label`.* got \(40, 2\) int"),
        ({**OWN, "label": np.full(40, 0.9)}, r"`label`.* got \(40,\) float64"),
        ({**OWN, "label": np.zeros(39, int)}, r"`label`.* a label for each of the 40 images, got \(39,\)"),
        ({**OWN, "label": np.full(40, 2)}, "rows of its classes.* from 2 to 2 and the classes a, b"),
        ({**OWN, "label": np.full(40, -1)}, "rows of its classes.* from -1 to -1"),
        ({**OWN, "label": np.array([None] * 40)}, "can't be read as an npz file: Object arrays"),
        ({**OWN, "classes": np.array([["a"], ["b"]])}, r"`classes`.* should be \(k,\) text"),
        ({**OWN, "classes": np.array(["a", "a"])}, "two or more, no two alike.* a, a"),
        ({**OWN, "images": IMAGES[:, 0]}, r"`images`.* should be \(n, h, w\) uint8.* got \(40, 8\) uint8"),
        ({**OWN, "images": np.zeros((40, 5))}, r"`images`.* got \(40, 5\) float64"),
        ({**OWN, "images": IMAGES[:0], "label": np.zeros(0, int)}, r"`images`.* got \(0, 8, 8\) uint8"),
        ({**OWN, "images": IMAGES[:, :0]}, r"`images`.* got \(40, 0, 8\) uint8"),
        ({**FER, "images": IMAGES}, r"pictures of .* should be 48x48, got 8x8"),
        ({**FER, "split": np.zeros(3, int)}, r"`split`.* for each of the 40 images, got \(3,\)"),
        ({**FER, "ferplus_votes": np.ones((40, 8))}, r"`ferplus_votes`.* should be \(n, 10\).* got \(40, 8\)"),
        ({**FER, "ferplus_votes": np.full((40, 10), np.nan)}, "`ferplus_votes`.* from 0 on, .*got from nan"),
        ({**FER, "label7": np.full(40, 7)}, "`label7`.* from 0 to 6, .*got from 7 to 7"),
        ({**FER, "dup_group": np.full(40, -1)}, "`dup_group`.* from 0 on, .*got from -1"),
        ({"images": IMAGES, "label": OWN["label"]}, "classes is missing"),
    ],
)
@pytest.mark.parametrize("read", [load_data, load_pictures])
def test_arrays_that_are_not_what_they_should_be(read, arrays, complaint, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ConfigError, match=complaint):
        read(tmp_path / "bad.npz", side=48)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"images": np.zeros((40, 5))}, r"`images`.* got \(40, 5\) float64"),
        ({"images": IMAGES, "subject": np.array(["me"] * 40)}, r"`subject`.* \(n,\) integers.* got \(40,\) <U2"),
        ({"images": IMAGES, "subject": np.arange(39)}, r"`subject`.* got \(39,\)"),
    ],
)
def test_pictures_alone_that_are_not_what_they_should_be(arrays, complaint, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ConfigError, match=complaint):
        load_pictures(tmp_path / "bad.npz", side=48)


@pytest.mark.parametrize("read", [load_data, load_pictures])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_with_a_byte_changed_is_read_or_told(read, save, tmp_path: Path) -> None:
    save(tmp_path / "good.npz", **OWN)
    good, rng = (tmp_path / "good.npz").read_bytes(), np.random.default_rng(7)
    for place in rng.integers(0, len(good), 200):
        bad = bytearray(good)
        bad[place] ^= int(rng.integers(1, 256))
        (tmp_path / "bad.npz").write_bytes(bad)
        try:
            read(tmp_path / "bad.npz", side=8)
        except ConfigError as error:
            assert "bad.npz" in str(error)  # noqa: PT017 -- some bytes matter to nobody


def test_pictures_of_ones_own_keep_their_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **OWN)
    data, pictures = load_data(tmp_path / "own.npz", side=16), load_pictures(tmp_path / "own.npz", side=16)
    assert pictures.classes == {"label": ("a", "b")}
    np.testing.assert_array_equal(pictures.training.targets["label"], data.training.targets["label"])
    np.testing.assert_array_equal(pictures.training.images, data.training.images)


@pytest.mark.parametrize("shape", [(30, 60), (60, 30), (100, 20), (16, 16), (8, 8)])
def test_every_picture_is_resized_as_at_run_time(shape: tuple[int, int], tmp_path: Path) -> None:
    from models.expression import resized, to_face  # noqa: PLC0415 -- with what it is compared
    from models.training.superres.enlarge import at  # noqa: PLC0415

    image = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    np.savez(tmp_path / "own.npz", images=np.repeat(image[None], 40, 0), label=OWN["label"], classes=OWN["classes"])
    np.savez(tmp_path / "alone.npz", images=np.repeat(image[None], 40, 0))
    expected = resized(image, 48)
    assert expected.shape == (48, 48)
    seen = np.rint(to_face(np.repeat(image[..., None], 3, axis=2))[0] * 255).astype(np.uint8)
    found = load_data(tmp_path / "own.npz")
    (own, *_), (alone, *_) = (
        data.test.images if len(data.test) else data.training.images
        for data in (found, load_pictures(tmp_path / "alone.npz", side=48))
    )
    for one in (seen, own, alone, at(image, 48)):
        np.testing.assert_array_equal(one, expected)


def trained(recipe: Recipe, data: Data, out: Path, **more: object) -> Path:
    from models.training.expression import train  # noqa: PLC0415 -- torch

    list(train(recipe, data, out, **more))
    return out


def test_a_class_without_pictures_to_learn_from_is_told(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason=TORCH)
    data = Data(split(16, 0), split(8, 8), {"label": ("a", "b")}, "0" * 64)
    with pytest.raises(ConfigError, match="no training pictures of b"):
        trained(RECIPE, data, tmp_path / "run")


def test_teaching_needs_a_teacher_that_answers_the_same_question(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason=TORCH)
    data, recipe = some(8, 8), replace(RECIPE, teach=0.5)
    with pytest.raises(ConfigError, match=r"teach: 0.5 .* --teacher"):
        trained(recipe, data, tmp_path / "run")
    same = trained(RECIPE, data, tmp_path / "same")
    other = trained(RECIPE, Data(data.training, data.test, {"label": ("b", "a")}, ""), tmp_path / "other")
    smaller = trained(replace(RECIPE, side=32), data, tmp_path / "smaller")
    mood = Data(split(8, 8, head="mood"), split(8, 8, head="mood"), {"mood": ("a", "b")}, "")
    foreign = trained(replace(RECIPE, heads={"mood": Head()}), mood, tmp_path / "foreign")
    for teacher, complaint in (
        (other, "other reads label as b, a: expected a, b"),
        (smaller, "smaller reads faces of 32 px: expected 16"),
        (foreign, "foreign has the heads mood: expected one of label"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            trained(recipe, data, tmp_path / "run", teachers=[same, teacher])
    assert not (tmp_path / "run").exists()


def test_a_head_is_taught_by_those_that_have_it(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason=TORCH)
    from models.training import expression  # noqa: PLC0415 -- torch

    faces = split(8, 8)
    both = Faces(faces.images, {"label": faces.targets["label"], "mood": faces.targets["label"]}, faces.clear)
    data = Data(both, both, {"label": ("a", "b"), "mood": ("c", "d")}, "0" * 64)
    one = trained(RECIPE, data, tmp_path / "one")
    recipe = replace(RECIPE, heads={"label": Head(), "mood": Head()}, teach=1.0)
    two = trained(replace(recipe, teach=0.0), data, tmp_path / "two")
    teachers = [expression.load_run(run) for run in (one, two)]
    taught = expression._taught(both, recipe, teachers, "cpu")
    for head, rows in taught.targets.items():
        np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-5, err_msg=head)


def batches(faces: Faces, recipe: Recipe, epoch: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    from models.training.archs import build  # noqa: PLC0415 -- torch
    from models.training.expression import reading  # noqa: PLC0415 -- torch

    task = reading(recipe, build(recipe.model, {"label": range(2)}), Data(faces, faces, {"label": ("a", "b")}, ""))
    return [(images.numpy(), targets["label"].numpy()) for images, targets in task.batches(epoch)]


def test_the_same_seed_gives_the_same_pictures_whatever_the_number_of_cores(monkeypatch) -> None:
    pytest.importorskip("torch", reason=TORCH)
    seen = []
    for cores in (2, 4):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        seen.append(np.concatenate([images for images, _ in batches(split(32, 32), replace(RECIPE, balance=0.5))]))
    np.testing.assert_array_equal(*seen)


def test_another_epoch_and_another_seed_give_other_pictures() -> None:
    pytest.importorskip("torch", reason=TORCH)
    faces = split(32, 32)
    seen = [batches(faces, replace(RECIPE, seed=seed), epoch)[0][0] for seed, epoch in ((1, 0), (1, 1), (2, 0), (2, 1))]
    assert len({images.tobytes() for images in seen}) == 4


def test_a_face_that_is_drawn_twice_is_varied_twice() -> None:
    pytest.importorskip("torch", reason=TORCH)
    found = batches(split(63, 1), replace(RECIPE, balance=1.0, augment=Augment()))
    rare = [image.tobytes() for images, targets in found for image in images[targets[:, 1] == 1]]
    assert len(set(rare)) == len(rare) > 10


def test_without_balance_an_epoch_is_one_pass_over_the_data() -> None:
    pytest.importorskip("torch", reason=TORCH)
    from models.training.expression import _Augmented  # noqa: PLC0415 -- torch

    faces = split(32, 32)
    assert sorted(_Augmented(faces, RECIPE, 3).order.tolist()) == list(range(64))
    assert sorted(_Augmented(faces, replace(RECIPE, balance=0.5), 3).order.tolist()) != list(range(64))


def test_faces_without_a_label_are_of_no_class() -> None:
    pytest.importorskip("torch", reason=TORCH)
    from models.training.expression import _sampling_weights  # noqa: PLC0415 -- torch

    targets = np.eye(2, dtype=np.float32)[[0] * 10 + [1] * 10 + [0] * 60]
    targets[20:] = 0
    weights = _sampling_weights(targets, 1.0)
    assert weights[:10].sum() == pytest.approx(weights[10:20].sum())
    assert weights[20:].sum() == pytest.approx(0.75 * weights.sum()), "their share stays that of the data"
    assert (_sampling_weights(np.zeros_like(targets), 1.0) == 1).all()


@pytest.mark.parametrize("who", ["temporal", "superres"])
def test_a_classifier_of_another_size_is_told_by_who_feeds_it(who: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason=TORCH)
    from models.training.superres.chain import read_teacher  # noqa: PLC0415 -- torch
    from models.training.temporal.classifier import classifier  # noqa: PLC0415 -- torch

    data = Data(split(8, 8, head="ferplus"), split(8, 8, head="ferplus"), {"ferplus": ("a", "b")}, "0" * 64)
    run = trained(replace(RECIPE, heads={"ferplus": Head()}), data, tmp_path / "run")
    with pytest.raises(ConfigError, match="run reads faces of 16 px: expected 48"):
        classifier(str(run)) if who == "temporal" else read_teacher(run)
