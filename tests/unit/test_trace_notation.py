"""The notation of traces: what is read, what is refused and in which words, and the records it becomes."""

from __future__ import annotations

import pytest

from operators.records import UNKNOWN, Gap, GapReason, Observation, TrackEvent, TrackEventKind
from pipeline.trace_notation import (
    CameraTrace,
    FaceTrace,
    TraceError,
    length_ms,
    parse_levels,
    parse_picture,
    parse_shares,
    parse_zones,
    records,
)


def cells(text: object, fps: float = 10, length: int = 0) -> list[object]:
    return parse_levels(text).cells(fps, length)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.2x2 0.8x1", [0.2, 0.2, 0.8]),
        ("0.8x300ms", [0.8] * 3),
        ("1x0.2s 0x1", [1.0, 1.0, 0.0]),
        ("0.2..0.8x4", [0.2, 0.4, 0.6, 0.8]),
        ("0.8..0.2x1", [0.8]),
        ("_x2 ?x1 lostx1 downx1", ["_", "_", "?", "lost", "down"]),
        (".5x1", [0.5]),
        ("0.8", [0.8, 0.8]),
        (1, [1.0, 1.0]),
    ],
)
def test_a_timeline_is_one_cell_per_frame(text: object, expected: list[object]) -> None:
    assert cells(text, length=2) == expected


def test_a_duration_follows_the_frame_rate() -> None:
    assert len(cells("0.8x2s", fps=25)) == 50
    assert len(cells("0.8x1m30s", fps=2)) == 180


@pytest.mark.parametrize(
    ("read", "value", "words"),
    [
        (parse_levels, "0,8x10", "expected a number from 0 to 1, a ramp such as 0.2..0.8"),
        (parse_levels, "1.2x10", "expected numbers from 0 to 1, got '1.2'"),
        (parse_levels, "0.2..x10", "a ramp such as 0.2..0.8"),
        (parse_levels, "0.2x10 0.8", "expected a length after every part, such as 0.8x10 or 0.8x3s"),
        (parse_levels, "0.2x0", "expected a length from 1"),
        (parse_levels, "0.2x3h999h", "expected a length from 1"),
        (parse_levels, "0.2x3q", "got '3q'"),
        (parse_levels, "", "expected a timeline such as"),
        (parse_levels, True, "got True"),
        (parse_levels, None, "got None"),
        (parse_levels, "okx10", "got 'ok'"),
        (parse_shares, "lostx10", "expected a number from 0 to 1"),
        (parse_picture, "0.8x10", "expected one of ok, _, down, frozen, black, overload, skipped, got '0.8'"),
        (parse_zones, ["desk", 3], "expected zones such as desk"),
    ],
)
def test_what_is_wrong_is_said(read, value: object, words: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        read(value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("desk", [("desk",)] * 3),
        (["desk", "box2x10"], [("desk", "box2x10")] * 3),
        ("deskx1 -x1 desk+doorx1", [("desk",), (), ("desk", "door")]),
        ([], [()] * 3),
    ],
)
def test_zones(value: object, expected: list[tuple[str, ...]]) -> None:
    assert parse_zones(value).cells(10, 3) == expected


def trace(**faces: FaceTrace) -> CameraTrace:
    return CameraTrace(tracks=faces)


def face(text: str, **more: object) -> FaceTrace:
    return FaceTrace(fear=parse_levels(text), **more)


def of(camera: CameraTrace, fps: float = 10.0) -> list[Observation | Gap]:
    return records("cam", camera, fps=fps, start_ms=5000)


def test_frames_come_at_whole_milliseconds_of_their_rate() -> None:
    assert [round(record.ts * 1000) for record in of(trace(t=face("0.8x4")), fps=30)] == [5000, 5033, 5067, 5100]
    assert length_ms(trace(t=face("0.8x4")), 30) == 133


def test_neutral_gets_the_rest_and_the_label_is_the_highest() -> None:
    (shown,) = of(trace(t=FaceTrace(fear=parse_levels("0.2x1"), anger=parse_levels(0.1))))[0].faces
    assert shown.scores["neutral"] == pytest.approx(0.7)
    assert len(shown.scores) == 8
    assert shown.label == "neutral"
    assert shown.intensity == pytest.approx(0.3)


