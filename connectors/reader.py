"""The capture process of one camera and one connection: reads, decodes, picks, masks, hands over. Then it ends.

`connectors.capture` starts it with the descriptor of one end of a socket pair as argument. What it runs (FFmpeg, over
a network) can hang or crash, so it keeps nothing that matters and may be killed at any moment. The settings come
through the socket and not as arguments, which everybody on the machine could read.

Pictures go through shared memory that the parent owns, everything else through the socket. The messages are small: each
is one write, so that a reader that is stopped in mid-air can't leave half a message and block the parent.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import reduction
from multiprocessing.connection import Connection

import numpy as np

from connectors.camera import StreamSettings
from connectors.schemes import open_source
from connectors.source import Facts, Picture, Source
from connectors.stillness import Stillness, sample
from connectors.timing import Holes, Pacer, Stamp, StreamClock
from operators.errors import Cause, SourceError
from operators.masks import black_out
from operators.records import Clock, GapReason, Image

__all__ = ["SLOTS", "Beat", "Ended", "Failed", "Message", "Missed", "Opened", "Room", "Shot", "read"]

SLOTS = 2
"""Pictures in shared memory: one is written while the parent copies the other."""
BEAT_S = 0.25
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Opened:
    """The source is open."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class Room:
    """Please send shared memory for `SLOTS` pictures of so many bytes; the reader waits for its descriptor."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of `shape` lies in `slot`; the parent sends the slot's number back when it has copied it."""

    slot: int
    shape: tuple[int, ...]
    seq: int
    ts: float
    clock: Clock
    received: float


@dataclass(frozen=True, slots=True)
class Missed:
    """Nothing to see up to `ts`: `captured` pictures were dropped here, `lost` never arrived or arrived broken."""

    reason: GapReason
    ts: float
    captured: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Beat:
    """Signs of life between the pictures picked: pictures read and lost since the start, rate, clock."""

    read: int
    lost: int
    fps: float
    clock: Clock
    skew_s: float | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A file came to its end."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The connection broke; the text holds no secret."""

    cause: Cause
    text: str


Message = Opened | Room | Shot | Missed | Beat | Ended | Failed


def read(settings: StreamSettings, connection: Connection) -> None:
    """Read one connection to its end and say over `connection` how it ended."""
    try:
        source = open_source(settings)
        connection.send(Opened(source.facts))
        _Reader(settings, connection).run(source)
        connection.send(Ended())
    except SourceError as error:
        connection.send(Failed(error.cause, str(error)))


class _Reader:
    def __init__(self, settings: StreamSettings, connection: Connection) -> None:
        self._settings, self._connection = settings, connection
        self._clock, self._pacer, self._holes = StreamClock(), Pacer(settings.fps), Holes()
        self._stillness = Stillness(frozen_after=settings.frozen_after, black_after=settings.black_after)
        self._hand = _Hand(connection)
        self._read = self._lost = self._seq = 0
        self._told_lost = 0
        self._picked_ts = float("inf")
        self._beat_at = 0.0

    def run(self, source: Source) -> None:
        for picture in source if source.facts.live else _played(source):
            stamp = self._clock.stamp(pts=picture.pts, sender=picture.sender, received=picture.received)
            self._read += 1
            self._count_lost(picture, stamp)
            if self._pacer.picks(stamp.ts):
                self._picked_ts = stamp.ts
                self._offer(picture, stamp)
            if time.monotonic() >= self._beat_at:
                self._beat_at = time.monotonic() + BEAT_S
                fps = self._holes.fps if picture.pts is not None else source.facts.fps
                self._connection.send(Beat(self._read, self._lost, fps, stamp.clock, stamp.skew_s))

    def _count_lost(self, picture: Picture, stamp: Stamp) -> None:
        self._lost += max(picture.lost, self._holes.missing(picture.pts) if picture.pts is not None else 0)
        # A hole that no analysed picture fell into changes nothing for the rules.
        if self._lost > self._told_lost and stamp.ts - self._picked_ts > 1.5 / self._settings.fps:
            self._connection.send(Missed(GapReason.LOST, stamp.ts, lost=self._lost - self._told_lost))
            self._told_lost = self._lost

    def _offer(self, picture: Picture, stamp: Stamp) -> None:
        image = picture.rgb()
        reason = self._stillness.reason(sample(image), stamp.ts) if self._settings.live else None
        seq, self._seq = self._seq, self._seq + 1
        if reason is None and self._hand.over(black_out(image, self._settings.masks), seq, stamp, picture.received):
            return
        self._connection.send(Missed(reason or GapReason.OVERLOAD, stamp.ts, captured=1))


class _Hand:
    """Hands pictures over through shared memory; refuses while the parent is behind."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._size = 0
        self._memory: mmap.mmap | None = None
        self._free: list[int] = []

    def over(self, image: Image, seq: int, stamp: Stamp, received: float) -> bool:
        """Whether there was room for the image."""
        while self._connection.poll():
            self._free.append(self._connection.recv())
        if image.nbytes > self._size:
            self._grow(image.nbytes)
        if not self._free or self._memory is None:
            return False
        slot = self._free.pop()
        np.frombuffer(self._memory, np.uint8, image.nbytes, slot * self._size)[:] = image.reshape(-1)
        self._connection.send(Shot(slot, image.shape, seq, stamp.ts, stamp.clock, received))
        return True

    def _grow(self, size: int) -> None:
        while self._memory is not None and len(self._free) < SLOTS:
            self._free.append(self._connection.recv())
        self._connection.send(Room(size))
        descriptor = reduction.recv_handle(self._connection)
        self._memory = mmap.mmap(descriptor, SLOTS * size)
        os.close(descriptor)
        self._size, self._free = size, list(range(SLOTS))


def _played(source: Source) -> Iterator[Picture]:
    """Pictures of a file at the pace they were taken."""
    wall = time.time() - time.monotonic()
    start: float | None = None
    for picture in source:
        due = time.monotonic() if picture.pts is None or start is None else start + picture.pts
        if start is None:
            start = due - (picture.pts or 0.0)
        time.sleep(max(0.0, due - time.monotonic()))
        yield replace(picture, received=wall + time.monotonic())


def _die_with_parent() -> None:
    """A parent that is killed takes its readers along, even one that hangs."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Entry of the capture process."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    connection = Connection(int(sys.argv[1]))
    try:
        read(connection.recv(), connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone or has given this connection up
    except Exception as error:  # the reconnect loop: whatever broke here, the parent tries again
        connection.send(Failed(Cause.READER, f"the reader broke: {type(error).__name__}"))
        raise
    os._exit(0)  # hanging up politely can hang; the kernel closes everything at once
