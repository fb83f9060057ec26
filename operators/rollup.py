"""Roll-ups: what one camera showed in each stretch of 10 s, over its whole picture and in each of its zones.

A stretch is told once the camera's own time has passed its end by `lateness`; until then its frames may come in any
order, and a frame that comes again counts once. Time between two frames is observed, unless a gap says otherwise, the
stream began anew in between, or the frames are further apart than `longest_step`. Gaps win over frames, so observed
and missed seconds never add up to more than the stretch.

Figures are kept as whole milliseconds and ten-thousandths: sums then don't depend on the order, to the last digit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from operators.records import UNKNOWN, FaceTrack, Gap, GapReason, Observation, Tick
from operators.units import Seconds

__all__ = ["Rollup", "RollupState", "Rollups"]

SCORE = 10_000
"""Probabilities are kept in so many parts of one."""
MAX_STRETCHES = 360
"""So many stretches one gap can fill, an hour of them; of a longer one the last hour is told."""
STEP_BACK_MS = 10_000
"""Time that goes back further was set anew, as for the rules; nearer than that a record is only late."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """What a camera, or one zone of it (else ""), showed from `start` on for `width` seconds.

    `faces_seen` counts every face of every frame; `unknown` is the share of those that could not be read, `shares` and
    `scores` are about the others: how many showed each expression most, and its mean probability. `gaps` are seconds
    that nobody saw, by reason; with `observed_s` they make up the stretch, but for time that nobody tells about.
    """

    camera_id: str
    zone: str
    start: float
    width: float
    frames: int
    faces_seen: int
    faces_max: int
    unknown: float | None
    shares: Mapping[str, float]
    scores: Mapping[str, float]
    observed_s: float
    gaps: Mapping[GapReason, float]

    @property
    def faces_mean(self) -> float:
        """Faces per frame."""
        return self.faces_seen / self.frames if self.frames else 0.0

    @property
    def fps(self) -> float:
        """Frames per second that were analysed."""
        return self.frames / self.width

    @property
    def known(self) -> int:
        """How much went into it: of two roll-ups of one stretch, that with the greater number knows more."""
        return self.frames + round(1000 * (self.observed_s + sum(self.gaps.values())))


@dataclass(frozen=True, slots=True)
class Face:
    """What counts of a face. No box, no track."""

    label: str
    scores: Mapping[str, int]
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What counts of a frame."""

    epoch: int
    faces: tuple[Face, ...] = ()


@dataclass(frozen=True, slots=True)
class Missed:
    """A gap, in milliseconds."""

    start: int
    end: int
    reason: GapReason


