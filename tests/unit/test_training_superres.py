"""Trainings of super-resolution on made-up pictures: seconds long, and real. They need torch: the extra `train`."""

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="trainings need the extra `train`")

import msgspec
import torch

from models.training.expression import answers, load_run
from models.training.expression import train as train_expression
from models.training.faces import Data, Faces
from models.training.recipe import Augment, Head, Model, Optimizer, Recipe, Schedule
from models.training.superres.chain import load_chain, split
from models.training.superres.export import export, to_onnx, worst_difference
from models.training.superres.network import LumaNet, resize
from models.training.superres.recipe import Distance, Losses, LumaShape, SuperRecipe
from models.training.superres.train import charbonnier, divergence, train
from operators.errors import ConfigError

torch.set_num_threads(1)

CLASSES = {"ferplus": ("bright", "dark")}
STILL = Augment(rotate=0, scale=(1, 1), shift=0, occlude=0, gamma=0, brightness=(1, 1), contrast=(1, 1))
PIXELS = SuperRecipe(
    name="a.test",
    seed=5,
    batch_size=16,
    averaging=0.8,
    shape=LumaShape(scale=2, features=8, convs=1),
    augment=STILL,
    distance=Distance(smallest=12, largest=24, blur=0, noise=0, jpeg=0, h264=0),
    optimizer=Optimizer(learning_rate=0.01, weight_decay=0),
    schedule=Schedule(epochs=8, warmup=0),
)
READS = {"losses": Losses(pixel=1, answer=1, label=1, features=0.1), "schedule": Schedule(epochs=1, warmup=0)}


def but(recipe, **changes):
    return msgspec.structs.replace(recipe, **changes)


def some(count, seed):
    """Discs on a ground, bright or dark."""
    rng = np.random.default_rng(seed)
    images = np.full((count, 48, 48), 110, np.uint8)
    for i, image in enumerate(images):
        cv2.circle(image, tuple(rng.integers(16, 32, 2).tolist()), int(rng.integers(6, 14)), (200, 30)[i % 2], -1)
    return Faces(images, {"ferplus": np.eye(2, dtype=np.float32)[np.arange(count) % 2]}, np.ones(count, bool))


@pytest.fixture(scope="module")
def data():
    return Data(some(128, 1), some(32, 2), CLASSES, "0" * 64)


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    """A classifier that has seen the pictures for one epoch."""
    run = tmp_path_factory.mktemp("teacher")
    recipe = Recipe(
        name="t.test",
        heads={"ferplus": Head()},
        batch_size=16,
        averaging=0.5,
        model=Model(stem=8, widths=(8, 8), blocks=(1, 1), drop=0.0),
        augment=STILL,
        schedule=Schedule(epochs=1, warmup=0),
    )
    list(train_expression(recipe, data, run))
    return run


