"""How well the label of a face follows the truth over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from models.training.temporal.tracks import Track
from operators.ports import TemporalModel
from operators.records import UNKNOWN, Clock, FaceTrack, Floats, Observation, Reading
from operators.rules import Predicate, Rule, RuleEvaluator, RuleSet, Watched

__all__ = ["ALARM", "Alarms", "Method", "Score", "alarms", "score", "stepped"]

Method = Callable[[Track], Floats]
"""Probabilities `(n, k)` over time for a track; rows where the face can't be read don't matter."""

ALARM = Rule("fear", when=Predicate(prob="fear", enter=0.6, exit=0.45), for_=3.0, cooldown=0.0)
"""The rule of docs/rules.md: fear, sustained for 3 s."""
_BEFORE_S = 1.0
"""An alarm may come so long after the fear is over and still be about it."""


@dataclass(frozen=True, slots=True)
class Score:
    """Over the readable frames of all tracks; shares, not percent.

    `switches` are changes of the label per 100 frames beyond the true ones. The delay is from the first frame of a new
    expression to the first that is labelled so, seconds, over the changes that were found before the next came.
    """

    frames: int
    changes: int
    accuracy: float
    macro_recall: float
    switches: float
    delay_median_s: float
    delay_p90_s: float
    never_found: float


@dataclass(frozen=True, slots=True)
class Alarms:
    """Of the rule ALARM: `episodes` of fear that last 3.5 s or more and how many were missed; alarms about none."""

    episodes: int
    missed: int
    false: int
    hours: float


def stepped(model: TemporalModel[Any]) -> Method:
    """A temporal model, stepped over the frames of a track as the Analyzer does."""

    def method(track: Track) -> Floats:
        state, shown = None, np.full(track.logits.shape, 1 / track.logits.shape[1], np.float32)
        probs = softmax(track.logits, axis=1)
        for i, ts in enumerate(track.ts.tolist()):
            reading = Reading(probs[i], float(track.intensity[i])) if track.readable[i] else None
            state, over_time = model.step(state, ts=ts, reading=reading, quality=float(track.quality[i]))
            if over_time is not None:
                shown[i] = over_time.probs
        return shown

    return method


def score(method: Method, tracks: Sequence[Track]) -> Score:
    """Compare labels with the truth."""
    classes = tracks[0].logits.shape[1]
    confusion = np.zeros((classes, classes), int)
    extra, delays, changes = 0, list[float](), 0
    for track in tracks:
        kept = track.readable
        read, truth, ts = method(track).argmax(1)[kept], track.truth[kept], track.ts[kept]
        np.add.at(confusion, (truth, read), 1)
        extra += max(0, int((np.diff(read) != 0).sum()) - int((np.diff(truth) != 0).sum()))
        found, there = _delays(read, truth, ts)
        delays += found
        changes += there
    frames, right = confusion.sum(), confusion.diagonal()
    seen = confusion.sum(1) > 0
    return Score(
        frames=int(frames),
        changes=changes,
        accuracy=float(right.sum() / frames),
        macro_recall=float((right / np.maximum(confusion.sum(1), 1))[seen].mean()),
        switches=100 * extra / int(frames),
        delay_median_s=float(np.median(delays)) if delays else float("nan"),
        delay_p90_s=float(np.quantile(delays, 0.9)) if delays else float("nan"),
        never_found=1 - len(delays) / changes if changes else 0.0,
    )


def alarms(method: Method, tracks: Sequence[Track], labels: Sequence[str], *, interval: float) -> Alarms:
    """Run the rule of ALARM over the tracks, each a camera of its own; `interval` is the camera's, in seconds."""
    evaluator = RuleEvaluator(RuleSet((ALARM,)), cameras={"camera": Watched(interval=interval)})
    fear = list(labels).index("fear")
    episodes = missed = false = 0
    for track in tracks:
        fired = _fired(evaluator, track, method(track), labels)
        there = _episodes(track, fear)
        long = [(start, end) for start, end in there if end - start >= ALARM.for_ + 0.5]
        missed += sum(not any(start <= ts <= end + _BEFORE_S for ts in fired) for start, end in long)
        false += sum(not any(start <= ts <= end + _BEFORE_S for start, end in there) for ts in fired)
        episodes += len(long)
    seconds = sum(float(track.ts[-1]) for track in tracks)
    return Alarms(episodes=episodes, missed=missed, false=false, hours=seconds / 3600)


def _delays(read: NDArray[np.int64], truth: NDArray[np.int64], ts: NDArray[np.float64]) -> tuple[list[float], int]:
    changes = np.flatnonzero(np.diff(truth)) + 1
    ends = [*changes[1:], len(truth)]
    found = []
    for start, end in zip(changes, ends, strict=False):
        right = np.flatnonzero(read[start:end] == truth[start])
        if len(right):
            found.append(float(ts[start + right[0]] - ts[start]))
    return found, len(changes)


def _episodes(track: Track, label: int) -> list[tuple[float, float]]:
    """From when to when the truth is `label`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], track.truth == label, [0]]).astype(int)))
    return [(float(track.ts[a]), float(track.ts[b - 1])) for a, b in edges.reshape(-1, 2)]


def _fired(evaluator: RuleEvaluator, track: Track, probs: Floats, labels: Sequence[str]) -> list[float]:
    state, fired = None, []
    for i, ts in enumerate(track.ts.tolist()):
        scores = dict(zip(labels, probs[i].tolist(), strict=True)) if track.readable[i] else {}
        label = max(scores, key=scores.__getitem__) if scores else UNKNOWN
        face = FaceTrack("face", 0.0, (0, 0, 1, 1), 1.0, 48, float(track.quality[i]), label=label, scores=scores)
        record = Observation("camera", 0, i, ts, Clock.MEDIA, (face,))
        if state is None:
            state, alerts = evaluator.step(None, record)
        else:
            alerts = evaluator.apply(state, record)
        fired += [alert.ts for alert in alerts if alert.status == "firing"]
    return fired