@dataclass(frozen=True, slots=True)
class RollupState:
    """One camera between records, in milliseconds: `told` is the end of the last stretch that was told.

    `looks` are the frames since then by time, with the last one before it.
    """

    told: int
    newest: int
    looks: Mapping[int, Look] = field(default_factory=dict)
    gaps: tuple[Missed, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollups:
    """The operator of one camera; `zones` are told of even when nobody is in them."""

    zones: tuple[str, ...] = ()
    width: Seconds = 10.0
    lateness: Seconds = 2.0
    longest_step: Seconds = 10.0

    def step(self, state: RollupState | None, item: Observation | Gap | Tick, /) -> tuple[RollupState, list[Rollup]]:
        """Take in one record of the camera; returns the stretches that it completes, oldest first."""
        end = _ms(item.to_ts if isinstance(item, Gap) else item.ts)
        begin = _ms(item.from_ts) if isinstance(item, Gap) else end
        told: list[Rollup] = []
        if state is not None and self._jumped(state, end):
            told, state = self.finish(state, item.camera_id), None
        if state is None:
            state = RollupState(told=max(self._floor(begin), self._floor(end) - self._longest), newest=end)
        if isinstance(item, Observation) and end >= state.told:
            state = replace(state, looks={**state.looks, end: _look(item)})
        elif isinstance(item, Gap) and end > state.told:
            state = replace(state, gaps=(*state.gaps, Missed(begin, end, item.reason)))
        state = replace(state, newest=max(state.newest, end))
        state, closed = self._close(state, item.camera_id, until=self._floor(state.newest - _ms(self.lateness)))
        return state, told + closed

    def finish(self, state: RollupState, camera_id: str) -> list[Rollup]:
        """What is known so far of the stretches that are not over."""
        return self._close(state, camera_id, until=self._floor(state.newest) + _ms(self.width))[1]

    def _jumped(self, state: RollupState, end: int) -> bool:
        """Whether time goes on somewhere else: after a set clock, or after hours of nothing."""
        return not state.newest - STEP_BACK_MS <= end <= state.newest + self._longest

    @property
    def _longest(self) -> int:
        return MAX_STRETCHES * _ms(self.width)

    def _close(self, state: RollupState, camera_id: str, *, until: int) -> tuple[RollupState, list[Rollup]]:
        if until <= state.told:
            return state, []
        starts = range(state.told, until, _ms(self.width))
        found = [rollup for start in starts for rollup in self._stretch(state, camera_id, start)]
        before = max((ts for ts in state.looks if ts < until), default=until)
        return RollupState(
            told=until,
            newest=state.newest,
            looks={ts: look for ts, look in state.looks.items() if ts >= before},
            gaps=tuple(gap for gap in state.gaps if gap.end > until),
        ), found

    def _stretch(self, state: RollupState, camera_id: str, start: int) -> Iterator[Rollup]:
        end = start + _ms(self.width)
        looks = [look for ts, look in sorted(state.looks.items()) if start <= ts < end]
        gaps = _apart(state.gaps, start, end)
        observed = self._observed(_seen_until(state), gaps, start, end)
        if not (looks or gaps or observed):
            return
        present = {zone for look in looks for face in look.faces for zone in face.zones}
        for zone in ("", *sorted({*self.zones, *present})):
            faces = [[face for face in look.faces if not zone or zone in face.zones] for look in looks]
            yield _summed(faces, camera_id=camera_id, zone=zone, start=start, end=end, observed=observed, gaps=gaps)

    def _observed(self, epochs: Mapping[int, int], gaps: Sequence[Missed], start: int, end: int) -> int:
        """Milliseconds between frames that belong together, without those of the gaps."""
        seen = 0
        for first, last in pairwise(sorted(epochs)):
            if epochs[first] == epochs[last] and last - first <= _ms(self.longest_step):
                begin, until = max(first, start), min(last, end)
                missed = sum(max(0, min(gap.end, until) - max(gap.start, begin)) for gap in gaps)
                seen += max(0, until - begin - missed)
        return seen

    def _floor(self, ts: int) -> int:
        width = _ms(self.width)
        return ts // width * width


def _seen_until(state: RollupState) -> dict[int, int]:
    """The times at which the camera was seen, with the epoch: its frames, and the beginnings of gaps.

    A gap begins at a frame, which may come later than the gap.
    """
    epochs = {ts: look.epoch for ts, look in state.looks.items()}
    for gap in sorted(state.gaps, key=lambda gap: gap.start):
        before = max((ts for ts in epochs if ts < gap.start), default=None)
        if before is not None:
            epochs.setdefault(gap.start, epochs[before])
    return epochs


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _look(observation: Observation) -> Look:
    return Look(observation.epoch, tuple(_face(face) for face in observation.faces))


def _face(face: FaceTrack) -> Face:
    return Face(face.label, {name: round(score * SCORE) for name, score in face.scores.items()}, face.zones)


def _apart(gaps: Sequence[Missed], start: int, end: int) -> list[Missed]:
    """The gaps within a stretch in the order of time, cut so that no two overlap: the earlier one keeps its end."""
    apart, free = [], start
    for gap in sorted(gaps, key=lambda gap: (gap.start, gap.end, gap.reason)):
        begin, until = max(gap.start, free), min(gap.end, end)
        if begin < until:
            apart.append(Missed(begin, until, gap.reason))
            free = until
    return apart


def _summed(
    faces: Sequence[Sequence[Face]],
    *,
    camera_id: str,
    zone: str,
    start: int,
    end: int,
    observed: int,
    gaps: Sequence[Missed],
) -> Rollup:
    every = [face for frame in faces for face in frame]
    read = [face for face in every if face.label != UNKNOWN]
    labels, scores, missed = Counter(face.label for face in read), Counter[str](), Counter[GapReason]()
    for face in read:
        scores.update(face.scores)
    for gap in gaps:
        missed[gap.reason] += gap.end - gap.start
    return Rollup(
        camera_id=camera_id,
        zone=zone,
        start=start / 1000,
        width=(end - start) / 1000,
        frames=len(faces),
        faces_seen=len(every),
        faces_max=max(map(len, faces), default=0),
        unknown=(len(every) - len(read)) / len(every) if every else None,
        shares={label: labels[label] / len(read) for label in sorted(labels.keys() | scores.keys())},
        scores={name: total / SCORE / len(read) for name, total in sorted(scores.items())},
        observed_s=observed / 1000,
        gaps={reason: ms / 1000 for reason, ms in sorted(missed.items())},
    )
