"""The model cards of docs/models are what the registry, its notes and docs/figures say. After a change: make cards."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from models.catalogue import FOLDER, Entry, entries, find
from operators.errors import ConfigError
from pipeline.model_cards import BEGIN, END, card, index, read_figures, write_cards

DOCS = Path(__file__).parents[2] / "docs"

REPORT = {
    "commit": "abc1234",
    "machine": "a machine",
    "faces": "test split",
    "majority_only": True,
    "models": [
        {
            "model": "expression",
            "head": "ferplus",
            "report": {
                "classes": ["neutral", "fear"],
                "faces": 1234,
                "accuracy": 0.8765,
                "macro_recall": 0.6,
                "calibration_error": 0.0194,
                "recall": {"neutral": 0.9, "fear": 0.3},
                "precision": {"neutral": 0.8, "fear": 0.4},
                "f1": {"neutral": 0.85, "fear": 0.34},
                "support": {"neutral": 1200, "fear": 34},
            },
            "unique": {"faces": 1200, "accuracy": 0.86, "macro_recall": 0.5},
            "by_size": {"8 px": {"accuracy": 0.5}, "8 px JPEG 50": {"accuracy": 0.4}, "48 px": {"accuracy": 0.9}},
            "sweep": {"0.25": {"accuracy": 0.87, "macro_recall": 0.7, "calibration_error": 0.02}},
        },
        {"model": "runs/mine", "head": "ferplus"},
    ],
}
BIAS = {
    "kind": "bias",
    "model": "expression",
    "data_sha256": {"made up": "00ff"},
    "groups": [
        {"set": "made up", "trait": "light", "group": group, "accuracy": share, "same_mix": 0.8, "margin": 0.02}
        for group, share in (("lowest third", 0.7), ("middle third", 0.8), ("highest third", 0.9))
    ]
    + [{"set": "made up", "trait": "size", "group": "12 px", "accuracy": 0.6, "same_mix": 0.6, "margin": 0.02}],
    "people": {
        "made up": {
            "people": 4,
            "lowest": 0.1,
            "median": 0.8,
            "highest": 1.0,
            "deviation": 0.13,
            "deviation_by_chance": 0.09,
        }
    },
    "neutral": [
        {
            "set": "made up",
            "size": 8,
            "jpeg": jpeg,
            "setting": "as shipped",
            "faces": 10,
            "shares": {"neutral": 0.8},
            "largest_other": "sadness",
            "largest_other_share": 0.15,
        }
        for jpeg in (None, 50)
    ],
}
DETECTION = {
    "accuracy": {
        "commit": "abc1234",
        "machine": "a machine",
        "rows": [
            {"model": "mtcnn.wider", "detail": detail, "width": 640, "height": height, "recall": 0.5, "ap50": 0.6}
            for detail in ("normal", "far")
            for height in ("8-12", "8+")
        ],
    },
    "speed": {"rows": [{"model": "mtcnn.wider", "detail": "far", "frame": "640x384", "threads": 1, "ms": 12.34}]},
}
ROWS = {"title": "Compression", "rows": [{"model": "expression", "kind": "int8", "accuracy": 0.86543, "mb": 1.4}]}


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_no_card_has_drifted(entry: Entry) -> None:
    written = (DOCS / "models" / f"{entry.name}.md").read_text("utf-8")
    assert written == card(entry, read_figures(DOCS / "figures")), "run `make cards`"


def test_the_index_has_not_drifted_and_nothing_else_lies_there() -> None:
    text = (DOCS / "model-card.md").read_text("utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == index(), "run `make cards`"
    assert {path.name for path in (DOCS / "models").iterdir()} == {f"{entry.name}.md" for entry in entries()}


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_card_says_what_it_must(entry: Entry) -> None:
    text = card(entry, {})
    for heading in ("## What it gets wrong", "## What must not be inferred"):
        assert text.count(heading) == 1
    assert entry.licence in text
    assert all(sha256 in text for sha256 in entry.files.values())
    assert all(f"| {fact} |" in text for fact in ("trained on", "has seen WIDER FACE", "source"))


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_what_this_project_trained_has_not_seen_what_is_for_evaluation_only(entry: Entry) -> None:
    assert entry.trained_on
    if "this project" in entry.source:
        assert not any("WIDER" in name for name in entry.trained_on)
        assert "| has seen WIDER FACE | no |" in card(entry, {})


def test_a_detector_that_has_seen_wider_says_so() -> None:
    assert "**yes**: WIDER FACE train" in card(find("mtcnn"), {})


def test_every_note_belongs_to_a_model_or_a_task() -> None:
    known = {entry.notes for entry in entries()} | {entry.task for entry in entries()} | {"temporal"}
    assert {path.stem for path in (FOLDER / "notes").iterdir()} <= known


def test_figures_of_an_evaluation() -> None:
    text = card(find("expression"), {"x.json": REPORT})
    assert "Accuracy 87.6%, macro recall 60.0%, expected calibration error 0.019." in text
    assert "| recall | 0.90 | 0.30 |" in text
    assert "Without the 34 faces whose very picture occurs again in the data: accuracy 86.0%, macro recall 50" in text
    assert "| faces | 1,200 | 34 |" in text
    assert "|  | 8 px | 48 px |\n|---|---|---|\n| clean | 50.0% | 90.0% |\n| JPEG 50 | 40.0% |  |" in text
    assert "| 0.25 | 0.870 | 0.700 | 0.020 |" in text
    assert "Measured with commit abc1234 on a machine." in text
    assert "Accuracy" not in card(find("expression-fer2013"), {"x.json": REPORT})


def test_figures_of_a_bias_check() -> None:
    text = card(find("expression"), {"x.json": BIAS})
    assert "| made up | light | 70.0% (80.0%) +-2.0% | 80.0% (80.0%) +-2.0% | 90.0% (80.0%) +-2.0% |" in text
    assert "| made up | size: 12 px | 60.0% +-2.0% |  |  |" in text
    assert "4 people of 10 pictures or more: accuracy 10.0% to 100.0%" in text
    assert "| clean | 80%; sadness 15% |" in text
    assert "| JPEG 50 | 80%; sadness 15% |" in text
    assert "over all of these sizes: as shipped sadness 15% (8 px, made up)." in text
    assert "made up" not in card(find("mtcnn"), {"x.json": BIAS})


def test_figures_of_a_detector() -> None:
    text = card(find("mtcnn"), {"x.json": DETECTION})
    assert "| far | 0.50 / 0.60 | 0.50 / 0.60 |" in text
    assert "| far | 12.3 |" in text
    assert "0.50 / 0.60" not in card(find("yunet"), {"x.json": DETECTION})


def test_any_rows_that_name_the_model() -> None:
    text = card(find("expression"), {"x.json": ROWS})
    assert "### Compression\n\n| kind | accuracy | mb |\n|---|---|---|\n| int8 | 0.8654 | 1.4 |" in text
    assert "Compression" not in card(find("mtcnn"), {"x.json": ROWS})


def test_a_file_of_one_model_shows_all_rows_without_what_is_no_number_or_word() -> None:
    content = {"model": "mtcnn", "rows": [{"variant": "a", "ms": 1.5, "cells": [1, 2]}, {"variant": "b", "ms": 2}]}
    text = card(find("mtcnn.wider"), {"speed.json": content})
    assert "### speed\n\n| variant | ms |\n|---|---|\n| a | 1.5 |\n| b | 2 |" in text


def test_cards_are_written_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "model-card.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "x.json").write_text(json.dumps(REPORT))
    paths = write_cards(tmp_path)
    assert len(paths) == len(entries()) + 1
    assert "87.6%" in (tmp_path / "models" / f"{find('expression').name}.md").read_text()
    assert re.fullmatch(rf"before\n{BEGIN}\n\| model.*\|\n\n{END}after\n", page.read_text(), re.DOTALL)


def test_a_page_without_marks_and_a_broken_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "model-card.md").write_text("nothing\n")
    with pytest.raises(ConfigError, match="expected the lines '<!-- models"):
        write_cards(tmp_path)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "x.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        write_cards(tmp_path)
