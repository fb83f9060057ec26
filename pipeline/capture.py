"""`mien capture`: cameras -> frames topic. Any number of such processes share the cameras out among themselves.

    capture process of a camera -> newest frame -> JPEG -> what waits for the broker (bounded) -> frames topic

Each camera is read as `mien run` reads it: masked before anything else, its failures and drops told as gaps, which go
to the same partition, in their place. Who has which partition is agreed upon in a consumer group.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, Self

import cv2

from connectors.camera import State
from connectors.capture import Captures, CaptureStatus
from connectors.kafka_client import hush
from connectors.kafka_group import OWNED_S, CaptureGroup
from connectors.kafka_producer import FrameProducer, SendStatus
from connectors.kafka_topics import FRAMES, partition_of
from operators.records import Frame, Gap
from pipeline.build import build_telemetry
from pipeline.config import Settings
from pipeline.health import Health
from pipeline.metrics import Metrics
from pipeline.process import found_topics, watched
from pipeline.recorder import Recorder
from pipeline.sections import Camera
from pipeline.signals import stopping
from pipeline.status import CameraStatus, Status
from pipeline.topics import kafka_of

__all__ = ["UNOWNED", "CapturePipeline", "Outlet", "capture"]

log = logging.getLogger(__name__)

POLL_S = 0.25
TELL_EVERY_S = 10.0
RATE_WINDOW_S = 5.0
LEAST_STALE_S = 2.0
"""Brokers that pause for a second cost no picture. They stamp it as they take it, so analysis sees none of the wait."""
UNOWNED = "unowned"
"""Reason of drops: the camera may be another worker's by now."""
SLOW_BROKER = "The Kafka broker takes the pictures too slowly: check its load, its disk and the network."


class Outlet(Protocol):
    """Where captured frames go: the frames topic, or an analysis in this process. Used from many threads."""

    def put(self, item: Frame | Gap) -> None:
        """Take a frame or a gap; in time order for each camera. Never waits."""
        ...

    def give_up(self, camera_id: str) -> None:
        """This camera is somebody else's now."""
        ...

    def status(self) -> dict[str, SendStatus]:
        """What became of the frames of every camera."""
        ...

    @property
    def quality(self) -> int:
        """Of the next picture, in percent."""
        ...

    @property
    def away(self) -> str:
        """Why the brokers take nothing now, or empty."""
        ...


Opening = Callable[[Recorder], AbstractContextManager[Outlet]]
"""Opens an outlet that times its stages with a recorder."""


