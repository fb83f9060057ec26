"""What goes wrong in trainings is one line that says what to do. They need torch: the extra `train`."""

import re
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="trainings need the extra `train`")

import torch

from models.training.archs import build
from models.training.beginning import beginning
from models.training.expression import train
from models.training.faces import Data, Faces
from models.training.fit import load_checkpoint
from models.training.provenance import identify
from models.training.recipe import Augment, Degrade, Head, Model, Optimizer, Recipe, Schedule, read_recipe
from models.training.start import start, write
from models.training.superres.recipe import Losses, LumaShape, SuperRecipe
from models.training.tasks import read_any
from models.training.temporal.recipe import TemporalRecipe
from operators.errors import ConfigError
from pipeline.cli import main
from pipeline.cli.train import train as train_command

torch.set_num_threads(1)

RECIPES = sorted(Path("models/training/recipes").glob("*.yaml"))
RECIPE = Recipe(
    name="a.test",
    heads={"label": Head(), "other": Head()},
    side=16,
    batch_size=8,
    averaging=0.5,
    model=Model(stem=4, widths=(4,), blocks=(1,), drop=0.0),
    augment=Augment(rotate=0, occlude=0, degrade=Degrade(share=0)),
    optimizer=Optimizer(learning_rate=0.01),
    schedule=Schedule(epochs=4, stop_after=1, warmup=0),
)
ONE = msgspec.structs.replace(RECIPE, heads={"label": Head()})
LARGE = msgspec.structs.replace(
    ONE, side=48, model=Model(stem=4, widths=(4, 4), blocks=(1, 1), drop=0.0), name="large.test"
)
ON = Schedule(epochs=4, stop_after=2, warmup=0)


def but(recipe, **changes):
    return msgspec.structs.replace(recipe, **changes)


def some(count: int, side: int = 16) -> Faces:
    images = np.random.default_rng(count).integers(0, 255, (count, side, side)).astype(np.uint8)
    labels = np.eye(2, dtype=np.float32)[np.arange(count) % 2]
    return Faces(images, {"label": labels, "other": labels}, np.ones(count, bool))


DATA = Data(some(16), some(8), {"label": ("a", "b"), "other": ("c", "d")}, "0" * 64)


@pytest.fixture
def run(tmp_path):
    """A run that was stopped after one epoch."""
    list(train(RECIPE, DATA, tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def pictures(tmp_path):
    return folder_of_pictures(tmp_path / "pictures", seed=1)


def folder_of_pictures(folder: Path, *, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    for split, count in (("train", 8), ("test", 4)):
        for label in ("a", "b"):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                image = rng.integers(0, 255, (16, 16), np.uint8)
                assert cv2.imwrite(str(folder / split / label / f"{number}.png"), image)
    return folder


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 7}, r"\(seed was 1, now 7\)"),
        ({"optimizer": Optimizer(learning_rate=0.02)}, r"\(optimizer.learning_rate was 0.01, now 0.02\)"),
        ({"schedule": Schedule(epochs=5, warmup=0)}, r"\(schedule.epochs was 4, now 5\)"),
        ({"model": Model(stem=8, widths=(4,), blocks=(1,), drop=0.0)}, r"\(model.stem was 4, now 8\)"),
        ({"heads": {"other": Head(), "label": Head()}}, r"heads was \{'label': .*, now \{'other': "),
        ({"augment": Augment(rotate=0, occlude=0, degrade=Degrade(share=0.5))}, "augment.degrade.share was 0"),
        ({"seed": 7, "balance": 0.5}, "seed was 1, now 7; balance was 0.0, now 0.5"),
    ],
)
def test_a_run_goes_on_by_its_own_recipe_only(changes, told, run):
    kept = (run / "recipe.yaml").read_bytes()
    with pytest.raises(ConfigError, match=told):
        list(train(but(RECIPE, **changes), DATA, run))
    assert (run / "recipe.yaml").read_bytes() == kept


def test_freezing_in_between_is_another_recipe(run):
    with pytest.raises(ConfigError, match="freeze was False, now True"):
        list(train(but(RECIPE, freeze=True), DATA, run, init=run))


def test_stopping_later_is_the_same_run(run):
    assert [epoch.epoch for epoch in train(but(RECIPE, schedule=ON), DATA, run)] == [2]


def test_a_recipe_written_by_hand_is_compared_with_its_defaults(run):
    text = """
        name: a.test
        heads: {label: {}, other: {}}
        side: 16
        batch_size: 8
        averaging: 0.5
        model: {stem: 4, widths: [4], blocks: [1], drop: 0}
        augment: {rotate: 0, occlude: 0, degrade: {share: 0}}
        optimizer: {learning_rate: 0.01}
        schedule: {epochs: 4, warmup: 0}
    """
    (run / "recipe.yaml").write_text(text)
    assert len(list(train(but(RECIPE, schedule=ON), DATA, run))) == 1


