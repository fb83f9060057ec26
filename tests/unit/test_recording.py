"""Recordings: what is written is read back exactly, in order, whatever became of the last file."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.recording import (
    MANIFEST,
    SCHEMA,
    Deleted,
    Manifest,
    RecordedCamera,
    RecordedModel,
    open_recording,
    time_of,
)
from connectors.recording_writer import RecordingWriter
from operators.errors import Cause, SinkError, SourceError
from operators.records import Clock, Gap, GapReason, Observation
from tests.alerts import observations, patient

HEAD = Manifest(
    mien="0.1.0",
    created_at="2026-11-21T09:00:00.000Z",
    purpose="a test",
    models={"detector": RecordedModel("yunet", {"yunet.onnx": "00ff"})},
    cameras={"a": RecordedCamera(5.0, ("desk",)), "b": RecordedCamera(10.0)},
)
START = 1_763_715_600.0


def seen(camera_id: str, ts: float, seq: int = 0) -> Observation:
    return Observation(camera_id, 1, seq, ts, Clock.SENDER)


def write(folder: Path, records: Sequence[Observation | Gap], head: Manifest = HEAD, **options: int) -> None:
    with RecordingWriter(folder, head, **options) as writer:
        writer.write(records)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of a hundred observations of one camera, in one file."""
    write(tmp_path / "recording", [seen("a", START + n / 10, n) for n in range(100)])
    return tmp_path / "recording"


def only_file(folder: Path) -> Path:
    return folder / open_recording(folder).files()[0].name


gaps = st.builds(
    lambda camera, ts, length, reason: Gap(camera, ts, ts + length, reason, 3),
    camera=st.sampled_from(["a", "b"]),
    ts=st.floats(0, 4e9),
    length=st.floats(0, 100),
    reason=st.sampled_from(GapReason),
)


@patient
@given(records=st.lists(st.one_of(observations.map(lambda one: replace(one, camera_id="a")), gaps), max_size=20))
def test_what_is_written_is_read_to_the_last_digit(records: list[Observation | Gap], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "r", ignore_errors=True)
    write(tmp_path / "r", records)
    read = list(open_recording(tmp_path / "r").records())
    for camera_id in ("a", "b"):  # each camera's in the order written, however its clock behaved
        assert [one for one in read if one.camera_id == camera_id] == [
            one for one in records if one.camera_id == camera_id
        ]


def test_cameras_are_merged_by_time_and_a_gap_comes_at_its_end(tmp_path: Path) -> None:
    gap = Gap("a", START + 1, START + 3, GapReason.DOWN)
    records = [seen("a", START + 1), gap, seen("a", START + 3), seen("b", START + 2), seen("b", START + 4)]
    write(tmp_path / "r", records)
    assert [(one.camera_id, time_of(one) - START) for one in open_recording(tmp_path / "r").records()] == [
        ("a", 1),
        ("b", 2),
        ("a", 3),  # the gap, told before the picture that ends it
        ("a", 3),
        ("b", 4),
    ]


def test_the_manifest_says_what_is_there(folder: Path) -> None:
    recording = open_recording(folder)
    (file,) = recording.files()
    assert (file.records, file.gaps, file.clocks, file.first_ts, file.last_ts) == (
        100,
        0,
        ("sender",),
        START,
        START + 9.9,
    )
    assert file.bytes == (folder / file.name).stat().st_size
    assert recording.span == (START, START + 9.9)
    assert recording.cameras == HEAD.cameras
    assert replace(recording.manifest, files=()) == HEAD


def test_a_new_file_begins_every_hour_and_when_one_is_large(tmp_path: Path) -> None:
    times = [START, START + 1, START + 3600, START + 7200]
    write(tmp_path / "hours", [seen("a", ts) for ts in times])
    assert [file.records for file in open_recording(tmp_path / "hours").files()] == [2, 1, 1]
    with RecordingWriter(tmp_path / "large", HEAD, max_bytes=200) as writer:
        for n in range(60):
            writer.write([seen("a", START + n, n)])
            writer._flushed_at = float("-inf")  # as if a second had passed: the size on the disk counts
    large = open_recording(tmp_path / "large")
    assert len(large.files()) > 1
    assert [one.seq for one in large.records() if isinstance(one, Observation)] == list(range(60))


def test_going_on_appends_files_and_keeps_the_cameras(folder: Path) -> None:
    write(folder, [seen("c", START + 20)], replace(HEAD, created_at="later", cameras={"c": RecordedCamera(2.0)}))
    recording = open_recording(folder)
    assert set(recording.cameras) == {"a", "b", "c"}
    assert recording.manifest.created_at == HEAD.created_at
    assert len(list(recording.records())) == 101
    write(folder, [seen("a", START + 30)])
    assert [file.name for file in open_recording(folder).files() if file.camera_id == "a"] == [
        "a/observations-000001.jsonl.gz",
        "a/observations-000002.jsonl.gz",
    ]


def test_other_models_than_before_are_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder, [], replace(HEAD, models={}))
    assert "other models" in caplog.text


