"""Which frames of a backlog are worth analysing: what waited for too long is told as a gap, and never decoded."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from connectors.kafka_frames import FrameHead
from operators.records import Gap, GapReason

__all__ = ["Freshness"]


@dataclass(slots=True)
class Freshness:
    """Follows the cameras of one analysing worker; in the order of their frames.

    A frame is stale that has waited in the brokers for more than `skip_older_than` seconds while newer ones wait
    behind it. A live analyser that lags so comes back to now, and says what it has not seen.
    """

    skip_older_than: float
    skipped: dict[str, int] = field(default_factory=dict)
    """Frames that were skipped since the start, by camera."""
    _told: dict[str, float] = field(default_factory=dict)
    """Time up to which a frame or a gap accounts for everything, by camera."""

    def is_stale(self, written_at: float, *, newest: bool) -> bool:
        """Whether a frame, written to the brokers at that time, is to be skipped; `newest` if none waits behind it."""
        return not newest and time.time() - written_at > self.skip_older_than

    def skip(self, head: FrameHead) -> Gap:
        """The gap in the place of a frame."""
        camera = head.camera_id
        from_ts = min(self._told.get(camera, head.ts), head.ts)
        self._told[camera] = head.ts
        self.skipped[camera] = self.skipped.get(camera, 0) + 1
        return Gap(camera, from_ts, head.ts, GapReason.OVERLOAD, 1)

    def tell(self, camera_id: str, ts: float) -> None:
        """A frame or a gap of that camera accounts for everything up to `ts`."""
        self._told[camera_id] = ts

    def forget(self) -> None:
        """The cameras are somebody else's, or come anew."""
        self._told.clear()
