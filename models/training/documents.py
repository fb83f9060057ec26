"""What was measured, written down: JSON for machines, and a folder with Markdown and pictures for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.training.evaluation import Asked, Evaluation
from models.training.faces import Data
from models.training.provenance import here
from models.training.report import SLACK, WORST_CALIBRATION, Curve, Report

__all__ = ["as_document", "as_markdown", "table", "write_folder", "write_json"]

RECALLS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Recalls at which a curve is written down."""


def as_document(found: Sequence[Evaluation], data: Data, asked: Asked) -> dict[str, Any]:
    """Everything that was found, with what it was found with: plain values for JSON."""
    context = {
        **here(),
        "data_sha256": data.sha256,
        "faces": "all" if asked.whole else "test split",
        "majority_only": asked.clear,
        "calibrated": asked.calibrate,
    }
    return {**context, "models": [_one(evaluation) for evaluation in found]}


def write_json(document: Mapping[str, Any], target: Path) -> None:
    """Write a document; its folder is made where it is missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document, indent=1) + "\n")


def write_folder(found: Sequence[Evaluation], document: Mapping[str, Any], folder: Path) -> None:
    """Write `report.md` with its pictures, and the document as `report.json`."""
    from models.training import pictures  # noqa: PLC0415 -- matplotlib: only where something is drawn

    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        name = _file(one)
        pictures.draw_confusion(one.report, folder / f"{name}-confusion.png", title=one.model)
        pictures.draw_reliability(one.report, folder / f"{name}-reliability.png", title=one.model)
        if one.intensity:
            pictures.draw_agreement(one.intensity, folder / f"{name}-intensity.png", title=one.model)
        if one.log is not None:
            pictures.draw_learning(one.log, folder / f"{name}-learning.png", title=one.model)
    for label in found[0].curves:
        curves = {one.model: one.curves[label] for one in found}
        pictures.draw_curves(curves, folder / f"curve-{label}.png", title=label)
    if found[0].by_size:
        sizes = {one.model: one.by_size for one in found}
        pictures.draw_sizes(sizes, folder / "sizes.png", title="accuracy by size of the face")
    write_json(document, folder / "report.json")
    (folder / "report.md").write_text(_illustrated(as_markdown(found, document), found))


def as_markdown(found: Sequence[Evaluation], document: Mapping[str, Any]) -> str:
    """The report as text."""
    names = ", ".join(one.model for one in found)
    lines = [
        f"# How well {names} {'read' if len(found) > 1 else 'reads'} faces",
        f"{found[0].report.faces:,} faces{'' if document['faces'] == 'all' else ' of the test split'}"
        f"{', those on whose label most raters agree' if document['majority_only'] else ''}; data sha256 "
        f"{document['data_sha256'][:16]}; mien {document['mien']}, commit {document['commit'] or 'none'}, on "
        f"{document['machine']}.",
    ]
    if len(found) > 1:
        lines += ["## Side by side", _side_by_side(found)]
    for one in found:
        lines += [f"## {one.model}", *_sections(one, calibrated=document["calibrated"])]
    return "\n\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines])


def _illustrated(text: str, found: Sequence[Evaluation]) -> str:
    """With the pictures at the end."""
    shown = [(one.model, _file(one), one) for one in found]
    lines = ["## Pictures"]
    if found[0].by_size:
        lines.append("![Accuracy by size of the face](sizes.png)")
    lines += [f"![Precision against recall: {label}](curve-{label}.png)" for label in found[0].curves]
    for model, name, one in shown:
        drawn = [
            "confusion",
            "reliability",
            *(["intensity"] if one.intensity else []),
            *(["learning"] if one.log else []),
        ]
        lines += [f"![{model}: {what}]({name}-{what}.png)" for what in drawn]
    return text + "\n" + "\n\n".join(lines) + "\n"


def _one(found: Evaluation) -> dict[str, Any]:
    document = asdict(found)
    del document["log"]
    for one in (*document["by_size"].values(), *document["sweep"].values(), *filter(None, [document["unique"]])):
        del one["confusion"], one["reliability"]  # long, and drawn for the whole only
    document["curves"] = {name: _curve(one) for name, one in found.curves.items()}
    return document


def _curve(found: Curve) -> dict[str, Any]:
    points = {str(least): found.at_recall(least) for least in RECALLS}
    keys = ("threshold", "precision", "recall")
    at = {least: dict(zip(keys, point, strict=True)) for least, point in points.items() if point is not None}
    return {"average_precision": found.average_precision, "at_recall": at}


def _file(found: Evaluation) -> str:
    return found.model.replace("/", "-").replace(".", "-")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _numbers(report: Report) -> list[str]:
    return [_percent(report.accuracy), _percent(report.macro_recall), f"{report.calibration_error:.3f}"]


NUMBERS = ("accuracy %", "macro recall %", "calibration error")


def _side_by_side(found: Sequence[Evaluation]) -> str:
    labels = list(found[0].curves)
    rows = [
        [one.model, *_numbers(one.report), *(f"{one.curves[label].average_precision:.2f}" for label in labels)]
        for one in found
    ]
    return table(["", *NUMBERS, *(f"average precision, {label}" for label in labels)], rows)


def _sections(one: Evaluation, *, calibrated: bool) -> list[str]:
    report = one.report
    lines = [
        f"Accuracy {report.accuracy:.1%}, macro recall {report.macro_recall:.1%}, expected calibration error "
        f"{report.calibration_error:.3f}{', calibrated on these faces' if calibrated else ''}. {_settings(one)}",
        _classes(report),
    ]
    if one.unique is not None:
        lines.append(
            f"Without the {report.faces - one.unique.faces} faces whose very picture occurs again in the data: "
            f"accuracy {one.unique.accuracy:.1%}, macro recall {one.unique.macro_recall:.1%}."
        )
    if one.by_size:
        rows = [[size, *_numbers(seen), _most(seen)] for size, seen in one.by_size.items()]
        lines += ["### By size of the face", table(["face", *NUMBERS, "most frequent answer"], rows)]
    if one.sweep:
        lines += ["### Rare classes: the prior correction", _sweep(one)]
    for label, found in one.curves.items():
        lines += [f"### A rule on {label}", _thresholds(found)]
    if one.site:
        lines += ["### At this site", _site(one)]
    if one.intensity:
        lines += ["### Intensity", _intensity(one)]
    return lines


def _settings(one: Evaluation) -> str:
    said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in one.about.items())
    also = "" if one.intensity_temperature is None else f", for the intensity one of {one.intensity_temperature:.2f}"
    return f"A temperature {one.temperature:.2f} times its own fits them best{also}. Of the network: {said}."


def _classes(report: Report) -> str:
    columns = (report.precision, report.recall, report.f1)
    rows = [[one, *(f"{column[one]:.2f}" for column in columns), f"{report.support[one]:,}"] for one in report.classes]
    means = [f"{mean:.3f}" for mean in (report.macro_precision, report.macro_recall, report.macro_f1)]
    return table(["", "precision", "recall", "F1", "faces"], [*rows, ["mean", *means, f"{report.faces:,}"]])


def _most(report: Report) -> str:
    name = max(report.read, key=lambda one: report.read[one])
    return f"{name}, {report.read[name]:.0%}"


def _sweep(one: Evaluation) -> str:
    labels = list(one.curves)
    columns = [f"{label} {what}" for label in labels for what in ("recall", "precision")]
    rows = [
        [f"{tau:g}", *_numbers(report)]
        + [f"{values[label]:.2f}" for label in labels for values in (report.recall, report.precision)]
        for tau, report in one.sweep.items()
    ]
    rule = (
        f"The rule for what is shipped picks {one.tau:g}: the highest macro recall among those that lose at most "
        f"{100 * SLACK:g} points of accuracy and whose calibration error is {WORST_CALIBRATION:g} or less."
    )
    return f"{table(['tau', *NUMBERS, *columns], rows)}\n\n{rule}"


def _thresholds(found: Curve) -> str:
    rows = [
        [f"{point[2]:.2f}", f"{point[1]:.2f}", f"{point[0]:.2f}"]
        for point in map(found.at_recall, RECALLS)
        if point is not None
    ]
    return table(["finds", "right", "with a threshold of"], rows)


def _site(one: Evaluation) -> str:
    labels = list(one.curves) or list(one.report.classes)
    rows = [
        [name, _percent(there.accuracy)]
        + [f"{values[label]:.2f}" for label in labels for values in (there.recall, there.precision)]
        for name, there in one.site.items()
    ]
    return table(["", "accuracy %", *(f"{label} {what}" for label in labels for what in ("recall", "precision"))], rows)


def _intensity(one: Evaluation) -> str:
    rows = [
        [name, f"{said.error:.3f}", f"{said.correlation:.3f}", f"{said.calibration_error:.3f}", f"{said.faces:,}"]
        for name, said in one.intensity.items()
    ]
    return table(["against the share of raters", "mean error", "correlation", "calibration error", "faces"], rows)
