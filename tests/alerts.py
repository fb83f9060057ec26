"""Alerts and observations for the tests of sinks: one by hand, any by hypothesis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from operators.records import Alert, Clock, FaceTrack, Observation, Scope, Severity, Status

FEAR = Alert(
    alert_id="a1b2c3",
    seq=1,
    rule="fear-sustained",
    scope=Scope.TRACK,
    camera_id="lobby",
    status=Status.FIRING,
    reason="for",
    severity=Severity.WARNING,
    ts=1_763_715_604.0,
    starts_at=1_763_715_601.0,
    fired_at=1_763_715_604.0,
    labels={"zone": "desk"},
    annotations={"title": "Sustained fear on lobby"},
    evidence={"value_max": 0.81234567, "coverage": 0.97, "samples": 31},
    config="5f1d0c7be2a9",
)


def alert(number: int, **changes: Any) -> Alert:
    """The `number`-th of a row of firing alerts that differ in their ids only."""
    return replace(FEAR, **{"alert_id": f"alert-{number:05d}", **changes})


def resolved(firing: Alert) -> Alert:
    """The end of an alert, five seconds later."""
    later = firing.ts + 5
    return replace(firing, seq=firing.seq + 1, status=Status.RESOLVED, reason="condition", ts=later, ends_at=later)


def made_up(
    count: int, *, cameras: Sequence[str], rules: Mapping[str, Severity], until: float, every_s: float = 30.0
) -> Iterator[Alert]:
    """The transitions of so many alerts, one every `every_s` up to `until`; the last two per camera still go on.

    Every seventh breaks before it fires, every ninth is silenced. The same arguments give the same alerts.
    """
    names = tuple(rules)
    for number in range(count):
        rule, camera = names[number % len(names)], cameras[(number * 7 + number // 5) % len(cameras)]
        began = until - (count - number) * every_s
        pending = replace(
            FEAR,
            alert_id=f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}",
            seq=0,
            rule=rule,
            severity=rules[rule],
            camera_id=camera,
            status=Status.PENDING,
            reason="began",
            ts=began,
            starts_at=began,
            fired_at=None,
            labels={"rule": rule, "camera": camera, "severity": rules[rule]},
            annotations={"title": f"{rule} on {camera}", "summary": f"{rule} lasts on {camera}"},
            silenced_by="muted:night" if number % 9 == 8 else "",
        )
        yield pending
        if number % 7 == 6:
            held = 1.2 + number % 5 * 0.4
            short = {**FEAR.evidence, "duration_s": held, "for_s": 3.0, "samples": round(10 * held)}
            end = began + held
            yield replace(pending, seq=1, status=Status.BROKEN, reason="dip", ts=end, ends_at=end, evidence=short)
            continue
        firing = replace(pending, seq=1, status=Status.FIRING, reason="for", ts=began + 3, fired_at=began + 3)
        yield firing
        if number < count - 2 * len(cameras):
            yield replace(firing, seq=2, status=Status.RESOLVED, reason="condition", ts=began + 8, ends_at=began + 8)


patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
"""For laws on a busy machine: what they check has nothing to do with time."""

names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
times = st.integers(0, 4_000_000_000_000).map(lambda ms: ms / 1000)
finite = st.floats(allow_nan=False, allow_infinity=False)
shares = st.floats(0, 1)

alerts = st.builds(
    Alert,
    alert_id=st.text("0123456789abcdef", min_size=16, max_size=16),
    seq=st.integers(0, 1000),
    rule=names,
    scope=st.sampled_from(Scope),
    camera_id=names | st.just(""),
    status=st.sampled_from(Status),
    reason=names,
    severity=st.sampled_from(Severity),
    ts=times,
    starts_at=times,
    fired_at=st.none() | times,
    ends_at=st.none() | times,
    labels=st.dictionaries(names, st.text(max_size=40), max_size=4),
    annotations=st.dictionaries(names, st.text(max_size=40) | st.just("iVBORw0KGgo" * 900), max_size=3),
    evidence=st.dictionaries(names, st.floats(), max_size=6),
    config=st.text("0123456789abcdef", max_size=12),
    silenced_by=st.sampled_from(["", "inhibited:camera-down", "muted:night", "grouped"]),
)

faces = st.builds(
    FaceTrack,
    track_id=st.integers(0, 10**6).map("track-{}".format),
    first_ts=times,
    xyxy=st.tuples(*[st.floats(0, 4000)] * 4),
    confidence=shares,
    source_px=st.floats(0, 4000),
    quality=shares,
    reasons=st.lists(st.sampled_from(["small", "blurred"]), max_size=2).map(tuple),
    enhanced=st.booleans(),
    label=st.sampled_from(["unknown", "fear", "happiness"]),
    scores=st.dictionaries(st.sampled_from(["fear", "happiness", "neutral"]), shares),
    intensity=st.none() | shares,
    zones=st.lists(names, max_size=2).map(tuple),
)

observations = st.builds(
    Observation,
    camera_id=names,
    epoch=st.integers(0, 2**53),
    seq=st.integers(0, 2**53),
    ts=times,
    clock=st.sampled_from(Clock),
    faces=st.lists(faces, max_size=3).map(tuple),
    events=st.just(()),
    reused=st.booleans(),
)
