"""The table of compressed networks: what each loses, what it weighs, how fast it is, and which one ought to be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto

from models.training.compress.measure import TOLERATED, Answers, alike, answer, pace, reports, temperatures
from models.training.compress.quantize import answers, as_faces
from models.training.faces import Data
from operators.errors import ConfigError

__all__ = ["BEGIN", "END", "FLOAT", "best", "markdown", "page", "row"]

Row = Mapping[str, Any]

FLOAT = "float32"
"""The variant that the others are measured against."""
STEADY = 1e-3
"""Largest change of a logit by the other faces of a batch that isn't one in earnest."""
BEGIN, END = "<!-- figures: written by `python -m models.training.compress` -->\n", "<!-- end of figures -->\n"
TRIAL = "A trial: no times were taken, so there is no default."
NOISE = 0.1
"""Times that differ by less are taken as alike."""
PACES = ((1, 1), (16, 1), (1, 2), (16, 2))
"""Faces of a call, and threads."""
FEW = 64
"""Faces that are read alone and together, to see whether they influence each other."""


def row(
    variant: str, made: ModelProto, base: ModelProto, before: Answers, data: Data, *, far: Data, rounds: int = 400
) -> Row:
    """All figures of one network beside the float one, which answered `before`: shares, bytes, and milliseconds.

    `far` are the faces of `far_away`. `rounds` are calls with one face that are timed; 0 leaves the times out.
    """
    said = answer(made, data)
    first, *others = reports(said, data, temperatures(before, data)).items()
    head, report = first
    faces = as_faces(data.test.images[:FEW])
    like = alike(said, before)
    found: dict[str, Any] = {"variant": variant, "accuracy": report.accuracy, "macro_recall": report.macro_recall}
    found |= {"fear_recall": report.recall["fear"]} if "fear" in report.recall else {}
    found |= {"calibration_error": report.calibration_error}
    found |= {f"{name}_accuracy": other.accuracy for name, other in others}
    found |= {"small_faces_accuracy": reports(answer(made, far), far)[head].accuracy}
    found |= {"same_answer": like[head].agreement}
    found |= {f"{name}_difference": one.difference for name, one in like.items() if name in {head, "intensity"}}
    found |= {"batch_effect": _batch_effect(made, faces), "bytes": made.ByteSize()}
    for count, threads in PACES if rounds else ():
        timed = pace(made, base, faces[:count], threads=threads, rounds=max(1, rounds // count))
        found |= {_pace(count, threads): timed.ms, f"float_{_pace(count, threads)}": timed.float_ms}
    return found


def best(rows: Sequence[Row]) -> str:
    """The fastest variant, one face on one core, of which no head loses more than half a point, nor small faces do.

    One whose answers depend on the other faces of a batch is out: a recording must replay to the same observations. Of
    those that are as fast but for the noise of timing, the first: it takes the least to make.
    """
    base = next(one for one in rows if one["variant"] == FLOAT)
    heads = [key for key in base if key.endswith("accuracy")]
    fit = [
        one for one in rows if one["batch_effect"] <= STEADY and all(base[key] - one[key] <= TOLERATED for key in heads)
    ]
    fastest = min(map(_slowness, fit))
    return next(str(one["variant"]) for one in fit if _slowness(one) <= fastest * (1 + NOISE))


def markdown(rows: Sequence[Row]) -> str:
    """The table; milliseconds with those of the float network in the same minutes in brackets."""
    columns = [key for key in rows[0] if not key.startswith(("float_", "ms_", "model"))]
    paces = {_pace(*one): _words(*one) for one in PACES if _pace(*one) in rows[0]}
    head = [*(key.replace("_", " ") for key in columns), *paces.values()]
    lines = [
        [
            *(_cell(key, one.get(key, "")) for key in columns),
            *(f"{one[key]:.2f} ({one[f'float_{key}']:.2f})" for key in paces),
        ]
        for one in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def page(text: str, figures: Mapping[str, Any]) -> str:
    """The text of docs/compression.md with these figures between the marks; raises ConfigError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"expected the lines {BEGIN.strip()!r} and {END.strip()!r} in docs/compression.md: add them")
    origin = f"Measured with commit {figures['commit']} on {figures['machine']}; data {figures['data_sha256'][:12]}."
    told = TRIAL if figures["trial"] else f"By the rule above the default is **{figures['default']}**."
    return f"{before}{begin}\n{markdown(figures['rows'])}\n\n{told}\n{origin}\n\n{end}{after}"


def _slowness(one: Row) -> float:
    """Against the float network beside it: the machine may have been busier for one variant than for another."""
    key = _pace(1, 1)
    return float(one[key] / one[f"float_{key}"])


def _batch_effect(model: ModelProto, faces: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    """The largest difference of a logit between faces read together and each alone."""
    together = answers(model, faces)
    alone: list[Answers] = [answers(model, face[None]) for face in faces]
    return max(
        float(np.abs(rows - np.concatenate([one[head] for one in alone])).max()) for head, rows in together.items()
    )


def _pace(count: int, threads: int) -> str:
    return f"ms_{count}_faces_{threads}_threads"


def _words(count: int, threads: int) -> str:
    return f"ms, {count} face{'s' * (count > 1)}, {threads} thread{'s' * (threads > 1)}"


def _cell(key: str, value: object) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if key.endswith(("accuracy", "recall", "answer")):
        return f"{value:.1%}"
    return f"{value:.4f}" if value >= 1e-4 else "0"
