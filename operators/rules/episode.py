"""What an episode has shown so far, in numbers of fixed size: nothing here grows with time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from operators.records import FaceTrack
from operators.rules.plan import NOBODY
from operators.rules.signal import Signal, held

__all__ = ["Episode", "begin", "extend"]


@dataclass(frozen=True, slots=True)
class Episode:
    """The evidence from the first TRUE sample on; times in ms.

    `samples` counts readable samples, and `covered_ms` the time that they held, up to `last_true`. `hits`, `total` and
    `peak` are over the TRUE samples; the place, in pixels, is of the last one.
    """

    starts_at: int
    last_true: int
    covered_ms: int
    samples: int
    hits: int
    dips: int
    gaps: int
    total: float
    peak: float
    latest: float
    x_px: float
    y_px: float
    source_px: float

    @property
    def duration_ms(self) -> int:
        """From the first TRUE sample to the last."""
        return self.last_true - self.starts_at

    @property
    def coverage(self) -> float:
        """Share of the duration that was observed."""
        return self.covered_ms / self.duration_ms if self.duration_ms else 1.0

    @property
    def mean(self) -> float:
        """Mean of the TRUE samples."""
        return self.total / self.hits


def begin(ts: int, level: float, face: FaceTrack | None) -> Episode:
    """An episode of one TRUE sample."""
    return Episode(ts, ts, 0, 1, 1, 0, 0, level, level, level, *_place(face))


def extend(
    episode: Episode, before: Signal, after: Signal, *, level: float, face: FaceTrack | None, hold: int
) -> Episode:
    """The episode with one more readable sample, which took the signal from `before` to `after`."""
    ts = after.at
    gaps = episode.gaps + (not before.known or ts - before.at > hold)
    if not after.last:
        latest = episode.latest if level == NOBODY else level
        return replace(episode, samples=episode.samples + 1, gaps=gaps, latest=latest)
    x_px, y_px, source_px = _place(face)
    return Episode(
        starts_at=episode.starts_at,
        last_true=ts,
        covered_ms=episode.covered_ms + before.known_ms + held(before, ts, hold),
        samples=episode.samples + 1,
        hits=episode.hits + 1,
        dips=episode.dips + (not before.last),
        gaps=gaps,
        total=episode.total + level,
        peak=max(episode.peak, level),
        latest=level,
        x_px=x_px,
        y_px=y_px,
        source_px=source_px,
    )


def _place(face: FaceTrack | None) -> tuple[float, float, float]:
    if face is None:
        return 0.0, 0.0, 0.0
    left, top, right, bottom = face.xyxy
    return (left + right) / 2, (top + bottom) / 2, face.source_px
