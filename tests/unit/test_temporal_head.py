"""The runtime of a temporal head, around a network whose answer is known: the exponential average over 1 s."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.session import Session
from models.temporal import TEMPORAL_OUTPUTS, TemporalHead, TemporalOptions
from operators.errors import ModelError
from operators.records import Reading
from operators.temporal import ExpressionFilter
from tests.networks import temporal_network

LABELS = ("neutral", "happiness")
HAPPY = Reading(np.array([0, 1], np.float32), 1.0)
STILL = Reading(np.array([1, 0], np.float32), 0.0)
SESSION = Session(temporal_network(2), threads=1, outputs=TEMPORAL_OUTPUTS)


def head(**options) -> TemporalHead:
    return TemporalHead(SESSION, LABELS, TemporalOptions(**options))


def run(model, readings, state=None):
    """(last state, outputs) for each (ts, reading, quality)."""
    out = []
    for ts, reading, quality in readings:
        state, shown = model.step(state, ts=ts, reading=reading, quality=quality)
        out.append(shown)
    return state, out


def as_bytes(outputs) -> list[bytes | None]:
    return [None if one is None else one.probs.tobytes() + repr(one.intensity).encode() for one in outputs]


moments = st.lists(
    st.tuples(
        st.floats(0.02, 3.0),
        st.one_of(st.none(), st.floats(0, 1).map(lambda p: Reading(np.array([1 - p, p], np.float32), p))),
        st.floats(0.15, 1),
    ),
    min_size=1,
    max_size=20,
).map(
    lambda steps: [(float(ts), *rest) for ts, (_, *rest) in zip(np.cumsum([s[0] for s in steps]), steps, strict=True)]
)


def test_the_first_reading_counts_fully():
    (first,) = run(head(), [(5.0, HAPPY, 0.3)])[1]
    assert first.probs == pytest.approx([0, 1], abs=1e-6)
    assert first.intensity == pytest.approx(1)


def test_the_network_is_told_seconds_quality_and_what_it_remembers():
    readings = [(0.0, STILL, 1.0), (0.1, HAPPY, 0.8), (0.35, HAPPY, 0.5), (0.4, STILL, 1.0)]
    _, got = run(head(), readings)
    _, expected = run(ExpressionFilter(time_constant=1.0), readings)
    for a, b in zip(got, expected, strict=True):
        assert a.probs == pytest.approx(b.probs, abs=1e-5)
        assert a.intensity == pytest.approx(b.intensity, abs=1e-5)


def test_an_unreadable_face_keeps_its_reading_for_hold_then_is_unknown():
    _, (_, held, late) = run(head(hold=1.0), [(0, HAPPY, 1), (0.9, None, 0), (1.1, None, 0)])
    assert held.probs == pytest.approx([0, 1])
    assert late is None


def test_after_reset_the_past_is_forgotten():
    _, outputs = run(head(reset_after=2.0), [(0, HAPPY, 1), (2.1, STILL, 1)])
    assert outputs[-1].probs == pytest.approx([1, 0], abs=1e-6)


def test_time_that_runs_backward_counts_as_standing_still():
    _, outputs = run(head(), [(1.0, HAPPY, 1), (0.5, STILL, 1)])
    assert outputs[-1].probs == pytest.approx([0, 1])


def test_a_classifier_without_intensity_is_read_by_its_neutral_share():
    plain = Reading(np.array([0.3, 0.7], np.float32))
    state, (shown,) = run(head(), [(0, plain, 1)])
    assert shown.intensity is None
    assert state.memory[0, 2] == pytest.approx(0.7)


def test_another_classifier_is_refused():
    with pytest.raises(ModelError, match="reads 2 expressions, the classifier gives 3"):
        head().step(None, ts=0, reading=Reading(np.full(3, 1 / 3, np.float32)), quality=1)


def test_a_network_of_other_labels_is_refused():
    with pytest.raises(ModelError, match=r"of 3 expressions.*got a network that reads probs \('n', 2\)"):
        TemporalHead(SESSION, ("a", "b", "c"), TemporalOptions())


@pytest.mark.parametrize("options", [{"hold": -1}, {"reset_after": -0.1}])
def test_bad_options(options):
    with pytest.raises(ValueError, match="must be 0 s or more"):
        TemporalOptions(**options)


@settings(max_examples=50, deadline=None)
@given(moments, st.integers(0, 20))
def test_replayed_or_cut_and_resumed_it_gives_the_same_bytes(readings, at):
    _, whole = run(head(), readings)
    state, first = run(head(), readings[:at])
    kept = None if state is None else state.memory.copy()
    _, rest = run(head(), readings[at:], state)
    assert as_bytes(whole) == as_bytes(first + rest)
    if kept is not None:
        assert state.memory.tobytes() == kept.tobytes(), "a step changed the state that it was given"


@settings(max_examples=50, deadline=None)
@given(moments, moments)
def test_other_faces_change_nothing(one, other):
    alone = as_bytes(run(head(), one)[1])
    model, states, together = head(), [None, None], []
    for i in range(max(len(one), len(other))):
        for which, readings in enumerate((one, other)):
            if i < len(readings):
                ts, reading, quality = readings[i]
                states[which], shown = model.step(states[which], ts=ts, reading=reading, quality=quality)
                if which == 0:
                    together.append(shown)
    assert alone == as_bytes(together)
