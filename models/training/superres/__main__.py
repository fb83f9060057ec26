"""`python -m models.training.superres table | grid | export | split`: measure, look at and ship what was trained."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from models.training.documents import write_json
from models.training.faces import Data, load_data
from models.training.provenance import here
from models.training.readers import candidate
from models.training.report import Reader, labelled
from models.training.superres.chain import load_chain, split
from models.training.superres.enlarge import Enlarge, by_bicubic, by_bilinear, of_model, of_onnx
from models.training.superres.export import export, to_onnx
from models.training.superres.grid import draw_grid
from models.training.superres.table import Chain, Row, as_document, as_markdown, measure
from operators.errors import ConfigError, MienError

HEAD = "ferplus"
OFFICIAL = {"general": "realesr-general-x4v3", "animevideo": "realesr-animevideov3"}
ROWS = 3
"""Faces in a grid."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked; 2 for a wrong request, 1 for any other failure."""
    asked = _parser().parse_args(arguments)
    try:
        asked.do(asked)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except MienError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def table(asked: argparse.Namespace) -> None:
    """Measure every chain, print the tables as Markdown and write them with the JSON."""
    data = load_data(asked.data)
    faces, truth = labelled(data, HEAD, clear=True)
    if asked.faces:
        some = np.zeros(len(faces), bool)
        some[np.linspace(0, len(faces) - 1, asked.faces).astype(int)] = True
        faces, truth = faces.where(some), truth[some]
    rows: dict[str, Row] = {}
    with _chains(asked, data) as chains:
        for chain in chains:
            rows[chain.name] = measure(chain, faces, truth, progress=_show)
    pairs = [(rows[a], rows[b]) for a, b in PAIRS if a in rows and b in rows]
    runs = {name: Path(getattr(asked, name)).name for name in ("classifier", *RUNS) if getattr(asked, name)}
    context = {**here(), "command": asked.command, "data_sha256": data.sha256, "faces": len(faces), "runs": runs}
    document = as_document(list(rows.values()), pairs, context)
    write_json(document, asked.out.with_suffix(".json"))
    asked.out.with_suffix(".md").write_text(as_markdown(document))
    print("\n" + as_markdown(document))


RUNS = ("pixel", "own", "joint", "rival", "general", "animevideo")
"""Runs that may be named besides the classifier; the last two are tuned on what the official networks draw."""
BILINEAR, RIVAL = "bilinear + classifier", "bilinear + tuned classifier"
OWN, JOINT = "own + classifier", "own + tuned classifier"
PAIRS = ((OWN, BILINEAR), (OWN, RIVAL), (JOINT, RIVAL), (RIVAL, BILINEAR), ("own, pixels only + classifier", BILINEAR))


@contextmanager
def _chains(asked: argparse.Namespace, data: Data) -> Iterator[Iterator[Chain]]:
    read = _reader(asked.classifier, data)
    with tempfile.TemporaryDirectory() as folder:

        def tuned(run: Path) -> Reader:
            split(run, Path(folder) / run.name)
            return _reader(str(Path(folder) / run.name), data)

        yield _each(asked, read, tuned)


def _each(asked: argparse.Namespace, read: Reader, tuned: Callable[[Path], Reader]) -> Iterator[Chain]:
    yield Chain(BILINEAR, by_bilinear, read)
    yield Chain("bicubic + classifier", by_bicubic, read)
    if asked.rival:
        yield Chain(RIVAL, by_bilinear, tuned(asked.rival))
    if asked.pixel:
        yield Chain("own, pixels only + classifier", _network(asked.pixel), read)
    if asked.own:
        yield Chain(OWN, _network(asked.own), read)
    if asked.joint:
        yield Chain(JOINT, _network(asked.joint), tuned(asked.joint))
    for name, model in OFFICIAL.items():
        if asked.mirror:
            enlarge = of_model(model, mirror=str(asked.mirror))
            yield Chain(f"Real-ESRGAN {name} + classifier", enlarge, read)
            if run := getattr(asked, name):
                yield Chain(f"Real-ESRGAN {name} + tuned classifier", enlarge, tuned(run))


def grid(asked: argparse.Namespace) -> None:
    """Draw a few test faces, enlarged by everything that is there."""
    faces, truth = labelled(load_data(asked.data), HEAD, clear=True)
    first = [int(np.flatnonzero(truth == one)[asked.seed]) for one in range(1, 1 + ROWS)]
    by: dict[str, Enlarge] = {"bilinear": by_bilinear}
    by |= {name: _network(run) for name in ("pixel", "own", "joint") if (run := getattr(asked, name))}
    if asked.mirror:
        by |= {name: of_model(model, mirror=str(asked.mirror)) for name, model in OFFICIAL.items()}
    picture = draw_grid([faces.images[row] for row in first], by, ((12, None), (16, None), (24, None), (24, 50)))
    if not cv2.imwrite(str(asked.out), picture):
        raise ConfigError(f"{asked.out} can't be written: expected a file name that ends in .png")
    print(f"{asked.out}: don't commit it, it shows faces that are not ours")


def _show(what: str) -> None:
    print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def _network(run: Path) -> Enlarge:
    network = load_chain(run).chain.enlarger
    if network is None:
        raise ConfigError(f"{run} has no enlarging network: it is a classifier tuned on bilinear enlargements")
    return of_onnx(to_onnx(network).SerializeToString())


def _reader(name: str, data: Data) -> Reader:
    found = candidate(name, head=HEAD if Path(name).is_dir() else None, classes={HEAD: data.classes[HEAD]})
    if found.classes != tuple(data.classes[HEAD]):
        raise ConfigError(f"{name} reads {', '.join(found.classes)}: expected {', '.join(data.classes[HEAD])}")
    return found.read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m models.training.superres", description=__doc__)
    parser.set_defaults(command=" ".join(Path(word).name if "/" in word else word for word in sys.argv[1:]))
    commands = parser.add_subparsers(required=True)
    for name, do in (("table", table), ("grid", grid)):
        one = commands.add_parser(name, help=do.__doc__)
        one.set_defaults(do=do)
        one.add_argument("--data", type=Path, required=True, help="the FER2013 / FER+ npz file")
        one.add_argument("--classifier", required=name == "table", help="run, ONNX file or model of the registry")
        for run in RUNS:
            one.add_argument(f"--{run}", type=Path, help=f"run of the recipe superres_{run}.yaml")
        one.add_argument("--mirror", type=Path, help="folder with the official Real-ESRGAN files")
        one.add_argument("--out", type=Path, required=True, help="file to write: table.json and table.md, or a PNG")
    commands.choices["table"].add_argument("--faces", type=int, default=0, help="only so many test faces: a quick look")
    commands.choices["grid"].add_argument("--seed", type=int, default=3, help="which faces")
    one = commands.add_parser("export", help="write the enlarging network of a run as ONNX")
    one.set_defaults(do=lambda asked: print(f"{asked.out} sha256 {export(asked.run, asked.out)}"))
    two = commands.add_parser(
        "split", help="write the tuned classifier of a run as a run for `mien evaluate` and `export`"
    )
    two.set_defaults(do=lambda asked: split(asked.run, asked.out))
    for each in (one, two):
        each.add_argument("run", type=Path)
        each.add_argument("out", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