class CapturePipeline:
    """One capture worker: `with CapturePipeline(settings) as pipeline:`, then `turn` again and again, in one thread.

    `outlet` opens something else than the frames topic for the frames.
    """

    def __init__(self, settings: Settings, *, recorder: Recorder | None = None, outlet: Opening | None = None) -> None:
        kafka = kafka_of(settings)
        self.recorder = recorder or Recorder()
        self.turned_at = self._started = time.monotonic()
        self._cameras = settings.active_cameras
        self._by_partition: defaultdict[int, dict[str, Camera]] = defaultdict(dict)
        for name, camera in self._cameras.items():
            self._by_partition[partition_of(name, kafka.partitions, settings.cameras)][name] = camera
        self._lanes: dict[int, _Lane] = {}
        self._tallies = {name: _Tally() for name in self._cameras}
        self._unowned: Counter[str] = Counter()
        cv2.setNumThreads(1)
        with ExitStack() as parts:
            self._pool = parts.enter_context(ThreadPoolExecutor(len(self._by_partition) or 1, "lane"))
            self._slow = SLOW_BROKER if outlet is None else ""
            self._producer = parts.enter_context((outlet or partial(_to_topic, settings))(self.recorder))
            self._group = parts.enter_context(
                CaptureGroup(kafka, used=self._by_partition, gained=self._gain, lost=self._lose)
            )
            parts.callback(lambda: self._lose(set(self._lanes)))  # before the group is left: others begin then
            self._parts = parts.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @property
    def joined(self) -> bool:
        """Whether this worker takes part in the sharing out of cameras."""
        return self._group.joined

    def turn(self) -> None:
        """Take part in the group for a moment: cameras come and go here. Raises what ended a lane."""
        self._group.turn(POLL_S)
        if not self._owns():
            log.warning("took no part for more than %.0f s: others may have its cameras, begins anew", OWNED_S)
            self._lose(set(self._lanes))
            self._group.rejoin()
        self.turned_at = time.monotonic()
        for lane in list(self._lanes.values()):
            if lane.done.done():
                lane.done.result()

    def status(self) -> Status:
        """The cameras that this worker has had, with what became of their frames."""
        sent = self._producer.status()
        now = {name: one for lane in self._lanes.values() for name, one in lane.captures.status().items()}
        cameras = tuple(
            tally.status(name, now.get(name), sent[name], unowned=self._unowned[name], slow=self._slow)
            for name, tally in self._tallies.items()
            if name in now or tally.frames
        )
        return Status(uptime_s=time.monotonic() - self._started, cameras=cameras)

    def tell(self) -> None:
        """One line about this worker, and one for each of its cameras that is not well."""
        status, sent = self.status(), self._producer.status()
        drops = sum((Counter(camera.drops) for camera in status.cameras), Counter[str]())
        here = [camera for camera in status.cameras if camera.state != State.STOPPED]
        log.info(
            "capture cameras=%d/%d live=%d fps=%.1f sent=%d sent_mb=%.1f waiting=%d quality=%d dropped=%s broker=%s",
            len(here),
            len(self._cameras),
            sum(camera.state == State.LIVE for camera in here),
            sum(camera.fps_analysed for camera in here),
            sum(one.sent for one in sent.values()),
            sum(one.sent_bytes for one in sent.values()) / 1e6,
            sum(one.waiting for one in sent.values()),
            self._producer.quality,
            ",".join(f"{reason}:{count}" for reason, count in sorted(drops.items()) if count) or "none",
            self._producer.away or "ok",
        )
        for camera in here:
            if camera.state != State.LIVE and camera.advice:
                log.warning("camera=%s state=%s %s", camera.camera_id, camera.state, camera.advice)
        if any(camera.advice == SLOW_BROKER for camera in here):
            log.warning("%s", SLOW_BROKER)
        if self._producer.away:
            # kafka-python leaves the socket of each attempt that was refused to the garbage collection: in a process
            # that makes little garbage, an hour without a broker would take all its descriptors.
            gc.collect()

    def _owns(self) -> bool:
        """Whether nobody else can have been given the cameras: a process that was stopped goes on as if nothing was."""
        return time.monotonic() - self.turned_at < OWNED_S

    def _put(self, item: Frame | Gap) -> None:
        if self._owns():
            self._producer.put(item)
        elif isinstance(item, Frame):
            self._unowned[item.camera_id] += 1

    def _gain(self, partitions: set[int]) -> None:
        for partition in sorted(partitions & self._by_partition.keys() - self._lanes.keys()):
            cameras = self._by_partition[partition]
            log.info("captures partition=%d cameras=%s", partition, ",".join(cameras))
            self._lanes[partition] = _Lane(cameras, self._put, self._pool)

    def _lose(self, partitions: set[int]) -> None:
        """Stop to capture; all at once, since each may take two seconds."""
        leaving = {partition: self._lanes[partition] for partition in partitions & self._lanes.keys()}
        with ThreadPoolExecutor(len(leaving) or 1) as stoppers:
            list(stoppers.map(_Lane.stop, leaving.values()))
            list(stoppers.map(self._producer.give_up, [name for lane in leaving.values() for name in lane.cameras]))
        for partition, lane in leaving.items():
            log.info("captures no more partition=%d cameras=%s", partition, ",".join(lane.cameras))
            del self._lanes[partition]
            for name, captured in lane.captures.status().items():
                self._tallies[name].add(captured)


def _to_topic(settings: Settings, recorder: Recorder) -> FrameProducer:
    return FrameProducer(
        kafka_of(settings),
        settings.cameras,
        stale_after=max(LEAST_STALE_S, settings.worker.skip_older_than),
        observe=recorder.timed,
    )


class _Lane:
    """The cameras of one partition, from their processes to the producer."""

    def __init__(
        self, cameras: Mapping[str, Camera], put: Callable[[Frame | Gap], None], pool: ThreadPoolExecutor
    ) -> None:
        self.cameras = cameras
        self.captures = Captures(cameras)
        self._put = put
        self._stopping = threading.Event()
        self.captures.start()
        self.done: Future[None] = pool.submit(self._run)

    def stop(self) -> None:
        """Everything that was taken from the cameras is with the producer when this returns."""
        self._stopping.set()
        self.captures.stop()
        self.done.result()

    def _run(self) -> None:
        while not (self._stopping.is_set() or self.captures.finished):
            for item in self.captures.take(len(self.cameras), POLL_S):
                self._put(item)


