"""Which zones a face is in, with inertia in seconds so that a face on the edge doesn't flicker in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from operators.masks import Polygon, checked_polygon
from operators.records import Floats
from operators.units import Seconds

__all__ = ["Membership", "MembershipState", "Zone"]


@dataclass(frozen=True, slots=True)
class Zone:
    """An area of the picture, in coordinates relative to its width and height."""

    polygon: Polygon
    """Corners [x, y] between 0 and 1, at least three."""
    inertia: Seconds = 0.5
    """How long a face must be inside or outside before it has entered or left."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "polygon", checked_polygon(self.polygon))
        if self.inertia < 0:
            raise ValueError(f"expected an inertia of at least 0s, got {self.inertia:g}s")

    def contains(self, x: float, y: float) -> bool:
        """Whether a relative point is inside or on the edge."""
        return cv2.pointPolygonTest(np.array(self.polygon, np.float32), (x, y), measureDist=False) >= 0


@dataclass(frozen=True, slots=True)
class _Stay:
    """Whether a face counts as inside a zone, and since when its place says the opposite."""

    inside: bool
    changing_since: float | None = None


@dataclass(frozen=True, slots=True)
class MembershipState:
    """Where each track stands with each zone, by (track, zone)."""

    stays: Mapping[tuple[str, str], _Stay] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Membership:
    """The zones of one camera by name. A face is where the centre of its box is."""

    zones: Mapping[str, Zone]

    def step(
        self, state: MembershipState | None, boxes: Mapping[str, Floats], /, *, ts: float
    ) -> tuple[MembershipState, dict[str, tuple[str, ...]]]:
        """Zones of each track at `ts`; `boxes` maps a track to its `xyxy (4,)` relative to the picture.

        A track that is new is at once in the zones it appears in. One that is absent from `boxes` is forgotten.
        """
        before = state.stays if state else {}
        stays = {
            (track, name): _move(before.get((track, name)), inside=inside, inertia=zone.inertia, ts=ts)
            for track, box in boxes.items()
            for name, zone, inside in self._places(box)
        }
        members = {track: tuple(name for name in self.zones if stays[track, name].inside) for track in boxes}
        return MembershipState(stays), members

    def _places(self, box: Floats) -> list[tuple[str, Zone, bool]]:
        left, top, right, bottom = box.tolist()
        x, y = (left + right) / 2, (top + bottom) / 2
        return [(name, zone, zone.contains(x, y)) for name, zone in self.zones.items()]


def _move(stay: _Stay | None, *, inside: bool, inertia: float, ts: float) -> _Stay:
    """Where a track stands with a zone after it was seen inside or outside at `ts`."""
    if stay is None or inside == stay.inside:
        return _Stay(inside)
    since = ts if stay.changing_since is None else min(stay.changing_since, ts)
    return _Stay(inside) if ts - since >= inertia else _Stay(stay.inside, since)
