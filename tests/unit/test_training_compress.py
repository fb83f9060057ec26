"""Compression of a real, tiny training. It needs torch: the extra `train`."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="trainings need the extra `train`")
pytest.importorskip("torch_pruning", reason="pruning needs the extra `train`")

import torch
from msgspec.structs import replace as changed
from PIL import Image

from models.training.archs import build
from models.training.compress.__main__ import main as make_table
from models.training.compress.methods import How, Source, compress, read_source
from models.training.compress.prune import prune
from models.training.compress.quantize import answers, as_faces, int8_static, integer_friendly
from models.training.compress.replay import Replay
from models.training.compress.table import BEGIN, END
from models.training.compress.tune import Tuning, tune
from models.training.export import to_onnx, worst_difference
from models.training.expression import train
from models.training.faces import Data, load_data
from models.training.recipe import Augment, Degrade, Head, Model, Optimizer, Recipe, Schedule
from operators.errors import ConfigError
from pipeline.cli import main

torch.set_num_threads(1)  # pictures are tiny: threads that wait for each other take minutes on a busy machine

MILD = Augment(rotate=0, occlude=0, degrade=Degrade(share=0.2, h264=0), brightness=(1, 1), contrast=(1, 1))
RECIPE = Recipe(
    name="a.test",
    heads={"label": Head()},
    side=16,
    batch_size=16,
    averaging=0.5,
    model=Model(stem=8, widths=(16, 16), blocks=(1, 2), drop=0.0),
    augment=MILD,
    optimizer=Optimizer(learning_rate=0.01),
    schedule=Schedule(epochs=6, warmup=0),
)
TUNING = """
name: a.tuning
heads: {label: {}}
side: 16
batch_size: 16
averaging: 0.5
teach: 0.8
augment: {rotate: 0, occlude: 0, degrade: {share: 0.2, h264: 0}, brightness: [1, 1], contrast: [1, 1]}
optimizer: {learning_rate: RATE, weight_decay: 0}
schedule: {epochs: 2, warmup: 0}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures that are bright above, or dark above; their network; a recipe to tune it with."""
    folder = tmp_path_factory.mktemp("compress")
    rng = np.random.default_rng(1)
    for split, count in (("train", 96), ("test", 32)):
        for index in range(count):
            image = rng.integers(90, 110, (16, 16))
            image[:8] += 60 if index % 2 else -60
            path = folder / "faces" / split / ("bright" if index % 2 else "dark") / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.astype(np.uint8)).save(path)
    *_, last = train(RECIPE, load_data(folder / "faces", side=16), folder / "run")
    assert last.scores["label"] == 1.0
    (folder / "tune.yaml").write_text(TUNING.replace("RATE", "0.002"))
    return folder


@pytest.fixture(scope="module")
def data(folder) -> Data:
    return load_data(folder / "faces", side=16)


@pytest.fixture(scope="module")
def source(folder) -> Source:
    return read_source(str(folder / "run"))


@pytest.fixture
def how(folder) -> How:
    return How(recipe=folder / "tune.yaml")


def right(model: onnx.ModelProto, data: Data) -> float:
    said = answers(model, as_faces(data.test.images))["label"]
    return float((said.argmax(1) == data.test.targets["label"].argmax(1)).mean())


@pytest.mark.parametrize("arch", ["seresnet", "cbamresnet", "resnet", "mobilenet_v3", "efficientnet_b0", "resnet50"])
def test_onnx_says_what_torch_says(arch):
    if arch not in ("seresnet", "cbamresnet", "resnet"):
        pytest.importorskip("torchvision", reason="this architecture is torchvision's")
    torch.manual_seed(1)
    model = build(Model(arch=arch, widths=(16, 24), blocks=(1, 1)), {"ferplus": range(8), "label": range(3)})
    with torch.no_grad():
        for _ in range(3):  # else all activations fade, and anything equals anything
            model(torch.rand(8, 1, 32, 32))
    file = to_onnx(model, {"ferplus": ["a"] * 8, "label": ["b"] * 3}, side=32)
    assert [output.name for output in file.graph.output] == ["ferplus", "label"]
    assert worst_difference(model, file, 32) < 1e-4
    assert {one.key: json.loads(one.value) for one in file.metadata_props}["classes"]["label"] == ["b"] * 3
    with torch.no_grad():
        model.heads["label"].bias += 0.01
    assert worst_difference(model, file, 32) > 5e-3


def test_a_file_replayed_is_the_network(source, data):
    faces = as_faces(data.test.images)
    replayed = Replay(source.file, source.file)
    with torch.no_grad():
        (logits,) = replayed(torch.from_numpy(faces))
    assert np.allclose(logits.numpy(), answers(source.file, faces)["label"], atol=1e-4)


def test_a_quantised_file_replayed_rounds_as_the_run_time_does(source, data):
    faces = as_faces(data.test.images)
    made = int8_static(source.file, faces)
    replayed = Replay(made, integer_friendly(source.file))
    with torch.no_grad():
        (logits,) = replayed(torch.from_numpy(faces))
    expected, exact = answers(made, faces)["label"], answers(source.file, faces)["label"]
    assert np.abs(logits.numpy() - expected).mean() < 0.5 * np.abs(exact - expected).mean()
    assert answers(replayed.file(), faces)["label"] == pytest.approx(expected, abs=0.05)


def test_weights_that_were_tuned_get_into_the_file(source, data):
    faces = as_faces(data.test.images)
    made = int8_static(source.file, faces)
    replayed = Replay(made, integer_friendly(source.file))
    with torch.no_grad():
        for weight in replayed.weights.values():
            weight.mul_(1.3)
        (logits,) = replayed(torch.from_numpy(faces))
    now = answers(replayed.file(), faces)["label"]
    assert np.abs(now - answers(made, faces)["label"]).max() > 0.5
    assert np.abs(now - logits.numpy()).max() < 0.1


def test_an_operator_that_nobody_knows_is_refused(source):
    file = onnx.ModelProto()
    file.CopyFrom(source.file)
    file.graph.node[0].op_type = "Softplus"
    with pytest.raises(ConfigError, match="Softplus: use int8-static"):
        Replay(file, source.file)


@pytest.mark.parametrize("method", ["int8-static", "int8-dynamic", "int8-qat", "prune", "fp16"])
def test_every_method_gives_a_network_that_still_reads(method, source, data, how, tmp_path):
    made = compress(source, method, data, tmp_path, how)
    assert right(made, data) == 1.0
    assert made.ByteSize() < source.file.ByteSize() * 1.6  # of a tiny network, the scales weigh more than they save
    assert made != source.file


def test_tuning_learns_what_the_larger_network_says(source, data, tmp_path):
    """Without labels: a student that was spoilt gets its answers back from the teacher."""
    student, teacher = Replay(source.file, source.file), Replay(source.file, source.file)
    with torch.no_grad():
        for name, weight in student.weights.items():
            if "heads" in name:
                weight.mul_(-0.2)
    recipe = Tuning(
        name="a.tuning",
        heads={"label": Head()},
        side=16,
        batch_size=16,
        averaging=0.5,
        teach=1.0,
        augment=MILD,
        optimizer=Optimizer(learning_rate=0.01),
        schedule=Schedule(epochs=3, warmup=0),
    )
    *_, last = tune(student, teacher, data, recipe, tmp_path)
    assert last.scores["label"] == 1.0
    with pytest.raises(ConfigError, match=r"source was .*, now else"):
        list(tune(student, teacher, data, changed(recipe, source="else"), tmp_path))


def test_pruning_takes_channels_out_and_leaves_the_original(source):
    network = source.run.model
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pruned = prune(network, 0.25, side=16)
    widths = [conv.out_channels for conv in pruned.model.trunk.modules() if isinstance(conv, torch.nn.Conv2d)]
    assert 12 in widths
    assert 16 not in [width for width in widths if width > 8]
    assert pruned.work < 0.7
    assert [head.out_features for head in pruned.model.heads.values()] == [2]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert pruned.model(torch.zeros(3, 1, 16, 16))[0].shape == (3, 2)


def test_pruning_by_work_saves_what_was_asked_for(source):
    assert prune(source.run.model, 0.4, of="work", side=16).work <= 0.6
    with pytest.raises(ConfigError, match="between 0 and 1"):
        prune(source.run.model, 1.0)
    with pytest.raises(ConfigError, match="ask for less"):
        prune(source.run.model, 0.9999, of="work", side=16)


def test_what_cannot_be_compressed_is_told(source, data, how, folder, tmp_path):
    with pytest.raises(ConfigError, match="needs the folder of a run"):
        compress(Source(source.file), "prune", data, tmp_path, how)
    other = Data(data.training, data.test, {"else": ("a", "b")}, "")
    with pytest.raises(ConfigError, match="no labels for label: they have else"):
        compress(source, "fp16", other, tmp_path, how)
    with pytest.raises(ConfigError, match=r"none\.onnx can't be read"):
        read_source(str(tmp_path / "none.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    with pytest.raises(ConfigError, match="no ONNX file"):
        read_source(str(tmp_path / "bad.onnx"))
    onnx.save(compress(source, "fp16", data, tmp_path, how), tmp_path / "half.onnx")
    with pytest.raises(ConfigError, match="compressed already"):
        read_source(str(tmp_path / "half.onnx"))


def test_the_command_compresses_and_says_what_it_costs(folder, tmp_path, monkeypatch, capsys):
    target = tmp_path / "small.onnx"
    words = [str(folder / "run"), str(target), "--data", str(folder / "faces")]
    monkeypatch.setattr(sys, "argv", ["mien", "compress", *words])
    assert main() == 0
    told = capsys.readouterr()
    assert "100.0%    100.0%  +0.0" in told.out
    assert "bytes, was" in told.out
    assert "warning" not in told.err
    assert right(onnx.load(target), load_data(folder / "faces", side=16)) == 1.0


def test_the_command_shows_how_tuning_goes(folder, tmp_path, monkeypatch, capsys):
    words = [str(folder / "run"), str(tmp_path / "x.onnx"), "--data", str(folder / "faces"), "--method", "prune"]
    monkeypatch.setattr(sys, "argv", ["mien", "compress", *words, "--recipe", str(folder / "tune.yaml")])
    assert main() == 0
    assert "epoch 2/2" in capsys.readouterr().out
    assert (tmp_path / "x.run/checkpoint.pt").exists()
    other = Path(shutil.copytree(folder / "faces", tmp_path / "other"))
    next(other.rglob("*.png")).unlink()
    monkeypatch.setattr(sys, "argv", [str(other) if word == str(folder / "faces") else word for word in sys.argv])
    assert main() == 2
    assert f"data was {folder / 'faces'} " in capsys.readouterr().err


@pytest.mark.timeout(600)
def test_the_table_is_one_command_that_goes_on(folder, tmp_path, monkeypatch, capsys):
    words = ["--classifier", str(folder / "run"), "--student", str(folder / "run"), "--data", str(folder / "faces")]
    words += ["--tune-int8", str(folder / "tune.yaml"), "--tune-pruned", str(folder / "tune.yaml"), "--rounds", "2"]
    words += ["--work", str(tmp_path / "work"), "--name", "mine", "--docs", str(tmp_path)]
    (tmp_path / "compression.md").write_text(f"before\n{BEGIN}{END}after\n")
    monkeypatch.setattr(sys, "argv", ["compress", *words])
    make_table()
    assert "| pruned by 30% of work, int8-static |" in capsys.readouterr().out
    figures = json.loads((tmp_path / "figures/compression.json").read_text())
    assert f"default is **{figures['default']}**" in (tmp_path / "compression.md").read_text()
    assert {"machine", "commit", "data_sha256", "classifier_sha256", "seed", "default"} <= figures.keys()
    assert [one["variant"] for one in figures["rows"]][:5] == [
        "float32",
        "int8-static",
        "int8-dynamic",
        "fp16",
        "int8-qat",
    ]
    assert len(figures["rows"]) == 11
    make_table()
    assert "making" not in capsys.readouterr().err
