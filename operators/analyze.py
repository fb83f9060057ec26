"""Analyzer: frames in, observations out. The composition of the stages with the models.

motion -> detect -> track -> crop -> enhance -> classify -> conclude. A batch may hold frames of many cameras and
several frames of one camera, in order: faces are classified together, while tracks and expressions over time advance
frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from operators.align import face_crop
from operators.boxes import longer_side
from operators.enhance import EnhanceGate
from operators.illumination import Illumination
from operators.motion import MotionGate, MotionState
from operators.ports import Classifier, Detector, Enhancer, TemporalModel
from operators.quality import Gate, Quality
from operators.records import UNKNOWN, Clock, Detections, FaceTrack, Frame, Image, Observation, Reading
from operators.temporal import ExpressionFilter
from operators.track import Tracked, Tracker, TrackerState
from operators.zones import Membership, MembershipState, Zone

__all__ = ["Analyzer", "CameraState", "CameraView", "Stage", "untimed"]

NEUTRAL = "neutral"

Stage = Callable[[str], AbstractContextManager[None]]
"""Entered around each stage by name, so that a runtime can time it."""


@dataclass(frozen=True, slots=True)
class CameraView:
    """What the analysis must know of one camera: its zones, and whether its faces are far away."""

    zones: Mapping[str, Zone] = field(default_factory=dict)
    far: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CameraState:
    """What is remembered of one camera between frames. Never leaves the process."""

    motion: MotionState | None = None
    tracker: TrackerState | None = None
    filters: Mapping[str, object] = field(default_factory=dict)
    membership: MembershipState | None = None
    last: Observation | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """One tracked face on its way through a batch; `row` is its row in the detections of its frame."""

    row: int
    track_id: str
    first_ts: float
    source_px: float
    crop: Image
    quality: Quality
    enhanced: bool = False
    reading: Reading | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """One frame that was looked at, after tracking."""

    frame: Frame
    detections: Detections
    tracked: Tracked


def untimed(_: str) -> AbstractContextManager[None]:
    """A stage that nobody times."""
    return nullcontext()


@dataclass(frozen=True, slots=True, eq=False)
class Analyzer:
    """Finds, follows and reads the faces of many cameras.

    `far_detector` serves the cameras whose view says `far`. `each` maps the detector over the frames of a batch: a
    runtime may hand in the `map` of a thread pool. `stage` is entered around each stage.
    """

    detector: Detector
    classifier: Classifier
    far_detector: Detector | None = None
    enhancer: Enhancer | None = None
    views: Mapping[str, CameraView] = field(default_factory=dict)
    motion: MotionGate = field(default_factory=MotionGate)
    tracker: Tracker = field(default_factory=Tracker)
    gate: Gate = field(default_factory=Gate)
    illumination: Illumination = field(default_factory=Illumination)
    enhance: EnhanceGate = field(default_factory=EnhanceGate)
    temporal: TemporalModel[Any] = field(default_factory=ExpressionFilter)
    each: Callable[[Callable[[Frame], Detections], Iterable[Frame]], Iterable[Detections]] = map
    stage: Stage = untimed

    def step(
        self, states: Mapping[str, CameraState] | None, frames: Sequence[Frame], /
    ) -> tuple[dict[str, CameraState], list[Observation]]:
        """One observation per frame, in the order of the frames; `states` is keyed by camera."""
        now = dict(states or {})
        with self.stage("motion"):
            moved = [self._moved(now, frame) for frame in frames]
        looked = [frame for frame, fresh in zip(frames, moved, strict=True) if fresh]
        with self.stage("detect"):
            found = list(self.each(self._detect, looked))
        with self.stage("track"):
            seen = [self._follow(now, frame, faces) for frame, faces in zip(looked, found, strict=True)]
        with self.stage("crop"):
            faces = [self._crop(one) for one in seen]
        with self.stage("enhance"):
            faces = self._enhance(faces)
        with self.stage("classify"):
            faces = self._classify(faces)
        with self.stage("conclude"):
            fresh = iter(zip(seen, faces, strict=True))
            pairs = zip(frames, moved, strict=True)
            return now, [self._conclude(now, *next(fresh)) if new else _again(now, frame) for frame, new in pairs]

    def read(self, image: Image, detections: Detections) -> tuple[FaceTrack, ...]:
        """The faces of one picture by itself: none is followed, smoothed or remembered, and their ids mean nothing.

        As in a stream, only detections that are sure enough to begin a track count.
        """
        rows = np.flatnonzero(detections.confidence >= self.tracker.high)
        alone = Tracked(rows, track_ids=tuple(map(str, rows)), first_ts=(0.0,) * len(rows), events=())
        seen = _Seen(Frame("", 0, 0, 0.0, Clock.RECEIVE, image), detections, alone)
        (faces,) = self._classify(self._enhance([self._crop(seen)]))
        return tuple(self._face_track({}, seen, face, ()) for face in faces)

    def _moved(self, now: dict[str, CameraState], frame: Frame) -> bool:
        state = now.get(frame.camera_id, CameraState())
        motion, moved = self.motion.step(state.motion, frame.image, ts=frame.ts)
        now[frame.camera_id] = replace(state, motion=motion)
        return moved

    def _detect(self, frame: Frame) -> Detections:
        far = self._view(frame).far and self.far_detector is not None
        detector = self.far_detector if far and self.far_detector else self.detector
        return detector(frame.image)

    def _view(self, frame: Frame) -> CameraView:
        return self.views.get(frame.camera_id) or CameraView()

    def _follow(self, now: dict[str, CameraState], frame: Frame, detections: Detections) -> _Seen:
        state = now[frame.camera_id]
        tracker, tracked = self.tracker.step(
            state.tracker, detections, ts=frame.ts, prefix=f"{frame.camera_id}-{frame.epoch:x}"
        )
        now[frame.camera_id] = replace(state, tracker=tracker)
        return _Seen(frame, detections, tracked)

    def _crop(self, seen: _Seen) -> list[_Face]:
        sides = longer_side(seen.detections.xyxy)
        tracked = zip(seen.tracked.index.tolist(), seen.tracked.track_ids, seen.tracked.first_ts, strict=True)
        return [self._face(seen, row, track_id, first_ts, float(sides[row])) for row, track_id, first_ts in tracked]

    def _face(self, seen: _Seen, row: int, track_id: str, first_ts: float, source_px: float) -> _Face:
        found = seen.detections
        crop = face_crop(seen.frame.image, found.xyxy[row], found.landmarks[row])
        quality = self.gate.assess(
            crop, source_px=source_px, landmarks=found.landmarks[row], confidence=float(found.confidence[row])
        )
        return _Face(row, track_id, first_ts, source_px, crop, quality)

    def _enhance(self, batches: list[list[_Face]]) -> list[list[_Face]]:
        enhancer = self.enhancer
        if enhancer is None:
            return batches
        wanted = [f for faces in batches for f in faces if f.quality.readable and self.enhance.wants(f.source_px)]
        larger = iter(enhancer([face.crop for face in wanted])) if wanted else iter(())
        chosen = {id(face) for face in wanted}
        return [
            [replace(f, crop=next(larger), enhanced=True) if id(f) in chosen else f for f in faces] for faces in batches
        ]

    def _classify(self, batches: list[list[_Face]]) -> list[list[_Face]]:
        crops = [self.illumination.normalise(f.crop) for faces in batches for f in faces if f.quality.readable]
        readings = iter(self.classifier(crops)) if crops else iter(())
        return [[replace(f, reading=next(readings)) if f.quality.readable else f for f in faces] for faces in batches]

    def _conclude(self, now: dict[str, CameraState], seen: _Seen, faces: list[_Face]) -> Observation:
        frame, state = seen.frame, now[seen.frame.camera_id]
        ended = {event.track_id for event in seen.tracked.events if event.into or event.kind == "ended"}
        filters = {track: kept for track, kept in state.filters.items() if track not in ended}
        membership, zones = self._zones(state, seen, faces)
        tracks = tuple(self._face_track(filters, seen, face, zones.get(face.track_id, ())) for face in faces)
        observation = Observation(
            frame.camera_id, frame.epoch, frame.seq, frame.ts, frame.clock, tracks, seen.tracked.events
        )
        now[frame.camera_id] = replace(state, filters=filters, membership=membership, last=observation)
        return observation

    def _zones(
        self, state: CameraState, seen: _Seen, faces: list[_Face]
    ) -> tuple[MembershipState | None, Mapping[str, tuple[str, ...]]]:
        zones = self._view(seen.frame).zones
        if not zones:
            return None, {}
        height, width = seen.frame.image.shape[:2]
        boxes = {face.track_id: seen.detections.xyxy[face.row] / (width, height, width, height) for face in faces}
        return Membership(zones).step(state.membership, boxes, ts=seen.frame.ts)

    def _face_track(self, filters: dict[str, object], seen: _Seen, face: _Face, zones: tuple[str, ...]) -> FaceTrack:
        state, reading = self.temporal.step(
            filters.get(face.track_id), ts=seen.frame.ts, reading=face.reading, quality=face.quality.score
        )
        if state is not None:
            filters[face.track_id] = state
        now = None if face.reading is None else reading
        scores = {} if now is None else dict(zip(self.classifier.labels, now.probs.tolist(), strict=True))
        left, top, right, bottom = seen.detections.xyxy[face.row].tolist()
        return FaceTrack(
            track_id=face.track_id,
            first_ts=face.first_ts,
            xyxy=(left, top, right, bottom),
            confidence=float(seen.detections.confidence[face.row]),
            source_px=face.source_px,
            quality=face.quality.score,
            reasons=face.quality.reasons,
            enhanced=face.enhanced,
            label=max(scores, key=scores.__getitem__) if scores else UNKNOWN,
            scores=scores,
            intensity=_intensity(now, scores),
            zones=zones,
        )


def _intensity(reading: Reading | None, scores: Mapping[str, float]) -> float | None:
    if reading is not None and reading.intensity is not None:
        return reading.intensity
    return 1 - scores[NEUTRAL] if NEUTRAL in scores else None


def _again(now: dict[str, CameraState], frame: Frame) -> Observation:
    """Nothing moved: what was seen last is what is seen now."""
    state = now[frame.camera_id]
    last = state.last or Observation(frame.camera_id, frame.epoch, frame.seq, frame.ts, frame.clock)
    again = replace(last, epoch=frame.epoch, seq=frame.seq, ts=frame.ts, clock=frame.clock, events=(), reused=True)
    now[frame.camera_id] = replace(state, last=again)
    return again
