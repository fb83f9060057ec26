import numpy as np
import pytest

from operators.zones import Membership, Zone

LEFT = Zone(((0, 0), (0.5, 0), (0.5, 1), (0, 1)), inertia=0.5)


def box(x):
    return np.array([x - 0.1, 0.4, x + 0.1, 0.6], np.float32)


def walk(steps, zones=None):
    """Zones of track t for each (ts, x of its centre)."""
    state, out = None, []
    for ts, x in steps:
        state, members = Membership(zones or {"left": LEFT}).step(state, {"t": box(x)}, ts=ts)
        out.append(members["t"])
    return out


def test_a_new_track_is_where_it_appears():
    assert walk([(0, 0.2)]) == [("left",)]
    assert walk([(0, 0.8)]) == [()]


def test_entering_takes_the_inertia():
    assert walk([(0, 0.8), (1, 0.2), (1.4, 0.2), (1.5, 0.2)]) == [(), (), (), ("left",)]


def test_leaving_takes_the_inertia_and_starts_over_on_return():
    steps = [(0, 0.2), (1, 0.8), (1.4, 0.2), (1.6, 0.8), (2.0, 0.8), (2.1, 0.8)]
    assert walk(steps) == [("left",)] * 5 + [()]


def test_zones_may_overlap_and_keep_their_order():
    zones = {"b": LEFT, "a": LEFT}
    assert walk([(0, 0.2)], zones) == [("b", "a")]


def test_an_absent_track_is_forgotten_and_the_state_given_is_not_changed():
    membership = Membership({"left": LEFT})
    state, _ = membership.step(None, {"t": box(0.2)}, ts=0)
    empty, members = membership.step(state, {}, ts=1)
    assert members == {}
    assert not empty.stays
    assert len(state.stays) == 1


def test_a_clock_that_runs_backward_delays_but_does_not_crash():
    assert walk([(5, 0.8), (6, 0.2), (3, 0.2), (3.5, 0.2)])[-1] == ("left",)


def test_bad_zones_are_refused():
    with pytest.raises(ValueError, match="at least 3 points"):
        Zone(((0, 0), (1, 1)))
    with pytest.raises(ValueError, match="inertia"):
        Zone(LEFT.polygon, inertia=-1)
