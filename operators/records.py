"""The values that flow through the pipeline. All are frozen; nothing here computes.

Units: `ts` is seconds since the Unix epoch in UTC, taken at the source and carried along; boxes are `xyxy` in pixels of
the full frame; scores, confidences and qualities are in [0, 1]. Only `Frame`, `Detections` and `Reading` hold arrays,
and none ever leaves the process that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""`(H, W, 3)` uint8, RGB."""
Floats = NDArray[np.float32]

UNKNOWN = "unknown"
"""The label of a face that is too small, blurred, turned or dark to be read."""


class Clock(StrEnum):
    """Where a frame's `ts` came from."""

    SENDER = "sender"
    """The camera's own wall clock (RTCP sender report)."""
    STREAM = "stream"
    """Presentation time of the stream, anchored at the first frame's arrival."""
    RECEIVE = "receive"
    """Arrival at this machine; the stream's own time was missing or not sane."""
    MEDIA = "media"
    """Seconds from the start of a file that has no wall clock."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one camera; (camera_id, epoch, seq) identifies it.

    `epoch` changes whenever capture restarts (its start in ms since the Unix epoch) and `seq` counts up within it.
    """

    camera_id: str
    epoch: int
    seq: int
    ts: float
    clock: Clock
    image: Image


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The faces found in one frame, as a struct of arrays.

    `xyxy (n, 4)`, `confidence (n,)`, `landmarks (n, 5, 2)`: left eye, right eye, nose, left and right mouth corner as
    seen in the picture (left = smaller x on an upright frontal face).
    """

    xyxy: Floats
    confidence: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.confidence)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The expression of one face: `probs (k,)` over the labels of the classifier, in their order, summing to 1.

    `intensity` is the share of raters that would see any expression at all, which is agreement and not strength; None
    where the network doesn't say it.
    """

    probs: Floats
    intensity: float | None = None


class TrackEventKind(StrEnum):
    """What happened to a track at this frame."""

    START = "start"
    LOST = "lost"
    """Not matched in this frame although it was in the one before; it may come back."""
    ENDED = "ended"
    """Given up after `max_age`; the id never returns."""
    MERGED = "merged"
    """The same face had two tracks: `track_id` goes on as `into`."""


@dataclass(frozen=True, slots=True)
class TrackEvent:
    """A track's start, loss, end or merge."""

    kind: TrackEventKind
    track_id: str
    into: str | None = None


@dataclass(frozen=True, slots=True)
class FaceTrack:
    """What is known of one face now. No pixels, no embedding; the id means nothing outside its stream.

    `source_px` is the longer side of the box (as a rule the height) in pixels of the source frame, before any
    upscaling. `scores` maps every expression to its probability over time and is empty where the face can't be read;
    `reasons` then says why. `intensity` is the network's own where it has one (`Reading`), else 1 - share of neutral.
    """

    track_id: str
    first_ts: float
    xyxy: tuple[float, float, float, float]
    confidence: float
    source_px: float
    quality: float
    reasons: tuple[str, ...] = ()
    enhanced: bool = False
    label: str = UNKNOWN
    scores: Mapping[str, float] = field(default_factory=dict)
    intensity: float | None = None
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """One analysed frame, also when it shows no face: absence is information, and time always moves.

    `reused` says that nothing moved, so the faces are those of the last frame that was looked at.
    """

    camera_id: str
    epoch: int
    seq: int
    ts: float
    clock: Clock
    faces: tuple[FaceTrack, ...] = ()
    events: tuple[TrackEvent, ...] = ()
    reused: bool = False


class GapReason(StrEnum):
    """Why a stretch of time was not observed."""

    OVERLOAD = "overload"
    """Frames were replaced by newer ones before they could be analysed."""
    LOST = "lost"
    """The stream skipped or delivered undecodable frames."""
    DOWN = "down"
    """The camera could not be read."""
    FROZEN = "frozen"
    """The picture stopped changing."""
    BLACK = "black"
    """The picture is black or of one colour."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time that is UNKNOWN to the rules, not FALSE; `frames` were lost in it, where that is known."""

    camera_id: str
    from_ts: float
    to_ts: float
    reason: GapReason
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing was seen of a camera up to `ts`: lets time pass for the rules while it is silent."""

    camera_id: str
    ts: float


class Status(StrEnum):
    """Where an alert is in its life."""

    PENDING = "pending"
    BROKEN = "broken"
    """A pending episode ended before it fired."""
    FIRING = "firing"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How urgent an alert is, in rising order."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the lowest."""
        return tuple(Severity).index(self)


class Scope(StrEnum):
    """What an alert is about."""

    TRACK = "track"
    ZONE = "zone"
    CAMERA = "camera"
    GROUP = "group"
    """Cameras, and zones of them, that were declared together."""
    SITE = "site"
    """All cameras."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One transition of one alert. Evidence is numbers only: no picture, no embedding, no stable person id.

    `alert_id` is a hash of rule, rule version, scope key and `starts_at`, so the same history gives the same id;
    `seq` counts the transitions of one alert. `labels` identify, `annotations` explain. `camera_id` is empty for a
    group or a site. `config` is the version of the rule set. `silenced_by` says why a transition is recorded but not
    sent: `inhibited:RULE`, `muted:SCHEDULE`, `grouped` (it waits for others), or empty.
    """

    alert_id: str
    seq: int
    rule: str
    scope: Scope
    camera_id: str
    status: Status
    reason: str
    severity: Severity
    ts: float
    starts_at: float
    fired_at: float | None = None
    ends_at: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, float] = field(default_factory=dict)
    config: str = ""
    silenced_by: str = ""

    @property
    def transition_id(self) -> str:
        """Identity of this transition: the same in every run over the same records."""
        return f"{self.alert_id}-{self.seq}-{self.status}"
