"""The ways to make a trained network smaller, by name: a run, a model of the registry or a file in, a file out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from models.registry import weights
from models.training.compress.prune import Of, prune
from models.training.compress.quantize import (
    Calibration,
    calibration_faces,
    fp16,
    heads,
    int8_dynamic,
    int8_static,
    integer_friendly,
)
from models.training.compress.replay import Replay
from models.training.compress.tune import Tuning, read_tuning, tune
from models.training.export import to_onnx
from models.training.expression import Result, load_run
from models.training.faces import Data
from models.training.fit import Epoch, Progress
from operators.errors import ConfigError

__all__ = ["METHODS", "RECIPES", "SEED", "How", "Method", "Source", "compress", "read_source"]

Method = Literal["int8-static", "int8-dynamic", "int8-qat", "prune", "fp16"]
METHODS: Mapping[Method, str] = {
    "int8-static": "weights and activations in 8 bits, ranges measured once on training faces",
    "int8-dynamic": "weights in 8 bits, ranges of activations measured at each call",
    "int8-qat": "int8-static, then tuned with the rounding in place",
    "prune": "whole channels taken out, the rest tuned; float",
    "fp16": "half precision, for GPUs",
}
"""What each is, in a few words."""

SEED = 1
"""Of the faces that calibrate; a tuning has its own, in its recipe."""
RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, slots=True)
class Source:
    """The float network to be compressed: as a file, and as the run that it comes from, where there is one."""

    file: ModelProto
    run: Result | None = None

    @property
    def side(self) -> int:
        """Pixels of the picture that the network reads."""
        return int(self.file.graph.input[0].type.tensor_type.shape.dim[-1].dim_value)

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.file.SerializeToString()).hexdigest()


@dataclass(frozen=True, slots=True)
class How:
    """Settings of the methods; each reads its own."""

    calibration: Calibration = "percentile"
    share: float = 0.3
    """To prune."""
    of: Of = "channels"
    recipe: Path | None = None
    """For tuning; None = tune_int8.yaml or tune_pruned.yaml."""
    epoch: Callable[[Epoch], None] = field(default=lambda _: None)
    """Gets each epoch of a tuning."""
    progress: Progress = field(default=lambda _done, _of: None)
    """Gets the batches done of an epoch."""


def read_source(name: str) -> Source:
    """The folder of a run, an ONNX file, or a model of the registry; raises ConfigError or ModelError."""
    if Path(name).is_dir():
        run = load_run(Path(name))
        return Source(to_onnx(run.model, run.classes, side=run.recipe.side), run)
    if name.endswith(".onnx"):
        file = _parse(_read(Path(name)), name)
    elif "/" in name:
        raise ConfigError(f"there is no folder {name}: expected a run, an ONNX file, or a model of the registry")
    else:
        files = weights(name)
        if len(files) != 1:
            raise ConfigError(f"{name} consists of {len(files)} files: expected a classifier, which is one")
        file = _parse(next(iter(files.values())), name)
    if any(
        one.data_type in {TensorProto.INT8, TensorProto.UINT8, TensorProto.FLOAT16} for one in file.graph.initializer
    ):
        raise ConfigError(f"{name} is compressed already: expected a network in float32")
    return Source(file)


def compress(source: Source, method: Method, data: Data, work: Path, how: How) -> ModelProto:
    """Make a smaller network; what is tuned is kept in the folder `work`, and goes on where it was cut off.

    Raises ConfigError where the method can't be used on the source or the data.
    """
    unknown = [head for head in heads(source.file) if head not in data.classes]
    if unknown:
        raise ConfigError(f"the data have no labels for {', '.join(unknown)}: they have {', '.join(data.classes)}")
    if method == "int8-dynamic":
        return int8_dynamic(source.file)
    if method == "fp16":
        return fp16(source.file)
    if method == "prune":
        return _pruned(source, data, work, how)
    rounded = int8_static(source.file, calibration_faces(data.training.images, seed=SEED), calibration=how.calibration)
    return rounded if method == "int8-static" else _aware(source, rounded, data, work, how)


def _aware(source: Source, rounded: ModelProto, data: Data, work: Path, how: How) -> ModelProto:
    student = Replay(rounded, integer_friendly(source.file))
    teacher = Replay(source.file, source.file)
    recipe = _recipe(source, how, "tune_int8.yaml")
    for epoch in tune(student, teacher, data, recipe, work, progress=how.progress):
        how.epoch(epoch)
    return student.file()


def _pruned(source: Source, data: Data, work: Path, how: How) -> ModelProto:
    if source.run is None:
        raise ConfigError("prune needs the folder of a run: a file or a model of the registry can't be trained on")
    result = source.run
    pruned = prune(result.model, how.share, of=how.of, side=result.recipe.side)
    recipe = _recipe(source, how, "tune_pruned.yaml")
    for epoch in tune(pruned.model, result.model, data, recipe, work, progress=how.progress):
        how.epoch(epoch)
    return to_onnx(pruned.model, result.classes, side=result.recipe.side)


def _recipe(source: Source, how: How, default: str) -> Tuning:
    made_by = f"{source.sha256} {how.calibration} {how.share} {how.of}"
    return read_tuning(how.recipe or RECIPES / default, heads(source.file), source=made_by)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error


def _parse(data: bytes, name: str) -> ModelProto:
    try:
        return onnx.load_from_string(data)
    except DecodeError as error:
        raise ConfigError(f"{name} is no ONNX file: {error}") from error
