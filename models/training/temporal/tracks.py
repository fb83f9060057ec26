"""Synthetic tracks: what a classifier might say of one face from frame to frame, and what the face truly shows.

Made of a bank of answers for stills, because no video with an expression labelled in every frame is at hand. A face
dwells on a still, fades into another (ramps over 0.1-1 s), drifts in size, wanders between crops and between stills of
the same expression, is turned away for a while, and blinks; its camera is uneven, drops frames and pauses.

Every frame's answer is a weighted sum of the bank's, so one matrix product makes a track. The weights of the crops are
`1 / c + (z - mean(z)) / sqrt(c - 1)` with c standard normal processes z: their sum then varies exactly as the crops do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from models.training.temporal.bank import Bank
from models.training.temporal.recipe import TrackPlan
from operators.quality import Gate

__all__ = ["Script", "Track", "draw_script", "draw_track", "frame_times", "play"]

Rng = np.random.Generator
Floats = NDArray[np.float32]
Times = NDArray[np.float64]

NEUTRAL = 0
_GATE = Gate()
_STEP_S = 1 / 25
"""Slow processes are made on an even grid of this step and read off at the frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """What a face shows over `seconds`: stills `rows (m,)` of a bank, from `starts (m,)` on, fading in over `ramps`."""

    rows: NDArray[np.int64]
    starts: Times
    ramps: Times
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """n frames of one face.

    `ts (n,)` seconds, rising; `logits (n, k)`, `intensity (n,)` and `features (n, f)` as a classifier gives them;
    `quality (n,)`; `readable (n,)`: elsewhere a run time has no reading. The truth: `truth (n,)` class, `target (n, k)`
    shares of it while one expression fades into the next, `expressed (n,)` intensity.
    """

    ts: Times
    logits: Floats
    intensity: Floats
    features: Floats
    quality: Floats
    readable: NDArray[np.bool_]
    truth: NDArray[np.int64]
    target: Floats
    expressed: Floats

    def __len__(self) -> int:
        return len(self.ts)


def draw_track(bank: Bank, plan: TrackPlan, rng: Rng, *, frames: int | None = None, seconds: float = 20.0) -> Track:
    """A face and a camera drawn by the plan, for so many frames, or for `seconds`."""
    ts = frame_times(plan, rng, frames=frames, seconds=seconds)
    return play(bank, draw_script(bank, plan, rng, float(ts[-1]) + 1.0), ts, plan, rng)


def frame_times(plan: TrackPlan, rng: Rng, *, frames: int | None = None, seconds: float = 20.0) -> Times:
    """When the frames of a camera come, from 0 s on: `frames` of them, or those of `seconds`; never none."""
    fps = _between(rng, plan.fps)
    lost = _between(rng, plan.dropped) if plan.dropped else 0.0
    count = frames if frames is not None else max(1, round(seconds * fps))
    drawn = count if frames is None else int(count / (1 - lost) * 1.2) + 20
    ts = (np.arange(drawn) + rng.uniform(-0.5, 0.5, drawn) * plan.uneven) / fps
    kept = np.sort(ts)[rng.random(drawn) >= lost][: count if frames is not None else None]
    kept = kept if len(kept) == frames or (frames is None and len(kept)) else np.sort(ts)[:count]
    for start, length in _moments(rng, plan.pauses, plan.pause, float(kept[-1])):
        if frames is None:
            kept = kept[(kept < start) | (kept > start + length)]
        else:
            kept = np.where(kept > start, kept + length, kept)
    kept = kept if len(kept) else np.zeros(1)
    return kept - kept[0]


def draw_script(bank: Bank, plan: TrackPlan, rng: Rng, seconds: float, *, first: int | None = None) -> Script:
    """Neutral and expressions in turn, each for its dwell; or one that stays. `first` is the first class."""
    share = np.bincount(bank.truth, minlength=bank.classes) ** (1 - plan.balance) * _present(bank)
    label = int(rng.choice(bank.classes, p=share / share.sum())) if first is None else first
    labels, starts, ramps = [label], [0.0], [0.0]
    if first is not None or rng.random() >= plan.steady:
        at = rng.uniform(0.3, 1) * _between(rng, plan.dwell)
        while at < seconds:
            label = _next_label(label, share, plan, rng)
            dwell = _between(rng, plan.dwell)
            labels.append(label)
            starts.append(at)
            ramps.append(min(_between(rng, plan.ramp), 0.9 * dwell))
            at += dwell
    rows = np.array([rng.choice(np.flatnonzero(bank.truth == label)) for label in labels])
    return Script(rows, np.array(starts), np.array(ramps), seconds)


def play(bank: Bank, script: Script, ts: Times, plan: TrackPlan, rng: Rng) -> Track:
    """What the classifier says of a face that follows a script, at the frames `ts`."""
    shown = _fade(script, ts)
    truth_of = bank.truth[script.rows]
    target = shown @ np.eye(bank.classes)[truth_of]
    expressed = shown @ bank.expressed[script.rows]
    flaws = _flaws(ts, plan, rng)
    weights = np.hstack([_wandering(shown, ts, plan, rng) * (1 - flaws.sum(1, keepdims=True)), flaws])
    likes = [rng.choice(np.flatnonzero(bank.truth == label)) for label in truth_of]
    rows = np.concatenate([script.rows, likes, rng.integers(0, len(bank), flaws.shape[1])]).astype(np.int64)
    sizes, crops = _size_weights(bank, ts, plan, rng), _crop_weights(bank, ts, plan, rng)
    mix = np.einsum("tr,ts,tc->trsc", weights, sizes, crops).reshape(len(ts), -1).astype(np.float32)

    def mixed(answers: NDArray[np.float16]) -> Floats:
        chosen = answers[rows].astype(np.float32)
        return mix @ chosen.reshape(mix.shape[1], -1)

    sure = np.clip(0.9 + 0.1 * _slow(ts, 2.0, 1, rng)[:, 0], 0.5, 1)
    quality = np.clip(mixed(bank.quality)[:, 0], 0, 1) * sure * ~_turned_away(ts, plan, rng)
    return Track(
        ts=ts,
        logits=mixed(bank.logits),
        intensity=np.clip(mixed(bank.intensity)[:, 0], 0, 1),
        features=mixed(bank.features),
        quality=quality.astype(np.float32),
        readable=quality >= _GATE.min_score,
        truth=truth_of[shown.argmax(1)],
        target=target.astype(np.float32),
        expressed=expressed.astype(np.float32),
    )


