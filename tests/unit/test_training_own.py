"""A network of one's own: from the shipped one and twenty pictures of each class. Needs torch: the extra `train`."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="trainings need the extra `train`")

import torch
from msgspec.structs import replace

from models.training.archs import build
from models.training.beginning import beginning
from models.training.export import export
from models.training.expression import answers, load_run, train
from models.training.faces import load_data
from models.training.losses import consistency_loss
from models.training.recipe import Augment, Degrade, Head, Model, Optimizer, Recipe, Schedule, read_recipe
from operators.errors import ConfigError, ModelError

torch.set_num_threads(1)

SHIPPED = Path("models/training/recipes/own_classes.yaml")
SMALL = Recipe(
    name="small.test-1",
    heads={"label": Head()},
    side=16,
    batch_size=8,
    averaging=0.5,
    model=Model(stem=8, widths=(8, 8), blocks=(1, 1), drop=0.0),
    augment=Augment(rotate=0, occlude=0, degrade=Degrade(share=0.2, h264=0)),
    optimizer=Optimizer(learning_rate=0.01),
    schedule=Schedule(epochs=2, warmup=0),
)
FROZEN = replace(SMALL, freeze=True, optimizer=Optimizer(learning_rate=0.05), schedule=Schedule(epochs=6, warmup=0))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Twenty pictures of each of three classes to learn from, ten to test on: where the light is."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 20), ("test", 10)):
        for place, label in enumerate(("above", "below", "between")):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                image = rng.integers(60, 110, (60, 50), np.uint8)
                image[20 * place : 20 * place + 20] += 100
                assert cv2.imwrite(str(folder / split / label / f"{number}.png"), image)
    return folder


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    list(train(SMALL, load_data(pictures, side=16), run))
    return run


def test_twenty_pictures_of_a_class_are_enough_for_the_shipped_trunk(pictures, tmp_path):
    recipe = replace(read_recipe(SHIPPED, Recipe), schedule=Schedule(epochs=4, warmup=1))
    *_, last = train(recipe, load_data(pictures), tmp_path / "mine", init=Path("seresnet_deep.ferplus-1"))
    assert last.scores["label"] >= 0.6, "a third by chance"
    assert tuple(load_run(tmp_path / "mine").classes["label"]) == ("above", "below", "between")


def test_a_frozen_trunk_stays_as_it_was_batch_norm_included(pictures, trained, tmp_path):
    list(train(FROZEN, load_data(pictures, side=16), tmp_path / "mine", init=trained))
    before, after = (load_run(run).model.state_dict() for run in (trained, tmp_path / "mine"))
    same = {name: torch.equal(before[name], after[name]) for name in before}
    assert all(value for name, value in same.items() if name.startswith("trunk."))
    assert not any(value for name, value in same.items() if name.startswith("heads."))


def test_a_trunk_read_back_from_onnx_says_what_it_said(pictures, trained, tmp_path):
    export(trained, tmp_path / "net.onnx")
    frozen = build(SMALL.model, {"label": range(3)})
    frozen.freeze()
    frozen.load_state_dict(beginning(tmp_path / "net.onnx", frozen, device="cpu"), strict=False)
    faces = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, got = (model.trunk.eval()(faces) for model in (load_run(trained).model, frozen))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_what_can_not_be_begun_from(pictures, trained, tmp_path):
    data = load_data(pictures, side=16)
    export(trained, tmp_path / "net.onnx")
    for recipe, init, complaint in (
        (FROZEN, None, "name its run with --init"),
        (SMALL, tmp_path / "net.onnx", "need freeze: true"),
        (FROZEN, SHIPPED, "no ONNX file"),
        (FROZEN, Path("seresnet_deep.ferplus-1"), "another architecture"),
        (FROZEN, Path("expression"), "is compressed"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            list(train(recipe, data, tmp_path / "mine", init=init))


def test_a_network_learns_to_read_a_degraded_face_as_the_clean_one(pictures, tmp_path):
    recipe = replace(SMALL, consistency=1.0, heads={"label": Head(hard=True)})
    *_, last = train(recipe, load_data(pictures, side=16), tmp_path / "run")
    assert 0 < last.loss < 5


def test_consistency_teaches_the_degraded_answer_only():
    clean, degraded = torch.tensor([[2.0, 0.0]], requires_grad=True), torch.tensor([[0.0, 1.0]], requires_grad=True)
    assert consistency_loss(clean, clean).item() == pytest.approx(0, abs=1e-6)
    loss = consistency_loss(clean, degraded)
    p, q = torch.softmax(clean, 1), torch.softmax(degraded, 1)
    assert loss.item() == pytest.approx((p * (p / q).log()).sum().item(), rel=1e-5)
    loss.backward()
    assert clean.grad is None
    assert degraded.grad is not None


def test_hard_labels_are_what_most_raters_said(pictures, tmp_path):
    data = load_data(pictures, side=16)
    targets = data.training.targets["label"]
    targets[:] = 0.6 * targets + 0.2 * (1 - targets)
    for run, hard in (("soft", False), ("hard", True)):
        recipe = replace(SMALL, heads={"label": Head(hard=hard)}, schedule=Schedule(epochs=6, warmup=0))
        list(train(recipe, data, tmp_path / run))
    said = [answers(load_run(tmp_path / run).model, data.test.images)["label"] for run in ("soft", "hard")]
    sure = [torch.softmax(torch.from_numpy(logits), 1).amax(1).mean() for logits in said]
    assert sure[1] > sure[0]


def test_a_full_disk_is_told_and_costs_nothing_that_was_there(pictures, tmp_path):
    epochs = train(SMALL, load_data(pictures, side=16), tmp_path)
    next(epochs)
    (tmp_path / "checkpoint.partial").symlink_to("/dev/full")
    with pytest.raises(ModelError, match="is the disk full"):
        next(epochs)
    assert load_run(tmp_path).recipe == SMALL
    assert [epoch.epoch for epoch in train(SMALL, load_data(pictures, side=16), tmp_path)] == [2]
