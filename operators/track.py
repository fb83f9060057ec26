"""Follow the faces of one camera: ByteTrack (arXiv 2110.06864) with every duration in seconds.

As there, detections are matched in two passes, the confident ones first and the others only to tracks that would
otherwise be lost, and a Kalman filter of constant velocity predicts where a track went. What differs, and why:

- Time, not frames: prediction takes the seconds since the last frame and process noise is that of white acceleration,
  so predicting 0.2 s twice or 0.4 s once is the same, at any frame rate.
- No IoU gate: a far face is 14-24 px and walks about its own width in 0.2 s, so at 5 fps two sightings of one face
  often don't overlap at all. The gate is the filter's own uncertainty, the squared Mahalanobis distance, which grows
  with the time since the last sight and shrinks as the velocity becomes known, bounded by `reach` face sizes.
- The filter runs on (centre x, centre y, ln width, ln height): relative changes of size mean the same at any distance,
  and the noise of the centre is stated in face sizes.
- The cost is the negative log-likelihood, not the distance, so that a track lost long ago, near which everything looks
  probable, doesn't steal from one that was just seen.

No appearance is compared: a track means a place and a size that go on, never a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from operators.boxes import centre, iou, size
from operators.records import Detections, Floats, TrackEvent, TrackEventKind
from operators.units import Seconds

__all__ = ["Track", "Tracked", "Tracker", "TrackerState"]

_Array = NDArray[np.float64]
_Rows = NDArray[np.intp]

# Standard deviations of (centre x, centre y, ln width, ln height); those of the centre in face sizes. A face is about
# 0.2 m high and people walk at 1.4 m/s: up to 7 sizes per second. One pixel of
# a far face's side is 7 %, and a head that turns changes its width, so a size says less than a place.
_JITTER = np.array([0.1, 0.1, 0.2, 0.2])
_SPEED = np.array([4.0, 4.0, 0.3, 0.3])
_AGILITY = np.array([6.0, 6.0, 0.3, 0.3])
_GATE = 13.28
"""99 % of the chi-square distribution with four degrees of freedom."""
_SAME_PLACE = 1.0
"""How far from a lost face's last place a new one may begin, in face sizes, to be its heir."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One followed face: `mean (4, 2)`, `cov (4, 2, 2)` are value and velocity of each coordinate at the state's ts.

    `xyxy (4,)` is the box at `seen_ts`, when it was last detected. `number` counts
    births; `heir_of` names a lost track at whose place this one began.
    """

    number: int
    track_id: str
    first_ts: float
    born_ts: float
    seen_ts: float
    mean: _Array
    cov: _Array
    xyxy: Floats
    heir_of: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrackerState:
    """What a tracker remembers of one camera.

    `born` counts the tracks so far; `overlaps` says since when two tracks are at one place.
    """

    ts: float
    born: int = 0
    tracks: tuple[Track, ...] = ()
    overlaps: Mapping[tuple[str, str], float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, eq=False)
class Tracked:
    """The tracks seen in one frame: `index (n,)` are rows of its detections, in rising order."""

    index: _Rows
    track_ids: tuple[str, ...]
    first_ts: tuple[float, ...]
    events: tuple[TrackEvent, ...]


@dataclass(frozen=True, slots=True)
class Tracker:
    """Gives the faces of one camera ids that last from frame to frame."""

    high: float = 0.6
    """Confidence from which a detection may start a track and is matched first."""
    low: float = 0.3
    """Confidence from which a detection may continue a track that is in sight."""
    reach: float = 4.0
    """Furthest a face may be found from where it was expected, in face sizes."""
    size_ratio: float = 2.0
    """Largest change of a face's size between two sights."""
    max_age: Seconds = 2.0
    """How long a lost track is remembered; the same place within it gives the same id."""
    merge_after: Seconds = 0.5
    """How long two tracks must be at one place before they are reported as one."""
    merge_overlap: float = 0.5
    """Intersection over union from which two boxes are at one place."""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"expected 0 <= low <= high <= 1, got low {self.low:g} and high {self.high:g}")
        if self.reach <= 0:
            raise ValueError(f"expected a reach above 0 face sizes, got {self.reach:g}")
        if self.size_ratio <= 1:
            raise ValueError(f"expected a size_ratio above 1, got {self.size_ratio:g}")
        if self.max_age < 0 or self.merge_after < 0:
            raise ValueError("expected max_age and merge_after of at least 0s")
        if not 0 < self.merge_overlap <= 1:
            raise ValueError(f"expected a merge_overlap above 0 and up to 1, got {self.merge_overlap:g}")

    def step(
        self, state: TrackerState | None, detections: Detections, *, ts: float, prefix: str
    ) -> tuple[TrackerState, Tracked]:
        """Match the detections of one frame at `ts` to the tracks so far.

        New tracks are named `{prefix}-{n}` with n counting up in the state. A `ts` a little before the last one counts
        as the last one; one that is more than `max_age` before it is another timeline, and all tracks end.
        """
        state = state or TrackerState(ts)
        if ts < state.ts - self.max_age:
            closed = tuple(TrackEvent(TrackEventKind.ENDED, track.track_id) for track in state.tracks)
            after, tracked = self.step(TrackerState(ts, state.born), detections, ts=ts, prefix=prefix)
            return after, replace(tracked, events=closed + tracked.events)
        now = max(ts, state.ts)
        tracks = _predict(state.tracks, now - state.ts)
        in_sight = np.array([track.seen_ts == state.ts for track in state.tracks], np.bool_)
        rows = self._match(tracks, in_sight, detections)
        seen = _correct([tracks[number] for number in rows], list(rows.values()), detections.xyxy, now)
        lost = {track.track_id: track for number, track in enumerate(tracks) if number not in rows}
        fresh = self._unexplained(detections, list(seen))
        births = {
            row: self._begin(number, prefix, detections.xyxy[row], lost, now=now)
            for number, row in enumerate(fresh, state.born)
        }
        events = [
            TrackEvent(TrackEventKind.LOST, tracks[i].track_id) for i in np.flatnonzero(in_sight) if i not in rows
        ]
        events += [TrackEvent(TrackEventKind.START, track.track_id) for track in births.values()]
        seen, overlaps, doubles = self._merge_doubles(seen | births, state.overlaps, now)
        seen, moved = self._merge_heirs(seen, lost, now)
        ended = self._ended(seen, lost, now)
        kept = tuple(track for name, track in lost.items() if name not in ended | moved.keys())
        events += [TrackEvent(TrackEventKind.MERGED, old, into) for old, into in (doubles | moved).items()]
        events += [TrackEvent(TrackEventKind.ENDED, name) for name in lost if name in ended]
        after = TrackerState(now, state.born + len(births), (*seen.values(), *kept), overlaps)
        return after, _tracked(seen, events)

    def _match(self, tracks: tuple[Track, ...], visible: NDArray[np.bool_], detections: Detections) -> dict[int, int]:
        """Track -> detection: confident detections to all tracks, then the others to tracks that were just in sight."""
        if not tracks or not len(detections):
            return {}
        cost = self._costs(tracks, detections.xyxy)
        confident = detections.confidence >= self.high
        usable = detections.confidence >= self.low
        first = _assign(np.where(confident[None, :], cost, np.inf))
        left = visible.copy()
        left[list(first)] = False
        return first | _assign(np.where(left[:, None] & (usable & ~confident)[None, :], cost, np.inf))

    def _costs(self, tracks: tuple[Track, ...], xyxy: Floats) -> _Array:
        """`(tracks, detections)` negative log-likelihoods up to a constant; infinite where a match is impossible."""
        mean = np.stack([track.mean for track in tracks])
        cov = np.stack([track.cov for track in tracks])
        unit = _units(mean[:, :, 0])
        spread = cov[:, :, 0, 0] + (_JITTER * unit) ** 2
        offset = _measured(xyxy)[None, :, :] - mean[:, None, :, 0]
        squared = np.sum(offset**2 / spread[:, None, :], axis=2)
        distance = np.hypot(offset[:, :, 0], offset[:, :, 1]) / unit[:, None, 0]
        growth = np.abs(offset[:, :, 2:]).max(axis=2)
        overlap = iou(np.stack([track.xyxy for track in tracks]), xyxy)
        near = (squared <= _GATE) & (distance <= self.reach) | (overlap >= self.merge_overlap)
        possible = near & (growth <= np.log(self.size_ratio))
        surprise = np.sum(np.log(spread / unit**2), axis=1)
        return np.where(possible, np.minimum(squared, _GATE) + surprise[:, None], np.inf)

    def _unexplained(self, detections: Detections, matched: Sequence[int]) -> list[int]:
        """Rows of the confident detections that are neither matched nor at the place of one that is."""
        free = detections.confidence >= self.high
        free[matched] = False
        if matched:
            free &= iou(detections.xyxy, detections.xyxy[matched]).max(axis=1) < self.merge_overlap
        return [int(row) for row in np.flatnonzero(free)]

    def _begin(self, number: int, prefix: str, xyxy: Floats, lost: Mapping[str, Track], *, now: float) -> Track:
        """A new track, remembering which lost one was last seen at this place and size."""
        measured = _measured(xyxy[None])
        unit = _units(measured)[0]
        mean = np.stack([measured[0], np.zeros(4)], axis=1)
        cov = np.zeros((4, 2, 2))
        cov[:, 0, 0] = (_JITTER * unit) ** 2
        cov[:, 1, 1] = (_SPEED * unit) ** 2
        nearest = min(lost.values(), key=lambda track: _distance(track, measured[0]), default=None)
        heir_of = nearest.track_id if nearest and self._same_place(nearest, measured[0]) else None
        return Track(number, f"{prefix}-{number}", now, now, now, mean, cov, xyxy, heir_of)

    def _same_place(self, track: Track, measured: _Array) -> bool:
        growth = np.abs(_measured(track.xyxy[None])[0, 2:] - measured[2:]).max()
        return _distance(track, measured) <= _SAME_PLACE and bool(growth <= np.log(self.size_ratio))

    def _merge_doubles(
        self, seen: dict[int, Track], since: Mapping[tuple[str, str], float], now: float
    ) -> tuple[dict[int, Track], Mapping[tuple[str, str], float], dict[str, str]]:
        """Drop the younger of two tracks that have been at one place for `merge_after`."""
        rows = sorted(seen, key=lambda row: seen[row].number)
        boxes = np.array([seen[row].xyxy for row in rows], np.float32).reshape(-1, 4)
        overlaps: dict[tuple[str, str], float] = {}
        merged: dict[str, str] = {}
        for older, younger in np.argwhere(np.triu(iou(boxes, boxes) >= self.merge_overlap, 1)).tolist():
            into, old = seen[rows[older]].track_id, seen[rows[younger]].track_id
            start = since.get((into, old), now)
            if now - start < self.merge_after:
                overlaps[into, old] = start
            elif into not in merged:
                merged.setdefault(old, into)
        return {row: track for row, track in seen.items() if track.track_id not in merged}, overlaps, merged

    def _merge_heirs(
        self, seen: dict[int, Track], lost: Mapping[str, Track], now: float
    ) -> tuple[dict[int, Track], dict[str, str]]:
        """Let a lost track go on as the one that began at its place, once that has lasted for `merge_after`."""
        after = dict(seen)
        merged: dict[str, str] = {}
        for row, track in seen.items():
            old = lost.get(track.heir_of) if track.heir_of and track.heir_of not in merged else None
            if old is None:
                after[row] = replace(track, heir_of=None) if track.heir_of else track
            elif now - track.born_ts >= self.merge_after:
                after[row] = replace(track, heir_of=None, first_ts=min(old.first_ts, track.first_ts))
                merged[old.track_id] = track.track_id
        return after, merged

    def _ended(self, seen: Mapping[int, Track], lost: Mapping[str, Track], now: float) -> set[str]:
        """Lost tracks that are too old, except those whose heir is still on trial."""
        awaited = {track.heir_of for track in seen.values()}
        return {name for name, track in lost.items() if now - track.seen_ts > self.max_age and name not in awaited}


