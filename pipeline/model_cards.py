"""Model cards: everything that is known of a model of the registry, as one page of Markdown.

Facts come from `models/registry.toml`, figures from `docs/figures/*.json`, known failures from `models/notes`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from models.catalogue import FOLDER, Entry, entries
from operators.errors import ConfigError
from pipeline.card_figures import Figures, concerning, shown, table

__all__ = ["BEGIN", "END", "card", "index", "read_figures", "write_cards"]

DOES = {
    "detector": "Finds faces in a picture.",
    "expression": "Reads the expression that a face shows.",
    "enhancer": "Enlarges small faces.",
    "temporal": "Follows the expression of one face over time.",
}
BEGIN, END = "<!-- models: written by `make cards` -->\n", "<!-- end of models -->\n"
_EVALUATION_ONLY = "WIDER FACE"
"""What this project measures detectors on: the pictures of its validation split."""


def card(entry: Entry, figures: Mapping[str, Figures]) -> str:
    """The page of one model; `figures` are the contents of the figures files by their names."""
    parts = [
        "<!-- Written by `make cards` from models/registry.toml, models/notes and docs/figures: change those. -->",
        f"# {entry.name}",
        f"{DOES[entry.task]} {_in_short(entry)}",
        table(["", ""], _facts(entry)),
        *_figures(entry, figures),
        *_notes(entry),
    ]
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """A table of all models with links to their cards."""
    rows = [
        [f"[{one.name}](models/{one.name}.md)", ", ".join(one.aliases), one.task, one.licence, _seen(one)]
        for one in entries()
    ]
    return table(["model", "in short", "task", "licence", "has seen WIDER FACE"], rows)


def read_figures(folder: Path) -> dict[str, Figures]:
    """The contents of every JSON file of a folder, by name; none where there is no such folder."""
    try:
        return {path.name: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    except ValueError as error:
        raise ConfigError(f"a file of {folder} is not JSON: {error}") from error


def write_cards(docs: Path) -> list[Path]:
    """Write `models/NAME.md` of every model and the index in `model-card.md`; returns the files."""
    figures, page = read_figures(docs / "figures"), docs / "model-card.md"
    (docs / "models").mkdir(exist_ok=True)
    written = {docs / "models" / f"{entry.name}.md": card(entry, figures) for entry in entries()}
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ConfigError(f"expected the lines {BEGIN.strip()!r} and {END.strip()!r} in {page}: add them")
    written[page] = f"{before}{BEGIN}\n{index()}\n\n{END}{after}"
    for path, text in written.items():
        path.write_text(text, "utf-8")
    return list(written)


def _in_short(entry: Entry) -> str:
    if not entry.aliases:
        return "No short name means it today."
    return f"In short: {', '.join(f'`{alias}`' for alias in entry.aliases)}."


def _facts(entry: Entry) -> list[list[str]]:
    options = ", ".join(f"{key} {shown(value)}" for key, value in entry.options.items())
    facts = {
        "input": entry.input,
        "labels": ", ".join(entry.labels),
        "outputs": ", ".join(entry.outputs),
        "as shipped": options,
        "in numbers": ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in entry.metrics.items()),
        "files": "<br>".join(_file(entry, file) for file in entry.files),
        "to be had by": _had(entry),
        "source": entry.source,
        "licence": entry.licence,
        "origin": entry.origin,
        "trained on": ", ".join(entry.trained_on),
        "has seen WIDER FACE": _seen(entry),
    }
    return [[key, value] for key, value in facts.items() if value]


def _file(entry: Entry, file: str) -> str:
    path = FOLDER / "weights" / file
    size = f", {path.stat().st_size / 1e6:.1f} MB" if path.is_file() else ""
    return f"`{file}`{size}, sha256 `{entry.files[file]}`"


def _had(entry: Entry) -> str:
    if entry.package:
        return f"the package `{entry.package}`, which comes with mien"
    if entry.shipped:
        return "mien itself"
    return f"`mien models fetch {entry.name}`" if entry.urls else "your own copy: `models.mirror`, or a path"


def _seen(entry: Entry) -> str:
    seen = [name for name in entry.trained_on if name.startswith(_EVALUATION_ONLY)]
    if seen:
        return f"**yes**: {', '.join(seen)}; figures on its pictures flatter"
    return "not known" if any("not published" in name for name in entry.trained_on) else "no"


def _notes(entry: Entry) -> Iterator[str]:
    """What people have to say of it, and of every model that does the same."""
    for name in (entry.notes, entry.task):
        path = FOLDER / "notes" / f"{name}.md"
        if name and path.is_file():
            yield path.read_text("utf-8").strip()


def _figures(entry: Entry, figures: Mapping[str, Figures]) -> Iterator[str]:
    parts = [part for name, content in figures.items() for part in concerning(entry, name, content)]
    if parts:
        yield "## Figures"
        yield from parts
