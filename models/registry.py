"""The registry of models: list, fetch, load.

`registry.toml` beside this file is the only list (`models.catalogue`). Weights are read into memory once, compared with
their pinned sha256 (`models.files`), and only then used, so what was checked is what runs.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import joblib

from models.catalogue import Entry, entries, find, frozen, tasks
from models.enhancer import Upscaler, UpscalerOptions
from models.expression import ExpressionClassifier, ExpressionOptions
from models.files import Progress, cache_folder, fetch, locate, read
from models.mtcnn import Mtcnn, MtcnnOptions
from models.mtcnn_graphs import build_graphs
from models.own import own
from models.realesrgan import RealEsrgan, RealEsrganOptions
from models.session import Session
from models.temporal import TEMPORAL_OUTPUTS, TemporalHead, TemporalOptions
from models.yunet import YUNET_OUTPUTS, Yunet, YunetOptions
from operators.errors import ModelError

__all__ = ["Entry", "Progress", "cache_folder", "entries", "fetch", "find", "load", "tasks", "weights"]

Open = partial[Session]
Options = TypeVar("Options")


def load(
    name: str,
    *,
    device: str = "cpu",
    threads: int = 0,
    mirror: Path | str | None = None,
    folder: Path | str | None = None,
    path: Path | str | None = None,
    **options: Any,  # noqa: ANN401  # whatever the model's options are
) -> Any:  # noqa: ANN401  # three protocols with nothing in common
    """Load a model, ready to be called: a Detector, Classifier or Enhancer, as its entry's `task` says.

    Nothing is downloaded. Files are looked for in `mirror`, beside this file or in the package, then in `folder`.

    Args:
        name: name or alias of the entry.
        device: cpu, cuda or tensorrt.
        threads: threads within one call of a network; 0 = one per core.
        mirror: folder with copies of some of the registry's files.
        folder: where `fetch` put files; None = `cache_folder()`.
        path: your own file in place of the registry's; its hash isn't pinned, so trust it before you name it. A
            classifier's file that names its classes has options of its own: none of the registry's count.
        **options: fields of the model's options, such as `min_face_size` of a detector.

    Raises:
        ModelError: unknown name or option, missing or altered file, device that isn't there.
    """
    entry = find(name)
    if path is None:
        data = weights(name, mirror=mirror, folder=folder)
    else:
        entry, content = own(entry, Path(path))
        data = {Path(path).name: content}
    return _BUILD[entry.arch](entry, data, partial(Session, device=device, threads=threads), options)


def weights(name: str, *, mirror: Path | str | None = None, folder: Path | str | None = None) -> dict[str, bytes]:
    """The files of a model by name, found and checked as `load` does; raises ModelError."""
    entry = find(name)
    return {file: read(entry, file, locate(entry, file, mirror, folder)) for file in entry.files}


def _options(kind: type[Options], entry: Entry, given: Mapping[str, Any]) -> Options:
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    wrong = [name for name in given if name not in known]
    if wrong:
        raise ModelError(f"{entry.name} has no option {', '.join(wrong)}: it has {', '.join(known)}")
    try:
        return kind(**frozen({**entry.options, **given}))
    except (TypeError, ValueError) as error:
        raise ModelError(f"bad option of {entry.name}: {error}") from error


def _build_mtcnn(entry: Entry, files: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]) -> Mtcnn:
    # joblib files are pickles and may run code: they are only read because their hash is pinned.
    arrays = {Path(file).stem: joblib.load(io.BytesIO(data)) for file, data in files.items()}
    graphs = build_graphs(arrays)
    pnet, rnet, onet = (open_(graphs[name]) for name in ("pnet", "rnet", "onet"))
    return Mtcnn(pnet, rnet, onet, _options(MtcnnOptions, entry, options))


def _build_yunet(entry: Entry, files: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]) -> Yunet:
    (data,) = files.values()
    return Yunet(open_(data, outputs=YUNET_OUTPUTS), _options(YunetOptions, entry, options))


def _build_expression(
    entry: Entry, files: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]
) -> ExpressionClassifier:
    (data,) = files.values()
    session = open_(data, outputs=entry.outputs)
    return ExpressionClassifier(session, entry.labels, _options(ExpressionOptions, entry, options))


def _build_upscaler(entry: Entry, files: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]) -> Upscaler:
    (data,) = files.values()
    return Upscaler(open_(data), _options(UpscalerOptions, entry, options))


def _build_realesrgan(entry: Entry, files: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]) -> RealEsrgan:
    (data,) = files.values()
    device = str(open_.keywords["device"])  # no session: the package opens its own
    return RealEsrgan(data, _options(RealEsrganOptions, entry, options), device=device)


def _build_temporal(entry: Entry, files: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]) -> TemporalHead:
    (data,) = files.values()
    return TemporalHead(open_(data, outputs=TEMPORAL_OUTPUTS), entry.labels, _options(TemporalOptions, entry, options))


_BUILD: Mapping[str, Callable[[Entry, Mapping[str, bytes], Open, Mapping[str, Any]], Any]] = {
    "mtcnn": _build_mtcnn,
    "yunet": _build_yunet,
    "expression": _build_expression,
    "upscaler": _build_upscaler,
    "realesrgan": _build_realesrgan,
    "temporal": _build_temporal,
}