def test_a_folder_of_another_task_is_left_alone(run):
    with pytest.raises(ConfigError, match="holds a run of the task expression, not temporal"):
        start(TemporalRecipe(name="a.test"), Path("nowhere"), run, teachers=["expression"])


def test_what_a_run_began_with_is_what_it_goes_on_with(pictures, tmp_path):
    out, other = tmp_path / "run", folder_of_pictures(tmp_path / "other", seed=2)
    list(start(ONE, pictures, tmp_path / "first"))
    first, on = tmp_path / "first", but(ONE, schedule=ON)
    list(start(ONE, pictures, out, init=first, teachers=[str(first)]))
    list(start(ONE, other, tmp_path / "second"))
    second = tmp_path / "second"
    for data, init, teachers, told in (
        (other, first, [first], "data was .*/pictures .*, now .*/other "),
        (pictures, second, [first], "init was .*/first .*, now .*/second "),
        (pictures, None, [first], "init was .*/first .*, now nothing"),
        (pictures, first, [second], "teacher was .*/first .*, now .*/second "),
        (pictures, first, [first, second], "teacher was .*/first .*, now .*/first .*/second "),
    ):
        with pytest.raises(ConfigError, match=told):
            start(on, data, out, init=init, teachers=[str(one) for one in teachers])
    moved = pictures.rename(tmp_path / "moved")
    assert len(list(start(on, moved, out, init=first, teachers=[str(first)]))) == 1


def test_a_run_from_before_origins_were_kept_goes_on(pictures, tmp_path):
    list(start(ONE, pictures, tmp_path / "run"))
    (tmp_path / "run/origin.json").unlink()
    assert len(list(start(but(ONE, schedule=ON), pictures, tmp_path / "run"))) == 1


def test_a_damaged_origin_is_told(pictures, tmp_path):
    list(start(ONE, pictures, tmp_path / "run"))
    (tmp_path / "run/origin.json").write_text("{")
    with pytest.raises(ConfigError, match=r"origin\.json can't be read: delete it to go on unchecked"):
        start(ONE, pictures, tmp_path / "run")


@pytest.mark.parametrize("name", ["runs/typo", "./typo"])
def test_a_path_that_leads_nowhere_is_no_model(name):
    with pytest.raises(ConfigError, match="there is no folder or file"):
        identify(name)


def test_the_folder_of_no_run_is_told(tmp_path):
    with pytest.raises(ConfigError, match="expected the folder of a run"):
        identify(str(tmp_path))


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:100] + b"\xff" * 50 + whole[150:],
        lambda _: b"not a checkpoint",
    ],
    ids=["empty", "cut off", "altered", "something else"],
)
def test_a_damaged_checkpoint_is_one_line(damage, run):
    file = run / "checkpoint.pt"
    file.write_bytes(damage(file.read_bytes()))
    for use in (lambda: load_checkpoint(run), lambda: list(train(RECIPE, DATA, run))):
        with pytest.raises(ConfigError, match=r"checkpoint\.pt can't be read .* delete it to begin anew") as caught:
            use()
        assert "\n" not in str(caught.value)
    file.unlink()
    assert len(list(train(RECIPE, DATA, run))) == 1
    assert len((run / "log.csv").read_text().splitlines()) == 2, "the log is of this run alone"


def test_a_checkpoint_of_something_else_is_one_line(run):
    torch.save({"weights": torch.zeros(2)}, run / "checkpoint.pt")
    with pytest.raises(ConfigError, match="KeyError: 'averaged'"):
        load_checkpoint(run)
    torch.save({"model": {}, "averaged": {}}, run / "checkpoint.pt")
    with pytest.raises(ConfigError, match="delete it to begin anew"):
        list(train(RECIPE, DATA, run))


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that isn't there")
@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:0"])
def test_a_device_that_is_not_there_is_told_before_any_work(device, tmp_path):
    with pytest.raises(ConfigError, match=f"the device {device} can't be used: PyTorch finds cpu on this machine"):
        start(RECIPE, Path("nowhere"), tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_can_not_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(ConfigError, match="can't be made"):
            list(train(RECIPE, DATA, out))


def test_a_target_without_a_folder_is_told_before_any_work(run, tmp_path):
    with pytest.raises(ConfigError, match=f"there is no folder {tmp_path}/none; make it first"):
        write(run, tmp_path / "none/net.onnx")
    with pytest.raises(ConfigError, match="is a folder"):
        write(run, tmp_path)


def test_a_full_disk_under_the_target_is_told(run):
    with pytest.raises(ConfigError, match="/dev/full can't be written: No space left"):
        write(run, Path("/dev/full"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["compress", "expression", "none/x.onnx", "--data", "nowhere"], "there is no folder"),
        (["evaluate", "runs/typo", "--data", "PICTURES"], "there is no folder or file runs/typo"),
        (["evaluate", "GRU", "--data", "nowhere"], "task temporal, .*: python -m models.training.temporal --help"),
        (["evaluate", "SUPER", "--data", "nowhere"], "task superres, .*: python -m models.training.superres table"),
    ],
)
def test_commands_end_with_one_line(words, told, pictures, monkeypatch, capsys):
    places = {"GRU": pictures.parent / "gru", "SUPER": pictures.parent / "super", "PICTURES": pictures}
    for name, task in (("GRU", "temporal"), ("SUPER", "superres")):
        places[name].mkdir()
        (places[name] / "recipe.yaml").write_text(f"task: {task}\nname: a.test\n")
    monkeypatch.setattr(sys, "argv", ["mien", *(str(places.get(word, word)) for word in words)])
    assert main() == 2
    shown = capsys.readouterr().err.replace(str(pictures), "PICTURES")
    assert re.search(told, shown), shown
    assert "Traceback" not in shown


