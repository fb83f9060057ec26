"""Laws of the vision stages that hold for every input."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators import boxes
from operators.align import TEMPLATE, similarity
from operators.enhance import EnhanceGate
from operators.masks import black_out
from operators.quality import Gate, estimate_pose
from operators.records import Detections, Reading, TrackEventKind
from operators.temporal import ExpressionFilter
from operators.track import Tracker
from operators.zones import Zone

# mypy doesn't see tests; hypothesis deadlines measure the machine, which is busy.
relaxed = settings(deadline=None, max_examples=60)

pixels = st.floats(0, 500, width=32)
box = st.tuples(pixels, pixels, st.floats(1, 90, width=32), st.floats(1, 90, width=32)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
box_rows = st.lists(box, min_size=1, max_size=6).map(lambda rows: np.array(rows, np.float32))
simplex = st.lists(st.floats(0.01, 1), min_size=4, max_size=4).map(
    lambda values: (np.array(values) / sum(values)).astype(np.float32)
)
share = st.floats(0, 1)
read = st.builds(Reading, simplex, share)
reading = st.tuples(st.floats(-0.2, 3), st.none() | read, share)


@relaxed
@given(box_rows, box_rows)
def test_iou_is_symmetric_bounded_and_one_with_itself(a, b):
    overlap = boxes.iou(a, b)
    assert np.allclose(overlap, boxes.iou(b, a).T)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-5)).all()
    assert np.allclose(np.diag(boxes.iou(a, a)), 1)


@relaxed
@given(box_rows, st.randoms(use_true_random=False), st.floats(0.1, 0.9))
def test_nms_leaves_no_overlap_and_drops_nothing_without_a_better_one(rows, random, threshold):
    confidence = np.array([random.random() for _ in rows], np.float32)
    kept = boxes.nms(rows, confidence, threshold)
    overlap = boxes.iou(rows, rows)
    assert not (np.triu(overlap[np.ix_(kept, kept)], 1) > threshold).any()
    for row in set(range(len(rows))) - set(kept.tolist()):
        assert any(overlap[row, k] > threshold and confidence[k] >= confidence[row] for k in kept)


@relaxed
@given(st.lists(reading, max_size=20))
def test_filtered_readings_stay_probabilities(readings):
    state, ts = None, 0.0
    for dt, one, quality in readings:
        ts += dt
        state, smoothed = ExpressionFilter().step(state, ts=ts, reading=one, quality=quality)
        if smoothed is not None:
            assert (smoothed.probs >= 0).all()
            assert smoothed.probs.sum() == pytest.approx(1, abs=1e-4)
            assert -1e-9 <= smoothed.intensity <= 1 + 1e-9


@relaxed
@given(read, read, st.floats(0.01, 1.9), st.floats(0, 1), st.floats(0, 1))
def test_looking_twice_at_the_same_face_changes_nothing(first, second, dt, share, quality):
    start, _ = ExpressionFilter().step(None, ts=0, reading=first, quality=1)
    _, once = ExpressionFilter().step(start, ts=dt, reading=second, quality=quality)
    between, _ = ExpressionFilter().step(start, ts=dt * share, reading=second, quality=quality)
    _, twice = ExpressionFilter().step(between, ts=dt, reading=second, quality=quality)
    assert np.allclose(once.probs, twice.probs, atol=1e-5)
    assert once.intensity == pytest.approx(twice.intensity, abs=1e-5)


frame = st.tuples(st.floats(-0.5, 2.5), st.lists(st.tuples(box, st.floats(0, 1, width=32)), max_size=6))


def detections(faces):
    rows = np.array([face for face, _ in faces], np.float32).reshape(-1, 4)
    return Detections(rows, np.array([c for _, c in faces], np.float32), np.zeros((len(faces), 5, 2), np.float32))


def follow(frames):
    state, ts, out = None, 100.0, []
    for dt, faces in frames:
        ts += dt
        state, tracked = Tracker().step(state, detections(faces), ts=ts, prefix="cam")
        out.append((tracked, state))
    return out


@relaxed
@given(st.lists(frame, max_size=15))
def test_tracking_is_deterministic(frames):
    def summary(steps):
        return [(tracked.index.tolist(), tracked.track_ids, tracked.first_ts, tracked.events) for tracked, _ in steps]

    assert summary(follow(frames)) == summary(follow(frames))


@relaxed
@given(st.lists(frame, max_size=15))
def test_ids_are_unique_start_once_and_never_return_after_their_end(frames):
    started, gone = set(), set()
    for tracked, state in follow(frames):
        for event in tracked.events:
            if event.kind is TrackEventKind.START:
                assert event.track_id not in started
                started.add(event.track_id)
            elif event.kind in {TrackEventKind.ENDED, TrackEventKind.MERGED}:
                assert event.track_id not in gone
                gone.add(event.track_id)
        assert len(set(tracked.track_ids)) == len(tracked.track_ids) == len(tracked.index) == len(tracked.first_ts)
        assert set(tracked.track_ids) <= started - gone
        assert {track.track_id for track in state.tracks} == started - gone


@relaxed
@given(st.lists(frame, min_size=1, max_size=8), frame)
def test_tracking_never_changes_the_state_it_is_given(frames, last):
    _, state = follow(frames)[-1]
    before = copy.deepcopy(state)
    Tracker().step(state, detections(last[1]), ts=state.ts + last[0], prefix="cam")
    assert (state.ts, state.born, dict(state.overlaps)) == (before.ts, before.born, dict(before.overlaps))
    for now, then in zip(state.tracks, before.tracks, strict=True):
        assert now.track_id == then.track_id
        for name in ("mean", "cov", "xyxy"):
            assert np.array_equal(getattr(now, name), getattr(then, name))


@relaxed
@given(st.floats(-np.pi, np.pi), st.floats(0.2, 300), st.floats(-500, 500), st.floats(-500, 500))
def test_alignment_undoes_a_known_similarity(angle, zoom, x, y):
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = TEMPLATE.astype(np.float64) @ turn.T + (x, y)
    matrix = similarity(moved, TEMPLATE)
    assert np.allclose(moved @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-6)


@relaxed
@given(
    st.floats(-np.pi, np.pi), st.floats(1, 300), arrays(np.float32, (5, 2), elements=st.floats(-0.125, 0.125, width=32))
)
def test_pose_doesnt_depend_on_roll_and_size(angle, zoom, noise):
    points = TEMPLATE + noise
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pose, moved = estimate_pose(points), estimate_pose((points @ turn.T + 40).astype(np.float32))
    assert moved.yaw == pytest.approx(pose.yaw, abs=1e-2)
    assert moved.pitch == pytest.approx(pose.pitch, abs=1e-2)


@relaxed
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=3))
def test_masks_black_out_all_of_the_inside_and_nothing_far_from_it(points):
    try:
        zone = Zone(tuple(points))
    except ValueError:
        return
    masked = black_out(np.full((40, 50, 3), 255, np.uint8), [zone.polygon])[:, :, 0]
    corners = np.array(points) * (50, 40)
    low, high = corners.min(axis=0) - 3, corners.max(axis=0) + 3
    for row, column in np.ndindex(masked.shape):
        inside = zone.contains((column + 0.5) / 50, (row + 0.5) / 40)
        near = low[0] <= column + 0.5 <= high[0] and low[1] <= row + 0.5 <= high[1]
        assert not (inside and masked[row, column]), (row, column)
        assert near or masked[row, column] == 255, (row, column)


CROP = np.random.default_rng(2).integers(40, 200, (32, 32, 3), np.uint8)


@relaxed
@given(st.floats(0, 200), st.floats(0, 200))
def test_quality_and_readability_rise_with_source_pixels(a, b):
    low, high = (Gate().assess(CROP, source_px=px, landmarks=TEMPLATE, confidence=0.9) for px in sorted((a, b)))
    assert low.score <= high.score
    assert low.readable <= high.readable
    assert 0 <= low.score <= high.score <= 1


@relaxed
@given(st.floats(0, 12, exclude_max=True))
def test_no_face_below_the_gate_is_ever_read(px):
    assert not Gate(min_score=0).assess(CROP, source_px=px, landmarks=TEMPLATE, confidence=1).readable


@relaxed
@given(st.floats(0, 500), st.floats(0, 500), st.floats(0, 500))
def test_the_enhancement_gate_is_one_interval(a, b, c):
    low, middle, high = (EnhanceGate(enabled=True).wants(px) for px in sorted((a, b, c)))
    assert middle or not (low and high)
