"""Trainings on made-up pictures: seconds long, and real. They need torch: the extra `train`."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="trainings need the extra `train`")

import torch

from models.training.archs import build
from models.training.export import export, worst_difference
from models.training.expression import answers, load_run, train
from models.training.faces import Data, Faces
from models.training.fit import moving_average
from models.training.losses import head_loss
from models.training.recipe import Augment, Degrade, Head, Model, Optimizer, Recipe, Schedule
from operators.errors import ConfigError

torch.set_num_threads(1)  # pictures are tiny: threads that wait for each other take minutes on a busy machine

CLASSES = {"label": ("bright", "dark")}
SMALL = Model(stem=8, widths=(8, 8), blocks=(1, 1), drop=0.0)
MILD = Augment(rotate=0, occlude=0, degrade=Degrade(share=0.2, h264=0), brightness=(1, 1), contrast=(1, 1))
RECIPE = Recipe(
    name="a.test",
    heads={"label": Head()},
    side=16,
    batch_size=16,
    averaging=0.5,
    model=SMALL,
    augment=MILD,
    optimizer=Optimizer(learning_rate=0.01),
    schedule=Schedule(epochs=8, warmup=0),
)


def some(count: int, seed: int) -> Faces:
    """Pictures that are bright above, or dark above."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(90, 110, (count, 16, 16))
    images[:, :8] += np.where(labels == 0, 60, -60)[:, None, None]
    return Faces(images.astype(np.uint8), {"label": np.eye(2, dtype=np.float32)[labels]}, np.ones(count, bool))


@pytest.fixture
def data() -> Data:
    return Data(some(96, 1), some(32, 2), CLASSES, "0" * 64)


def test_a_training_learns_and_its_export_says_the_same(data, tmp_path):
    epochs = list(train(RECIPE, data, tmp_path / "run"))
    assert [epoch.epoch for epoch in epochs] == list(range(1, 9))
    assert epochs[-1].scores["label"] == 1.0
    export(tmp_path / "run", tmp_path / "net.onnx")
    assert worst_difference(load_run(tmp_path / "run").model, tmp_path / "net.onnx", 16) < 1e-4
    assert len((tmp_path / "run/log.csv").read_text().splitlines()) == 9


def test_a_training_that_was_cut_off_goes_on_to_the_same_end(data, tmp_path):
    list(train(RECIPE, data, tmp_path / "whole"))
    run = train(RECIPE, data, tmp_path / "cut")
    next(run)
    run.close()
    list(train(RECIPE, data, tmp_path / "cut"))
    whole, cut = (answers(load_run(tmp_path / name).model, data.test.images)["label"] for name in ("whole", "cut"))
    assert np.allclose(whole, cut, atol=1e-3)


def test_a_run_is_not_overwritten_by_another_network(data, tmp_path):
    list(train(replace_(RECIPE, schedule=Schedule(epochs=1)), data, tmp_path))
    with pytest.raises(ConfigError, match="another recipe"):
        list(train(replace_(RECIPE, model=Model(stem=4, widths=(4,), blocks=(1,))), data, tmp_path))


def test_own_classes_begin_from_a_trained_trunk(data, tmp_path):
    list(train(RECIPE, data, tmp_path / "first"))
    other = Data(data.training, data.test, {"label": ("a", "b")}, data.sha256)
    *_, epoch = train(replace_(RECIPE, schedule=Schedule(epochs=2)), other, tmp_path / "mine", init=tmp_path / "first")
    assert epoch.scores["label"] == 1.0
    wider = replace_(RECIPE, model=Model(stem=16, widths=(16,), blocks=(1,)))
    with pytest.raises(ConfigError, match="another architecture"):
        list(train(wider, data, tmp_path / "wide", init=tmp_path / "first"))


def test_a_teacher_answers_for_pictures_without_a_label(data, tmp_path):
    list(train(RECIPE, data, tmp_path / "teacher"))
    nobody = Faces(data.training.images, {"label": np.zeros_like(data.training.targets["label"])}, data.training.clear)
    taught = replace(data, training=nobody)
    *_, last = train(replace_(RECIPE, teach=0.5), taught, tmp_path / "student", teachers=[tmp_path / "teacher"])
    assert last.scores["label"] == 1.0


@pytest.mark.parametrize("arch", ["seresnet", "cbamresnet", "resnet", "mobilenet_v3", "efficientnet_b0", "resnet50"])
def test_every_architecture_answers_for_every_head(arch):
    if arch not in ("seresnet", "cbamresnet", "resnet"):
        pytest.importorskip("torchvision", reason="this architecture is torchvision's")
    model = build(Model(arch=arch), {"ferplus": range(8), "label": range(3)}).eval()
    assert [out.shape for out in model(torch.zeros(2, 1, 48, 48))] == [(2, 8), (2, 3)]


@pytest.mark.parametrize("arch", ["seresnet", "mobilenet_v3", "efficientnet_b0"])
def test_a_run_of_one_epoch_knows_the_variances_of_its_data(arch):
    """Where batch norm forgets its first variances too slowly, such a network answers with one class for all.

    The difference, as a share of how much the answers vary: at most 0.39 for these; 1.1 to 1.4 at a momentum of 0.01.
    """
    if arch != "seresnet":
        pytest.importorskip("torchvision", reason="this architecture is torchvision's")
    torch.manual_seed(1)
    model = build(Model(arch=arch), {"ferplus": range(8)}).eval()
    norms = [part.train() for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    faces = torch.rand(16, 1, 48, 48)
    with torch.no_grad():
        for _ in range(120):
            (learning,) = model(faces)
        (done,) = model.eval()(faces)
    assert norms
    assert (done - learning).norm() < 0.5 * (learning - learning.mean(0)).norm()


def test_losses_are_what_their_papers_say():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    targets, counts = torch.eye(2), torch.tensor([90.0, 10.0])
    plain = head_loss(logits, targets, Head(), counts)
    assert plain == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).item())
    probs = torch.softmax(logits, 1).diagonal()
    assert head_loss(logits, targets, Head(focal=2.0), counts) == pytest.approx(
        (-((1 - probs) ** 2) * probs.log()).mean().item()
    )
    adjusted = logits + torch.log(counts / 100)
    assert head_loss(logits, targets, Head(adjust=1.0), counts) == pytest.approx(
        torch.nn.functional.cross_entropy(adjusted, torch.tensor([0, 1])).item()
    )
    nobody = head_loss(logits, torch.zeros(2, 2), Head(), counts)
    assert nobody == 0


def test_the_command_says_what_is_missing(tmp_path):
    """Without the extra `train`, in a process where torch can't be imported."""
    code = "import sys; sys.modules['torch'] = None; from pipeline.cli import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", code, "export", str(tmp_path), "x.onnx"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "pip install 'mien[train]'" in ran.stderr


def replace_(recipe: Recipe, **changes) -> Recipe:
    return type(recipe)(**{name: changes.get(name, getattr(recipe, name)) for name in recipe.__struct_fields__})


def test_the_average_of_a_short_run_is_not_that_of_its_beginning():
    update, average = moving_average(0.999), [torch.zeros(1)]
    for step in range(1, 31):
        update(average, [torch.ones(1)], step)
    assert average[0] > 0.99
    update(average, [torch.zeros(1)], 10**6)
    assert average[0] > 0.98