def _measured(xyxy: Floats) -> _Array:
    """`(n, 4)` centre x, centre y, ln width, ln height; a side counts as at least one pixel."""
    return np.concatenate([centre(xyxy), np.log(np.maximum(size(xyxy), 1))], axis=1).astype(np.float64)


def _units(measured: _Array) -> _Array:
    """`(n, 4)` what one unit of noise is worth in each coordinate: the face's size for the centre, 1 for the logs."""
    face = np.exp(measured[:, 2:].mean(axis=1))
    ones = np.ones_like(face)
    return np.stack([face, face, ones, ones], axis=1)


def _distance(track: Track, measured: _Array) -> float:
    """How far `measured (4,)` is from where the track was last seen, in sizes of the track's face."""
    last = _measured(track.xyxy[None])
    x, y = (measured[:2] - last[0, :2]) / _units(last)[0, 0]
    return float(np.hypot(x, y))


def _predict(tracks: tuple[Track, ...], dt: float) -> tuple[Track, ...]:
    """The tracks `dt` seconds on, under constant velocity disturbed by white acceleration."""
    if not tracks or dt == 0:
        return tracks
    means = np.stack([track.mean for track in tracks])
    forward = np.array([[1, dt], [0, 1]])
    agility = (_AGILITY * _units(means[:, :, 0])) ** 2
    noise = agility[:, :, None, None] * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    covs = forward @ np.stack([track.cov for track in tracks]) @ forward.T + noise
    means = means @ forward.T
    return tuple(replace(track, mean=means[i], cov=covs[i]) for i, track in enumerate(tracks))


