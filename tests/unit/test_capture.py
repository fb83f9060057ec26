"""Captures on files: pace, order, counts, ends, and readers that hang. Cameras on a network: tests/integration."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from connectors.camera import Backoff, State, StreamSettings
from connectors.capture import Captures
from connectors.schemes import open_source
from operators.errors import Cause, SourceError
from operators.records import Clock, Frame, Gap, GapReason

PATIENCE_S = 60.0
"""Longest wait for what must happen: a busy machine is no failure."""


def write_video(path: Path, *, seconds: float = 2.0, fps: int = 20, size: tuple[int, int] = (64, 48)) -> Path:
    """A video whose brightness grows with time."""
    with av.open(str(path), "w") as sink:
        codec, pix_fmt = ("gif", "rgb8") if path.suffix == ".gif" else ("libx264", "yuv420p")
        stream = sink.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        count = round(seconds * fps)
        for index in range(count):
            image = np.full((size[1], size[0], 3), 250 * index // count, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, fps)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4")


def drain(captures: Captures, *, within_s: float = PATIENCE_S) -> list[Frame | Gap]:
    items: list[Frame | Gap] = []
    deadline = time.monotonic() + within_s
    while not captures.finished:
        assert time.monotonic() < deadline, captures.status()
        items += captures.take(16, 0.2)
    return items


def wait_for(captures: Captures, state: State, *, within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while captures.status()["door"].state is not state:
        assert time.monotonic() < deadline, captures.status()
        captures.take(1, 0.05)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_a_file_is_read_whole_as_fast_as_it_is_asked_for(tmp_path: Path, name: str) -> None:
    source = open_source(StreamSettings(str(write_video(tmp_path / name))))
    read = list(source)
    source.close()
    assert len(read) == source.facts.frames == 40
    assert read[0].pts == 0
    assert read[-1].pts == pytest.approx(1.95, abs=0.06)
    assert read[-1].rgb().shape == (48, 64, 3)
    assert read[-1].rgb().mean() > read[0].rgb().mean() + 100


def test_a_file_camera_is_paced_by_its_own_time_and_ends(video: Path) -> None:
    with Captures({"door": StreamSettings(str(video), fps=10)}) as captures:
        items = drain(captures)
        status = captures.status()["door"]
    frames = [item for item in items if isinstance(item, Frame)]
    assert [frame.seq for frame in frames] == list(range(20))
    assert frames[-1].ts - frames[0].ts == pytest.approx(1.9, abs=0.3)
    assert {frame.clock for frame in frames} == {Clock.STREAM}
    assert (status.state, status.delivered, sum(status.drops.values())) == (State.STOPPED, 20, 0)
    assert isinstance(items[0], Gap)
    assert items[0].reason is GapReason.DOWN


def test_a_file_that_ended_is_told_as_down_while_others_go_on(video: Path) -> None:
    cameras = {"door": StreamSettings(str(video), fps=10), "scene": StreamSettings("scene://smile", fps=5)}
    with Captures(cameras) as captures:
        wait_for(captures, State.STOPPED)
        deadline = time.monotonic() + PATIENCE_S
        told: list[Gap] = []
        while len(told) < 2:
            assert time.monotonic() < deadline, captures.status()
            items = captures.take(16, 0.2)
            told += [item for item in items if isinstance(item, Gap) and item.camera_id == "door"]
    assert {gap.reason for gap in told} == {GapReason.DOWN}
    assert told[0].to_ts <= told[1].from_ts


def test_a_looped_file_goes_on(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.gif"):
        clip = write_video(tmp_path / name, seconds=0.5)
        source = open_source(StreamSettings(str(clip), loop=True))
        times = [picture.pts for picture, _ in zip(source, range(35), strict=False)]
        source.close()
        assert np.diff(np.array(times, dtype=float)).min() > 0
        assert times[-1] == pytest.approx(34 / 20, abs=0.15)


def test_what_nobody_takes_is_dropped_counted_and_told(video: Path) -> None:
    with Captures({"door": StreamSettings(str(video), fps=20)}) as captures:
        wait_for_frames(captures, 40)
        items = drain(captures)
        status = captures.status()["door"]
    gap, frame = items[-2:]
    assert isinstance(frame, Frame)
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.OVERLOAD
    assert status.frames == 40 == status.delivered + sum(status.drops.values())
    assert status.drops["overload"] == 40 - status.delivered


def wait_for_frames(captures: Captures, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while captures.status()["door"].frames < count:
        assert time.monotonic() < deadline, captures.status()
        time.sleep(0.05)


def test_a_directory_is_a_stream_of_its_pictures(tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((10, 20 + index, 3), (255, 0, 0), np.uint8))
    with Captures({"door": StreamSettings(str(tmp_path), fps=10)}) as captures:
        frames = [item for item in drain(captures) if isinstance(item, Frame)]
    assert [frame.image.shape for frame in frames] == [(10, 20, 3), (10, 21, 3), (10, 22, 3)]
    assert frames[0].image[0, 0].tolist() == [0, 0, 255], "RGB"


def test_masks_are_black_before_anybody_sees_the_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "white.png"), np.full((40, 40, 3), 255, np.uint8))
    left_half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    with Captures({"door": StreamSettings(str(tmp_path), masks=(left_half,))}) as captures:
        (frame,) = (item for item in drain(captures) if isinstance(item, Frame))
    assert frame.image[:, :20].max() == 0
    assert frame.image[:, 25:].min() == 255


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("missing.mp4", None, Cause.NOT_FOUND),
        ("broken.mp4", b"no video at all" * 100, Cause.CODEC),
        ("", None, Cause.NOT_FOUND),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, name: str, content: bytes | None, cause: Cause) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as caught:
        open_source(StreamSettings(str(tmp_path / name)))
    assert caught.value.cause is cause


def test_a_camera_that_is_not_there_lets_time_pass() -> None:
    with Captures({"door": StreamSettings("/no/such.mp4")}, backoff=Backoff(first=0.2, longest=0.4)) as captures:
        items: list[Frame | Gap] = []
        deadline = time.monotonic() + PATIENCE_S
        while not items or captures.status()["door"].reconnects.get("not_found", 0) < 2:
            assert time.monotonic() < deadline
            items += captures.take(1, 0.1)
    assert items
    assert {item.reason for item in items if isinstance(item, Gap)} == {GapReason.DOWN}
    assert all(first.to_ts == second.from_ts for first, second in itertools.pairwise(items))  # type: ignore[union-attr]


@pytest.fixture
def hung(video: Path) -> Iterator[Captures]:
    """A camera whose reader has just been stopped in mid-air, as a decoder that hangs."""
    settings = StreamSettings(str(video), fps=20, loop=True, read_timeout=1.0)
    with Captures({"door": settings}, backoff=Backoff(first=0.1, longest=0.2)) as captures:
        wait_for(captures, State.LIVE)
        link = captures._feeds["door"]._link
        assert link
        os.kill(link._process.pid, signal.SIGSTOP)
        yield captures


def test_a_reader_that_hangs_is_killed_and_replaced(hung: Captures) -> None:
    before = time.time() * 1000
    wait_for(hung, State.STALLED)
    assert hung.status()["door"].cause is Cause.TIMEOUT
    wait_for(hung, State.LIVE)
    frames: list[Frame] = []
    while not any(frame.epoch > before for frame in frames):
        frames += [item for item in hung.take(1, 5) if isinstance(item, Frame)]
    assert hung.status()["door"].reconnects == {"timeout": 1}


def test_stop_waits_for_nobody(hung: Captures) -> None:
    started = time.monotonic()
    hung.stop()
    hung.stop()
    assert time.monotonic() - started < 4
    assert hung.finished
    status = hung.status()["door"]
    assert status.state is State.STOPPED
    assert status.frames == status.delivered + sum(status.drops.values())
    assert hung.take(1, 0.1) == []


def test_a_reader_that_dies_is_replaced(video: Path) -> None:
    settings = StreamSettings(str(video), fps=20, loop=True)
    with Captures({"door": settings}, backoff=Backoff(first=0.1, longest=0.2)) as captures:
        wait_for(captures, State.LIVE)
        link = captures._feeds["door"]._link
        assert link
        os.kill(link._process.pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while not captures.status()["door"].reconnects:
            assert time.monotonic() < deadline
            captures.take(1, 0.05)
        wait_for(captures, State.LIVE)


def test_a_reader_that_cannot_be_started_is_tried_again(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StreamSettings(str(video), fps=20, loop=True)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with Captures({"door": settings}, backoff=Backoff(first=0.1, longest=0.2)) as captures:
        wait_for(captures, State.BACKING_OFF)
        assert captures.status()["door"].cause is Cause.READER
        monkeypatch.undo()
        wait_for(captures, State.LIVE)


def test_a_reader_that_has_ended_is_heard_to_its_last_word(video: Path) -> None:
    with Captures({"door": StreamSettings(str(video), fps=20)}) as captures:
        wait_for(captures, State.LIVE)
        link = captures._feeds["door"]._link
        assert link
        with captures._news:  # as if this machine was busy until the reader is gone
            link._process.wait(PATIENCE_S)
        drain(captures)
        status = captures.status()["door"]
    assert (status.state, status.frames, status.reconnects) == (State.STOPPED, 40, {})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_is_no_end_of_the_sources(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = Captures({"door": StreamSettings(str(video), fps=20)})
    monkeypatch.setattr(captures._feeds["door"], "watch", lambda: 1 / 0)
    with captures:
        captures._thread.join(PATIENCE_S)
        with pytest.raises(RuntimeError, match="capture thread died"):
            _ = captures.finished
        with pytest.raises(RuntimeError, match="capture thread died"):
            captures.take(1, 0.1)


def test_the_longest_waiting_camera_comes_first(video: Path) -> None:
    cameras = {name: StreamSettings(str(video), fps=5, loop=True) for name in ("one", "two", "three")}
    with Captures(cameras) as captures:
        seen: list[str] = []
        deadline = time.monotonic() + PATIENCE_S
        while not all(status.waiting for status in captures.status().values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        while len(seen) < 12:
            assert time.monotonic() < deadline
            time.sleep(0.3)
            seen += [item.camera_id for item in captures.take(1, 1.0) if isinstance(item, Frame)]
    assert {seen.count(name) for name in cameras} <= {3, 4, 5}, seen


@dataclass(frozen=True, slots=True)
class CameraOfTheConfiguration(StreamSettings):
    zones: dict[str, object] = field(default_factory=dict, kw_only=True)


def test_a_subclass_of_the_settings_will_do(video: Path) -> None:
    with Captures({"door": CameraOfTheConfiguration(str(video), zones={"desk": object()})}) as captures:
        wait_for(captures, State.LIVE)
