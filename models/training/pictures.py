"""Reports as pictures: what is taken for what, how far probabilities can be trusted, what a threshold costs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.training.report import Agreement, Curve, Report

__all__ = [
    "draw_agreement",
    "draw_confusion",
    "draw_curves",
    "draw_learning",
    "draw_reliability",
    "draw_sizes",
]

INK, FAINT, BAR = "#1f2933", "#cbd2d9", "#3e7cb1"


def draw_confusion(report: Report, target: Path, *, title: str) -> None:
    """Rows are what raters said, columns what the network read; percent of each row, faces beside the names."""
    counts = np.array(report.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(7, 6), dpi=110, layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*shares.shape):
        if counts[row, column]:
            ink = "white" if shares[row, column] > 0.55 else INK
            axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(report.classes)), report.classes, rotation=35, ha="right")
    axes.set_yticks(range(len(report.classes)), [f"{one} ({report.support[one]})" for one in report.classes])
    axes.set(xlabel="read", ylabel="raters said", title=f"{title}\naccuracy {report.accuracy:.1%}, percent of each row")
    axes.spines[:].set_visible(False)
    figure.savefig(target)
    plt.close(figure)


def draw_reliability(report: Report, target: Path, *, title: str) -> None:
    """How often the network was right, by how sure it was; on the diagonal it means what it says."""
    sure, right, faces = (np.array(column) for column in zip(*report.reliability, strict=True))
    figure, (curve, bars) = plt.subplots(2, 1, figsize=(6, 7), dpi=110, height_ratios=(3, 1), layout="constrained")
    curve.plot([0, 1], [0, 1], color=FAINT, lw=1)
    curve.plot(sure, right, "o-", color=BAR)
    curve.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the top class", ylabel="share that was right")
    curve.set_title(f"{title}\nexpected calibration error {report.calibration_error:.3f}")
    bars.bar(sure, faces, width=0.05, color=BAR)
    bars.set(xlim=(0, 1), xlabel="probability of the top class", ylabel="faces")
    _save(figure, target, curve, bars)


def draw_agreement(found: Mapping[str, Agreement], target: Path, *, title: str) -> None:
    """What raters said of the faces of each intensity; on the diagonal it means what it says."""
    figure, axes = plt.subplots(figsize=(6, 5.5), dpi=110, layout="constrained")
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1)
    for name, one in found.items():
        said, seen, _ = zip(*one.bins, strict=True)
        axes.plot(said, seen, "o-", label=f"{name}: off by {one.error:.3f}, correlation {one.correlation:.2f}")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="intensity", ylabel="share of raters who saw an expression", title=title)
    axes.legend(frameon=False)
    _save(figure, target, axes)


def draw_curves(curves: Mapping[str, Curve], target: Path, *, title: str) -> None:
    """What a rule on one class could have, by network: how often it is right, against how much it finds."""
    figure, axes = plt.subplots(figsize=(6, 5.5), dpi=110, layout="constrained")
    for name, one in curves.items():
        _, precision, recall = zip(*one.points, strict=True)
        axes.step(recall, precision, where="post", label=f"{name}: average precision {one.average_precision:.2f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall: share found", ylabel="precision: share right", title=title)
    axes.legend(frameon=False, loc="lower left")
    _save(figure, target, axes)


def draw_sizes(found: Mapping[str, Mapping[str, Report]], target: Path, *, title: str) -> None:
    """Accuracy by size of the face, for each network: clean, and dashed as JPEG."""
    figure, axes = plt.subplots(figsize=(7, 5), dpi=110, layout="constrained")
    for number, (name, reports) in enumerate(found.items()):
        for compressed, dash in ((False, "-"), (True, "--")):
            rows = {size: one for size, one in reports.items() if ("JPEG" in size) == compressed}
            sides = [int(size.split()[0]) for size in rows]
            label = f"{name}, JPEG 50" if compressed else name
            accuracy = [one.accuracy for one in rows.values()]
            axes.plot(sides, accuracy, "o", ls=dash, color=f"C{number}", label=label)
    axes.set(xlabel="pixels of the face", ylabel="accuracy", title=title)
    axes.legend(frameon=False, loc="lower right")
    axes.grid(color=FAINT, lw=0.5)
    _save(figure, target, axes)


def draw_learning(log: Path, target: Path, *, title: str) -> None:
    """How a training went, from its log.csv: the loss, and the scores on the test split."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure, (loss, scores) = plt.subplots(2, 1, figsize=(7, 7), dpi=110, sharex=True, layout="constrained")
    loss.plot(epochs, [float(row["loss"]) for row in rows], color=BAR)
    loss.set(ylabel="loss", title=title)
    for name in [key for key in rows[0] if key not in {"epoch", "loss", "seconds"}]:
        values = [float(row[name]) for row in rows]
        scores.plot(epochs, values, label=f"{name}: {values[-1]:.3f}")
    scores.set(xlabel="epoch", ylabel="on the test split")
    scores.legend(frameon=False, loc="lower right")
    _save(figure, target, loss, scores)


def _save(figure: Figure, target: Path, *all_axes: Axes) -> None:
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target)
    plt.close(figure)
