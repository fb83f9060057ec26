"""What the files of docs/figures say of one model, in Markdown.

A file concerns a model in one of these ways, whatever it is called:

- `models`: reports of `mien evaluate -o FILE`, by the model's name;
- `kind: bias` and `model`: what `python -m models.training.bias -o FILE` wrote;
- `accuracy` and `speed` with rows of `model` and `detail`: what `tests.benchmarks.detect_wider` wrote;
- else `rows` with a `model` (a name or an alias), or a file with one for all its rows: their numbers and words are
  shown as they are, under the file's `title`; lists and tables in them are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.catalogue import Entry, find
from operators.errors import ModelError

__all__ = ["Figures", "concerning", "shown", "table"]

Figures = Mapping[str, Any]
Row = Mapping[str, Any]


def concerning(entry: Entry, name: str, content: Figures) -> Iterator[str]:
    """What a file says of a model, in Markdown."""
    if "models" in content:
        for report in content["models"]:
            if _means(report["model"], entry):
                yield from _evaluation(report, content)
    elif content.get("kind") == "bias":
        if _means(content["model"], entry):
            yield from _bias(content)
    elif "accuracy" in content:
        yield from _detection(entry, content)
    else:
        whole = content.get("model", "")
        rows = [row for row in content.get("rows", ()) if _means(str(row.get("model", whole)), entry)]
        if rows:
            yield f"### {content.get('title', Path(name).stem)}"
            yield from (_plain(rows), _origin(content))


def _means(name: str, entry: Entry) -> bool:
    """Whether a file means this model; runs and files by path are no models of the registry."""
    try:
        return find(name).name == entry.name
    except ModelError:
        return False


def _evaluation(report: Row, content: Figures) -> Iterator[str]:
    found = report["report"]
    which = "whose label most raters agree on" if content["majority_only"] else "with a label"
    yield f"### {report['head']}: {found['faces']:,} faces of the {content['faces']} {which}"
    yield (
        f"Accuracy {found['accuracy']:.1%}, macro recall {found['macro_recall']:.1%}, expected calibration error "
        f"{found['calibration_error']:.3f}."
    )
    columns = ("recall", "precision", "f1")
    rows = [[what, *(f"{found[what][one]:.2f}" for one in found["classes"])] for what in columns]
    yield table(
        ["", *found["classes"]], [*rows, ["faces", *(f"{found['support'][one]:,}" for one in found["classes"])]]
    )
    if report.get("unique"):
        fewer = found["faces"] - report["unique"]["faces"]
        yield (
            f"Without the {fewer:,} faces whose very picture occurs again in the data: accuracy "
            f"{report['unique']['accuracy']:.1%}, macro recall {report['unique']['macro_recall']:.1%}."
        )
    if report.get("by_size"):
        yield "Accuracy by size of the face (shrunk by area, read as a camera would deliver it):"
        yield _sizes({face: f"{one['accuracy']:.1%}" for face, one in report["by_size"].items()})
    if report.get("sweep"):
        yield "With the correction for rare classes (`tau`):"
        keys = ("accuracy", "macro_recall", "calibration_error")
        cells = [[tau, *(f"{one[key]:.3f}" for key in keys)] for tau, one in report["sweep"].items()]
        yield table(["tau", *(key.replace("_", " ") for key in keys)], cells)
    yield _origin(content)


def _sizes(cells: Mapping[str, str]) -> str:
    """`16 px`, `16 px JPEG 50` and so on, as a table of sizes by quality."""
    sizes = list(dict.fromkeys(face.partition(" px")[0] for face in cells))
    kinds = list(dict.fromkeys(face.partition(" px")[2].strip() for face in cells))
    rows = [[kind or "clean", *(cells.get(f"{size} px {kind}".strip(), "") for size in sizes)] for kind in kinds]
    return table(["", *(f"{size} px" for size in sizes)], rows)


def _bias(content: Figures) -> Iterator[str]:
    yield "### Whom it serves worse, as far as the data say"
    yield (
        "Accuracy by thirds of what the pictures show, in brackets if each third had the class mix of the whole set. "
        "Age, gender and skin are recorded in no data at hand: nothing is known of them, and bias must be assumed."
    )
    yield table(["", "", "lowest third", "middle third", "highest third"], list(_traits(content["groups"])))
    yield from (_people(one, row) for one, row in content["people"].items() if row)
    yield "### What it sees in neutral faces"
    yield "Share read as neutral, and the largest other class:"
    for one in content["data_sha256"]:
        own = [row for row in content["neutral"] if (row["set"], row["setting"]) == (one, "as shipped")]
        yield f"{one}, {own[0]['faces']:,} faces:"
        yield _sizes({_face(row): f"{row['shares']['neutral']:.0%}; {_other(row)}" for row in own})
    settings = dict.fromkeys(row["setting"] for row in content["neutral"])
    worst = "; ".join(_worst(content["neutral"], setting) for setting in settings)
    yield f"The most that one other class takes, over all of these sizes: {worst}."
    yield _origin(content)


def _traits(rows: Sequence[Row]) -> Iterator[list[str]]:
    """A line for each trait of each set; groups that aren't thirds are named in it."""
    for one, trait in dict.fromkeys((row["set"], row["trait"]) for row in rows):
        own = [row for row in rows if (row["set"], row["trait"]) == (one, trait)]
        thirds = own[0]["group"].endswith("third")
        cells = [_share(row, same_mix=thirds) for row in own]
        named = trait if thirds or trait == "all" else f"{trait}: {', '.join(row['group'] for row in own)}"
        yield [one, named, *cells, *[""] * (3 - len(cells))]


