"""Faces as people see them: one picture with a row for each kind of small face and a column for each enlargement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from models.training.faces import Grey
from models.training.report import shrink
from models.training.superres.enlarge import Enlarge
from models.training.superres.table import kind

__all__ = ["draw_grid"]

TILE, MARGIN = 144, 4


def draw_grid(
    faces: Sequence[Grey], enlargements: Mapping[str, Enlarge], kinds: Sequence[tuple[int, int | None]]
) -> NDArray[np.uint8]:
    """A grey picture: for each face a block of rows, `kinds` of size and JPEG quality; first column the original."""
    names = ["original", "as seen", *enlargements]
    rows = [_words(names)]
    for face in faces:
        for side, quality in kinds:
            small = shrink(face, side, quality)
            larger = [np.asarray(enlarge([small])[0]) for enlarge in enlargements.values()]
            tiles = [_tile(face), _tile(small, way=cv2.INTER_NEAREST), *(_tile(one) for one in larger)]
            cv2.putText(tiles[1], kind(side, quality), (4, TILE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
            rows.append(np.hstack(tiles))
    return np.vstack(rows)


def _tile(face: Grey, *, way: int = cv2.INTER_CUBIC) -> Grey:
    inner = cv2.resize(face, (TILE - MARGIN, TILE - MARGIN), interpolation=way)
    return cv2.copyMakeBorder(inner, 0, MARGIN, 0, MARGIN, cv2.BORDER_CONSTANT, value=(255,))


def _words(names: Sequence[str]) -> Grey:
    tiles = []
    for name in names:
        tile = np.full((24, TILE), 255, np.uint8)
        cv2.putText(tile, name, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 0, 1)
        tiles.append(tile)
    return np.hstack(tiles)
