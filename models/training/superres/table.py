"""Chains side by side: what enlarges a small face, the classifier behind it, and whether the difference is real.

Every chain sees the same faces, shrunk by area as a camera would see them, clean and as JPEG. Two chains are compared
face by face: McNemar's exact test for each kind of face, and for all kinds together a bootstrap over faces, since a
face that occurs at six sizes isn't six faces.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import dropwhile, takewhile
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from models.training.faces import Faces, Grey
from models.training.report import Reader, shrink
from models.training.superres.enlarge import SIDE, Enlarge, at, by_bilinear

__all__ = [
    "CELLS",
    "Cell",
    "Chain",
    "Pairing",
    "Row",
    "as_document",
    "as_markdown",
    "compare",
    "gate",
    "kind",
    "measure",
    "pooled",
]

CELLS = tuple((side, quality) for quality in (None, 50) for side in (12, 16, 24))
"""Pixels of the face and JPEG quality."""
SEED = 1
TIMED = 100
"""Faces that are enlarged one by one to see how long it takes."""
RANGES = {12: (12.0, 14.0), 16: (14.0, 20.0), 24: (20.0, 32.0)}
"""The faces that each size stands for when the gate of `operators.enhance` is set."""
LOOKED_AT = 800
"""Faces that the structural similarity is computed of: it takes longer than all else."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chain:
    """What is compared: an enlargement and a classifier."""

    name: str
    enlarge: Enlarge
    read: Reader


@dataclass(frozen=True, slots=True)
class Cell:
    """One chain on one kind of face; shares, dB, and similarity in [-1, 1], against the undegraded face of 48 px."""

    side: int
    quality: int | None
    accuracy: float
    macro_recall: float
    psnr: float
    ssim: float


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One chain on every kind of face; `right (faces, kinds)` says which were read right."""

    name: str
    cells: Sequence[Cell]
    ms: Mapping[int, float]
    """Milliseconds to enlarge one face of so many pixels, on one thread; the median."""
    right: Bools


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two chains on the same faces: how far the first is ahead, in shares, and what chance alone would do."""

    kind: str
    ahead: float
    only_first: int
    """Faces that only the first reads right."""
    only_second: int
    p: float
    """Of McNemar's exact test, two-sided."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """The mean over all kinds of faces, and its 95 % interval by a bootstrap over faces."""

    ahead: float
    low: float
    high: float


def measure(
    chain: Chain, faces: Faces, truth: NDArray[np.int64], *, progress: Callable[[str], None] = lambda _: None
) -> Row:
    """Let a chain read the faces at every size and quality."""
    cells, right = [], []
    for side, quality in CELLS:
        progress(f"{chain.name}, {kind(side, quality)}")
        small = [shrink(face, side, quality) for face in faces.images]
        large = chain.enlarge(small)
        read = chain.read(large).argmax(1)
        right.append(read == truth)
        recalls = [float((read == one)[truth == one].mean()) for one in np.unique(truth)]
        accuracy, recall = float(right[-1].mean()), statistics.mean(recalls)
        cells.append(Cell(side, quality, accuracy, recall, *_likeness(large, faces.images)))
    sides = dict.fromkeys(side for side, _ in CELLS)
    return Row(
        chain.name, cells, {side: _milliseconds(chain.enlarge, faces, side) for side in sides}, np.stack(right, 1)
    )


def compare(first: Row, second: Row) -> list[Pairing]:
    """Face by face, for each kind of face."""
    pairings = []
    for i, (side, quality) in enumerate(CELLS):
        a, b = first.right[:, i], second.right[:, i]
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
        pairings.append(Pairing(kind(side, quality), float(a.mean() - b.mean()), only_a, only_b, p))
    return pairings


def pooled(first: Row, second: Row, *, rounds: int = 2000) -> Pooled:
    """Over all kinds of faces."""
    ahead = first.right.mean(1) - second.right.mean(1)
    rng = np.random.default_rng(SEED)
    means = [float(ahead[rng.integers(0, len(ahead), len(ahead))].mean()) for _ in range(rounds)]
    low, high = np.quantile(means, (0.025, 0.975))
    return Pooled(float(ahead.mean()), float(low), float(high))


def gate(first: Row, second: Row) -> tuple[float, float] | None:
    """Smallest and largest pixels of the faces that the first chain reads better, beyond chance; None where it doesn't.

    One interval, for one gate: from the smallest size that gains to the first that doesn't.
    """
    gains = [pooled(_only(first, side), _only(second, side)).low > 0 for side in RANGES]
    won = dict(zip(RANGES.values(), gains, strict=True))
    run = list(takewhile(won.get, dropwhile(lambda bounds: not won[bounds], won)))
    return (run[0][0], run[-1][1]) if run else None


def as_document(rows: Sequence[Row], pairs: Sequence[tuple[Row, Row]], context: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that was measured, as plain values for JSON."""
    return {
        **context,
        "seed": SEED,
        "rows": [{"name": row.name, "ms": dict(row.ms), "cells": [asdict(cell) for cell in row.cells]} for row in rows],
        "pairs": [
            {
                "first": first.name,
                "second": second.name,
                "pooled": asdict(pooled(first, second)),
                "gate": gate(first, second),
                "kinds": [asdict(one) for one in compare(first, second)],
            }
            for first, second in pairs
        ],
    }


