"""The worked traces of the rule language: which transition comes when, to the millisecond."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from operators.records import Alert, Clock, FaceTrack, Observation
from operators.rules import Predicate, Rule, RuleEvaluator, RuleSet
from operators.rules.evaluator import EvaluatorState

RULE = Rule(
    "fear",
    Predicate(prob="fear", enter=0.6, exit=0.45),
    for_=3.0,
    max_gap=0.7,
    max_dip=0.3,
    keep_firing_for=1.0,
    cooldown=5.0,
)
GOLDEN = Path(__file__).parent.parent / "golden" / "rules" / "traces.jsonl"
FPS = 10
START = 1_763_715_600.0
"""A time of today's size, so that float rounding is as in life."""


@dataclass(frozen=True)
class Trace:
    """A signal as `LEVELxFRAMES ...`, where `_` drops frames and `lost` shows them without the face."""

    name: str
    signal: str
    expected: str


TRACES = [
    Trace("A: high for 3.5 s", "0.2x10 0.8x35 0.2x20", "pending 1.0, firing 4.0, resolved 5.5 condition"),
    Trace(
        "B: 0.5 s of frames dropped",
        "0.2x10 0.8x15 _x5 0.8x20 0.2x20",
        "pending 1.0, firing 4.0, resolved 6.0 condition",
    ),
    Trace(
        "C: 1.0 s of frames dropped",
        "0.2x10 0.8x15 _x10 0.8x35 0.2x20",
        "pending 1.0, broken 3.1 gap, pending 3.5, firing 6.5, resolved 8.0 condition",
    ),
    Trace(
        "D: a dip of 0.2 s",
        "0.2x10 0.8x15 0.2x2 0.8x20 0.2x20",
        "pending 1.0, firing 4.0, resolved 5.7 condition",
    ),
    Trace(
        "E: a dip of 0.4 s",
        "0.2x10 0.8x15 0.2x4 0.8x35 0.2x20",
        "pending 1.0, broken 2.8 dip, pending 2.9, firing 5.9, resolved 7.4 condition",
    ),
    Trace(
        "F: hysteresis",
        "0.2x10 0.8x5 0.5x30 0.2x20",
        "pending 1.0, firing 4.0, resolved 5.5 condition",
    ),
    Trace(
        "G: a second episode in the cooldown",
        "0.2x10 0.8x35 0.2x12 0.8x60 0.2x20",
        "pending 1.0, firing 4.0, resolved 5.5 condition, pending 5.7, firing 10.5, resolved 12.7 condition",
    ),
    Trace(
        "H: the track is lost after 4.4 s, and comes back",
        "0.2x10 0.8x35 lostx30 0.8x5",
        "pending 1.0, firing 4.0, resolved 6.4 lost, pending 7.5",
    ),
]


def frames(signal: str, *, track: str = "t1") -> list[Observation]:
    """The observations of a camera that sees one face, or none."""
    cells = [part.split("x") for part in signal.split()]
    levels = [level for level, count in cells for _ in range(int(count))]
    return [
        Observation("cam", 1, seq, START + seq / FPS, Clock.SENDER, _faces(level, track))
        for seq, level in enumerate(levels)
        if level != "_"
    ]


def _faces(level: str, track: str) -> tuple[FaceTrack, ...]:
    if level == "lost":
        return ()
    box = (10.0, 20.0, 50.0, 70.0)
    return (FaceTrack(track, START, box, 0.99, 40.0, 0.9, label="fear", scores={"fear": float(level)}),)


def run(rule: Rule, observations: list[Observation]) -> list[Alert]:
    evaluator = RuleEvaluator(RuleSet((rule,)))
    state: EvaluatorState | None = None
    alerts: list[Alert] = []
    for observation in observations:
        state, new = evaluator.step(state, observation)
        alerts += new
    return alerts


def told(alerts: list[Alert]) -> str:
    """`pending 1.0, firing 4.0, resolved 5.5 condition`."""
    words = [
        f"{alert.status.value} {round((alert.ts - START) * 1000) / 1000}"
        + ("" if alert.ends_at is None else f" {alert.reason}")
        for alert in alerts
    ]
    return ", ".join(words)


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_worked_trace(trace: Trace) -> None:
    assert told(run(RULE, frames(trace.signal))) == trace.expected


def golden() -> bytes:
    """All alerts of all traces, one a line."""
    alerts = [alert for trace in TRACES for alert in run(RULE, frames(trace.signal))]
    return b"".join(msgspec.json.encode(alert) + b"\n" for alert in alerts)


def test_the_alerts_are_the_same_to_the_byte_as_ever() -> None:
    """Ids must outlive releases: sinks know an alert by them. If a change is meant, run this file to write it anew."""
    assert golden() == GOLDEN.read_bytes()


if __name__ == "__main__":
    GOLDEN.write_bytes(golden())