@pytest.fixture(scope="module")
def pixels(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("pixels")
    return run, list(train(PIXELS, data, run))


@pytest.mark.parametrize("scale", [2, 4])
def test_an_untrained_network_is_the_bilinear_enlargement(scale):
    small = some(1, 3).images[0][10:31, 5:28]
    large = LumaNet(LumaShape(scale=scale))(torch.from_numpy(small)[None, None].float())
    wanted = cv2.resize(small.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(large[0, 0].detach(), wanted, atol=1e-3)


@pytest.mark.parametrize(("from_", "to"), [(12, 48), (17, 48), (64, 48), (96, 48), (48, 48)])
def test_resizing_is_that_of_opencv_and_has_a_gradient(from_, to):
    face = np.random.default_rng(1).random((from_, from_), np.float32)
    x = torch.from_numpy(face)[None, None].requires_grad_()
    found = resize(x, to)
    wanted = cv2.resize(face, (to, to), interpolation=cv2.INTER_AREA if to < from_ else cv2.INTER_LINEAR)
    np.testing.assert_allclose(found[0, 0].detach(), wanted, atol=1e-5)
    found.sum().backward()
    assert x.grad.sum() == pytest.approx(to * to, rel=1e-4)


def test_losses_are_zero_where_there_is_nothing_to_mend():
    face, logits = torch.rand(2, 1, 8, 8), torch.randn(3, 4)
    assert charbonnier(face, face) == pytest.approx(1e-3)
    assert charbonnier(face, face + 0.5) == pytest.approx(0.5, rel=1e-3)
    assert divergence(logits, logits + 3) == pytest.approx(0, abs=1e-6)
    assert divergence(logits, logits.flip(1)) > 0.1


def test_pixels_alone_teach_it_to_draw_edges(data, pixels, tmp_path):
    bilinear = next(train(but(PIXELS, optimizer=Optimizer(learning_rate=1e-9)), data, tmp_path))
    _, epochs = pixels
    assert epochs[-1].scores["psnr"] > bilinear.scores["psnr"] + 0.2


def test_onnx_says_what_torch_says_at_any_size(pixels, tmp_path):
    run, _ = pixels
    sha256 = export(run, tmp_path / "net.onnx")
    assert len(sha256) == 64
    network = load_chain(run).chain.enlarger
    assert worst_difference(network, to_onnx(network)) < 1e-4


def test_a_training_that_was_cut_off_goes_on_to_the_same_end(data, pixels, tmp_path):
    whole, _ = pixels
    begun = train(PIXELS, data, tmp_path)
    next(begun)
    begun.close()
    list(train(PIXELS, data, tmp_path))
    faces = torch.rand(2, 1, 20, 20)
    with torch.no_grad():
        a, b = (load_chain(run).chain.enlarger(faces) for run in (whole, tmp_path))
    assert torch.allclose(a, b, atol=1e-3)


def test_a_frozen_classifier_teaches_and_stays_as_it_is(data, pixels, teacher, tmp_path):
    first, _ = pixels
    (epoch,) = train(but(PIXELS, **READS), data, tmp_path, teachers=[teacher], init=first)
    assert set(epoch.scores) == {"12 px", "16 px JPEG 50", "24 px", "psnr"}
    result = load_chain(tmp_path)
    for key, value in load_run(teacher).model.state_dict().items():
        assert torch.equal(value, result.classifier().model.state_dict()[key]), key
    faces = torch.rand(2, 1, 20, 20)
    assert not torch.allclose(result.chain.enlarger(faces), load_chain(first).chain.enlarger(faces))


@pytest.mark.parametrize("shape", [None, PIXELS.shape])
def test_a_tuned_classifier_becomes_a_run_of_its_own(shape, data, teacher, tmp_path):
    list(train(but(PIXELS, **READS, shape=shape, tune=True), data, tmp_path / "run", teachers=[teacher]))
    split(tmp_path / "run", tmp_path / "classifier")
    tuned, before = load_run(tmp_path / "classifier"), load_run(teacher)
    assert tuned.classes == before.classes
    found, was = (answers(one.model, data.test.images)["ferplus"] for one in (tuned, before))
    assert np.abs(found - was).max() > 1e-3
    statistics = [key for key in tuned.model.state_dict() if "running" in key]
    assert statistics
    for key in statistics:
        assert torch.equal(tuned.model.state_dict()[key], before.model.state_dict()[key])


@pytest.mark.parametrize(
    ("changes", "teachers", "message"),
    [
        ({"shape": None}, 0, "has nothing to learn"),
        (READS, 0, "needs the run of one classifier as --teacher, got 0"),
        (READS, 2, "got 2"),
        ({"batch_size": 1000}, 0, "1000 training faces or more"),
    ],
)
def test_what_can_not_be_trained_is_said(changes, teachers, message, request, tmp_path):
    data, run = request.getfixturevalue("data"), request.getfixturevalue("teacher")
    with pytest.raises(ConfigError, match=message):
        next(train(but(PIXELS, **changes), data, tmp_path, teachers=[run] * teachers))


def test_a_run_without_a_network_has_nothing_to_export(data, teacher, tmp_path):
    list(train(but(PIXELS, **READS, shape=None, tune=True), data, tmp_path, teachers=[teacher]))
    with pytest.raises(ConfigError, match="no network to export"):
        export(tmp_path, tmp_path / "net.onnx")
    with pytest.raises(ConfigError, match="another enlarging network"):
        next(train(PIXELS, data, tmp_path / "next", init=tmp_path))
