"""The registry of models: list, fetch, load.

`registry.toml` beside this file is the only list. Weights are read into memory once, compared with their pinned sha256,
and only then used, so what was checked is what runs.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import io
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import joblib
import platformdirs

from models.enhancer import RealEsrgan, RealEsrganOptions
from models.expression import ExpressionClassifier, ExpressionOptions
from models.mtcnn import Mtcnn, MtcnnOptions
from models.mtcnn_graphs import build_graphs
from models.session import Session
from models.yunet import YUNET_OUTPUTS, Yunet, YunetOptions
from operators.errors import ModelError

__all__ = ["Entry", "Progress", "cache_folder", "entries", "fetch", "find", "load"]

Progress = Callable[[int, int | None], None]
"""Called while a file arrives: bytes so far, and bytes in all where the server says so."""

_HERE = Path(__file__).parent
_CHUNK = 1 << 16

Open = Callable[..., Session]
Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of `registry.toml`; the comment at the top of that file says what each field is."""

    name: str
    task: str
    arch: str
    files: Mapping[str, str]
    input: str
    licence: str
    source: str
    origin: str
    aliases: tuple[str, ...] = ()
    package: str | None = None
    folder: str = ""
    urls: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def shipped(self) -> bool:
        """Whether the files are part of this repository."""
        return all((_HERE / "weights" / file).is_file() for file in self.files)


@cache
def entries() -> tuple[Entry, ...]:
    """Every model, in the order of the file."""
    tables = tomllib.loads((_HERE / "registry.toml").read_text("utf-8"))
    return tuple(Entry(name=name, **_frozen(table)) for name, table in tables.items())


def find(name: str) -> Entry:
    """Look a model up by its name or an alias; raises ModelError with the nearest names."""
    by_name = {known: entry for entry in entries() for known in (entry.name, *entry.aliases)}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(by_name)}"
    raise ModelError(f"no model is called {name!r}: {hint}")


def cache_folder() -> Path:
    """Where `fetch` puts files: the user's cache folder, in `mien/models`."""
    return platformdirs.user_cache_path("mien") / "models"


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
        path: your own file in place of the registry's; its hash isn't pinned, so trust it before you name it.
        **options: fields of the model's options, such as `min_face_size` of a detector.

    Raises:
        ModelError: unknown name or option, missing or altered file, device that isn't there.
    """
    entry = find(name)
    if path is not None:
        weights = _read_own(entry, Path(path))
    else:
        weights = {file: _read(entry, file, _locate(entry, file, mirror, folder)) for file in entry.files}
    return _BUILD[entry.arch](entry, weights, partial(Session, device=device, threads=threads), options)


def fetch(
    name: str, *, mirror: Path | str | None = None, folder: Path | str | None = None, progress: Progress | None = None
) -> list[Path]:
    """Put the files of a model where `load` finds them, from `mirror` (a folder) or their URLs, and return their paths.

    A file appears whole and with the right hash, or not at all. What is there already is left alone.

    Raises:
        ModelError: unknown name, no address and no mirror, failed download, wrong hash.
    """
    entry = find(name)
    target = Path(folder) if folder is not None else cache_folder()
    return [_fetch_file(entry, file, mirror, target, progress) for file in entry.files]


def _fetch_file(entry: Entry, file: str, mirror: Path | str | None, folder: Path, progress: Progress | None) -> Path:
    for place in _places(entry, file, None, folder):
        if place.is_file() and _digest(place.read_bytes()) == entry.files[file]:
            return place
    target = folder / file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            arrived = Path(scratch) / file
            _obtain(entry, file, mirror, arrived, progress)
            _read(entry, file, arrived)
            arrived.replace(target)
    except OSError as error:
        raise ModelError(f"{target} can't be written: {error}") from error
    return target


def _obtain(entry: Entry, file: str, mirror: Path | str | None, target: Path, progress: Progress | None) -> None:
    if mirror is not None:
        source = Path(mirror) / file
        if not source.is_file():
            raise ModelError(f"the mirror has no {file}: expected it at {source}")
        target.write_bytes(source.read_bytes())
        return
    if file not in entry.urls:
        raise ModelError(
            f"{file} of {entry.name} has no address to download from: get it from {entry.source} "
            "and give its folder as the mirror, or its path"
        )
    _download(entry.urls[file], target, progress or (lambda _done, _total: None))


def _download(url: str, target: Path, progress: Progress) -> None:
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=30) as response, target.open("wb") as out:
            response.raise_for_status()
            total = int(response.headers.get("content-length", 0)) or None
            for chunk in response.iter_bytes(_CHUNK):
                out.write(chunk)
                progress(out.tell(), total)
    except httpx.HTTPStatusError as error:
        raise _undelivered(url, f"the server answered {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise _undelivered(url, str(error)) from error


def _undelivered(url: str, why: str) -> ModelError:
    return ModelError(f"{url} can't be downloaded: {why}; on a machine without network, use a mirror")


def _places(entry: Entry, file: str, mirror: Path | str | None, folder: Path | str | None) -> list[Path]:
    """Where a file may be, in the order to look."""
    first = [Path(mirror) / file] if mirror is not None else []
    if entry.package is not None:
        return [*first, _package_folder(entry.package) / entry.folder / file]
    return [*first, _HERE / "weights" / file, (Path(folder) if folder is not None else cache_folder()) / file]


def _locate(entry: Entry, file: str, mirror: Path | str | None, folder: Path | str | None) -> Path:
    places = _places(entry, file, mirror, folder)
    for place in places:
        if place.is_file():
            return place
    looked = ", nor at ".join(str(place) for place in places)
    how = f"run `mien models fetch {entry.name}`" if file in entry.urls else f"get it from {entry.source}, use a mirror"
    raise ModelError(f"{entry.name} needs the file {file}, which is not at {looked}: {how}")


def _package_folder(package: str) -> Path:
    """Folder of an installed package, without importing it (`mtcnn` imports TensorFlow)."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the package {package} is not installed: reinstall mien")
    return Path(spec.submodule_search_locations[0])


