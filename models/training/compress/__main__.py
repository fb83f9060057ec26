"""Make every compressed variant of a classifier and measure it beside the float network; see docs/compression.md.

python -m models.training.compress --classifier RUN --data fer2013plus_train_public.npz --student RUN --work compressed

What is made is kept in the folder of --work: the same command goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from models.training.compress.measure import answer, far_away
from models.training.compress.methods import RECIPES, SEED, How, Source, compress, read_source
from models.training.compress.table import FLOAT, best, markdown, page, row
from models.training.faces import Data, load_data
from models.training.fit import Epoch
from models.training.provenance import here
from operators.errors import MienError

DOCS = Path("docs")


def main() -> None:
    """Make, measure, write the figures as JSON and into the page, and the table to the terminal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", required=True, help="folder of a run")
    parser.add_argument("--name", help="what the registry calls it, for its card; default: the folder")
    parser.add_argument("--data", type=Path, required=True, help="what it was trained on")
    parser.add_argument("--student", action="append", default=[], help="run of a distilled network; may be repeated")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--share", type=float, default=0.3, help="to prune")
    parser.add_argument("--tune-int8", type=Path, default=RECIPES / "tune_int8.yaml", help="recipe of int8-qat")
    parser.add_argument("--tune-pruned", type=Path, default=RECIPES / "tune_pruned.yaml", help="recipe after pruning")
    parser.add_argument("--rounds", type=int, default=400, help="timed calls with one face, of each pair of networks")
    parser.add_argument("--trial", action="store_true", help="take no times, and name no default")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of compression.md and figures/")
    given = parser.parse_args()
    try:
        text = (given.docs / "compression.md").read_text("utf-8")
        figures = measure(given)
        told = page(text, figures)
    except (MienError, OSError) as error:  # a recipe or page that can't be read
        sys.exit(f"{error}")
    (given.docs / "figures").mkdir(exist_ok=True)
    (given.docs / "figures/compression.json").write_text(json.dumps(figures, indent=1) + "\n")
    (given.docs / "compression.md").write_text(told, "utf-8")
    print(markdown(figures["rows"]))
    print(f"default: {figures['default']}; written to {given.docs}/figures/compression.json and compression.md")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """All figures, with what they depend on."""
    source = read_source(given.classifier)
    data = load_data(given.data, side=source.side)
    students = {f"student {Path(one).name}": read_source(one) for one in given.student}
    folder = given.work / _key(source, students, data, given)
    folder.mkdir(parents=True, exist_ok=True)
    before, far = answer(source.file, data), far_away(data)
    rows = []
    for variant, make in variants(source, students, data, folder, given).items():
        made = _kept(folder / f"{_plain(variant)}.onnx", make)
        _say(f"measuring {variant}")
        found = row(variant, made, source.file, before, data, far=far, rounds=0 if given.trial else given.rounds)
        rows.append({"model": given.name or given.classifier, **found})
    return {
        **here(),
        "title": "Compression",
        "trial": given.trial,
        "classifier_sha256": source.sha256,
        "data_sha256": data.sha256,
        "seed": SEED,
        "share": given.share,
        "default": None if given.trial else best(rows),
        "rows": rows,
    }


def variants(
    source: Source, students: Mapping[str, Source], data: Data, folder: Path, given: argparse.Namespace
) -> Mapping[str, Callable[[], ModelProto]]:
    """How to make each network of the table, by name, the float one first."""
    how = How(share=given.share, epoch=_epoch, progress=_counted)
    int8 = partial(_static, data=data, folder=folder)
    made: dict[str, Callable[[], ModelProto]] = {FLOAT: lambda: source.file}
    for method in ("int8-static", "int8-dynamic", "fp16"):
        made[method] = partial(compress, source, method, data, folder, how)
    aware = replace(how, recipe=given.tune_int8)
    made["int8-qat"] = partial(compress, source, "int8-qat", data, folder / "int8-qat", aware)
    for of in ("channels", "work"):
        name = f"pruned by {given.share:.0%} of {of}"
        pruning = replace(how, of=of, recipe=given.tune_pruned)
        made[name] = partial(compress, source, "prune", data, folder / _plain(name), pruning)
        made[f"{name}, int8-static"] = partial(int8, name)
    for name, student in students.items():
        made[name] = lambda student=student: student.file
        made[f"{name}, int8-static"] = partial(int8, name)
    return made


def _key(source: Source, students: Mapping[str, Source], data: Data, given: argparse.Namespace) -> str:
    """A name for the folder of what is kept: another network, student, recipe or other data make everything anew."""
    recipes = [path.read_text("utf-8") for path in (given.tune_int8, given.tune_pruned)]
    networks = [source.sha256, *(student.sha256 for student in students.values())]
    parts = [*networks, data.sha256, str(given.share), *recipes]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _static(name: str, *, data: Data, folder: Path) -> ModelProto:
    """A network that was made before, in 8 bits."""
    before = Source(onnx.load(folder / f"{_plain(name)}.onnx"))
    return compress(before, "int8-static", data, folder, How())


def _kept(path: Path, make: Callable[[], ModelProto]) -> ModelProto:
    """What is there, or else is made now."""
    if not path.exists():
        _say(f"making {path.stem}")
        partial_ = path.with_suffix(".partial")
        onnx.save(make(), partial_)
        partial_.replace(path)
    return onnx.load(path)


def _plain(name: str) -> str:
    """A name for a file."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _epoch(epoch: Epoch) -> None:
    scores = "  ".join(f"{name} {value:.1%}" for name, value in epoch.scores.items())
    _say(f"epoch {epoch.epoch}/{epoch.of}  loss {epoch.loss:.3f}  {scores}  {epoch.seconds:.0f} s")


def _counted(done: int, of: int) -> None:
    print(f"\rbatch {done}/{of}", end="\n" if done == of else "", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
