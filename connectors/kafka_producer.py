"""Frames into Kafka: each camera in order, never waiting for the broker, never more than a budget in memory.

kafka-python's producer takes whatever it is given, without a bound (1.2 GB in 2.7 s with the broker stopped), and gives
nothing back. So it is handed one record of each camera at a time, and the others wait here, where the oldest can still
be dropped. One at a time also keeps the order whatever fails: a record is sent when the one before it is settled.

What is dropped is counted by reason and told as a gap, in its place among the frames of its camera.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

from connectors.kafka_client import check_checksums, connection, reached
from connectors.kafka_frames import encode_frame
from connectors.kafka_probe import Probe
from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import FRAMES, partition_of
from connectors.mailbox import joined
from operators.records import Frame, Gap, GapReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafka import KafkaProducer

__all__ = ["CONGESTED", "STALE", "STOPPED", "TOO_LARGE", "UNSENT", "FrameProducer", "SendStatus"]

log = logging.getLogger(__name__)

STALE, CONGESTED, UNSENT, TOO_LARGE, STOPPED = "stale", "congested", "unsent", "too_large", "stopped"
"""Reasons of drops: waited too long for the broker, over the budget of bytes, not acknowledged by the broker, larger
than a message may be, left over when the camera was given up."""

OVERHEAD_BYTES = 1024
"""Room for the key and Kafka's own fields beside the value of a record."""
REQUEST_TIMEOUT_S = 5.0
DELIVERY_TIMEOUT_S = 8.0
"""A picture that the broker doesn't acknowledge in that time is given up."""
RETRY_S = 0.25
SETTLE_S = 1.0
"""How long a camera that is given up waits for its last record."""


@dataclass(frozen=True, slots=True)
class SendStatus:
    """What became of the frames of one camera. At any time `taken == sent + waiting + sum(drops)`.

    `sent` frames were acknowledged by the broker, in `sent_bytes`.
    """

    taken: int = 0
    sent: int = 0
    waiting: int = 0
    sent_bytes: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)


