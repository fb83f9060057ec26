"""The pictures of a recording, where a purpose was given to keep them: video in segments, with the time of each.

A segment `video-000001.mkv` holds the pictures as the analysis saw them, privacy masks applied; beside it, line by
line, `video-000001.jsonl` says when each was taken, so that event time is exact whatever a container makes of it.
Compression loses detail: what the models read from the video is close to what they read live, not the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from heapq import merge
from pathlib import Path
from queue import Full, Queue
from typing import BinaryIO, Self

import av
import av.error
import numpy as np

from connectors.recording import RecordedFile, Recording, Shot, read_shots
from connectors.recording_writer import RecordingWriter
from connectors.wire import encode
from operators.errors import SinkError
from operators.records import Frame, Image

__all__ = ["Footage", "read_frames"]

log = logging.getLogger(__name__)

SEGMENT_S = 600.0
"""Event time after which a new segment begins."""
WAITING = 8
"""Pictures of one camera that wait to be written; more are dropped and counted, so that nothing else is held up."""
MILLISECOND = Fraction(1, 1000)
_X264 = {"preset": "veryfast", "tune": "zerolatency", "crf": "18", "threads": "1"}
_MPEG4 = {"qmin": "2", "qmax": "4", "threads": "1"}
_MATROSKA = {"cluster_time_limit": "1000", "flush_packets": "1"}  # a crash costs a second


class Footage:
    """Writes the pictures of all cameras, each in a thread of its own; `film` never waits."""

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self._reels: dict[str, _Reel] = {}
        self._lock = threading.Lock()

    def film(self, frame: Frame) -> None:
        """Keep a picture, or count it as dropped; raises SinkError when its camera can't be recorded any more."""
        with self._lock:
            reel = self._reels.get(frame.camera_id)
            if reel is None:
                reel = self._reels[frame.camera_id] = _Reel(self._writer, frame.camera_id)
        reel.offer(frame)

    @property
    def dropped(self) -> int:
        """Pictures that came faster than they could be written."""
        return sum(reel.dropped for reel in self._reels.values())

    def close(self) -> None:
        """Write what waits and end every segment."""
        with ExitStack() as ends:
            for reel in self._reels.values():
                ends.callback(reel.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Reel:
    """One camera: a queue, and the thread that empties it into segments."""

    def __init__(self, writer: RecordingWriter, camera_id: str) -> None:
        self.dropped = 0
        self._writer, self._camera_id = writer, camera_id
        self._queue: Queue[Frame | None] = Queue(WAITING)
        self._failure: SinkError | None = None
        self._segment: _Segment | None = None
        self._told = 0
        self._thread = threading.Thread(target=self._run, name=f"footage-{camera_id}", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            self._queue.put_nowait(frame)
        except Full:
            self.dropped += 1

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (frame := self._queue.get()) is not None:
            if self._failure is None:
                self._attempt(frame)
        if self._segment is not None:
            self._attempt(None)

    def _attempt(self, frame: Frame | None) -> None:
        """Write a picture, or end the last segment; a failure is told at the next picture."""
        try:
            if self._segment is not None and (frame is None or not self._segment.takes(frame)):
                self._end()
            if frame is not None:
                self._ready(frame).write(frame)
        except (OSError, av.error.FFmpegError) as error:
            self._failure = SinkError(
                f"can't record the video of {self._camera_id}: {error.strerror}: check that the folder can be written "
                "to and that the disk has room",
                retryable=False,
            )
            segment, self._segment = self._segment, None
            if segment is not None:
                segment.abandon()
        except SinkError as error:
            self._failure = error

    def _ready(self, frame: Frame) -> _Segment:
        if self._segment is None:
            file = self._writer.new_file(self._camera_id, "video", ".mkv")
            self._segment = _Segment(self._writer.folder, file, frame)
        return self._segment

    def _end(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            dropped, self._told = self.dropped - self._told, self.dropped
            self._writer.finish(replace(segment.close(), dropped=dropped))


class _Segment:
    """One video that is being written, and the times of its pictures."""

    def __init__(self, folder: Path, file: RecordedFile, first: Frame) -> None:
        self._file, self._path = file, folder / file.name
        self._shape, self._first, self._last = first.image.shape, first.ts, first.ts
        self._pts = -1
        self._clocks: set[str] = set()
        self._records = 0
        self._container = av.open(str(self._path), "w", format="matroska", options=_MATROSKA)
        self._stream = _stream(self._container, first.image)
        self._times: BinaryIO = self._path.with_suffix(".jsonl").open("xb")

    def takes(self, frame: Frame) -> bool:
        """Whether a picture belongs to this segment."""
        return frame.image.shape == self._shape and 0 <= frame.ts - self._first < SEGMENT_S

    def write(self, frame: Frame) -> None:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.image), format="rgb24")
        self._pts = max(self._pts + 1, round((frame.ts - self._first) * 1000))
        picture.pts, picture.time_base = self._pts, MILLISECOND
        self._container.mux(self._stream.encode(picture))
        self._times.write(encode(Shot(frame.seq, frame.epoch, frame.ts, frame.clock)) + b"\n")
        self._times.flush()
        self._last, self._records = frame.ts, self._records + 1
        self._clocks.add(frame.clock)

    def close(self) -> RecordedFile:
        with self._times:
            self._container.mux(self._stream.encode(None))
            self._container.close()
        return replace(
            self._file,
            first_ts=self._first,
            last_ts=self._last,
            records=self._records,
            clocks=tuple(sorted(self._clocks)),
            bytes=self._path.stat().st_size,
        )

    def abandon(self) -> None:
        """Let go of the files as they are."""
        for part in (self._times, self._container):
            try:
                part.close()
            except OSError as error:
                log.debug("footage file=%s: %s", self._path, error.strerror)


def _stream(container: av.container.OutputContainer, image: Image) -> av.VideoStream:
    """H.264, or MPEG-4 where FFmpeg was built without x264; a key frame comes first."""
    height, width = image.shape[:2]
    x264 = "libx264" in av.codec.codecs_available
    stream = container.add_stream("libx264" if x264 else "mpeg4", rate=25, options=_X264 if x264 else _MPEG4)
    stream.width, stream.height = width, height
    # Half-size colour, as every player wants it, needs even sides with x264.
    stream.pix_fmt = "yuv444p" if x264 and (width % 2 or height % 2) else "yuv420p"
    stream.codec_context.time_base = MILLISECOND
    return stream


def read_frames(recording: Recording) -> Iterator[Frame]:
    """The pictures of all cameras, by time; each camera's in the order they were taken."""
    cameras = sorted({file.camera_id for file in recording.files("video")})
    return merge(*(_frames_of(recording, camera_id) for camera_id in cameras), key=lambda frame: frame.ts)


def _frames_of(recording: Recording, camera_id: str) -> Iterator[Frame]:
    for file in recording.files("video"):
        if file.camera_id == camera_id:
            path = recording.folder / file.name
            # Where a crash cut one of the two, the other is cut there too.
            for shot, image in zip(read_shots(path.with_suffix(".jsonl")), _images(path), strict=False):
                yield Frame(camera_id, shot.epoch, shot.seq, shot.ts, shot.clock, image)


def _images(path: Path) -> Iterator[Image]:
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for picture in container.decode(video=0):
                yield picture.to_ndarray(format="rgb24")
    except (OSError, av.error.FFmpegError) as error:
        log.warning("recording file=%s: it can't be read further (%s)", path, error.strerror)