def _read(entry: Entry, file: str, path: Path) -> bytes:
    """Bytes of a file of the registry, after comparing their hash."""
    data = path.read_bytes()
    found = _digest(data)
    if found != entry.files[file]:
        raise ModelError(
            f"{path} is not the {file} of {entry.name}: expected sha256 {entry.files[file]}, got {found}; "
            f"delete it and run `mien models fetch {entry.name}`"
        )
    return data


def _read_own(entry: Entry, path: Path) -> dict[str, bytes]:
    if len(entry.files) != 1:
        raise ModelError(f"{entry.name} consists of {len(entry.files)} files and can't be loaded from one path")
    try:
        return {file: path.read_bytes() for file in entry.files}
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from error


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _frozen(table: Mapping[str, Any]) -> dict[str, Any]:
    """TOML's and YAML's lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _options(kind: type[Options], entry: Entry, given: Mapping[str, Any]) -> Options:
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    wrong = [name for name in given if name not in known]
    if wrong:
        raise ModelError(f"{entry.name} has no option {', '.join(wrong)}: it has {', '.join(known)}")
    try:
        return kind(**_frozen({**entry.options, **given}))
    except (TypeError, ValueError) as error:
        raise ModelError(f"bad option of {entry.name}: {error}") from error


def _build_mtcnn(entry: Entry, weights: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]) -> Mtcnn:
    # joblib files are pickles and may run code: they are only read because their hash is pinned.
    arrays = {Path(file).stem: joblib.load(io.BytesIO(data)) for file, data in weights.items()}
    graphs = build_graphs(arrays)
    pnet, rnet, onet = (open_(graphs[name]) for name in ("pnet", "rnet", "onet"))
    return Mtcnn(pnet, rnet, onet, _options(MtcnnOptions, entry, options))


def _build_yunet(entry: Entry, weights: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]) -> Yunet:
    (data,) = weights.values()
    return Yunet(open_(data, outputs=YUNET_OUTPUTS), _options(YunetOptions, entry, options))


def _build_expression(
    entry: Entry, weights: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]
) -> ExpressionClassifier:
    (data,) = weights.values()
    session = open_(data, outputs=entry.outputs)
    return ExpressionClassifier(session, entry.labels, _options(ExpressionOptions, entry, options))


def _build_realesrgan(
    entry: Entry, weights: Mapping[str, bytes], open_: Open, options: Mapping[str, Any]
) -> RealEsrgan:
    (data,) = weights.values()
    return RealEsrgan(open_(data), _options(RealEsrganOptions, entry, options))


_BUILD: Mapping[str, Callable[[Entry, Mapping[str, bytes], Open, Mapping[str, Any]], Any]] = {
    "mtcnn": _build_mtcnn,
    "yunet": _build_yunet,
    "expression": _build_expression,
    "realesrgan": _build_realesrgan,
}
