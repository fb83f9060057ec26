"""Which frames of a backlog are worth analysing: an analyser that can't do all does the newest of each camera.

    not overloaded   every frame, in order; a burst that is soon worked off costs nothing
    overloaded       only the newest frame of each camera that is in hand

Overload begins with a frame that has waited in the brokers for more than `skip_older_than` while a newer one of its
camera was there, and is over when no frame had to be skipped for some seconds. So what is analysed is young, and what
is skipped leaves holes that are short and even.

Every frame that is skipped is counted. A hole no longer than what rules bridge by themselves is not told as a gap: the
camera is seen, with fewer frames a second, where a gap would say that it isn't. A longer one is, in its place.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.kafka_frames import FrameHead
from operators.records import Gap, GapReason
from operators.rules import bridged

__all__ = ["Freshness", "Waiting"]

OVERLOAD_LASTS_S = 5.0
"""Longer than it takes to fall behind again: at the edge of what can be done, there is no to and fro."""
PATIENCE_S = 2.0
"""A camera of which nothing was looked at for so long gets a look, however old its frame is: on a machine where
everything is late, skipping what is late would leave nothing."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame in hand: when the brokers took it, and whether newer ones may wait there behind all that is in hand."""

    camera_id: str
    written_at: float
    more_behind: bool


@dataclass(slots=True)
class Freshness:
    """Follows the cameras of one analysing worker; in the order of their frames."""

    skip_older_than: float
    skipped: dict[str, int] = field(default_factory=dict)
    """Frames that were skipped since the start, by camera."""
    _overloaded_until: float = 0.0
    _told: dict[str, float] = field(default_factory=dict)
    """Time up to which a frame or a gap accounts for everything, by camera."""
    _bridged: dict[str, int] = field(default_factory=dict)
    """Frames that were skipped since the last one that was analysed, where they are not told as a gap, by camera."""
    _looked_at: dict[str, float] = field(default_factory=dict)
    """When a frame of a camera was last found worth it; at first, when one was first seen."""

    def worth(self, waiting: Sequence[Waiting], *, now: float | None = None) -> list[bool]:
        """Which of the frames in hand, in the order of their cameras, are to be analysed; `now` is the wall clock."""
        now = time.time() if now is None else now
        newest = {frame.camera_id: number for number, frame in enumerate(waiting)}
        last = [newest[frame.camera_id] == number for number, frame in enumerate(waiting)]
        stale = [
            (frame.more_behind or not is_last) and now - frame.written_at > self.skip_older_than
            for frame, is_last in zip(waiting, last, strict=True)
        ]
        if any(stale):
            self._overloaded_until = now + OVERLOAD_LASTS_S
        if now >= self._overloaded_until:
            self._looked_at.update(dict.fromkeys(newest, now))
            return [True] * len(waiting)
        chosen = [
            is_last and not (is_stale and self._patient(frame.camera_id, now))
            for frame, is_last, is_stale in zip(waiting, last, stale, strict=True)
        ]
        if not all(chosen):
            self._overloaded_until = now + OVERLOAD_LASTS_S
        self._looked_at.update({frame.camera_id: now for frame, one in zip(waiting, chosen, strict=True) if one})
        return chosen

    def skip(self, head: FrameHead, *, fps: float = 0.0) -> Gap | None:
        """The gap in the place of a frame, if it is to be told; `fps` of the camera, 0 where it isn't known."""
        camera = head.camera_id
        told_ts = self._told.get(camera, head.ts)
        frames = self._bridged.pop(camera, None)
        self.skipped[camera] = self.skipped.get(camera, 0) + 1
        if frames is not None and 0 <= head.ts - told_ts <= bridged(1 / fps if fps else 0.0):
            self._bridged[camera] = frames + 1
            return None
        self._told[camera] = head.ts
        return Gap(camera, min(told_ts, head.ts), head.ts, GapReason.OVERLOAD, (frames or 0) + 1)

    def tell(self, camera_id: str, ts: float, *, seen: bool = True) -> None:
        """A frame, or if nothing was `seen` a gap, of that camera accounts for everything up to `ts`."""
        self._told[camera_id] = ts
        if seen:
            self._bridged[camera_id] = 0
        else:
            self._bridged.pop(camera_id, None)

    def forget(self) -> None:
        """The cameras are somebody else's, or come anew."""
        self._told.clear()
        self._bridged.clear()
        self._looked_at.clear()

    def _patient(self, camera_id: str, now: float) -> bool:
        return now - self._looked_at.setdefault(camera_id, now) <= PATIENCE_S
