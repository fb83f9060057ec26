"""The newest-frame slot of one camera: what nobody took in time is dropped and counted. Pure.

A hole that this leaves between two frames is told as a gap, unless it is so short that rules bridge it: the camera is
seen then, with fewer frames a second, where a gap would say that nobody saw it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from operators.records import Frame, Gap, GapReason

__all__ = ["LATE", "MAX_STEP_BACK_S", "STOPPED", "Mailbox", "joined"]

LATE, STOPPED = "late", "stopped"
"""Reasons of drops that are no gaps: older than what was already told, and left over at the end."""
MAX_GAPS = 8
MAX_STEP_BACK_S = 10.0
"""A clock that went back further than this was set anew: time restarts there, also for the rules, instead of waiting
to catch up."""


class Mailbox:
    """Holds at most one frame and a few gaps around it, in time order; `captured == taken + waiting + dropped`.

    Between two frames that are `bridged_s` apart or less, no gap is told of frames that nobody took in time.
    """

    def __init__(self, camera_id: str, *, start_ts: float, bridged_s: float = 0.0) -> None:
        self.captured = self.taken = 0
        self.dropped: Counter[str] = Counter()
        self._camera_id = camera_id
        self._bridged_s = bridged_s
        self._seen_ts: float | None = None  # of the last item that was taken, if that was a frame
        self._told_ts = start_ts
        self._frame: Frame | None = None
        self._frame_from_ts = start_ts
        self._before: list[Gap] = []
        self._after: list[Gap] = []

    @property
    def told_ts(self) -> float:
        """Time up to which a frame or a gap accounts for everything."""
        return self._told_ts

    @property
    def waiting(self) -> int:
        """Frames not taken yet: 0 or 1."""
        return int(self._frame is not None)

    def __bool__(self) -> bool:
        return bool(self._frame or self._before)

    def put(self, frame: Frame) -> None:
        """A new picture; pushes out the one that waits."""
        self.captured += 1
        if self._told_ts - MAX_STEP_BACK_S < frame.ts < self._told_ts:
            self.dropped[LATE] += 1
            return
        if self._frame is not None:
            self._displace(self._frame)
        self._frame, self._frame_from_ts, self._told_ts = frame, min(self._told_ts, frame.ts), frame.ts

    def miss(self, reason: GapReason, to_ts: float, *, captured: int = 0, lost: int = 0) -> None:
        """Nothing can be told from the last item up to `to_ts`.

        `captured` pictures were taken and dropped for this reason; `lost` never arrived, or arrived broken.
        """
        self.captured += captured
        if captured:
            self.dropped[reason.value] += captured
        if to_ts > self._told_ts:
            gap = Gap(self._camera_id, self._told_ts, to_ts, reason, captured + lost)
            _append(self._before if self._frame is None else self._after, gap)
            self._told_ts = to_ts

    def take(self) -> list[Frame | Gap]:
        """Everything that waits, in time order."""
        items: list[Frame | Gap] = [] if self._is_bridged() else list(self._before)
        if self._frame is not None:
            items.append(self._frame)
            self.taken += 1
        items += self._after
        self._frame, self._before, self._after = None, [], []
        if items:
            self._seen_ts = items[-1].ts if isinstance(items[-1], Frame) else None
        return items

    def close(self) -> None:
        """The run is over: what still waits counts as dropped."""
        self.dropped[STOPPED] += self.waiting
        self._frame = None
        self._before = self._after = []

    def _is_bridged(self) -> bool:
        """Whether two frames are near enough to each other to leave out the gaps between them."""
        if self._frame is None or self._seen_ts is None:
            return False
        overload = all(gap.reason is GapReason.OVERLOAD for gap in self._before)
        return overload and self._frame.ts - self._seen_ts <= self._bridged_s

    def _displace(self, frame: Frame) -> None:
        self.dropped[GapReason.OVERLOAD.value] += 1
        if frame.ts > self._frame_from_ts:
            _append(self._before, Gap(self._camera_id, self._frame_from_ts, frame.ts, GapReason.OVERLOAD, 1))
        for gap in self._after:
            _append(self._before, gap)
        self._frame, self._after = None, []


def _append(gaps: list[Gap], gap: Gap) -> None:
    """Add a gap in time order; neighbours of one reason become one, and so do the oldest when there are too many."""
    if gaps and gaps[-1].reason is gap.reason:
        gaps[-1] = joined(gaps[-1], gap)
    else:
        gaps.append(gap)
    if len(gaps) > MAX_GAPS:
        gaps[:2] = [joined(gaps[0], gaps[1])]


def joined(first: Gap, second: Gap) -> Gap:
    """One gap over both, for the reason of the longer."""
    longer = max(first, second, key=lambda gap: gap.to_ts - gap.from_ts)
    return replace(longer, from_ts=first.from_ts, to_ts=second.to_ts, frames=first.frames + second.frames)