def _people(name: str, row: Row) -> str:
    return (
        f"{name}, {row['people']:.0f} people of 10 pictures or more: accuracy {row['lowest']:.1%} to "
        f"{row['highest']:.1%}, median {row['median']:.1%}; the deviation between people is {row['deviation']:.1%}, "
        f"by chance alone it would be {row['deviation_by_chance']:.1%}."
    )


def _share(row: Row, *, same_mix: bool) -> str:
    mix = f" ({row['same_mix']:.1%})" if same_mix else ""
    return f"{row['accuracy']:.1%}{mix} +-{row['margin']:.1%}"


def _worst(rows: Sequence[Row], setting: str) -> str:
    own = [row for row in rows if row["setting"] == setting]
    row = max(own, key=lambda one: float(one["largest_other_share"]))
    return f"{setting} {_other(row)} ({_face(row)}, {row['set']})"


def _face(row: Row) -> str:
    return f"{row['size']} px" + (f" JPEG {row['jpeg']}" if row["jpeg"] else "")


def _other(row: Row) -> str:
    return f"{row['largest_other']} {row['largest_other_share']:.0%}"


def _detection(entry: Entry, content: Figures) -> Iterator[str]:
    part = content["accuracy"]
    own = [row for row in part["rows"] if row["model"] == entry.name and row["width"] == 640]
    if not own:
        return
    heights = list(dict.fromkeys(row["height"] for row in own))
    yield "### Faces found in WIDER FACE validation pictures, 640 px wide: recall / AP50 by height of the face"
    details = dict.fromkeys(row["detail"] for row in own)
    rows = [
        [detail, *(f"{row['recall']:.2f} / {row['ap50']:.2f}" for row in own if row["detail"] == detail)]
        for detail in details
    ]
    yield table(["`detail`", *(f"{height} px" for height in heights)], rows)
    timed = [row for row in content.get("speed", {}).get("rows", ()) if row["model"] == entry.name]
    if timed:
        columns = list(dict.fromkeys((row["frame"], row["threads"]) for row in timed))
        cells = [[one, *(f"{row['ms']:.1f}" for row in timed if row["detail"] == one)] for one in details]
        yield "Milliseconds per frame, by its size and the threads:"
        yield table(["`detail`", *(f"{frame}, {threads}" for frame, threads in columns)], cells)
    yield f"More in [detection](../detection.md). {_origin(part)}"


def _plain(rows: Sequence[Row]) -> str:
    plain = [{key: value for key, value in row.items() if isinstance(value, str | int | float)} for row in rows]
    keys = list(dict.fromkeys(key for row in plain for key in row if key != "model"))
    return table(keys, [[shown(row.get(key, "")) for key in keys] for row in plain])


def _origin(content: Figures) -> str:
    machine = content.get("machine") or "an unknown machine"
    return f"Measured with commit {content.get('commit') or 'unknown'} on {machine}."


def shown(value: object) -> str:
    """A value as a cell of a table."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(map(shown, value))
    return str(value)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines])
