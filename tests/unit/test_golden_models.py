"""Every network answers what it answered when it was added; those of this project what torch answered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.catalogue import Entry, entries, find
from operators.errors import ConfigError
from tests.golden_models import FOLDER, answers, differences, make, of_torch, read

NETWORKS = [entry for entry in entries() if entry.arch != "realesrgan"]  # which has its own package and no ONNX
OURS = [entry for entry in NETWORKS if "this project" in entry.source]
RUNS = Path(os.environ.get("MIEN_RUNS", Path(__file__).parents[2] / "runs"))
"""Folder with the runs that networks were exported from, by name."""


def mirror_of(entry: Entry, request: pytest.FixtureRequest) -> Path | None:
    if entry.shipped or entry.package:
        return None
    return request.getfixturevalue("shared") / "data" / "weights"


@pytest.mark.parametrize("entry", NETWORKS, ids=lambda entry: entry.name)
def test_a_network_answers_what_it_answered(entry: Entry, request: pytest.FixtureRequest) -> None:
    golden = read(entry.name)
    for output, (worst, mean) in differences(golden, answers(entry, mirror_of(entry, request))).items():
        assert worst <= golden.worst, output
        assert mean <= golden.mean, output


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.name)
def test_what_this_project_trained_is_compared_with_torch(entry: Entry) -> None:
    assert entry.task != "expression" or (read(entry.name).made_by, bool(read(entry.name).run)) == ("torch", True)


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.name)
def test_onnx_is_torch(entry: Entry) -> None:
    pytest.importorskip("torch", reason="the extra train is not installed")
    golden = read(entry.name)
    if not golden.run or not (RUNS / golden.run).is_dir():
        pytest.skip(f"the run {golden.run or 'of it'} is not in {RUNS}: set MIEN_RUNS")
    for worst, mean in differences(golden, of_torch(entry, RUNS / golden.run)).values():
        assert worst <= golden.worst
        assert mean <= golden.mean


def test_nothing_else_lies_there() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {entry.name for entry in NETWORKS}


def test_another_network_is_noticed() -> None:
    golden, entry = read("seresnet_base.ferplus-1"), find("seresnet_base.ferplus-1")
    ((graph, outputs),) = answers(entry).items()
    (off,) = differences(golden, {graph: {"ferplus": outputs["ferplus"] + 0.01}}).values()
    assert min(off) > golden.mean
    assert off[0] > golden.worst


def test_golden_answers_of_a_run_want_a_model_of_expressions() -> None:
    with pytest.raises(ConfigError, match="no run of a model that is a detector can be read here"):
        make(find("mtcnn"), run=Path("runs/any"))
