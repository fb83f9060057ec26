"""Cameras of which nothing comes: whoever captured them is gone, so that nobody else can say that they are not seen.

A capture worker tells by gaps when a camera is down, so something comes of every camera, always. When that ends, the
time of the camera goes on here: from its last frame or gap, at the pace of our own clock, and a little behind. So it
depends on the clock of no other machine, and can't run ahead of a frame on its way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from connectors.camera import State, stall_limit
from connectors.timing import MAX_SKEW_S
from operators.records import Clock, Gap, GapReason

__all__ = ["Silence"]

FIRST_AFTER_S = 10.0
"""Capture may begin just now, as we do."""
BEHIND_S = 2.0
"""Capture holds a frame for so long that the brokers don't take, and drops it then."""


@dataclass(slots=True)
class _Heard:
    """The last that came of a camera: of which time `ts` it was, and when, by the monotonic clock.

    `told_ts` is the time up to which frames and gaps account for everything.
    """

    ts: float
    at: float
    told_ts: float
    limit_s: float
    state: State = State.CONNECTING
    clock: Clock | None = None


@dataclass(slots=True)
class Silence:
    """Follows the cameras whose frames come to this worker. `clock` is monotonic."""

    clock: Callable[[], float] = time.monotonic
    _heard: dict[str, _Heard] = field(default_factory=dict)

    def begin(self, cameras: Iterable[str]) -> None:
        """These cameras are ours from now on, and no others; how far each has come is not known yet."""
        now, ts = self.clock(), time.time() - MAX_SKEW_S
        self._heard = {name: _Heard(ts, now, ts, FIRST_AFTER_S) for name in cameras}

    def hear(self, camera_id: str, ts: float, *, fps: float, clock: Clock) -> None:
        """A frame came."""
        self._heard[camera_id] = _Heard(ts, self.clock(), ts, stall_limit(fps), State.LIVE, clock)

    def hear_gap(self, gap: Gap, *, fps: float) -> None:
        """A gap came, from whoever captures the camera."""
        before = self._heard.get(gap.camera_id)
        state = State.STALLED if gap.reason is GapReason.DOWN else State.LIVE
        clock = None if before is None else before.clock
        self._heard[gap.camera_id] = _Heard(gap.to_ts, self.clock(), gap.to_ts, stall_limit(fps), state, clock)

    def state(self, camera_id: str) -> State:
        """Whether pictures come of a camera of ours."""
        heard = self._heard.get(camera_id)
        if heard is None:
            return State.CONNECTING
        return State.STALLED if heard.state is State.LIVE and self._is_silent(heard) else heard.state

    def gap(self, camera_id: str) -> Gap | None:
        """What is to be told of a camera of ours that is silent; nothing of a file, whose time doesn't go on by itself.

        Ask only while nothing of the camera waits in the brokers.
        """
        heard = self._heard.get(camera_id)
        if heard is None or heard.clock is Clock.MEDIA or not self._is_silent(heard):
            return None
        from_ts, to_ts = heard.told_ts, heard.ts + (self.clock() - heard.at) - BEHIND_S
        if to_ts <= from_ts:
            return None
        heard.told_ts = to_ts
        return Gap(camera_id, from_ts, to_ts, GapReason.DOWN)

    def _is_silent(self, heard: _Heard) -> bool:
        return self.clock() - heard.at > heard.limit_s
