"""The figures of `tests.benchmarks.detect_wider` as the tables of docs/detection.md, and the rule that picks one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["FIGURES", "PAGE", "as_markdown", "insert", "pick"]

DOCS = Path(__file__).parents[2] / "docs"
FIGURES, PAGE = DOCS / "figures" / "detection.json", DOCS / "detection.md"
BEGIN, END = "<!-- figures of tests.benchmarks.detect_wider -->\n", "<!-- end of figures -->\n"

Figures = Mapping[str, Any]
Row = Mapping[str, Any]

WIDTH, FRAME = 640, "1280x736"
BUDGET_MS = {"normal": 100, "far": 400}
"""What one thread may take for a frame of 1280x736: 10 frames a second of one camera, and 2.5."""
TIE = 0.01
"""AP50 that nobody would notice: the faster one is taken."""


def as_markdown(figures: Figures) -> str:
    """Accuracy by width and height of the face, milliseconds by frame and threads, and what the rule picks."""
    lines = []
    if "accuracy" in figures:
        lines += list(_accuracy(figures["accuracy"]))
    if "speed" in figures:
        lines += list(_speed(figures["speed"]))
    if "accuracy" in figures and "speed" in figures:
        lines += [f"- `detail: {detail}`: {_named(pick(figures, detail))}" for detail in BUDGET_MS]
    return "\n".join(lines) + "\n"


def pick(figures: Figures, detail: str) -> str | None:
    """The detector with the highest AP50 at width 640 that keeps within the time; of equal ones the fastest."""
    ms = {
        row["model"]: row["ms"]
        for row in figures["speed"]["rows"]
        if (row["detail"], row["frame"], row["threads"]) == (detail, FRAME, 1)
    }
    ap50 = {
        row["model"]: row["ap50"]
        for row in figures["accuracy"]["rows"]
        if (row["detail"], row["width"], row["height"]) == (detail, WIDTH, "8+")
    }
    quick = [model for model in ap50 if ms.get(model, BUDGET_MS[detail] + 1) <= BUDGET_MS[detail]]
    best = max((ap50[model] for model in quick), default=0)
    return min((model for model in quick if ap50[model] >= best - TIE), key=lambda model: ms[model], default=None)


def insert(page: Path, tables: str) -> None:
    """Put the tables into a page, in the place of those that are there. Raises ValueError where there is no place."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected lines {BEGIN.strip()!r} and {END.strip()!r} in {page}, got none: add them")
    page.write_text(f"{before}{begin}\n{tables}\n{end}{after}", encoding="utf-8")


def _named(model: str | None) -> str:
    return f"`{model}`" if model else "none keeps within the time"


def _accuracy(part: Figures) -> Iterator[str]:
    rows: Sequence[Row] = part["rows"]
    heights = list(dict.fromkeys(row["height"] for row in rows))
    yield f"Recall / AP50 by height of the face; {part['pictures']} pictures; {_origin(part)}."
    for width in dict.fromkeys(row["width"] for row in rows):
        at = [row for row in rows if row["width"] == width]
        faces = {row["height"]: row["faces"] for row in at}
        yield ""
        yield (
            f"| {width} px wide | "
            + " | ".join(f"{height} px ({faces[height]:,})" for height in heights)
            + " | precision |"
        )
        yield "|---" * (len(heights) + 2) + "|"
        for model, detail in dict.fromkeys((row["model"], row["detail"]) for row in at):
            own = {row["height"]: row for row in at if (row["model"], row["detail"]) == (model, detail)}
            cells = [f"{own[height]['recall']:.2f} / {own[height]['ap50']:.2f}" for height in heights]
            yield f"| {model}, {detail} | " + " | ".join(cells) + f" | {own['8+']['precision']:.2f} |"
    yield ""


def _speed(part: Figures) -> Iterator[str]:
    rows: Sequence[Row] = part["rows"]
    columns = list(dict.fromkeys((row["frame"], row["threads"]) for row in rows))
    columns.sort(key=lambda column: (int(column[0].partition("x")[0]), column[1]))
    load = f"load {part['load_at_start']:.1f} at the start"
    yield f"Milliseconds per frame, by size and threads; {_origin(part)}; {load}."
    yield ""
    heads = [f"{frame}, {threads}" for frame, threads in columns]
    yield "|  | " + " | ".join(heads) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    for model, detail in dict.fromkeys((row["model"], row["detail"]) for row in rows):
        own = {
            (row["frame"], row["threads"]): row["ms"]
            for row in rows
            if (row["model"], row["detail"]) == (model, detail)
        }
        yield f"| {model}, {detail} | " + " | ".join(f"{own[column]:.1f}" for column in columns) + " |"
    yield ""


def _origin(part: Figures) -> str:
    return f"{part['data']}; {part['machine']}; commit {part['commit']}"
