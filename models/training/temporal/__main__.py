"""Measure temporal heads against what they have to beat; see docs/temporal.md.

python -m models.training.temporal --classifier RUN --data fer2013plus_train_public.npz --head runs/gru --head runs/lstm
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from models.session import Session
from models.temporal import TEMPORAL_OUTPUTS, TemporalHead, TemporalOptions
from models.training.faces import load_data
from models.training.provenance import here
from models.training.temporal.arch import TimedGru, parameters
from models.training.temporal.export import as_onnx
from models.training.temporal.score import Method, stepped
from models.training.temporal.table import Size, baselines, markdown, rows, with_figures
from models.training.temporal.train import Head, banks_folder, follow, load_banks, load_head
from operators.errors import ConfigError, MienError

DOCS = Path(__file__).parents[3] / "docs"
FIGURES, PAGE = DOCS / "figures" / "temporal.json", DOCS / "temporal.md"


def main() -> None:
    """Measure; write the figures as JSON, and as a table into the page that goes with them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", required=True, help="run, or model of the registry, that the heads learnt from")
    parser.add_argument("--data", type=Path, required=True, help="the FER2013 / FER+ npz file")
    parser.add_argument("--head", type=Path, action="append", required=True, help="run of a head; may be repeated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tracks", type=int, default=Size().tracks, help="per condition; fewer for a quick look")
    parser.add_argument("-o", "--output", type=Path, default=FIGURES, help="elsewhere, the page is left as it is")
    given = parser.parse_args()
    try:
        figures = measure(given.classifier, given.data, given.head, seed=given.seed, tracks=given.tracks)
    except MienError as error:
        sys.exit(f"{error}")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(figures, indent=1) + "\n")
    print(markdown(figures["rows"]))
    print(f"written to {given.output}")
    if given.output == FIGURES:
        PAGE.write_text(with_figures(PAGE.read_text("utf-8"), figures), "utf-8")


def measure(classifier: str, path: Path, runs: list[Path], *, seed: int, tracks: int) -> dict[str, Any]:
    """All figures, with what they depend on."""
    origin = here()
    heads = [load_head(run) for run in runs]
    recipe = heads[0].recipe
    if len({(one.recipe.bank, one.recipe.temperature, one.recipe.seed) for one in heads}) > 1:
        raise ConfigError("the heads learnt from different banks: expected recipes of one bank, temperature and seed")
    data = load_data(path)
    folder = banks_folder(classifier, runs[0])
    banks = load_banks(classifier, data, recipe, folder, progress=lambda split: partial(_counted, f"bank of {split}"))
    size = replace(Size(), tracks=tracks, alarms=tracks, chosen_on=min(tracks, Size().chosen_on))
    rivals, chosen = baselines(
        banks.training, banks.validation, recipe.tracks, size=size, seed=seed, progress=_progress
    )
    methods = {**rivals, **{head.recipe.name: _method(head) for head in heads}}
    found = rows(methods, banks.test, recipe.tracks, labels=banks.labels, size=size, seed=seed, progress=_progress)
    return {
        **origin,
        "classifier": Path(classifier).name,
        "data_sha256": data.sha256,
        "bank_sha256": banks.sha256,
        "seed": seed,
        "stills": {name: len(getattr(banks, name)) for name in ("training", "validation", "test")},
        "size": asdict(size),
        "chosen": asdict(chosen),
        "parameters": {head.recipe.name: parameters(head.model) for head in heads},
        "rows": list(found),
    }


def _method(head: Head) -> Method:
    """A head as it runs where it can run, else in torch."""
    if isinstance(head.model, TimedGru):
        session = Session(as_onnx(head), threads=1, outputs=TEMPORAL_OUTPUTS)
        return stepped(TemporalHead(session, head.labels, TemporalOptions()))
    return lambda track: follow(head.model, [track])[0]


def _progress(text: str) -> None:
    print(text, file=sys.stderr)


def _counted(name: str, done: int, of: int) -> None:
    print(f"\r{name}: {done}/{of}", end="\n" if done == of else "", file=sys.stderr)


if __name__ == "__main__":
    main()
