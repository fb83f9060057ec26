"""The recordings that the console offers for replay: those in the folder `console.recordings`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from connectors.recording import MANIFEST, Manifest, read_manifest
from operators.errors import SourceError
from pipeline.web.answers import Answer
from pipeline.web.sources import From

__all__ = ["Recording", "folders", "router"]

router = APIRouter(prefix="/api/recordings", tags=["replay"])


class Recording(Answer):
    """A recording. What is said of files that are still being written may be some minutes old."""

    name: str
    """Name of its folder."""
    cameras: list[str]
    from_: Annotated[float | None, Field(serialization_alias="from")]
    """Time of the first record; null where nothing is closed yet."""
    to: float | None
    bytes: int
    purpose: str
    """Why it was made, as its configuration said."""
    open: bool
    """It is being written, or was when mien ended."""
    problem: str
    """Why it can't be read, or empty."""


@router.get("")
def recordings(sources: From) -> list[Recording]:
    """The recordings that can be replayed, the newest first; none where `console.recordings` names no folder."""
    found = [_recording(name, folder) for name, folder in folders(sources.settings.console.recordings).items()]
    return sorted(found, key=lambda one: (-(one.to or 0.0), one.name))


def folders(parent: Path | None) -> dict[str, Path]:
    """The recordings in a folder by name; nothing outside of it, also not by a link."""
    if parent is None or not parent.is_dir():
        return {}
    inside = parent.resolve()
    return {folder.name: folder for folder in _children(parent) if folder.resolve().parent == inside}


def _children(parent: Path) -> Iterator[Path]:
    for folder in parent.iterdir():
        with suppress(PermissionError):  # such as lost+found at the root of a disk
            if (folder / MANIFEST).is_file():
                yield folder


def _recording(name: str, folder: Path) -> Recording:
    try:
        manifest = read_manifest(folder)
    except SourceError as error:
        problem = str(error).replace(str(folder), name)
        return Recording(name=name, cameras=[], from_=None, to=None, bytes=0, purpose="", open=False, problem=problem)
    first = [file.first_ts for file in manifest.files if file.first_ts is not None]
    last = [file.last_ts for file in manifest.files if file.last_ts is not None]
    return Recording(
        name=name,
        cameras=sorted(manifest.cameras),
        from_=min(first, default=None),
        to=max(last, default=None),
        bytes=sum(_sizes(folder, manifest)),
        purpose=manifest.purpose,
        open=any(file.closed_at is None for file in manifest.files),
        problem="",
    )


def _sizes(folder: Path, manifest: Manifest) -> Iterator[int]:
    for file in manifest.files:
        try:
            yield (folder / file.name).stat().st_size
        except OSError:  # the retention may have taken it just now
            yield 0
