"""All cameras at once: one process each, watched, killed when it hangs, started again after a while.

A light thread drains the processes, keeps the newest frame of each camera and watches the deadlines; nothing a camera
does can hold up another one. Frames that nobody takes in time are dropped, counted and told as gaps.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from multiprocessing import Pipe, reduction
from multiprocessing.connection import Connection, wait
from typing import Self

import numpy as np

from connectors.camera import ADVICE, TRANSITIONS, Backoff, Event, State, StreamSettings, stall_limit
from connectors.mailbox import Mailbox
from connectors.reader import SLOTS, Beat, Ended, Failed, Message, Missed, Opened, Room, Shot
from connectors.source import Facts
from operators.errors import Cause
from operators.records import Clock, Frame, Gap, GapReason, Image
from operators.rules import bridged

__all__ = ["CaptureStatus", "Captures"]

log = logging.getLogger(__name__)

GRACE_S = 1.0
"""A reader keeps its deadlines itself; one that is so much later hangs, and is killed."""
DOWN_EVERY_S = 1.0
DOWN_MARGIN_S = 0.5
"""A gap stays so far behind now: a picture on its way must not find its time already told."""
WAKE_S = 0.25
STOP_S = 2.0
MESSAGES_A_TURN = 32


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """One camera now. At any time `frames == delivered + waiting + sum(drops)`, in pictures picked for analysis.

    `cause` and `advice` are set while the camera is not live; `lost` pictures never arrived or arrived broken;
    `skew_s` is the camera's clock minus ours, where it tells its time; `pid` is that of the capture process, if any.
    """

    camera_id: str
    state: State
    cause: Cause | None = None
    advice: str = ""
    detail: str = ""
    clock: Clock | None = None
    skew_s: float | None = None
    facts: Facts | None = None
    pid: int | None = None
    fps_in: float = 0.0
    frames: int = 0
    delivered: int = 0
    waiting: int = 0
    lost: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)
    reconnects: Mapping[str, int] = field(default_factory=dict)


class Captures:
    """The frames of many cameras. `start()`, then `take()` until `finished`, then `stop()`; also a context manager."""

    def __init__(self, cameras: Mapping[str, StreamSettings], *, backoff: Backoff | None = None) -> None:
        self._feeds = {name: _Feed(name, settings, backoff or Backoff()) for name, settings in cameras.items()}
        self._news = threading.Condition()
        self._stopping = self._crashed = False
        self._woken, self._waker = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._run, name="captures", daemon=True)

    def start(self) -> None:
        """Begin to connect to every camera."""
        self._thread.start()

    def take(self, limit: int, timeout_s: float) -> list[Frame | Gap]:
        """What is new of up to `limit` cameras, waiting for it at most `timeout_s`.

        At most one frame of each, the longest waiting camera first; per camera in time order, a gap before the frame
        that ends it. Empty after the timeout, or when there will be nothing any more.
        """
        with self._news:
            self._check()
            self._news.wait_for(lambda: self._over or any(feed.mailbox for feed in self._feeds.values()), timeout_s)
            waiting = sorted((feed for feed in self._feeds.values() if feed.mailbox), key=lambda feed: feed.since)
            return [item for feed in waiting[:limit] for item in feed.mailbox.take()]

    def status(self) -> Mapping[str, CaptureStatus]:
        """Facts and counters of every camera."""
        with self._news:
            return {name: feed.status() for name, feed in self._feeds.items()}

    @property
    def finished(self) -> bool:
        """Whether every source has ended and everything was taken; never true with a camera on a network."""
        with self._news:
            self._check()
            return self._over and not any(feed.mailbox for feed in self._feeds.values())

    @property
    def _over(self) -> bool:
        return self._stopping or all(feed.state is State.STOPPED for feed in self._feeds.values())

    def _check(self) -> None:
        """A thread that died must not look like sources that have ended."""
        if self._crashed:
            raise RuntimeError("the capture thread died: the log says why")

    def stop(self) -> None:
        """End everything within about two seconds, whatever hangs; frames that still wait count as dropped."""
        if self._waker.closed:
            return
        with self._news:
            self._stopping = True
            self._news.notify_all()
        self._waker.send_bytes(b"stop")
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        self._woken.close()
        self._waker.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            while not self._stopping:
                feeds = {feed.connection: feed for feed in self._feeds.values() if feed.connection is not None}
                ready = wait([self._woken, *feeds], self._patience())
                with self._news:
                    for connection in ready:
                        if connection is not self._woken:
                            feeds[connection].listen()  # type: ignore[index]
                    for feed in () if self._over else self._feeds.values():
                        feed.watch()
                    self._news.notify_all()
        finally:
            with self._news:
                self._crashed = not self._stopping
                self._stopping = True
                for feed in self._feeds.values():
                    feed.stop()
                self._news.notify_all()

    def _patience(self) -> float:
        starting = any(feed.connection is None and feed.state is State.CONNECTING for feed in self._feeds.values())
        return 0.0 if starting else WAKE_S


class _Link:
    """One capture process and the memory it writes pictures to. It waits for its settings."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            # -c and not -m, under which the messages would belong to a module called __main__.
            code = "from connectors.reader import main; main()"
            command = [sys.executable, "-P", "-c", code, str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 - nothing from outside is in the command
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        self._memory: mmap.mmap | None = None
        self._slot_bytes = 0

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def make_room(self, size_bytes: int) -> None:
        """Give the reader memory for pictures of that size; the old one goes when its last picture is copied."""
        descriptor = os.memfd_create("mien-frames")
        try:
            os.ftruncate(descriptor, SLOTS * size_bytes)
            self._memory, self._slot_bytes = mmap.mmap(descriptor, SLOTS * size_bytes), size_bytes
            reduction.send_handle(self.connection, descriptor, self._process.pid)
        finally:
            os.close(descriptor)

    def copy(self, shot: Shot) -> Image:
        """The picture of a message; its slot is free again."""
        pixels = np.frombuffer(self._memory or b"", np.uint8, math.prod(shot.shape), shot.slot * self._slot_bytes)
        image = pixels.reshape(shot.shape).copy()
        with suppress(ConnectionError):  # it has ended: how, is still to be read
            self.connection.send(shot.slot)
        return image

    def kill(self) -> int | None:
        """End the process at once and return its exit status, None if it is stuck in the kernel."""
        self.connection.close()
        self._process.kill()
        try:
            return self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            log.warning("reader=%d does not die", self._process.pid)
            return None


class _Feed:
    """One camera: its process, its state, what it has sent. Only touched under the lock of `Captures`."""

    def __init__(self, camera_id: str, settings: StreamSettings, backoff: Backoff) -> None:
        self.state = State.CONNECTING
        self.since = 0.0
        self._camera_id, self._backoff = camera_id, backoff
        # A subclass may hold more, and need modules that the reader has no use for.
        self._settings = StreamSettings(**{f.name: getattr(settings, f.name) for f in fields(StreamSettings)})
        self.mailbox = Mailbox(camera_id, start_ts=time.time(), bridged_s=bridged(1 / settings.fps))
        self._link: _Link | None = None
        self._epoch = self._failures = self._lost = self._lost_before = 0
        self._reconnects: Counter[str] = Counter()
        self._cause: Cause | None = None
        self._detail = ""
        self._facts: Facts | None = None
        self._beat = Beat(0, 0, 0.0, Clock.RECEIVE, None)
        self._clock: Clock | None = None
        self._delay_s = 0.0
        self._started_at = self._heard_at = self._retry_at = self._down_at = 0.0
        self._live_at: float | None = None

    @property
    def connection(self) -> Connection | None:
        """The line to the capture process, if there is one."""
        return self._link.connection if self._link else None

    def listen(self) -> None:
        """Take in what the capture process has sent."""
        try:
            for _ in range(MESSAGES_A_TURN):
                if self._link is None or not self._link.connection.poll():
                    return
                self._receive(self._link, self._link.connection.recv())
        except (EOFError, OSError):
            self._fail(Cause.READER, "the capture process died; its last words are on stderr")

    def watch(self) -> None:
        """Let time pass: deadlines, the next attempt, gaps of a camera that is down."""
        now = time.monotonic()
        if self.state is State.BACKING_OFF and now >= self._retry_at:
            self._turn(Event.START)
        if self.state is State.CONNECTING and self._link is None:
            self._connect(now)
        if self.state is State.CONNECTING and now > self._started_at + self._settings.open_timeout + GRACE_S:
            self._fail(Cause.TIMEOUT, f"no picture within {self._settings.open_timeout:g} s")
        silence, limit = now - self._heard_at, stall_limit(self._beat.fps)
        if self.state is State.LIVE and silence > limit:
            self._cause, self._detail = Cause.TIMEOUT, f"silent for more than {limit:.1f} s"
            self._turn(Event.SILENCE)
        if self.state is State.STALLED and silence > max(self._settings.read_timeout, limit) + GRACE_S:
            self._fail(Cause.TIMEOUT, f"silent for {silence:.1f} s")
        if self.state is not State.LIVE and now >= self._down_at:  # a file that ended, too, while others go on
            self._miss(GapReason.DOWN, time.time() - self._delay_s - DOWN_MARGIN_S)
            self._down_at = now + DOWN_EVERY_S

    def stop(self) -> None:
        """End for good."""
        self._turn(Event.STOP)
        self._hang_up()
        self.mailbox.close()

    def status(self) -> CaptureStatus:
        """Facts and counters now."""
        return CaptureStatus(
            self._camera_id,
            self.state,
            self._cause,
            ADVICE[self._cause] if self._cause else "",
            self._detail,
            clock=self._clock,
            skew_s=self._beat.skew_s,
            facts=self._facts,
            pid=self._link.pid if self._link else None,
            fps_in=self._beat.fps if self.state is State.LIVE else 0.0,
            frames=self.mailbox.captured,
            delivered=self.mailbox.taken,
            waiting=self.mailbox.waiting,
            lost=self._lost_before + self._beat.lost,
            drops=dict(self.mailbox.dropped),
            reconnects=dict(self._reconnects),
        )

    def _turn(self, event: Event) -> None:
        before, self.state = self.state, TRANSITIONS[self.state, event]
        if self.state is not before:
            cause = self._cause or ""
            log.info("camera=%s state=%s was=%s cause=%s", self._camera_id, self.state, before, cause)

    def _connect(self, now: float) -> None:
        self._epoch = max(self._epoch + 1, round(time.time() * 1000))
        self._started_at = self._heard_at = now
        self._live_at = None
        # Only the first attempt has time to come up: failing again and again must not put off telling the outage.
        self._down_at = self._down_at or now + DOWN_EVERY_S
        try:
            self._link = _Link()
            self._link.connection.send(self._settings)
        except OSError as error:  # no memory, process or descriptor is left: one of the next attempts may get it
            self._fail(Cause.READER, f"the capture process can't be started: {error.strerror}")

    def _receive(self, link: _Link, message: Message) -> None:
        self._heard_at = time.monotonic()
        match message:
            case Shot() | Missed() | Beat():
                self._see(link, message)
            case Opened(facts):
                self._facts = facts
            case Room(size):
                link.make_room(size)
            case Ended():
                self._turn(Event.ENDED)
                self._hang_up()
            case Failed(cause, text):
                self._fail(cause, text)

    def _see(self, link: _Link, message: Shot | Missed | Beat) -> None:
        if self.state is not State.LIVE:
            if not isinstance(message, Beat):
                self._miss(GapReason.DOWN, message.ts)
            self._cause, self._detail = None, ""
            self._live_at = self._live_at or time.monotonic()
            self._turn(Event.PICTURE)
        match message:
            case Shot():
                self._put(message, link.copy(message))
            case Missed(reason, ts, captured, lost):
                self._miss(reason, ts, captured=captured, lost=lost)
            case Beat():
                self._beat, self._clock = message, message.clock

    def _put(self, shot: Shot, image: Image) -> None:
        self._delay_s = shot.received - shot.ts
        self._note_waiting()
        self.mailbox.put(Frame(self._camera_id, self._epoch, shot.seq, shot.ts, shot.clock, image))

    def _miss(self, reason: GapReason, ts: float, *, captured: int = 0, lost: int = 0) -> None:
        self._note_waiting()
        self.mailbox.miss(reason, ts, captured=captured, lost=lost)

    def _note_waiting(self) -> None:
        if not self.mailbox:
            self.since = time.monotonic()

    def _fail(self, cause: Cause, text: str) -> None:
        now = time.monotonic()
        stable = self._live_at is not None and now - self._live_at >= self._backoff.stable_after
        self._failures = 1 if stable else self._failures + 1
        delay = self._backoff.delay(self._failures, cause=cause, jitter=random.random())  # noqa: S311 - no secret
        self._cause, self._detail, self._retry_at = cause, text, now + delay
        self._reconnects[cause.value] += 1
        log.warning("camera=%s cause=%s retry_in_s=%.1f detail=%r", self._camera_id, cause, delay, text)
        self._hang_up()
        self._turn(Event.FAILED)

    def _hang_up(self) -> None:
        """Forget the connection. The process is killed: hanging up politely can hang."""
        if self._link is not None:
            self._link.kill()
            self._link = None
        self._lost_before += self._beat.lost
        self._beat = replace(self._beat, lost=0)
