"""What is sent of one camera accounts for all of its time, in order, whatever is dropped and whatever fails."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka_frames import decode_frame, encode_frame
from connectors.kafka_producer import _Line
from operators.records import Clock, Frame, Gap, GapReason

PICTURE = np.zeros((8, 8, 3), np.uint8)
STEP_S = 0.1

Step = str
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.sampled_from(["frame", "frame", "frame", "gap", "large", "take", "arrive", "lose", "drop"]), max_size=60
)


class Story:
    """A line, what came in, and what arrived."""

    def __init__(self) -> None:
        self.line = _Line("lobby", 0)
        self.frames = 0
        self.arrived: list[Frame | Gap] = []

    def step(self, step: Step) -> None:
        line = self.line
        match step:
            case "frame" | "large" | "gap":
                self._put(step)
            case "take" if line.flying is None and (line._untold or line.waiting):
                line.take()
            case "arrive" if line.flying is not None:
                self.arrived.append(decode_frame(line.flying.data))
                line.settle(lost=False)
            case "lose" if line.flying is not None:
                line.settle(lost=True)
            case "drop" if line.waiting:
                line.drop("congested")

    def finish(self) -> None:
        """All that is left arrives."""
        while self.line.flying is not None or self.line._untold or self.line.waiting:
            self.step("take")
            self.step("arrive")

    def _put(self, kind: str) -> None:
        last = self.line._told_ts
        ts = 100.0 if last is None else last + STEP_S
        item: Frame | Gap = Frame("lobby", 1, self.frames, ts, Clock.STREAM, PICTURE)
        if kind == "gap":
            item = Gap("lobby", ts - STEP_S, ts, GapReason.DOWN)
        else:
            self.frames += 1
        self.line.put(item, encode_frame(item))
        if kind == "large":
            self.line.drop_newest("too_large")


@given(STEPS)
def test_frames_are_sent_or_waiting_or_dropped_for_a_reason(steps: list[Step]) -> None:
    story = Story()
    for step in steps:
        story.step(step)
        status = story.line.status()
        assert status.taken == story.frames == status.sent + status.waiting + sum(status.drops.values())
        flying = 0 if story.line.flying is None else len(story.line.flying.data)
        assert story.line.size == flying + sum(len(parcel.data) for parcel in story.line.waiting)


@given(STEPS)
def test_what_arrives_has_no_holes_and_is_in_order(steps: list[Step]) -> None:
    story = Story()
    for step in steps:
        story.step(step)
    end = story.line._told_ts
    story.finish()
    told = 100.0
    for item in story.arrived:
        from_ts, to_ts = (item.from_ts, item.to_ts) if isinstance(item, Gap) else (item.ts - STEP_S, item.ts)
        assert from_ts <= told + 1e-6, "a hole"
        assert to_ts >= told - 1e-6, "out of order"
        told = max(told, to_ts)
    assert end is None or abs(told - end) < 1e-6
    seqs = [item.seq for item in story.arrived if isinstance(item, Frame)]
    assert seqs == sorted(set(seqs))


@given(STEPS)
def test_a_camera_that_is_given_up_tells_nothing_more(steps: list[Step]) -> None:
    story = Story()
    for step in steps:
        story.step(step)
    story.line.clear("stopped")
    if story.line.flying is not None:
        story.line.settle(lost=True)
    status = story.line.status()
    assert status.taken == status.sent + sum(status.drops.values())
    assert story.line.size == 0
    assert not story.line.ready