def as_markdown(document: Mapping[str, Any]) -> str:
    """A document as a page."""
    rows = document["rows"]
    kinds = [kind(cell["side"], cell["quality"]) for cell in rows[0]["cells"]]
    sides = list(rows[0]["ms"])

    def cells(say: Callable[[Mapping[str, Any]], str]) -> list[list[str]]:
        return [[row["name"], *(say(cell) for cell in row["cells"])] for row in rows]

    parts = [
        "# Chains side by side",
        f"FER+ majority labels, {document['faces']:,} faces of the public split (data sha256 "
        f"{document['data_sha256'][:16]}), shrunk by area. Commit {document['commit'] or 'none'}, seed "
        f"{document['seed']}, on {document['machine']}:",
        f"    python -m models.training.superres {document['command']}",
        "Accuracy in percent:",
        _table(["", *kinds], cells(lambda cell: f"{100 * cell['accuracy']:.1f}")),
        "Macro recall in percent:",
        _table(["", *kinds], cells(lambda cell: f"{100 * cell['macro_recall']:.1f}")),
        "Likeness to the undegraded face, PSNR in dB / SSIM:",
        _table(["", *kinds], cells(lambda cell: f"{cell['psnr']:.1f} / {cell['ssim']:.3f}")),
        "Milliseconds to enlarge one face on one thread:",
        _table(
            ["", *(f"{side} px" for side in sides)], [[r["name"], *(f"{r['ms'][s]:.2f}" for s in sides)] for r in rows]
        ),
        *(_pair(pair) for pair in document["pairs"]),
    ]
    return "\n\n".join(parts) + "\n"


def kind(side: int, quality: int | None) -> str:
    """What a kind of face is called."""
    return f"{side} px" + (f" JPEG {quality}" if quality else "")


def _only(row: Row, side: int) -> Row:
    """A row's faces of one size, at every quality."""
    return replace(row, right=row.right[:, [i for i, cell in enumerate(CELLS) if cell[0] == side]])


def _pair(pair: Mapping[str, Any]) -> str:
    mean = pair["pooled"]
    title = (
        f"{pair['first']} against {pair['second']}: {100 * mean['ahead']:+.2f} points over all kinds of faces "
        f"(95 % interval {100 * mean['low']:+.2f} to {100 * mean['high']:+.2f})."
    )
    rows = [
        [one["kind"], f"{100 * one['ahead']:+.2f}", str(one["only_first"]), str(one["only_second"]), f"{one['p']:.3f}"]
        for one in pair["kinds"]
    ]
    return title + "\n\n" + _table(["", "points ahead", "only the first right", "only the second", "p"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _likeness(large: Sequence[Grey], clean: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean PSNR in dB over all faces, and mean SSIM (Wang et al., 2004) over some of them."""
    from skimage.metrics import structural_similarity  # noqa: PLC0415 -- the extra `scene`, for this table only

    found = np.stack([at(face, SIDE) for face in large]).astype(np.float32)
    errors = ((found - clean) ** 2).mean((1, 2))
    psnr = float((10 * np.log10(255**2 / np.maximum(errors, 0.01))).mean())
    some = slice(None, None, max(1, len(clean) // LOOKED_AT))
    ssim = [
        structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for a, b in zip(found[some], clean[some].astype(np.float32), strict=True)
    ]
    return psnr, float(np.mean(ssim))


def _milliseconds(enlarge: Enlarge, faces: Faces, side: int) -> float:
    if enlarge is by_bilinear:
        return _milliseconds(lambda some: [at(face, SIDE) for face in some], faces, side)
    small = [shrink(face, side, None) for face in faces.images[:TIMED]]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    enlarge(small[:5])
    took = []
    for face in small:
        start = time.perf_counter()
        enlarge([face])
        took.append(time.perf_counter() - start)
    cv2.setNumThreads(threads)
    return 1000 * statistics.median(took)
