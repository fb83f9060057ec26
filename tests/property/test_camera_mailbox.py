"""Laws of the newest-frame slot: nothing disappears uncounted, and time never goes back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from connectors.mailbox import LATE, MAX_GAPS, Mailbox
from operators.records import Clock, Frame, Gap, GapReason

IMAGE = np.zeros((1, 1, 3), np.uint8)
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "miss", "take"]), st.floats(-1, 3), st.sampled_from(GapReason), st.integers(0, 3)
    ),
    max_size=80,
)


def frame(seq: int, ts: float) -> Frame:
    return Frame("door", 1, seq, ts, Clock.STREAM, IMAGE)


@given(steps)
def test_captured_is_taken_plus_waiting_plus_dropped(history: list[tuple[str, float, GapReason, int]]) -> None:
    mailbox, now, given_ = Mailbox("door", start_ts=100.0), 100.0, 0
    taken: list[Frame | Gap] = []
    for seq, (do, step, reason, count) in enumerate(history):
        now += step
        if do == "put":
            mailbox.put(frame(seq, now))
            given_ += 1
        elif do == "miss":
            mailbox.miss(reason, now, captured=count)
            given_ += count
        else:
            taken += mailbox.take()
        assert mailbox.captured == given_ == mailbox.taken + mailbox.waiting + sum(mailbox.dropped.values())
        assert len(mailbox._before) + len(mailbox._after) <= 2 * MAX_GAPS
    taken += mailbox.take()
    assert mailbox.taken == sum(isinstance(item, Frame) for item in taken)


@given(steps)
def test_items_come_in_time_order_and_leave_nothing_untold_after_a_drop(
    history: list[tuple[str, float, GapReason, int]],
) -> None:
    mailbox, now, told = Mailbox("door", start_ts=100.0), 100.0, 100.0
    for seq, (do, step, reason, _) in enumerate(history):
        now += max(step, 0)
        if do == "put":
            mailbox.put(frame(seq, now))
        elif do == "miss":
            mailbox.miss(reason, now)
        else:
            for item in mailbox.take():
                if isinstance(item, Gap):
                    assert told <= item.from_ts < item.to_ts
                    told = item.to_ts
                else:
                    assert item.ts >= told
                    told = item.ts
            assert told == mailbox.told_ts


def test_a_newer_frame_pushes_the_older_out_as_a_gap() -> None:
    mailbox = Mailbox("door", start_ts=100.0)
    for seq, ts in enumerate((100.0, 100.2, 100.4)):
        mailbox.put(frame(seq, ts))
    gap, newest = mailbox.take()
    assert gap == Gap("door", 100.0, 100.2, GapReason.OVERLOAD, 1)
    assert isinstance(newest, Frame)
    assert newest.seq == 2
    assert mailbox.dropped["overload"] == 2


def test_a_hole_that_rules_bridge_is_no_gap() -> None:
    """Every third frame is a camera with fewer frames, and not one that nobody sees."""
    mailbox = Mailbox("door", start_ts=100.0, bridged_s=0.6)
    mailbox.put(frame(0, 100.0))
    mailbox.take()
    for seq, ts in ((1, 100.2), (2, 100.4), (3, 100.6)):
        mailbox.put(frame(seq, ts))
    assert [type(item) for item in mailbox.take()] == [Frame]
    assert mailbox.dropped["overload"] == 2
    for seq, ts in ((4, 100.8), (5, 101.3)):
        mailbox.put(frame(seq, ts))
    gap, _ = mailbox.take()
    assert gap == Gap("door", 100.6, 100.8, GapReason.OVERLOAD, 1)


@given(steps, st.sampled_from([0.5, 1.0, 2.0]))
def test_a_hole_that_is_longer_or_has_another_reason_is_told(
    history: list[tuple[str, float, GapReason, int]], bridged_s: float
) -> None:
    """With and without bridging the frames are the same; what isn't told lies between two of them, near each other."""
    bridging, plain = Mailbox("door", start_ts=100.0, bridged_s=bridged_s), Mailbox("door", start_ts=100.0)
    now, last = 100.0, None
    for seq, (do, step, reason, _) in enumerate(history):
        now += max(step, 0)
        if do == "put":
            bridging.put(one := frame(seq, now))
            plain.put(one)
        elif do == "miss":
            bridging.miss(reason, now)
            plain.miss(reason, now)
        else:
            told, all_of_it = bridging.take(), plain.take()
            if told != all_of_it:
                untold = [item for item in all_of_it if item not in told]
                assert isinstance(last, Frame)
                assert all(isinstance(item, Gap) and item.reason is GapReason.OVERLOAD for item in untold)
                assert told == all_of_it[len(untold) :]
                assert isinstance(told[0], Frame)
                assert told[0].ts - last.ts <= bridged_s
            last = told[-1] if told else last
        assert bridging.dropped == plain.dropped


def test_gaps_of_one_reason_become_one() -> None:
    mailbox = Mailbox("door", start_ts=100.0)
    mailbox.miss(GapReason.DOWN, 101.0)
    mailbox.miss(GapReason.DOWN, 102.0)
    assert mailbox.take() == [Gap("door", 100.0, 102.0, GapReason.DOWN)]


def test_a_slightly_late_frame_is_dropped_and_a_clock_set_back_begins_anew() -> None:
    mailbox = Mailbox("door", start_ts=100.0)
    mailbox.miss(GapReason.DOWN, 105.0)
    mailbox.put(frame(0, 104.0))
    assert mailbox.dropped[LATE] == 1
    mailbox.put(frame(1, 5.0))
    assert [type(item) for item in mailbox.take()] == [Gap, Frame]


def test_what_waits_at_the_end_is_counted() -> None:
    mailbox = Mailbox("door", start_ts=100.0)
    mailbox.put(frame(0, 101.0))
    mailbox.close()
    assert mailbox.dropped["stopped"] == 1
    assert not mailbox.take()
