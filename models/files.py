"""The files of models: where they are, how they get there, and that they are what the registry says.

Nothing here opens the network but `fetch`. A download that was cut off goes on where it stopped; a file appears under
its name when it is whole and has the right hash, never before.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx
import platformdirs

from models.catalogue import FOLDER, Entry, find
from operators.errors import ModelError

__all__ = ["Progress", "cache_folder", "digest", "fetch", "locate", "read"]

Progress = Callable[[int, int | None], None]
"""Called while a file arrives: bytes so far, and bytes in all where the server says so."""

_TRIES = 3
"""How often a download that is cut off goes on by itself."""


def cache_folder() -> Path:
    """Where `fetch` puts files: the user's cache folder, in `mien/models`."""
    return platformdirs.user_cache_path("mien") / "models"


def fetch(
    name: str, *, mirror: Path | str | None = None, folder: Path | str | None = None, progress: Progress | None = None
) -> list[Path]:
    """Put the files of a model where `load` finds them, from `mirror` (a folder) or their URLs, and return their paths.

    What is there already is left alone. With `folder`, all files of the model come to lie there, also those that are
    part of mien or of a package: it is a mirror for a machine without network.

    Raises:
        ModelError: unknown name, no address and no mirror, failed download, wrong hash, folder that can't be written.
    """
    entry = find(name)
    return [_fetch_file(entry, file, mirror, folder, progress or _silent) for file in entry.files]


def locate(entry: Entry, file: str, mirror: Path | str | None, folder: Path | str | None) -> Path:
    """Where a file of a model is; raises ModelError that says how to get it."""
    places = _places(entry, file, mirror, folder)
    for place in places:
        if place.is_file():
            return place
    looked = ", nor at ".join(str(place) for place in places)
    raise ModelError(f"{entry.name} needs the file {file}, which is not at {looked}: {_remedy(entry, file)}")


def read(entry: Entry, file: str, path: Path) -> bytes:
    """Bytes of a file of a model, after comparing their hash."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from error
    found = digest(data)
    if found != entry.files[file]:
        raise ModelError(
            f"{path} is not the {file} of {entry.name}: expected sha256 {entry.files[file]}, got {found}; "
            f"delete it and {_remedy(entry, file)}"
        )
    return data


def digest(data: bytes) -> str:
    """Its sha256."""
    return hashlib.sha256(data).hexdigest()


def _remedy(entry: Entry, file: str) -> str:
    """How to get a file that is missing or altered."""
    if file in entry.urls:
        return f"run `mien models fetch {entry.name}`"
    if entry.package is not None:
        return f"reinstall the package {entry.package}, which brings it"
    if entry.shipped:
        return "reinstall mien, which brings it"
    return f"get it from {entry.source}, use a mirror"


def _places(entry: Entry, file: str, mirror: Path | str | None, folder: Path | str | None) -> list[Path]:
    """Where a file may be, in the order to look."""
    first = [Path(mirror) / file] if mirror is not None else []
    own = FOLDER / "weights" if entry.package is None else _package_folder(entry.package) / entry.folder
    return [*first, own / file, (Path(folder) if folder is not None else cache_folder()) / file]


def _package_folder(package: str) -> Path:
    """Folder of an installed package, without importing it (`mtcnn` imports TensorFlow)."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the package {package} is not installed: reinstall mien")
    return Path(spec.submodule_search_locations[0])


def _fetch_file(
    entry: Entry, file: str, mirror: Path | str | None, folder: Path | str | None, progress: Progress
) -> Path:
    places = _places(entry, file, None, folder)
    here = [place for place in places if place.is_file() and digest(place.read_bytes()) == entry.files[file]]
    target = places[-1]
    if target in here or (here and folder is None):
        return here[-1]
    try:
        with _partial(target) as (partial, out):
            _obtain(entry, file, here[0] if here else _mirrored(mirror, file), out, progress)
            _take(entry, file, partial, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


def _mirrored(mirror: Path | str | None, file: str) -> Path | None:
    if mirror is None:
        return None
    source = Path(mirror) / file
    if not source.is_file():
        raise ModelError(f"the mirror has no {file}: expected it at {source}")
    return source


@contextmanager
def _partial(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A file beside the target for what has arrived; kept where a download may go on, else removed."""
    partial = target.with_name(f".{target.name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("ab") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"{target} is being fetched by another process: wait for it") from error
        try:
            yield partial, out
        except OSError:
            partial.unlink(missing_ok=True)  # a full disk is not helped by half a file
            raise
        finally:
            if partial.is_file() and not partial.stat().st_size:
                partial.unlink()


def _obtain(entry: Entry, file: str, source: Path | None, out: BinaryIO, progress: Progress) -> None:
    if source is not None:
        out.truncate(0)
        with source.open("rb") as data:
            shutil.copyfileobj(data, out)
        out.flush()
    elif file in entry.urls:
        _download(entry.urls[file], out, progress)
    else:
        raise ModelError(
            f"{file} of {entry.name} has no address to download from: get it from {entry.source} "
            "and give its folder as the mirror, or its path"
        )


def _take(entry: Entry, file: str, partial: Path, target: Path) -> None:
    """Give what has arrived its name, if it is the right thing; else it is removed, so that the next try is clean."""
    found = digest(partial.read_bytes())
    if found != entry.files[file]:
        partial.unlink()
        raise ModelError(
            f"what arrived is not the {file} of {entry.name}: expected sha256 {entry.files[file]}, got {found}; "
            "it was deleted: try again, or use a mirror that you trust"
        )
    partial.replace(target)


def _download(url: str, out: BinaryIO, progress: Progress) -> None:
    """Download what is still missing of a file; a connection that breaks is taken up again."""
    for attempt in range(1, _TRIES + 1):
        try:
            return _go_on(url, out, progress)
        except httpx.HTTPStatusError as error:
            raise _undelivered(url, f"the server answered {error.response.status_code}") from error
        except httpx.HTTPError as error:
            if attempt == _TRIES:
                raise _undelivered(url, f"{error} (tried {_TRIES} times; the next fetch goes on from there)") from error
    return None


def _go_on(url: str, out: BinaryIO, progress: Progress) -> None:
    begun = out.seek(0, 2)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=30) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is here, or more: the hash will tell
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            begun = out.truncate(0) + out.seek(0)
        length = response.headers.get("content-length")
        for chunk in response.iter_raw():
            out.write(chunk)
            progress(out.tell(), begun + int(length) if length else None)
    out.flush()


def _silent(_done: int, _total: int | None) -> None:
    """Tell nobody."""


def _undelivered(url: str, why: str) -> ModelError:
    return ModelError(f"{url} can't be downloaded: {why}; on a machine without network, use a mirror")


def _unwritable(target: Path, error: OSError) -> ModelError:
    there = next((one for one in target.parents if one.is_dir()), Path("/"))
    free = shutil.disk_usage(there).free / 1e6
    return ModelError(
        f"{target} can't be written: {error.strerror} ({free:,.0f} MB are free there); make room, or fetch with "
        "`--to DIR` and set models.mirror to that folder"
    )