def test_figures_that_can_not_be_written_are_one_line(pictures, tmp_path, monkeypatch, capsys):
    list(start(ONE, pictures, tmp_path / "run"))
    words = ["evaluate", str(tmp_path / "run"), "--data", str(pictures), "-o", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["mien", *words])
    assert main() == 2
    assert f"{tmp_path} can't be written: Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (Recipe, "augment: {scale: [1.1, 0.9]}", r"`scale` should .*, got \[1.1, 0.9\] - at `\$.augment`"),
        (Recipe, "augment: {brightness: [2, 1]}", "`brightness`"),
        (Recipe, "augment: {contrast: [2, 1]}", "`contrast`"),
        (Recipe, "augment: {degrade: {smallest: 41}}", r"`largest`, got 41 and 40 - at `\$.augment.degrade`"),
        (SuperRecipe, "distance: {smallest: 33}", r"got 33 and 32 - at `\$.distance`"),
        (TemporalRecipe, "tracks: {fps: [25, 5]}", r"`fps` should .* - at `\$.tracks`"),
        (TemporalRecipe, "tracks: {flaw_depth: [0.8, 0.2]}", "`flaw_depth`"),
        (TemporalRecipe, "bank: {sizes: [48, 12]}", r"`sizes` should .* - at `\$.bank`"),
    ],
)
def test_a_reversed_range_is_refused_with_its_key(kind, text, told, tmp_path):
    heads = "heads: {label: {}}\n" if kind is Recipe else ""
    (tmp_path / "recipe.yaml").write_text(f"name: a.test\n{heads}{text}\n")
    with pytest.raises(ConfigError, match=told):
        read_recipe(tmp_path / "recipe.yaml", kind)


def test_a_range_of_one_value_and_none_at_all_are_fine(tmp_path):
    (tmp_path / "recipe.yaml").write_text("name: a.test\ntracks: {fps: [5, 5], dropped: null}\n")
    assert read_recipe(tmp_path / "recipe.yaml", TemporalRecipe).tracks.dropped is None


def test_a_temporal_head_begins_from_nothing(run, tmp_path):
    plan = TemporalRecipe(name="a.test")
    with pytest.raises(ConfigError, match="leave --init out"):
        start(plan, Path("nowhere"), tmp_path / "head", init=run, teachers=["expression"])


def test_a_teacher_that_nobody_asks_is_refused(pictures, tmp_path):
    list(start(LARGE, pictures, tmp_path / "classifier"))
    plan = SuperRecipe(name="a.test", batch_size=8, shape=LumaShape(scale=2, features=4, convs=1))
    teachers = [str(tmp_path / "classifier")]
    with pytest.raises(ConfigError, match="asks no classifier: leave --teacher out"):
        list(start(plan, pictures, tmp_path / "run", teachers=teachers))
    asks = but(plan, losses=Losses(answer=1.0), schedule=Schedule(epochs=1))
    assert len(list(start(asks, pictures, tmp_path / "run", teachers=teachers))) == 1


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_the_command_of_a_shipped_recipe_gives_no_option_that_is_refused(path):
    plan, text = read_any(path), path.read_text()
    assert "--init" not in text or not isinstance(plan, TemporalRecipe)
    if isinstance(plan, SuperRecipe):
        assert ("--teacher" in text) == plan.reads()


def test_the_example_of_the_help_begins_from_a_network_that_fits_its_recipe():
    recipe, init = re.search(r"mien train (\S+own_classes.yaml) .*--init (\S+)", train_command.__doc__).groups()
    model = build(read_recipe(Path(recipe), Recipe).model, {"label": ("a", "b")})
    model.freeze()
    assert beginning(Path(init), model, device="cpu")