class FrameProducer:
    """Sends the frames and gaps of cameras to the frames topic. A context manager; safe to use from any thread.

    `cameras` are all of the configuration. A frame that waits for longer than `stale_after` is dropped: whoever
    analyses would skip it. `observe` is told the name and seconds of each "encode" and each "send".
    """

    def __init__(
        self,
        settings: KafkaSettings,
        cameras: Collection[str],
        *,
        stale_after: float = 2.0,
        observe: Callable[[str, float], None] = lambda _stage, _seconds: None,
    ) -> None:
        self._settings, self._stale_after, self._observe = settings, stale_after, observe
        self._topic = settings.topic(FRAMES)
        self._lines = {
            camera: _Line(camera, partition_of(camera, settings.partitions, cameras)) for camera in sorted(cameras)
        }
        self._news = threading.Condition()
        self._stopping = False
        self._away = ""
        self._producer = _connect(settings)
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
        self._thread.start()

    def put(self, item: Frame | Gap) -> None:
        """Take a frame or a gap; in time order for each camera. Never waits for the broker."""
        data = self._encoded(item)
        with self._news:
            line = self._lines[item.camera_id]
            line.put(item, data)
            if len(data) > self._largest_bytes:
                line.drop_newest(TOO_LARGE)
            self._drop_stale()
            while self._bytes > self._settings.in_flight_bytes and self._drop_oldest():
                pass
            self._news.notify_all()

    def give_up(self, camera_id: str) -> None:
        """This camera is somebody else's now: its last record is settled or given up within a second."""
        line = self._lines[camera_id]
        with self._news:
            line.clear(STOPPED)
            self._news.wait_for(lambda: line.flying is None, SETTLE_S)

    def status(self) -> dict[str, SendStatus]:
        """The counters of every camera."""
        with self._news:
            return {camera: line.status() for camera, line in self._lines.items()}

    @property
    def quality(self) -> int:
        """The JPEG quality of the next picture: lower, the longer pictures wait, or the more of them do."""
        with self._news:
            waits = self._oldest_age() / self._stale_after
            pressure = min(1.0, max(waits, self._bytes / self._settings.in_flight_bytes))
        best, least = self._settings.jpeg_quality, self._settings.least_jpeg_quality
        return round(best - (best - least) * pressure)

    @property
    def away(self) -> str:
        """Why the broker takes nothing now, or empty."""
        return self._away

    def close(self, *, within_s: float = 3.0) -> None:
        """Send what waits, as long as that takes no longer; the rest is dropped, counted."""
        from kafka.errors import KafkaError  # noqa: PLC0415 - only who talks to Kafka needs it

        with self._news:
            self._news.wait_for(lambda: not any(line.busy for line in self._lines.values()), within_s)
            self._stopping = True
            self._news.notify_all()
        self._thread.join(within_s)
        with suppress(KafkaError):  # with a dead broker it gives up, and says nothing of what it still holds
            self._producer.close(timeout=0.5)
        with self._news:
            for line in self._lines.values():
                line.clear(STOPPED)
                line.settle(lost=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _largest_bytes(self) -> int:
        return self._settings.max_message_bytes - OVERHEAD_BYTES

    @property
    def _bytes(self) -> int:
        return sum(line.size for line in self._lines.values())

    def _oldest_age(self) -> float:
        return time.monotonic() - min((line.since for line in self._lines.values()), default=float("inf"))

    def _encoded(self, item: Frame | Gap) -> bytes:
        with self._observed("encode"):
            data = encode_frame(item, quality=self.quality)
            if len(data) > self._largest_bytes:
                data = encode_frame(item, quality=self._settings.least_jpeg_quality)
        return data

    @contextmanager
    def _observed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._observe(stage, time.perf_counter() - started)

    def _drop_stale(self) -> None:
        before = time.monotonic() - self._stale_after
        for line in self._lines.values():
            line.drop_before(before)

    def _drop_oldest(self) -> bool:
        """Make room; False when nothing is left that can be dropped."""
        waiting = [line for line in self._lines.values() if line.waiting]
        if waiting:
            min(waiting, key=lambda line: line.waiting[0].since).drop(CONGESTED)
        return bool(waiting)

    def _run(self) -> None:
        while True:
            with self._news:
                # Woken by news; a line that has to try again after a failure is looked at now and then.
                self._news.wait_for(lambda: self._stopping or any(line.ready for line in self._lines.values()), RETRY_S)
                if self._stopping:
                    return
                self._drop_stale()
                parcels = [(line, line.take()) for line in self._lines.values() if line.ready]
            for line, parcel in parcels:
                self._send(line, parcel)

    def _send(self, line: _Line, parcel: _Parcel) -> None:
        from kafka.errors import KafkaError  # noqa: PLC0415 - only who talks to Kafka needs it

        try:
            future = self._producer.send(
                self._topic, parcel.data, key=line.camera_id.encode(), partition=line.partition
            )
        except KafkaError as error:
            self._settle(line, time.monotonic(), error)
        else:
            settle = partial(self._settle, line, time.monotonic())
            future.add_callback(lambda _: settle(None))
            future.add_errback(settle)

    def _settle(self, line: _Line, sent_at: float, error: Exception | None) -> None:
        """The broker has a record, or will never have it."""
        if error is None:
            self._observe("send", time.monotonic() - sent_at)
        with self._news:
            line.settle(lost=error is not None)
            self._tell(error)
            self._news.notify_all()

    def _tell(self, error: Exception | None) -> None:
        """Log when the broker goes, and when it is back."""
        if error is not None and not self._away:
            log.warning("the broker takes no frames error=%s: they are dropped until it does", type(error).__name__)
        if error is None and self._away:
            log.info("the broker takes frames again")
        self._away = "" if error is None else type(error).__name__


@dataclass(frozen=True, slots=True)
class _Parcel:
    """An encoded frame or gap. `gap` is what is to be told when it is dropped; `since` is when it was taken."""

    data: bytes
    gap: Gap
    frames: int
    since: float


@dataclass(slots=True)
class _Line:
    """The records of one camera on their way, oldest first. Only touched under the lock of the producer."""

    camera_id: str
    partition: int
    waiting: deque[_Parcel] = field(default_factory=deque)
    flying: _Parcel | None = None
    taken: int = 0
    sent: int = 0
    sent_bytes: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    size: int = 0
    """Bytes of all that is held."""
    _untold: Gap | None = None
    _told_ts: float | None = None
    _not_before: float = 0.0
    _given_up: bool = False

    @property
    def busy(self) -> bool:
        return self.flying is not None or bool(self.waiting)

    @property
    def ready(self) -> bool:
        """Whether there is something to send now."""
        wanted = self._untold is not None or bool(self.waiting)
        return wanted and self.flying is None and time.monotonic() >= self._not_before

    @property
    def since(self) -> float:
        """When the oldest record that isn't settled was taken; the future if there is none."""
        oldest = self.flying or (self.waiting[0] if self.waiting else None)
        return float("inf") if oldest is None else oldest.since

    def status(self) -> SendStatus:
        flying = 0 if self.flying is None else self.flying.frames
        waiting = flying + sum(parcel.frames for parcel in self.waiting)
        return SendStatus(self.taken, self.sent, waiting, self.sent_bytes, dict(self.drops))

    def put(self, item: Frame | Gap, data: bytes) -> None:
        if isinstance(item, Gap):
            gap, frames = item, 0
        else:
            from_ts = item.ts if self._told_ts is None else min(self._told_ts, item.ts)
            gap, frames = Gap(item.camera_id, from_ts, item.ts, GapReason.OVERLOAD, 1), 1
        self._given_up = False
        self._told_ts = gap.to_ts
        self.taken += frames
        self.size += len(data)
        self.waiting.append(_Parcel(data, gap, frames, time.monotonic()))

    def take(self) -> _Parcel:
        """The next to be sent: first what must be told of those that were dropped."""
        if self._untold is not None:
            data = encode_frame(self._untold)
            self.flying, self._untold = _Parcel(data, self._untold, 0, time.monotonic()), None
            self.size += len(data)
        else:
            self.flying = self.waiting.popleft()
        return self.flying

    def settle(self, *, lost: bool) -> None:
        """The record that was on its way has arrived, or is lost."""
        parcel, self.flying = self.flying, None
        if parcel is None:  # given up meanwhile
            return
        self.size -= len(parcel.data)
        if lost:
            self._not_before = time.monotonic() + RETRY_S
            self.drops[UNSENT] += parcel.frames
            self._untold = self._then(parcel.gap, self._untold)
        elif parcel.frames:
            self.sent += 1
            self.sent_bytes += len(parcel.data)

    def drop(self, reason: str) -> None:
        """Drop the oldest that waits."""
        parcel = self.waiting.popleft()
        self.size -= len(parcel.data)
        self.drops[reason] += parcel.frames
        self._untold = self._then(self._untold, parcel.gap)

    def drop_newest(self, reason: str) -> None:
        """Tell the newest as a gap, in its place."""
        parcel = self.waiting.pop()
        told = encode_frame(parcel.gap)
        self.size += len(told) - len(parcel.data)
        self.drops[reason] += parcel.frames
        self.waiting.append(_Parcel(told, parcel.gap, 0, parcel.since))

    def drop_before(self, before: float) -> None:
        """Drop what was taken before that moment."""
        while self.waiting and self.waiting[0].since < before:
            self.drop(STALE)

    def clear(self, reason: str) -> None:
        """Forget what waits, and what was to be told: somebody else tells of this camera now."""
        self._given_up = True
        for parcel in self.waiting:
            self.size -= len(parcel.data)
            self.drops[reason] += parcel.frames
        self.waiting.clear()
        self._untold = self._told_ts = None

    def _then(self, first: Gap | None, second: Gap | None) -> Gap | None:
        """What is to be told of two gaps in the order of their camera."""
        if self._given_up or first is None or second is None:
            return None if self._given_up else first or second
        # Where the clock was set back in between, what lies before it is not told.
        return joined(first, second) if second.to_ts >= first.from_ts else second


def _connect(settings: KafkaSettings) -> KafkaProducer:
    """A producer that has found the topic; raises SinkError where it can't, ConfigError where the topic is wrong."""
    check_checksums()
    from kafka import KafkaProducer  # noqa: PLC0415

    with Probe(settings) as probe:
        probe.check_topics([FRAMES])
    with reached(settings, "sending frames"):
        return KafkaProducer(
            **connection(settings),
            acks=1,  # a lost frame is a gap
            enable_idempotence=False,
            max_request_size=settings.max_message_bytes,
            request_timeout_ms=round(REQUEST_TIMEOUT_S * 1000),
            delivery_timeout_ms=round(DELIVERY_TIMEOUT_S * 1000),
            max_block_ms=round(REQUEST_TIMEOUT_S * 1000),
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
