"""Laws of roll-ups: what may change the order and the packing of records, and must not change a figure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.wire import decode, encode
from operators.records import Clock, FaceTrack, Gap, GapReason, Observation
from operators.rollup import Rollup, Rollups, RollupState

Record = Observation | Gap
OPERATOR = Rollups(zones=("desk",))
LATENESS_MS = 2000

faces = st.builds(
    lambda label, score, zones: FaceTrack(
        "secret", 0.0, (0, 0, 9, 9), 0.9, 9.0, 0.9, label=label, scores={label: score, "neutral": 1 - score},
        zones=zones,
    ),
    st.sampled_from(["fear", "happiness"]),
    st.floats(0, 1),
    st.sampled_from([(), ("desk",), ("desk", "door")]),
)  # fmt: skip
steps = st.lists(
    st.tuples(st.integers(1, 4000), st.none() | st.sampled_from(GapReason), st.lists(faces, max_size=3)), max_size=60
)
"""Milliseconds to the next frame, why nobody saw them if nobody did, and who is in it."""


def stream(steps: Iterable[tuple[int, GapReason | None, list[FaceTrack]]]) -> list[Record]:
    """What a camera tells: frames, and before some of them a gap since the last one."""
    now = 1_763_715_600_123
    records: list[Record] = [seen(now, [])]
    for ms, reason, people in steps:
        if reason is not None:
            records.append(Gap("lobby", now / 1000, (now + ms) / 1000, reason))
        now += ms
        records.append(seen(now, people))
    return records


def seen(ms: int, people: list[FaceTrack]) -> Observation:
    return Observation("lobby", 1, ms, ms / 1000, Clock.STREAM, tuple(people))


def rolled(records: Iterable[Record], *, pack: bool = False) -> list[Rollup]:
    state, told = None, []
    for record in records:
        state, new = OPERATOR.step(state, record)
        told += new
        if pack:
            state = decode(encode(state), RollupState)
    return [*told, *(OPERATOR.finish(state, "lobby") if state else [])]


def whole(records: Iterable[Record]) -> list[Rollup]:
    return [one for one in rolled(records) if not one.zone]


@given(steps.map(stream), st.randoms(use_true_random=False))
def test_order_within_the_lateness_changes_nothing(records, random):
    first, *others = records

    def arrival(record: Record) -> float:
        if isinstance(record, Gap):  # in its place: a part of it may be in a stretch that is over
            return record.to_ts * 1000
        return record.ts * 1000 + random.randrange(LATENESS_MS)

    assert rolled([first, *sorted(others, key=arrival)]) == rolled(records)


@given(steps.map(stream), st.randoms(use_true_random=False))
def test_what_comes_again_changes_nothing(records, random):
    again = [record for each in records for record in [each] * random.randint(1, 3)]
    assert rolled(again) == rolled(records)


@given(steps.map(stream))
def test_cut_anywhere_and_resumed(records):
    assert rolled(records, pack=True) == rolled(records)


@given(steps.map(stream))
def test_seconds_add_up(records):
    told = whole(records)
    for one in told:
        assert one.observed_s + sum(one.gaps.values()) <= one.width
    total = sum(one.observed_s + sum(one.gaps.values()) for one in told)
    assert total == pytest.approx(records[-1].ts - records[0].ts, abs=1e-5)
    missed = sum(record.to_ts - record.from_ts for record in records if isinstance(record, Gap))
    assert sum(sum(one.gaps.values()) for one in told) == pytest.approx(missed, abs=1e-5)


@given(steps.map(stream))
def test_every_frame_and_every_face_is_in_one_stretch(records):
    frames = [record for record in records if isinstance(record, Observation)]
    told = whole(records)
    assert sum(one.frames for one in told) == len(frames)
    assert sum(one.faces_seen for one in told) == sum(len(frame.faces) for frame in frames)
    assert all(first.start < second.start for first, second in pairwise(told))
    for one in told:
        assert sum(one.shares.values()) == pytest.approx(1 if one.faces_seen else 0)
        assert sum(one.scores.values()) == pytest.approx(1 if one.faces_seen else 0, abs=1e-3)
        assert one.faces_mean <= one.faces_max


@given(steps.map(stream))
def test_a_zone_sees_no_more_than_the_camera(records):
    by_zone = {(one.start, one.zone): one for one in rolled(records)}
    for (start, _), one in by_zone.items():
        camera = by_zone[start, ""]
        assert one.faces_seen <= camera.faces_seen
        assert (one.frames, one.observed_s, one.gaps) == (camera.frames, camera.observed_s, camera.gaps)