def _next_label(label: int, share: NDArray[np.float64], plan: TrackPlan, rng: Rng) -> int:
    there = share > 0
    if label != NEUTRAL and there[NEUTRAL] and rng.random() >= plan.direct:
        return NEUTRAL
    others = share * (np.arange(len(share)) != label) * (np.arange(len(share)) != NEUTRAL)
    others = others if others.sum() else share  # a bank of one class has nowhere to go
    return int(rng.choice(len(share), p=others / others.sum()))


def _fade(script: Script, ts: Times) -> NDArray[np.float64]:
    """`(n, m)` how much of each still is seen in each frame: rows sum to 1."""
    arrived = np.clip((ts[:, None] - script.starts) / np.maximum(script.ramps, 1e-6), 0, 1)
    arrived[:, 0] = 1
    following = np.hstack([arrived[:, 1:], np.zeros((len(ts), 1))])
    return arrived - following


def _wandering(shown: NDArray[np.float64], ts: Times, plan: TrackPlan, rng: Rng) -> NDArray[np.float64]:
    """`(n, 2 m)`: each still shares its dwell with another one."""
    away = plan.wander * np.clip(0.5 + 0.5 * _slow(ts, _between(rng, plan.calm), 1, rng), 0, 1)
    return np.hstack([shown * (1 - away), shown * away])


def _flaws(ts: Times, plan: TrackPlan, rng: Rng) -> NDArray[np.float64]:
    """`(n, f)`: how much something else shows through, all together never more than 0.9."""
    flaws = list(_moments(rng, plan.flaws, plan.flaw, float(ts[-1])))
    inside = (
        np.array([(ts >= start) & (ts <= start + length) for start, length in flaws]).reshape(len(flaws), len(ts)).T
    )
    depth = inside * np.array([_between(rng, plan.flaw_depth) for _ in flaws]).reshape(1, -1)
    return np.asarray(depth / np.maximum(depth.sum(1, keepdims=True) / 0.9, 1))


def _size_weights(bank: Bank, ts: Times, plan: TrackPlan, rng: Rng) -> NDArray[np.float64]:
    """`(n, s)`: a size that drifts, as a point between the two sizes of the bank around it."""
    steps = np.log(bank.sizes.astype(np.float64))
    middle = rng.uniform(steps[0], steps[-1])
    drifting = np.clip(middle + plan.drift * _slow(ts, 5.0, 1, rng)[:, 0], steps[0], steps[-1])
    place = np.interp(drifting, steps, np.arange(len(steps)))
    return np.maximum(1 - np.abs(place[:, None] - np.arange(len(steps))), 0)


def _crop_weights(bank: Bank, ts: Times, plan: TrackPlan, rng: Rng) -> NDArray[np.float64]:
    """`(n, c)`: rows sum to 1."""
    crops = bank.logits.shape[2]
    slow = _slow(ts, _between(rng, plan.calm), crops, rng)
    fresh = _between(rng, plan.fresh)
    z = np.sqrt(1 - fresh) * slow + np.sqrt(fresh) * rng.standard_normal((len(ts), crops))
    weights = 1 / crops + (z - z.mean(1, keepdims=True)) / np.sqrt(crops - 1)
    return np.asarray(weights)


def _slow(ts: Times, seconds: float, count: int, rng: Rng) -> NDArray[np.float64]:
    """`(n, count)` standard normal processes that are alike over so many seconds (Ornstein-Uhlenbeck)."""
    grid = np.arange(0, ts[-1] + 2 * _STEP_S, _STEP_S)
    keep = np.exp(-_STEP_S / seconds)
    noise = rng.standard_normal((len(grid), count)) * np.sqrt(1 - keep**2)
    noise[0] /= np.sqrt(1 - keep**2)
    path = lfilter([1.0], [1.0, -keep], noise, axis=0)
    return np.column_stack([np.interp(ts, grid, path[:, i]) for i in range(count)])


def _turned_away(ts: Times, plan: TrackPlan, rng: Rng) -> NDArray[np.bool_]:
    away = np.zeros(len(ts), bool)
    for start, length in _moments(rng, plan.gaps, plan.gap, float(ts[-1])):
        away |= (ts >= start) & (ts <= start + length)
    return away


def _moments(rng: Rng, per_minute: float, lengths: tuple[float, float], until: float) -> list[tuple[float, float]]:
    starts = rng.uniform(0, until, rng.poisson(per_minute * until / 60)) if until > 0 else np.zeros(0)
    return [(float(start), _between(rng, lengths)) for start in np.sort(starts)]


def _between(rng: Rng, ends: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(ends[0]), np.log(ends[1]))))


def _present(bank: Bank) -> NDArray[np.bool_]:
    return np.bincount(bank.truth, minlength=bank.classes) > 0