def test_neutral_that_is_written_is_kept() -> None:
    (shown,) = of(trace(t=FaceTrace(neutral=parse_levels("0.4x1"), fear=parse_levels(0.5))))[0].faces
    assert (shown.scores["neutral"], shown.label) == (0.4, "fear")


def test_a_face_that_cannot_be_read_or_is_lost() -> None:
    first, second, third = of(trace(t=face("0.8x1 ?x1 lostx1")))
    assert first.faces[0].label == "fear"
    assert (second.faces[0].label, second.faces[0].scores, second.faces[0].intensity) == (UNKNOWN, {}, None)
    assert third.faces == ()


def test_a_frame_that_one_track_misses_is_missing_for_all() -> None:
    found = of(trace(a=face("0.8x2 _x2 0.8x1"), b=face("0.1x5")))
    assert [record.seq for record in found] == [0, 1, 4]
    assert all(len(record.faces) == 2 for record in found)


def test_an_outage_is_told_once_a_second_until_it_ends() -> None:
    found = of(trace(t=face("0.8x1 downx25 0.8x1")))
    gaps = [record for record in found if isinstance(record, Gap)]
    assert [(gap.from_ts, gap.to_ts) for gap in gaps] == [(5.1, 6.1), (6.1, 7.1), (7.1, 7.6)]
    assert {gap.reason for gap in gaps} == {GapReason.DOWN}
    assert found[-1].ts == 7.6


@pytest.mark.parametrize(
    ("word", "reason"), [("black", GapReason.BLACK), ("overload", GapReason.OVERLOAD), ("skipped", GapReason.LOST)]
)
def test_every_reason_has_its_gap(word: str, reason: GapReason) -> None:
    assert of(CameraTrace(frames=parse_picture(f"{word}x5")))[0] == Gap("cam", 5.0, 5.5, reason)


def test_a_camera_without_faces_gives_empty_frames() -> None:
    assert [record.faces for record in of(CameraTrace(frames=parse_picture("okx3")))] == [(), (), ()]


def test_a_track_that_ends_earlier_is_no_longer_in_the_picture() -> None:
    assert [len(record.faces) for record in of(trace(a=face("0.8x1"), b=face("0.8x3")))] == [2, 1, 1]


def test_a_merge_is_told_with_the_first_frame_of_the_new_track_or_when_it_is_said() -> None:
    merged = TrackEvent(TrackEventKind.MERGED, "a", "b")
    for when, frame in ((None, 2), (0.4, 4)):
        found = of(trace(a=face("0.8x2"), b=face("lostx2 0.8x4", merged_from="a", at=when)))
        assert [record.seq for record in found if merged in record.events] == [frame]


def test_zones_quality_and_confidence_go_along() -> None:
    shown = face("0.8x2", zones=parse_zones("deskx1 -x1"), quality=parse_shares("0.3x1 0.9x1"))
    first, second = of(trace(t=shown))
    assert (first.faces[0].zones, first.faces[0].quality) == (("desk",), 0.3)
    assert (second.faces[0].zones, second.faces[0].quality) == ((), 0.9)
    assert trace(t=shown).all_zones == ("desk",)


@pytest.mark.parametrize(
    ("camera", "location", "words"),
    [
        (
            trace(t=FaceTrace(fear=parse_levels("0.8x3"), anger=parse_levels("0.1x2"))),
            ("tracks", "t"),
            "anger 2, fear 3",
        ),
        (
            trace(t=FaceTrace(fear=parse_levels("0.8x3"), anger=parse_levels(0.3))),
            ("tracks", "t"),
            "got 1.1 in frame 0",
        ),
        (trace(t=face("0.8x3", zones=parse_zones("deskx2"))), ("tracks", "t", "zones"), "expected 3 frames"),
        (trace(t=face("0.8")), (), "expected a length"),
        (CameraTrace(), (), "expected a length"),
        (trace(t=face("0.8x400000 0.2x400000")), (), "expected at most 500000 frames, got 800000"),
    ],
)
def test_traces_that_cannot_be(camera: CameraTrace, location: tuple[str, ...], words: str) -> None:
    with pytest.raises(TraceError, match="expected") as caught:
        of(camera)
    assert caught.value.location == location
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        FaceTrace,
        lambda: face("0.8x3", at=1.0),
        lambda: trace(t=face("0.8x3", merged_from="u")),
        lambda: CameraTrace(fps=0),
    ],
)
def test_settings_that_make_no_sense(make) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()
