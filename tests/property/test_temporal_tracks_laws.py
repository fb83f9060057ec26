"""Laws of the synthetic tracks that temporal heads learn from."""

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.temporal.recipe import TrackPlan
from models.training.temporal.tracks import draw_script, draw_track, frame_times, play
from tests.banks import made_up_bank

BANK = made_up_bank()
CALM = TrackPlan(
    uneven=0.0, dropped=None, pauses=0.0, gaps=0.0, wander=0.0, flaws=0.0, drift=0.0, fps=(10.0, 10.0), fresh=(0.5, 0.5)
)
seeds = st.integers(0, 2**32)
plans = st.builds(
    TrackPlan,
    fps=st.sampled_from([(5.0, 5.0), (5.0, 25.0), (25.0, 25.0)]),
    dropped=st.sampled_from([None, (0.3, 0.3), (0.01, 0.4)]),
    pauses=st.sampled_from([0.0, 1.0, 30.0]),
    gaps=st.sampled_from([0.0, 3.0, 60.0]),
    flaws=st.sampled_from([0.0, 6.0, 200.0]),
    wander=st.sampled_from([0.0, 0.3, 1.0]),
    steady=st.sampled_from([0.0, 1.0]),
    dwell=st.sampled_from([(0.5, 0.6), (1.0, 12.0)]),
    balance=st.sampled_from([0.0, 1.0]),
)


def changed(plan: TrackPlan, **fields) -> TrackPlan:
    return msgspec.structs.replace(plan, **fields)


@settings(max_examples=60, deadline=None)
@given(plans, seeds)
def test_a_track_is_well_formed(plan, seed):
    track = draw_track(BANK, plan, np.random.default_rng(seed), frames=50)
    assert len(track) == 50
    assert track.ts[0] == 0
    assert (np.diff(track.ts) > 0).all()
    assert np.isfinite(track.logits).all()
    assert np.isfinite(track.features).all()
    assert ((track.intensity >= 0) & (track.intensity <= 1)).all()
    assert ((track.quality >= 0) & (track.quality <= 1)).all()
    np.testing.assert_allclose(track.target.sum(1), 1, atol=1e-5)
    assert (track.truth == track.target.argmax(1)).mean() > 0.95, "they part only where two are shown alike"
    assert ((track.expressed >= -1e-6) & (track.expressed <= 1 + 1e-6)).all()


@settings(max_examples=30, deadline=None)
@given(plans, seeds)
def test_the_same_seed_gives_the_same_track(plan, seed):
    one, other = (draw_track(BANK, plan, np.random.default_rng(seed), seconds=4.0) for _ in range(2))
    assert one.ts.tobytes() == other.ts.tobytes()
    assert one.logits.tobytes() == other.logits.tobytes()


@settings(max_examples=30, deadline=None)
@given(plans, seeds)
def test_a_track_of_seconds_does_not_last_longer(plan, seed):
    ts = frame_times(plan, np.random.default_rng(seed), seconds=5.0)
    assert len(ts) >= 1
    assert ts[-1] <= 5.0 + 1.5 / plan.fps[0]


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_a_steady_track_never_changes(seed):
    assert len(set(draw_track(BANK, changed(CALM, steady=1.0), np.random.default_rng(seed), frames=80).truth)) == 1


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_without_detours_every_other_expression_is_neutral(seed):
    script = draw_script(BANK, changed(CALM, steady=0.0, direct=0.0), np.random.default_rng(seed), 60.0)
    labels = BANK.truth[script.rows]
    assert (labels[:-1] != labels[1:]).all()
    assert ((labels[:-1] == 0) | (labels[1:] == 0)).all()


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.1, 1.0))
def test_a_ramp_takes_its_time(seed, ramp):
    rng = np.random.default_rng(seed)
    plan = changed(CALM, steady=0.0, ramp=(ramp, ramp), dwell=(3.0, 6.0))
    script = draw_script(BANK, plan, rng, 20.0)
    ts = np.arange(0, 20, 0.01)
    target = play(BANK, script, ts, plan, rng).target
    fading = (target.max(1) < 0.999).sum() * 0.01
    inside = np.clip(20 - script.starts[1:], 0, ramp).sum()
    assert abs(fading - inside) < 0.1 * len(script.starts)


def test_answers_vary_as_the_crops_do():
    """Of one still at one size, mean and deviation over a long track are those of its crops."""
    rng = np.random.default_rng(3)
    plan = changed(CALM, steady=1.0, calm=(0.3, 0.3))
    script = draw_script(BANK, plan, rng, 400.0)
    track = play(BANK, script, np.arange(0, 400, 0.1), plan, rng)
    crops = BANK.logits[script.rows[0]].astype(float)
    middle, spread = crops.mean((0, 1)), crops.std(1, ddof=1)
    assert np.abs(track.logits.mean(0) - middle).max() < 0.5
    assert spread.min() * 0.4 < track.logits.std(0).max() < spread.max() * 1.3


def test_frames_that_follow_each_other_are_alike():
    rng = np.random.default_rng(4)
    plan = changed(CALM, steady=1.0, fps=(25.0, 25.0), fresh=(0.2, 0.2), calm=(1.0, 1.0))
    logits = draw_track(BANK, plan, rng, frames=2000).logits[:, 0]
    near, far = (np.corrcoef(logits[:-lag], logits[lag:])[0, 1] for lag in (1, 200))
    assert near > 0.6
    assert abs(far) < 0.3


def test_lost_frames_and_pauses_are_what_was_asked_for():
    plan = changed(CALM, dropped=(0.3, 0.3))
    counts = [len(frame_times(plan, np.random.default_rng(seed), seconds=20.0)) for seed in range(50)]
    assert 130 < np.mean(counts) < 150
    paused = frame_times(changed(CALM, pauses=30.0), np.random.default_rng(1), frames=300)
    assert np.diff(paused).max() > 0.5


def test_a_face_that_turns_away_is_not_read():
    track = draw_track(BANK, changed(CALM, gaps=30.0, gap=(1.0, 1.0)), np.random.default_rng(1), frames=600)
    assert 0.2 < track.readable.mean() < 0.8
    assert (track.quality[~track.readable] < 0.15).all()
