"""A user's own file in place of the registry's; a classifier of `mien export` says itself what it reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto

from models.catalogue import Entry, find
from operators.errors import ModelError

__all__ = ["INTENSITY", "classes_of", "labels_of", "own"]

INTENSITY = "intensity"
"""The head that says how far a face is from neutral; every other one gives expressions."""


def labels_of(name: str, path: Path | None) -> tuple[str, ...]:
    """What a classifier of the registry reads, or the own file at `path` in its place; raises ModelError."""
    entry = find(name)
    return entry.labels if path is None else own(entry, path)[0].labels


def own(entry: Entry, path: Path) -> tuple[Entry, bytes]:
    """A file and the entry that it stands in for, with the labels and outputs that a classifier's file names.

    Temperature and priors are another network's then, and left out. A file that names no classes has to answer as the
    registry's own does. Of several heads the first gives the expressions, as in `mien evaluate`. Raises ModelError.
    """
    if len(entry.files) != 1:
        raise ModelError(f"{entry.name} consists of {len(entry.files)} files and can't be loaded from one path")
    data = _read(path)
    classes = classes_of(path, data) if entry.task == "expression" else {}
    heads = [name for name in classes if name != INTENSITY]
    if not heads:
        return entry, data
    outputs = (heads[0], *([INTENSITY] if INTENSITY in classes else []))
    return replace(entry, name=path.name, outputs=outputs, labels=classes[heads[0]], options={}), data


def classes_of(path: Path, data: bytes) -> Mapping[str, tuple[str, ...]]:
    """Labels of each head of a network, as `mien export` writes them into its file; empty where it says nothing.

    Raises ModelError where `data`, the content of `path`, is no ONNX file.
    """
    try:
        notes = {note.key: note.value for note in ModelProto.FromString(data).metadata_props}
        return {str(head): tuple(map(str, names)) for head, names in json.loads(notes.get("classes", "{}")).items()}
    except DecodeError as error:
        raise ModelError(f"{path} is not an ONNX file: {error}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"{path}: `classes` in its metadata should be lists of names by head: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from error
