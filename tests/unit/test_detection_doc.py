"""The detection page says what its figures say, and the scores behind them are right. `detect_wider page` writes it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from operators.records import Detections
from tests.benchmarks import detection_table
from tests.benchmarks.detect_wider import Picture, score
from tests.benchmarks.detection_table import BEGIN, END, as_markdown, insert, pick


def figures(*, ms: dict[str, float], ap50: dict[str, float]) -> dict[str, Any]:
    accuracy = [
        {"model": model, "detail": "far", "width": 640, "height": "8+", "faces": 9, "recall": 0.5, "precision": 0.9}
        | {"ap50": share}
        for model, share in ap50.items()
    ]
    speed = [
        {"model": model, "detail": "far", "frame": frame, "threads": 1, "ms": took}
        for frame in ("1280x736", "640x384")
        for model, took in ms.items()
    ]
    origin = {"data": "wider100", "machine": "a machine", "commit": "abc1234"}
    return {
        "accuracy": {**origin, "pictures": 100, "rows": accuracy},
        "speed": {**origin, "load_at_start": 0.1, "rows": speed},
    }


def test_the_page_has_not_drifted() -> None:
    written = detection_table.PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    kept = json.loads(detection_table.FIGURES.read_text("utf-8"))
    assert written.strip() == as_markdown(kept).strip(), "run `python -m tests.benchmarks.detect_wider page`"


@pytest.mark.parametrize(
    ("ms", "ap50", "picked"),
    [
        ({"a": 50, "b": 60}, {"a": 0.5, "b": 0.6}, "b"),  # the better
        ({"a": 50, "b": 401}, {"a": 0.5, "b": 0.6}, "a"),  # too slow
        ({"a": 50, "b": 60}, {"a": 0.595, "b": 0.6}, "a"),  # as good as equal: the faster
        ({"a": 500, "b": 600}, {"a": 0.5, "b": 0.6}, None),
        ({}, {"a": 0.5}, None),  # not timed
    ],
)
def test_the_rule(ms: dict[str, float], ap50: dict[str, float], picked: str | None) -> None:
    assert pick(figures(ms=ms, ap50=ap50), "far") == picked


def test_tables_and_what_the_rule_picks() -> None:
    text = as_markdown(figures(ms={"a": 50.06}, ap50={"a": 0.5}))
    assert "| 640 px wide | 8+ px (9) | precision |" in text
    assert "| a, far | 0.50 / 0.50 | 0.90 |" in text
    assert "|  | 640x384, 1 | 1280x736, 1 |" in text
    assert "| a, far | 50.1 | 50.1 |" in text
    assert "- `detail: far`: `a`" in text
    assert "- `detail: normal`: none keeps within the time" in text


def test_a_page_without_a_place(tmp_path) -> None:
    (tmp_path / "page.md").write_text("nothing\n")
    with pytest.raises(ValueError, match="expected lines"):
        insert(tmp_path / "page.md", "table")


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def found(*rows: tuple[float, float, float, float], confidence: list[float]) -> Detections:
    return Detections(boxes(*rows), np.array(confidence, np.float32), np.zeros((len(rows), 5, 2), np.float32))


SMALL, LARGE, NOTHING = (0, 0, 10, 10), (100, 100, 160, 160), (200, 0, 211, 11)
PICTURE = Picture(np.zeros((200, 300, 3), np.uint8), boxes(SMALL, LARGE))


def test_all_found() -> None:
    rows = score([found(SMALL, LARGE, confidence=[0.9, 0.8])], [PICTURE], (8, 10_000), threshold=0.6)
    assert rows == {"faces": 2, "recall": 1, "precision": 1, "ap50": 1}


def test_the_threshold_is_for_recall_and_precision_only() -> None:
    rows = score([found(SMALL, NOTHING, LARGE, confidence=[0.9, 0.8, 0.3])], [PICTURE], (8, 10_000), threshold=0.6)
    assert (rows["recall"], rows["precision"]) == (0.5, 0.5)
    assert rows["ap50"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)


def test_a_bucket_knows_its_own_faces_and_false_alarms_only() -> None:
    seen = [found(SMALL, NOTHING, LARGE, confidence=[0.9, 0.95, 0.7])]
    assert score(seen, [PICTURE], (48, 10_000), threshold=0.6) == {"faces": 1, "recall": 1, "precision": 1, "ap50": 1}
    small = score(seen, [PICTURE], (8, 12), threshold=0.6)
    assert small == {"faces": 1, "recall": 1, "precision": 0.5, "ap50": 0.5}


def test_a_face_found_twice_counts_once() -> None:
    rows = score([found(SMALL, SMALL, confidence=[0.9, 0.8])], [PICTURE], (8, 12), threshold=0.6)
    assert rows == {"faces": 1, "recall": 1, "precision": 0.5, "ap50": 1}


def test_nothing_found() -> None:
    rows = score([found(confidence=[])], [PICTURE], (8, 10_000), threshold=0.6)
    assert rows == {"faces": 2, "recall": 0, "precision": 0, "ap50": 0}
