"""The arrays of npz files that hold faces to learn from, each found to be what it should be."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.errors import ConfigError

__all__ = ["Arrays", "array_names", "read_arrays"]

Arrays = dict[str, NDArray[Any]]

_UNREADABLE = (
    *(EOFError, MemoryError, NotImplementedError, OSError, RuntimeError, ValueError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What zipfile and numpy raise over a file that is cut off, altered, encrypted, or of something else."""

_INTEGERS = (np.integer, np.bool_)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an array should be: in words, by its types, by the sizes of its axes after the first, and by its range."""

    words: str
    kinds: tuple[type[np.generic], ...]
    rest: tuple[int | None, ...] = ()
    """None = any size."""
    least: float = -np.inf
    most: float = np.inf

    def fits(self, array: NDArray[Any]) -> bool:
        """Whether type and shape are right."""
        sizes = array.shape[1:]
        return (
            array.ndim == 1 + len(self.rest)
            and array.size > 0
            and all(wanted in {None, size} for wanted, size in zip(self.rest, sizes, strict=True))
            and any(np.issubdtype(array.dtype, kind) for kind in self.kinds)
        )


_WANTED: Mapping[str, _Wanted] = {
    "images": _Wanted("(n, h, w) uint8 grey", (np.uint8,), (None, None)),
    "classes": _Wanted("(k,) text", (np.str_,)),
    "label": _Wanted("(n,) integers, a label", _INTEGERS),
    "subject": _Wanted("(n,) integers, a person", _INTEGERS),
    "label7": _Wanted("(n,) integers from 0 to 6, a class", _INTEGERS, least=0, most=6),
    "ferplus_votes": _Wanted("(n, 10) votes from 0 on, a row", (np.integer, np.floating), (10,), least=0),
    "split": _Wanted("(n,) integers, a split", _INTEGERS),
    "dup_group": _Wanted("(n,) integers from 0 on, a group", _INTEGERS, least=0),
}


def array_names(path: Path) -> Sequence[str]:
    """Those of a file; raises ConfigError where it is no npz file."""
    try:
        with zipfile.ZipFile(path) as file:
            return [name.removesuffix(".npy") for name in file.namelist()]
    except _UNREADABLE as error:
        raise ConfigError(f"{path} can't be read as an npz file: {error}") from error


def read_arrays(path: Path, names: Sequence[str]) -> Arrays:
    """Some of the arrays of a file, `images` first, each of the type, shape and range that its name asks for.

    Raises ConfigError with the array, what was expected, and what there is.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in names}
    except _UNREADABLE as error:
        raise ConfigError(f"{path} can't be read as an npz file: {error}") from error
    for name, array in arrays.items():
        _check(path, name, array, faces=None if name in {"images", "classes"} else len(arrays["images"]))
    return arrays


def _check(path: Path, name: str, array: NDArray[Any], *, faces: int | None) -> None:
    """`faces` are the images, where there should be a row for each."""
    wanted = _WANTED[name]
    expected = f"`{name}` of {path} should be {wanted.words}"
    if faces is not None:
        expected += f" for each of the {faces} images"
    if not wanted.fits(array) or faces not in {None, len(array)}:
        raise ConfigError(f"{expected}, got {array.shape} {array.dtype}")
    if wanted.least > -np.inf and not (wanted.least <= array.min() and array.max() <= wanted.most):
        raise ConfigError(f"{expected}, got from {array.min()} to {array.max()}")