def _correct(tracks: Sequence[Track], rows: Sequence[int], xyxy: Floats, now: float) -> dict[int, Track]:
    """Row -> the track after it was seen at that row of `xyxy`."""
    if not tracks:
        return {}
    measured = _measured(xyxy[rows])
    means = np.stack([track.mean for track in tracks])
    covs = np.stack([track.cov for track in tracks])
    spread = covs[:, :, 0, 0] + (_JITTER * _units(measured)) ** 2
    gain = covs[:, :, :, 0] / spread[:, :, None]
    means = means + gain * (measured - means[:, :, 0])[:, :, None]
    covs = covs - gain[:, :, :, None] * covs[:, :, None, 0, :]
    return {
        row: replace(track, seen_ts=now, mean=means[i], cov=covs[i], xyxy=xyxy[row])
        for i, (row, track) in enumerate(zip(rows, tracks, strict=True))
    }


def _assign(cost: _Array) -> dict[int, int]:
    """Row -> column of the cheapest assignment that uses no infinite cost."""
    possible = np.isfinite(cost)
    if not possible.any():
        return {}
    # Leaving a pair unmatched costs a little more than the worst possible match, so no good match is given up for two
    # bad ones.
    rows, columns = linear_sum_assignment(np.where(possible, cost, cost[possible].max() + 1))
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if possible[r, c]}


def _tracked(seen: Mapping[int, Track], events: Sequence[TrackEvent]) -> Tracked:
    rows = sorted(seen)
    return Tracked(
        index=np.array(rows, np.intp),
        track_ids=tuple(seen[row].track_id for row in rows),
        first_ts=tuple(seen[row].first_ts for row in rows),
        events=tuple(events),
    )
