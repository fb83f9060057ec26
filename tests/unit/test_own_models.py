"""A user's own classifier in place of the registry's: one ONNX file and one line of configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from models.own import labels_of
from models.registry import load
from models.training.readers import candidate
from operators.errors import ConfigError, ModelError
from pipeline.build import build_analyzer
from pipeline.config import load_settings
from tests.networks import MINE, own_classifier


def grey(value: int) -> np.ndarray:
    return np.full((30, 20, 3), value, np.uint8)


def test_a_file_says_what_it_reads(tmp_path: Path) -> None:
    path = own_classifier(tmp_path / "own.onnx", MINE)
    own = load("expression", path=path)
    assert own.labels == labels_of("expression", path) == ("dark", "bright")
    dark, bright = own([grey(0), grey(255)])
    assert dark.probs == pytest.approx([1 / (1 + np.exp(-4)), 1 / (1 + np.exp(4))], abs=1e-5)
    assert bright.probs[1] == pytest.approx(dark.probs[0], abs=1e-5)
    assert bright.intensity == pytest.approx(bright.probs[1], abs=1e-5)


def test_nothing_of_the_registrys_network_is_left_but_what_is_asked_for(tmp_path: Path) -> None:
    path = own_classifier(tmp_path / "own.onnx", MINE)
    assert (load("expression", path=path).options.temperature, load("expression", path=path).options.priors) == (1, ())
    (warm,) = load("expression", path=path, temperature=2.0)([grey(255)])
    assert warm.probs[1] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-5)


def test_the_first_head_counts_and_intensity_is_never_it(tmp_path: Path) -> None:
    classes = {"intensity": ["neutral", "expressive"], "b": ["x", "y"], "a": ["p", "q"]}
    path = own_classifier(tmp_path / "own.onnx", classes, heads=("a", "b", "intensity"))
    assert load("expression", path=path).labels == ("x", "y")
    (reading,) = load("expression", path=own_classifier(path, {"a": ["p", "q"]}, heads=("a",)))([grey(9)])
    assert reading.intensity is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"own\.onnx can't be read: No such file"),
        (b"no network at all", r"own\.onnx is not an ONNX file"),
        ({"classes": "[1, 2]"}, r"`classes` in its metadata should be lists of names by head"),
        ({"classes": "{no json"}, r"`classes` in its metadata should be lists of names by head"),
        ({"classes": '{"label": 3}'}, r"`classes` in its metadata should be lists of names by head"),
        ({"classes": '{"other": ["a", "b"]}'}, "the network should have the outputs other; it has label"),
        ({}, "the network should have the outputs ferplus"),
    ],
)
def test_files_that_are_no_classifier(content: bytes | dict[str, str] | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        model = onnx.load(own_classifier(path, None))
        onnx.helper.set_model_props(model, content)
        onnx.save(model, path)
    with pytest.raises(ModelError, match=message):
        load("expression", path=path)


def test_it_is_measured_by_the_classes_that_it_names_itself(tmp_path: Path) -> None:
    path = own_classifier(tmp_path / "own.onnx", MINE)
    for known in ({}, {"label": ("bright",)}, {"other": ("x", "y", "z")}):
        assert candidate(str(path), classes=known).classes == ("dark", "bright")


def configuration(folder: Path, models: str, rule: str) -> Path:
    path = folder / "mien.yaml"
    path.write_text(
        "version: 1\npurpose: a test of one's own network\ncameras: {door: {url: video.mp4}}\n"
        f"models: {{expression: {models}}}\nrules:\n  - {{id: own, when: {rule}}}\n"
    )
    return path


def test_the_configuration_takes_it_and_rules_name_its_classes(tmp_path: Path) -> None:
    own = own_classifier(tmp_path / "own.onnx", MINE)
    settings = load_settings(configuration(tmp_path, f"{{path: {own}, temperature: 0.5}}", "bright >= 0.6"))
    read = build_analyzer(settings).classifier
    assert read.labels == ("dark", "bright")
    assert read([grey(255)])[0].probs[1] == pytest.approx(1 / (1 + np.exp(-8)), abs=1e-5)
    with pytest.raises(ConfigError, match='"fear" is no expression; there are: bright, dark'):
        load_settings(configuration(tmp_path, f"{{path: {own}}}", "fear >= 0.6"))


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("{path: nowhere.onnx}", r"mien\.yaml:4:\d+: models\.expression\.path: nowhere\.onnx can't be read: No such"),
        ("{temperature: 0}", "models.expression.*expected a temperature above 0, got 0"),
    ],
)
def test_a_configuration_that_is_wrong_about_it(models: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(configuration(tmp_path, models, "fear >= 0.6"))
