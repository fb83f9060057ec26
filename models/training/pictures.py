"""A report as pictures: the confusion matrix, and how far the probabilities can be trusted."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from models.training.report import Report

__all__ = ["draw_confusion", "draw_reliability"]

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
    for axes in (curve, bars):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target)
    plt.close(figure)
