"""What the runtime measures about itself: time per stage, latency of decisions, what each camera showed last."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from connectors.camera import UNWELL, State
from connectors.capture import CaptureStatus
from operators.records import Alert, Clock, Observation
from pipeline.metrics import Metrics
from pipeline.status import CameraStatus

__all__ = ["Recorder"]

RATE_WINDOW_S = 5.0
MANY_DROPS = 3
"""So many frames dropped in that time for one reason are worth a word."""
KEPT_LATENCIES = 100_000
KEPT_TIMES = 10_000
DECISION = "decision"
"""From a frame being taken to the rules having seen it: a stage of its own among the times."""


@dataclass(slots=True)
class _Camera:
    """What was last seen of one camera; `times` are the analysed frames of the last seconds."""

    analysed: int = 0
    last: Observation | None = None
    times: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    drops: deque[tuple[float, Mapping[str, int]]] = field(default_factory=deque)

    def dropped_lately(self, drops: Mapping[str, int]) -> str:
        """The reason for which most frames were dropped in the last seconds, or nothing; `drops` are the totals now."""
        now = time.monotonic()
        self.drops.append((now, drops))
        while self.drops[0][0] < now - RATE_WINDOW_S:
            self.drops.popleft()
        before = self.drops[0][1]
        lately = {reason: count - before.get(reason, 0) for reason, count in drops.items()}
        worst = max(lately, key=lately.__getitem__, default="")
        return worst if lately.get(worst, 0) >= MANY_DROPS else ""


class Recorder:
    """Counters of one run. Written by the analysis threads, read by any."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._cameras: defaultdict[str, _Camera] = defaultdict(_Camera)
        self.wall_s: defaultdict[str, float] = defaultdict(float)
        self.faces = 0
        self.latencies_s: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._times: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT_TIMES))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage by the wall clock."""
        started = time.perf_counter()
        yield
        self.timed(name, time.perf_counter() - started)

    def timed(self, name: str, seconds: float) -> None:
        """Note how long one call of a stage took."""
        with self._lock:
            self.wall_s[name] += seconds
            self._times[name].append(seconds)
        if self._metrics is not None:
            self._metrics.observe_stage(name, seconds)

    def decided(self, observation: Observation, latency_s: float | None) -> None:
        """Note that the rules have seen a frame, `latency_s` after it was taken (None where its clock can't say)."""
        camera = self._cameras[observation.camera_id]
        camera.analysed += 1
        camera.last = observation
        camera.times.append(time.monotonic())
        with self._lock:
            self.faces += len(observation.faces)
            if latency_s is not None:
                self.latencies_s.append(latency_s)
                self._times[DECISION].append(latency_s)

    def take_times(self) -> dict[str, list[float]]:
        """Seconds of each call of each stage, and from frame to decision, since this was last asked."""
        with self._lock:
            times = {stage: list(seconds) for stage, seconds in self._times.items()}
            self._times.clear()
        return times

    def alerted(self, alert: Alert) -> None:
        """Note that a transition is in the journal."""
        if self._metrics is not None:
            self._metrics.count_alert(alert)

    def analysed(self) -> int:
        """Frames analysed so far, of all cameras."""
        return sum(camera.analysed for camera in list(self._cameras.values()))

    def camera_status(self, camera_id: str, capture: CaptureStatus, *, late: int) -> CameraStatus:
        """What capture and analysis know of one camera, together."""
        camera = self._cameras.get(camera_id) or _Camera()  # to insert it here could undo what `decided` counts now
        last = camera.last
        unwell = camera.dropped_lately(capture.drops) if capture.state is State.LIVE else ""
        faces = last.faces if last is not None and capture.state is State.LIVE else ()
        return CameraStatus(
            camera_id=camera_id,
            state=str(capture.state),
            cause=str(capture.cause or ""),
            advice=capture.advice or UNWELL.get(unwell, ""),
            skew_s=capture.skew_s,
            pid=capture.pid,
            lost=capture.lost,
            late=late,
            clock=str(capture.clock or ""),
            fps_in=capture.fps_in,
            fps_analysed=_rate(camera.times),
            faces=len(faces),
            labels=tuple(face.label for face in faces),
            face_px=tuple(face.source_px for face in faces),
            reasons=tuple(face.reasons for face in faces),
            age_s=None if last is None or last.clock is Clock.MEDIA else time.time() - last.ts,
            frames=capture.frames,
            analysed=camera.analysed,
            drops=capture.drops,
            reconnects=capture.reconnects,
        )


def _rate(times: deque[float]) -> float:
    """Frames per second over the last seconds."""
    since = time.monotonic() - RATE_WINDOW_S
    recent = [at for at in list(times) if at > since]
    return len(recent) / RATE_WINDOW_S