@dataclass(slots=True)
class _Tally:
    """What one camera came to in earlier times that this worker had it, and how fast its frames leave now."""

    frames: int = 0
    lost: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    reconnects: Counter[str] = field(default_factory=Counter)
    _sent: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, captured: CaptureStatus) -> None:
        """The camera goes to another worker."""
        self.frames += captured.frames
        self.lost += captured.lost
        self.drops.update(captured.drops)
        self.reconnects.update(captured.reconnects)

    def status(
        self, name: str, now: CaptureStatus | None, sent: SendStatus, *, unowned: int, slow: str
    ) -> CameraStatus:
        """Where `frames == analysed + waiting + sum(drops)`: what is analysed here is what the broker has.

        `slow` is the advice where frames wait.
        """
        captured = now or CaptureStatus(name, State.STOPPED)
        return CameraStatus(
            camera_id=name,
            state=str(captured.state),
            cause=str(captured.cause or ""),
            advice=captured.advice or (slow if sent.waiting > 1 else ""),
            clock=str(captured.clock or ""),
            skew_s=captured.skew_s,
            pid=captured.pid,
            fps_in=captured.fps_in,
            fps_analysed=self._rate(sent.sent),
            frames=self.frames + captured.frames,
            analysed=sent.sent,
            lost=self.lost + captured.lost,
            drops=dict(self.drops + Counter(captured.drops) + Counter(sent.drops) + Counter({UNOWNED: unowned})),
            reconnects=dict(self.reconnects + Counter(captured.reconnects)),
        )

    def _rate(self, sent: int) -> float:
        """Frames per second over the last seconds."""
        now = time.monotonic()
        self._sent.append((now, sent))
        while self._sent[0][0] < now - RATE_WINDOW_S:
            self._sent.popleft()
        seconds = now - self._sent[0][0]
        return (sent - self._sent[0][1]) / seconds if seconds else 0.0


def capture(
    settings: Settings,
    *,
    seconds: float | None = None,
    outlet: Opening | None = None,
    needs: Sequence[str] = (FRAMES,),
    role: str = "capture",
) -> Status:
    """Capture until the time is up or SIGINT / SIGTERM comes; returns the last status.

    `outlet` opens something else than the frames topic for the frames, which `needs` these topics. Raises SinkError
    where no broker answers, ConfigError where its topics are missing or wrong.
    """
    hush()
    stop = threading.Event()
    metrics = Metrics(provider="none")
    recorder = Recorder(metrics)
    with ExitStack() as stack:
        begin_to_stop = stack.enter_context(stopping(stop, within_s=settings.worker.stop_within))
        if not found_topics(kafka_of(settings), needs, stop):
            return Status(uptime_s=0.0, cameras=())
        telemetry = build_telemetry(settings, role=role)
        if telemetry is not None:
            stack.enter_context(telemetry)
        pipeline = CapturePipeline(settings, recorder=recorder, outlet=outlet)
        stack.enter_context(pipeline)
        stalled = _stall(pipeline, settings.worker.stalled_after)
        health = Health(
            settings.worker.host,
            settings.worker.port,
            alive=stalled,
            ready=lambda: "" if pipeline.joined else "has not joined the other capture workers yet",
            registry=metrics.registry,
        )
        stack.enter_context(health)
        stack.enter_context(watched(stalled))
        stack.callback(begin_to_stop)
        log.info("%s health=%s", role, health.address)
        ends_at = None if seconds is None else time.monotonic() + seconds
        tell_at = time.monotonic() + TELL_EVERY_S
        while not stop.is_set() and (ends_at is None or time.monotonic() < ends_at):
            pipeline.turn()
            status = pipeline.status()
            metrics.refresh(status)
            if telemetry is not None:
                telemetry.report(status, recorder)
            if time.monotonic() >= tell_at:
                tell_at = time.monotonic() + TELL_EVERY_S
                pipeline.tell()
    return pipeline.status()


def _stall(pipeline: CapturePipeline, limit_s: float) -> Callable[[], str]:
    """Says why when the worker has taken no part in the group for so long: others have its cameras by then."""

    def why() -> str:
        silent_s = time.monotonic() - pipeline.turned_at
        return f"no turn for {silent_s:.0f} s, more than worker.stalled_after" if silent_s > limit_s else ""

    return why
