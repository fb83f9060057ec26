"""Recorded pictures: as many as were filmed, at exactly their times, whatever became of the last segment."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from connectors import footage
from connectors.footage import SEGMENT_S, Footage, read_frames
from connectors.recording import Manifest, open_recording
from connectors.recording_writer import RecordingWriter
from operators.errors import SinkError
from operators.records import Clock, Frame

HEAD = Manifest(mien="0.1.0", created_at="now", purpose="a test", video_purpose="a test looks at it")
START = 1_763_715_600.0


def picture(number: int, *, width: int = 64, height: int = 48) -> Frame:
    """Grey, brighter with each number, at uneven times."""
    image = np.full((height, width, 3), (number * 5) % 256, np.uint8)
    return Frame("a", 7, number, START + number / 5 + number % 3 / 1000, Clock.SENDER, image)


def film(folder: Path, frames: list[Frame]) -> None:
    with RecordingWriter(folder, HEAD) as writer, Footage(writer) as filmed:
        for frame in frames:
            reel = filmed._reels.get(frame.camera_id)
            if reel is not None:
                while reel._queue.full():
                    threading.Event().wait(0.01)  # a test that films faster than a camera waits, to lose nothing
            filmed.film(frame)


def test_every_picture_comes_back_with_its_own_time(tmp_path: Path) -> None:
    frames = [picture(number) for number in range(30)]
    film(tmp_path, frames)
    recording = open_recording(tmp_path)
    read = list(read_frames(recording))
    assert [(f.camera_id, f.epoch, f.seq, f.ts, f.clock) for f in read] == [
        (f.camera_id, f.epoch, f.seq, f.ts, f.clock) for f in frames
    ]
    for before, after in zip(frames, read, strict=True):
        assert after.image.shape == before.image.shape
        assert np.abs(after.image.astype(int) - before.image).max() <= 4, "compression may change little"
    (file,) = recording.files("video")
    assert (file.records, file.dropped, file.clocks) == (30, 0, ("sender",))
    assert recording.span == (frames[0].ts, frames[-1].ts)


@pytest.mark.parametrize(("width", "height"), [(65, 49), (64, 49), (33, 48)])
def test_odd_sizes_are_kept(width: int, height: int, tmp_path: Path) -> None:
    film(tmp_path, [picture(number, width=width, height=height) for number in range(3)])
    assert [frame.image.shape for frame in read_frames(open_recording(tmp_path))] == [(height, width, 3)] * 3


def test_without_x264_it_is_mpeg4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footage.av.codec, "codecs_available", {"mpeg4"})
    film(tmp_path, [picture(number) for number in range(5)])
    monkeypatch.undo()
    recording = open_recording(tmp_path)
    with av.open(str(tmp_path / recording.files("video")[0].name)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert len(list(read_frames(recording))) == 5


def test_a_new_segment_begins_with_time_and_with_another_size(tmp_path: Path) -> None:
    late = picture(int(SEGMENT_S * 5) + 1)
    film(tmp_path, [picture(0), picture(1), late, picture(late.seq + 1, width=32)])
    recording = open_recording(tmp_path)
    assert [file.records for file in recording.files("video")] == [2, 1, 1]
    for file in recording.files("video"):
        with av.open(str(tmp_path / file.name)) as container:
            first = next(packet for packet in container.demux(video=0))
            assert first.is_keyframe
    assert [frame.seq for frame in read_frames(recording)] == [0, 1, late.seq, late.seq + 1]


def test_pictures_that_come_too_fast_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = threading.Event()
    write = footage._Segment.write
    monkeypatch.setattr(footage._Segment, "write", lambda self, frame: (slow.wait(30), write(self, frame)))
    with RecordingWriter(tmp_path, HEAD) as writer, Footage(writer) as filmed:
        for number in range(footage.WAITING + 10):
            filmed.film(picture(number))
        dropped = filmed.dropped
        assert dropped in (9, 10)  # one may be in the writer's hands already
        slow.set()
    (file,) = open_recording(tmp_path).files("video")
    assert file.dropped == dropped
    assert file.records == footage.WAITING + 10 - dropped


def test_a_segment_cut_by_a_crash_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    noise = np.random.default_rng(7).integers(0, 50, (40, 48, 64, 3), np.uint8)  # so that every picture has some weight
    film(tmp_path, [replace(picture(number), image=picture(number).image + noise[number]) for number in range(40)])
    recording = open_recording(tmp_path)
    path = tmp_path / recording.files("video")[0].name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    read = list(read_frames(recording))
    assert 5 < len(read) < 35
    assert [frame.seq for frame in read] == list(range(len(read)))
    assert [frame.image.mean() for frame in read] == pytest.approx([n * 5 + 24.5 for n in range(len(read))], abs=4)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(footage.av, "open", refuse)
    with RecordingWriter(tmp_path, HEAD) as writer:
        filmed = Footage(writer)
        filmed.film(picture(0))
        with pytest.raises(SinkError, match="No space left on device: check that"):
            filmed.close()
