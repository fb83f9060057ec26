"""`mien enhance`: a small picture made larger, for people's eyes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from operators.errors import ConfigError

if TYPE_CHECKING:
    from operators.records import Image

__all__ = ["enhance"]

LARGEST = 512
"""Pixels of the longer side of a picture: these networks are made for faces far away, and their memory grows fast."""


def enhance(
    source: Annotated[Path, typer.Argument(help="The picture of a face: PNG, JPEG or another that OpenCV reads.")],
    target: Annotated[Path, typer.Argument(help="The file to write; its ending says in which format.")],
    *,
    model: Annotated[
        str, typer.Option(help="An enhancer of `mien models list`, or an ONNX file of one's own.")
    ] = "enhancer",
    mirror: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with copies of the registry's files.")
    ] = None,
) -> None:
    """Enlarge the picture of a distant face for people to look at. What is new in it is plausible, not seen.

    It changes nothing in what mien reads: docs/super-resolution.md says why faces aren't enlarged before that.

    Example:  mien enhance crop.png larger.png
    """
    import cv2

    picture = _read(source)
    if source.resolve() == target.resolve():
        raise ConfigError(f"{target} is the picture itself: name another file, or it would be lost")
    if not cv2.haveImageWriter(target.name):
        raise ConfigError(f"{target} should end as a picture does, in .png for instance")
    name, larger = _enlarged(picture, model, mirror)
    _, data = cv2.imencode(target.suffix, cv2.cvtColor(larger, cv2.COLOR_RGB2BGR))
    try:
        target.write_bytes(data.tobytes())
    except OSError as error:
        raise ConfigError(f"{target} can't be written: {error.strerror}") from error
    sizes = " -> ".join(f"{one.shape[1]} x {one.shape[0]}" for one in (picture, larger))
    typer.echo(f"{target}: {sizes} by {name}. What is new in it is plausible, not seen: no evidence of anything.")


def _read(path: Path) -> Image:
    """RGB `(h, w, 3)` uint8."""
    import cv2
    import numpy as np

    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if picture is None:
        raise ConfigError(f"{path} is not a picture that can be read")
    if max(picture.shape[:2]) > LARGEST:
        raise ConfigError(
            f"{path} is {picture.shape[1]} x {picture.shape[0]}: cut out the face, at most {LARGEST} pixels a side"
        )
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _enlarged(picture: Image, model: str, mirror: Path | None) -> tuple[str, Image]:
    """What the network is called, and the picture that it makes."""
    from models.registry import find, load

    own = Path(model) if model.endswith(".onnx") else None
    entry = find("enhancer" if own else model)
    if entry.task != "enhancer":
        raise ConfigError(f"{model} doesn't enlarge pictures, it is a model of the task {entry.task}")
    (larger,) = load(entry.name, path=own, mirror=mirror)([picture])
    return own.name if own else entry.name, larger
