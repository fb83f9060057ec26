import numpy as np
import pytest

from operators.records import Detections, TrackEventKind
from operators.track import Tracker


def found(*faces, side=20.0, confidence=0.9):
    """Detections of square faces at these centres; a third value is a face's own confidence."""
    centres = np.array([face[:2] for face in faces], np.float32).reshape(-1, 2)
    sure = np.array([face[2] if len(face) > 2 else confidence for face in faces], np.float32)
    xyxy = np.concatenate([centres - side / 2, centres + side / 2], axis=1).astype(np.float32)
    return Detections(xyxy, sure, np.zeros((len(faces), 5, 2), np.float32))


def run(frames, tracker=None, prefix="cam-1"):
    """Tracked for each (ts, detections)."""
    tracker, state, out = tracker or Tracker(), None, []
    for ts, detections in frames:
        state, tracked = tracker.step(state, detections, ts=ts, prefix=prefix)
        out.append(tracked)
    return out


def kinds(tracked):
    return [(event.kind.value, event.track_id, event.into) for event in tracked.events]


@pytest.mark.parametrize("fps", [10, 5, 2])
def test_a_small_walking_face_keeps_its_id_though_its_boxes_do_not_overlap(fps):
    walk = [(i / fps, found((100 + 90 * i / fps, 50), side=16)) for i in range(3 * fps)]
    assert {tracked.track_ids for tracked in run(walk)} == {("cam-1-0",)}


@pytest.mark.parametrize("fps", [10, 5])
def test_two_faces_that_pass_each_other_keep_their_ids(fps):
    frames = [(i / fps, found((100 + 40 * i / fps, 50), (220 - 40 * i / fps, 58))) for i in range(3 * fps)]
    assert {tracked.track_ids for tracked in run(frames)} == {("cam-1-0", "cam-1-1")}


def test_a_doubtful_detection_continues_a_track_but_starts_none():
    first, second, third = run([(0, found((50, 50))), (0.2, found((51, 50, 0.4), (200, 50, 0.5))), (0.4, found())])
    assert first.track_ids == second.track_ids == ("cam-1-0",)
    assert second.index.tolist() == [0]
    assert kinds(third) == [("lost", "cam-1-0", None)]


def test_a_lost_face_returns_with_its_id_within_max_age():
    back = run([(0, found((50, 50))), (0.2, found()), (1.9, found((52, 50)))])[-1]
    assert back.track_ids == ("cam-1-0",)
    assert back.first_ts == (0,)


def test_after_max_age_the_id_ends_and_never_returns():
    _, _, ended, back = run([(0, found((50, 50))), (0.2, found()), (2.3, found()), (2.4, found((50, 50)))])
    assert kinds(ended) == [("ended", "cam-1-0", None)]
    assert back.track_ids == ("cam-1-1",)


def test_a_face_of_another_size_at_the_place_is_another_track():
    assert run([(0, found((50, 50), side=16)), (0.2, found((50, 50), side=40))])[-1].track_ids == ("cam-1-1",)


def test_a_new_track_at_the_place_of_one_just_lost_is_reported_as_its_successor():
    # It runs to the right and is lost; its forecast runs on, while the face turned back to where it was last seen.
    tracker = Tracker(reach=0.8, merge_overlap=0.95, merge_after=0.3)
    run_up = [(i / 10, found((100 + 12 * i, 50))) for i in range(10)]
    back = [(1.3 + i / 10, found((203, 50))) for i in range(5)]
    tracked = run([*run_up, (1.0, found()), *back], tracker)
    assert tracked[11].track_ids == ("cam-1-1",)
    assert ("merged", "cam-1-0", "cam-1-1") in [event for each in tracked for event in kinds(each)]
    assert tracked[-1].first_ts == (0,)


def test_two_tracks_at_one_place_for_long_become_one():
    meet = [(i / 5, found((100, 50), (160 - min(12 * i, 55), 50))) for i in range(12)]
    tracked = run(meet)
    merged = [event for each in tracked for event in kinds(each) if event[0] == "merged"]
    assert merged == [("merged", "cam-1-1", "cam-1-0")]
    assert tracked[-1].track_ids == ("cam-1-0",)


def test_two_faces_side_by_side_stay_two():
    tracked = run([(i / 5, found((100, 50), (115, 50))) for i in range(20)])
    assert tracked[-1].track_ids == ("cam-1-0", "cam-1-1")


@pytest.mark.parametrize("ts", [1.0, 0.9], ids=["duplicate", "a little backward"])
def test_a_time_that_does_not_advance_keeps_the_track(ts):
    assert run([(0, found((50, 50))), (1.0, found((50, 50))), (ts, found((50, 50)))])[-1].track_ids == ("cam-1-0",)


def test_a_clock_set_back_begins_new_tracks_with_new_ids():
    back = run([(1000, found((50, 50))), (10, found((50, 50)))])[-1]
    assert kinds(back) == [("ended", "cam-1-0", None), ("start", "cam-1-1", None)]


def test_a_step_leaves_the_state_it_was_given():
    state, _ = Tracker().step(None, found((50, 50)), ts=0, prefix="a")
    before = state.tracks[0].mean.copy()
    one, _ = Tracker().step(state, found((60, 50)), ts=0.2, prefix="a")
    two, _ = Tracker().step(state, found((60, 50)), ts=0.2, prefix="a")
    assert (state.tracks[0].mean == before).all()
    assert (one.tracks[0].mean == two.tracks[0].mean).all()
    assert state.tracks[0].seen_ts == 0


def test_events_name_start_once():
    first, second = run([(0, found((50, 50))), (0.2, found((50, 50)))])
    assert [event.kind for event in first.events] == [TrackEventKind.START]
    assert second.events == ()


@pytest.mark.parametrize(
    "bad",
    [{"high": 0.2, "low": 0.3}, {"reach": 0}, {"size_ratio": 1}, {"max_age": -1}, {"merge_overlap": 0}],
)
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        Tracker(**bad)
