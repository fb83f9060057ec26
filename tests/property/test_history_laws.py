"""Laws of what the console remembers: putting stretches together loses nothing, paging gives each observation once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from operators.records import UNKNOWN, Clock, FaceTrack, Gap, GapReason, Observation
from operators.rollup import Rollups
from operators.rules import EXPRESSIONS
from pipeline.web.history import LONGEST_STEP_MS, History
from pipeline.web.recent import Recent

START_MS = 1_763_715_600_123
labels = st.lists(st.sampled_from(["fear", "happiness", UNKNOWN]), max_size=3)
steps = st.lists(st.tuples(st.integers(1, 15_000), st.none() | st.sampled_from(GapReason), labels), max_size=40)
"""Milliseconds to the next frame, why nobody saw them if nobody did, and what its faces show."""


def stream(steps: Iterable[tuple[int, GapReason | None, list[str]]], camera: str = "lobby") -> list[Observation | Gap]:
    now = START_MS
    records: list[Observation | Gap] = [seen(now, [], camera)]
    for ms, reason, shown in steps:
        if reason is not None:
            records.append(Gap(camera, now / 1000, (now + ms) / 1000, reason))
        now += ms
        records.append(seen(now, shown, camera))
    return records


def seen(ms: int, shown: list[str], camera: str) -> Observation:
    faces = tuple(FaceTrack("secret", 0.0, (0, 0, 9, 9), 0.9, 9.0, 0.9, label=label) for label in shown)
    return Observation(camera, 1, ms, ms / 1000, Clock.STREAM, faces)


@given(steps, st.integers(1, 3000))
def test_stretches_of_any_width_add_up_to_what_was_seen(steps, points):
    records = stream(steps)
    history = History(3600)
    history.take(records)
    looks = [record for record in records if isinstance(record, Observation)]
    shown = Counter(face.label for look in looks for face in look.faces)
    found = history.stretches("lobby", looks[0].ts, looks[-1].ts + 0.001, points=points)
    assert found.frames.sum() == len(looks)
    assert found.faces.sum() == shown.total()
    assert found.unread.sum() == shown[UNKNOWN]
    assert found.labels.sum(axis=0).tolist() == [shown[label] for label in EXPRESSIONS]
    assert found.observed_ms.sum() == sum(ms for ms, reason, _ in steps if reason is None and ms <= LONGEST_STEP_MS)
    assert len(found) <= points + 1


@given(steps, st.floats(0, 100))
def test_gaps_put_together_hold_every_gap_and_begin_and_end_as_gaps_did(steps, apart):
    records = stream(steps)
    history = History(3600)
    history.take(records)
    gaps = [record for record in records if isinstance(record, Gap)]
    found = history.gaps("lobby", 0, 1e11, apart=apart)
    assert all(
        any(one.from_ts <= gap.from_ts and gap.to_ts <= one.to_ts and one.reason is gap.reason for one in found)
        for gap in gaps
    )
    assert {one.from_ts for one in found} <= {gap.from_ts for gap in gaps}
    assert {one.to_ts for one in found} <= {gap.to_ts for gap in gaps}
    assert all(earlier.to_ts <= later.from_ts for earlier, later in pairwise(found))


@given(steps)
def test_ten_seconds_are_those_of_the_roll_ups(steps):
    records = stream(steps)
    history = History(3600)
    history.take(records)
    operator, state, told = Rollups(), None, []
    for record in records:
        state, new = operator.step(state, record)
        told += new
    told += operator.finish(state, "lobby")
    history._cameras["lobby"].close()
    coarse = history._cameras["lobby"].coarse
    numbers, figures = coarse.between(0, 1e11)
    rolled = {round(one.start / 10): one for one in told if one.frames}
    stretches = {number: row for number, row in zip(numbers.tolist(), figures.tolist(), strict=True) if row[0]}
    assert stretches.keys() == rolled.keys()
    for number, (frames, faces, unread, _, *by_label) in stretches.items():
        one = rolled[number]
        assert (frames, faces, unread) == (one.frames, one.faces_seen, round((one.unknown or 0) * faces))
        read = faces - unread
        assert by_label == [round(one.shares.get(label, 0) * read) for label in EXPRESSIONS]


@given(st.lists(steps, min_size=1, max_size=3), st.integers(1, 9), st.integers(0, 30))
def test_pages_give_each_observation_once_also_while_others_come(cameras, limit, coming):
    streams = [stream(steps, f"camera-{number}") for number, steps in enumerate(cameras)]
    recent = Recent(len(streams), keep=3600)
    kept = [record for records in streams for record in records]
    recent.take(kept)
    pages, before = [], None
    while page := recent.page(camera_id=None, begin=0, end=1e12, before=before, limit=limit):
        pages += page
        before = page[-1][0]
        coming += 1
        recent.take([seen(START_MS + 10**6 + coming, [], "camera-0")])
    keys = [key for key, _ in pages]
    assert keys == sorted(keys, reverse=True)
    assert keys == sorted(((one.ts, one.camera_id) for one in kept if isinstance(one, Observation)), reverse=True)
