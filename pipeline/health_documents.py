"""What a process says about itself in Elasticsearch: one document per camera, stage, sink and queue, every 10 s."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from connectors.elastic_documents import Entry, health_entry
from pipeline.status import CameraStatus, SinkStatus, Status

__all__ = ["Health", "Queue"]

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Queue:
    """Records that wait for this process; `age_s` is that of the oldest, where it is known."""

    name: str
    waiting: int
    age_s: float | None = None


@dataclass(slots=True)
class Health:
    """Turns what a process knows of itself into documents; totals become what was added since the last time."""

    role: str
    node: str = field(default_factory=socket.gethostname)
    _told: dict[str, int] = field(default_factory=dict)

    def documents(
        self,
        status: Status,
        now: float,
        *,
        times: Mapping[str, Sequence[float]] | None = None,
        queues: Sequence[Queue] = (),
        discarded: int = 0,
        kept_s: float | None = None,
    ) -> list[Entry]:
        """The documents of now: `times` are the seconds of each call of each stage since the last time.

        `kept_s` is the age of the oldest picture that can be read in Kafka, where that is known.
        """
        return [
            self._process(status, now, discarded),
            *(entry for camera in status.cameras for entry in self._camera(camera, now)),
            *(self._stage(stage, seconds, now) for stage, seconds in (times or {}).items() if seconds),
            *(self._sink(sink, now) for sink in status.sinks),
            *(self._queue(queue, now) for queue in queues),
            *([] if kept_s is None else [self._topic("frames", kept_s, now)]),
        ]

    def _process(self, status: Status, now: float, discarded: int) -> Entry:
        body = {
            "mien.up": int(not status.store_error),
            "mien.uptime_s": round(status.uptime_s, 1),
            "mien.firing": status.firing,
            "mien.rules": status.rules.version or None,
            "mien.discarded": discarded,
        }
        return self._entry("process", "", body, now)

    def _camera(self, camera: CameraStatus, now: float) -> Iterator[Entry]:
        name = camera.camera_id
        body = {
            "mien.up": int(camera.state == "live"),
            "mien.camera.state": camera.state,
            "mien.camera.cause": camera.cause or None,
            "mien.camera.skew_s": camera.skew_s,
            "mien.camera.reconnects": self._added(f"{name}|reconnects", sum(camera.reconnects.values())),
            "mien.fps.in": round(camera.fps_in, 3),
            "mien.fps.out": round(camera.fps_analysed, 3),
            "mien.frames.in": self._added(f"{name}|in", camera.frames),
            "mien.frames.out": self._added(f"{name}|out", camera.analysed),
            "mien.frames.lost": self._added(f"{name}|lost", camera.lost),
            "mien.frames.late": self._added(f"{name}|late", camera.late),
            "mien.age_s": camera.age_s,
        }
        yield self._entry("camera", name, body, now, camera_id=name)
        for reason, total in camera.drops.items():
            count = self._added(f"{name}|drop|{reason}", total)
            if count:
                drop = {"mien.reason": reason, "mien.count": count}
                yield self._entry("drop", f"{name}|{reason}", drop, now, camera_id=name)

    def _stage(self, stage: str, seconds: Sequence[float], now: float) -> Entry:
        figures = np.percentile(seconds, PERCENTILES).tolist()
        latency = {f"mien.latency.p{at}": round(figure, 6) for at, figure in zip(PERCENTILES, figures, strict=True)}
        return self._entry("stage", stage, {"mien.stage": stage, "mien.count": len(seconds), **latency}, now)

    def _sink(self, sink: SinkStatus, now: float) -> Entry:
        body = {"mien.sink": sink.name, "mien.waiting": sink.waiting, "mien.up": int(not sink.error)}
        return self._entry("sink", sink.name, body, now)

    def _queue(self, queue: Queue, now: float) -> Entry:
        body = {"mien.queue": queue.name, "mien.waiting": queue.waiting, "mien.age_s": queue.age_s}
        return self._entry("queue", queue.name, body, now)

    def _topic(self, name: str, age_s: float, now: float) -> Entry:
        return self._entry("topic", name, {"mien.queue": name, "mien.age_s": round(age_s, 1)}, now)

    def _entry(self, kind: str, name: str, body: Mapping[str, Any], now: float, *, camera_id: str = "") -> Entry:
        here = {"service.node.name": self.node, "service.node.role": self.role, "mien.kind": kind}
        key = "|".join((self.node, str(os.getpid()), self.role, kind, name))
        return health_entry(now, key, {**here, **body}, camera_id=camera_id)

    def _added(self, key: str, total: int) -> int:
        """How much a total grew since the last time; one that began anew counts from 0."""
        before = self._told.get(key, 0)
        self._told[key] = total
        return total - before if total >= before else total