@pytest.mark.parametrize("cut", [1, 9, 40, 200], ids=lambda cut: f"{cut} bytes")
def test_a_file_cut_by_a_crash_is_read_as_far_as_it_goes(
    folder: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = only_file(folder)
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    recording = open_recording(folder)
    read = list(recording.records())
    assert [one.seq for one in read if isinstance(one, Observation)] == list(range(len(read)))
    assert recording.damaged >= 1
    assert path.name in caplog.text


def test_a_cut_line_is_said_and_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = only_file(folder)
    lines = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(lines[:-30]))
    recording = open_recording(folder)
    assert len(list(recording.records())) == 99
    assert recording.damaged == 1
    assert "its last line is cut" in caplog.text


def test_a_line_that_is_no_record_is_said_and_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = only_file(folder)
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    lines[50] = b'{"observation": {"camera_id": 7}}\n'
    path.write_bytes(gzip.compress(b"".join(lines)))
    recording = open_recording(folder)
    assert len(list(recording.records())) == 99
    assert recording.damaged == 1
    assert "a line of" in caplog.text


def test_a_recording_can_be_read_while_it_is_made(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "r", HEAD) as writer:
        writer._flushed_at = float("-inf")  # as if a second had passed
        writer.write([seen("a", START), seen("a", START + 1)])
        recording = open_recording(tmp_path / "r")
        assert len(list(recording.records())) == 2
        assert recording.span == (START, START + 1)


def test_what_a_killed_process_left_open_is_ended_by_the_next(tmp_path: Path) -> None:
    killed = RecordingWriter(tmp_path / "r", HEAD)
    killed.write([seen("a", START), seen("a", START + 1)])
    for part in killed._parts.values():
        part.flush()
        part._raw.close()
    killed._claim.close()
    assert open_recording(tmp_path / "r").manifest.files[0].closed_at is None
    write(tmp_path / "r", [seen("a", START + 2)])
    first, second = open_recording(tmp_path / "r").files()
    assert (first.records, first.first_ts, first.last_ts) == (2, START, START + 1)
    assert first.closed_at is not None
    assert second.records == 1


def test_old_files_are_deleted_and_counted(tmp_path: Path) -> None:
    now = [1000.0]
    with RecordingWriter(tmp_path / "r", replace(HEAD, retention_s=60.0), clock=lambda: now[0]) as writer:
        for hour in range(3):
            writer.write([seen("a", START + 3600 * hour), seen("a", START + 3600 * hour + 1)])
            now[0] += 50
        writer.prune()  # closed at 1050 and 1100; the third is open
        assert [file.records for file in writer.manifest.files] == [2, 0]
    recording = open_recording(tmp_path / "r")
    assert recording.manifest.deleted == Deleted(files=1, records=2)
    assert [time_of(one) - START for one in recording.records()] == [3600, 3601, 7200, 7201]
    assert len(list((tmp_path / "r" / "a").iterdir())) == 2


def test_retention_is_enforced_when_recording_begins_again(folder: Path) -> None:
    write(folder, [], replace(HEAD, retention_s=0.0))
    assert open_recording(folder).manifest.deleted == Deleted(files=1, records=100)
    assert not list((folder / "a").iterdir())


def test_two_cannot_record_into_one_folder(tmp_path: Path) -> None:
    with (
        RecordingWriter(tmp_path / "r", HEAD),
        pytest.raises(SinkError, match="another mien records to"),
    ):
        RecordingWriter(tmp_path / "r", HEAD)


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(SinkError, match=r"holiday\.jpg"):
        RecordingWriter(tmp_path, HEAD)
    assert {path.name for path in tmp_path.iterdir()} == {"holiday.jpg", ".lock"}


def test_a_full_disk_is_one_clear_error_and_nothing_stays_open(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    writer = RecordingWriter(tmp_path / "r", HEAD)
    writer.write([seen("a", START)])
    writer._parts["a"]._raw.close()
    writer._parts["a"]._raw = Path("/dev/full").open("wb")  # noqa: SIM115
    writer._flushed_at = float("-inf")
    with pytest.raises(SinkError, match="No space left on device: check that"):
        writer.write([seen("a", START + 1)])
    raw = writer._parts["a"]._raw
    with pytest.raises(SinkError, match="No space left"):
        writer.close()
    assert raw.closed
    assert writer._claim.closed


@pytest.mark.parametrize(
    ("data", "says", "cause"),
    [
        pytest.param(None, "make one with `mien record", Cause.NOT_FOUND, id="none"),
        pytest.param(b"{", "is not the manifest of a recording", Cause.CODEC, id="no JSON"),
        pytest.param(b'{"schema": 1}', "is not the manifest of a recording", Cause.CODEC, id="half"),
        pytest.param(json.dumps({"schema": SCHEMA + 1}).encode(), "upgrade mien", Cause.CODEC, id="newer"),
    ],
)
def test_what_is_no_recording_is_refused(data: bytes | None, says: str, cause: Cause, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / MANIFEST).write_bytes(data)
    with pytest.raises(SourceError, match=says) as caught:
        open_recording(tmp_path)
    assert caught.value.cause is cause
    assert str(tmp_path) in str(caught.value)


def test_a_manifest_that_points_outside_is_refused(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace("a/observations-000001", "../a/observations-000001"))
    with pytest.raises(SourceError, match="inside the folder"):
        open_recording(folder)


def test_a_file_that_is_gone_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    only_file(folder).unlink()
    recording = open_recording(folder)
    assert list(recording.records()) == []
    assert recording.damaged == 1
    assert "No such file" in caplog.text
