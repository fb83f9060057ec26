"""The analyzer with the real models, on pictures of the built-in scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from connectors.scene import load_figure, render
from models.registry import load
from models.session import Session
from models.temporal import TEMPORAL_OUTPUTS, TemporalHead, TemporalOptions
from operators.analyze import Analyzer, CameraView
from operators.motion import MotionGate
from operators.records import UNKNOWN, Clock, Frame, Observation, Reading, TrackEventKind
from operators.zones import Zone
from tests.networks import temporal_network

NEAR_S, FAR_S, GONE_S = 10.0, 3.0, 21.5
"""Moments of the scene's loop: in front of the camera, at the door, nobody there."""


def frame(name: str, t: float, *, seq: int = 0) -> Frame:
    figure = replace(load_figure(name), phase_s=0.0)
    return Frame(name, 1, seq, 1000 + t, Clock.STREAM, render(figure, t))


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer(detector=load("detector"), classifier=load("expression"))


@pytest.fixture(scope="module")
def walk() -> list[Frame]:
    """Two cameras, half a second each, taking turns."""
    return [frame(name, NEAR_S + n / 8, seq=n) for n in range(4) for name in ("smile", "neutral")]


def main_face(observation: Observation) -> object:
    return max(observation.faces, key=lambda face: face.source_px)


def test_a_smile_and_a_neutral_face_are_read_as_such(analyzer: Analyzer, walk: list[Frame]) -> None:
    _, observations = analyzer.step(None, walk)
    last = {one.camera_id: main_face(one) for one in observations}
    assert last["smile"].label == "happiness"
    assert last["smile"].scores["happiness"] > 0.8
    assert last["neutral"].label == "neutral"
    assert last["smile"].intensity > 0.9
    assert last["neutral"].intensity < 0.4


@pytest.mark.parametrize(("network", "expected"), [(0.25, 0.25), (None, 0.4)], ids=["of the network", "1 - neutral"])
def test_intensity_is_the_networks_where_it_says_one(
    analyzer: Analyzer, network: float | None, expected: float
) -> None:
    class Fixed:
        labels = ("neutral", "happiness")

        def __call__(self, crops: list[np.ndarray], /) -> list[Reading]:
            return [Reading(np.array([0.6, 0.4], np.float32), network) for _ in crops]

    _, (seen,) = replace(analyzer, classifier=Fixed()).step(None, [frame("smile", NEAR_S)])
    assert main_face(seen).intensity == pytest.approx(expected)


def test_one_observation_per_frame_in_their_order(analyzer: Analyzer, walk: list[Frame]) -> None:
    _, observations = analyzer.step(None, walk)
    assert [(one.camera_id, one.epoch, one.seq, one.ts) for one in observations] == [
        (one.camera_id, one.epoch, one.seq, one.ts) for one in walk
    ]


def test_batches_of_any_size_see_the_same(analyzer: Analyzer, walk: list[Frame]) -> None:
    _, together = analyzer.step(None, walk)
    states, one_by_one = None, []
    for one in walk:
        states, seen = analyzer.step(states, [one])
        one_by_one += seen
    for a, b in zip(together, one_by_one, strict=True):
        assert [face.track_id for face in a.faces] == [face.track_id for face in b.faces]
        for left, right in zip(a.faces, b.faces, strict=True):
            assert left.label == right.label
            assert left.scores == pytest.approx(right.scores, abs=1e-4)


def test_a_learned_head_sees_the_same_in_batches_of_any_size(analyzer: Analyzer, walk: list[Frame]) -> None:
    labels = analyzer.classifier.labels
    session = Session(temporal_network(len(labels)), threads=1, outputs=TEMPORAL_OUTPUTS)
    learned = replace(analyzer, temporal=TemporalHead(session, labels, TemporalOptions()))
    _, together = learned.step(None, walk)
    for cut in (1, 3):
        states, first = learned.step(None, walk[:cut])
        kept = {name: dict(state.filters) for name, state in states.items()}
        _, rest = learned.step(states, walk[cut:])
        assert first + rest == together
        assert kept == {name: dict(state.filters) for name, state in states.items()}
    assert {main_face(one).label for one in together} == {"happiness", "neutral"}


def test_the_state_passed_in_is_not_changed(analyzer: Analyzer, walk: list[Frame]) -> None:
    states, _ = analyzer.step(None, walk[:4])
    before = {camera: (sorted(state.filters), state.last) for camera, state in states.items()}
    analyzer.step(states, walk[4:])
    assert {camera: (sorted(state.filters), state.last) for camera, state in states.items()} == before


def test_an_empty_scene_gives_an_observation_without_faces(analyzer: Analyzer) -> None:
    _, (seen,) = analyzer.step(None, [frame("smile", GONE_S)])
    assert seen.faces == ()


def test_a_face_too_far_away_is_unknown_and_says_why(analyzer: Analyzer) -> None:
    strict = replace(analyzer, gate=replace(analyzer.gate, min_source_px=60, low_source_px=70, good_source_px=80))
    figure = frame("smile", 7.0)
    _, (seen,) = strict.step(None, [figure])
    face = main_face(seen)
    assert (face.label, face.scores, face.intensity) == (UNKNOWN, {}, None)
    assert "small" in face.reasons


def test_what_does_not_move_is_not_looked_at_again(analyzer: Analyzer) -> None:
    calls = []

    def counting(image: np.ndarray) -> object:
        calls.append(1)
        return analyzer.detector(image)

    gated = replace(analyzer, detector=counting, motion=MotionGate(enabled=True, floor=1.0))
    still = frame("smile", NEAR_S)
    states, (first,) = gated.step(None, [still])
    states, (second,) = gated.step(states, [replace_time(still, 0.2, seq=1)])
    assert len(calls) == 1
    assert second.reused
    assert second.faces == first.faces
    assert second.events == ()
    states, (third,) = gated.step(states, [replace_time(still, 1.3, seq=2)])
    assert len(calls) == 2, "the floor rate looks at least once a second"
    assert [face.track_id for face in third.faces] == [face.track_id for face in first.faces]


def replace_time(still: Frame, later_s: float, *, seq: int) -> Frame:
    return replace(still, ts=still.ts + later_s, seq=seq)


def test_faces_know_their_zones(analyzer: Analyzer) -> None:
    whole = Zone(((0, 0), (1, 0), (1, 1), (0, 1)))
    corner = Zone(((0, 0.9), (0.1, 0.9), (0.1, 1.0)))
    zoned = replace(analyzer, views={"smile": CameraView(zones={"room": whole, "corner": corner})})
    _, (seen,) = zoned.step(None, [frame("smile", NEAR_S)])
    assert main_face(seen).zones == ("room",)


def test_tracks_start_end_and_never_share_an_id_between_cameras(analyzer: Analyzer) -> None:
    states, first = analyzer.step(None, [frame("smile", NEAR_S), frame("neutral", NEAR_S)])
    ids = [event.track_id for one in first for event in one.events if event.kind is TrackEventKind.START]
    assert len(ids) == len(set(ids)) >= 2
    later = [replace(frame("smile", GONE_S, seq=n), ts=1011 + n) for n in range(1, 5)]
    states, rest = analyzer.step(states, later)
    ended = {event.track_id for one in rest for event in one.events if event.kind is TrackEventKind.ENDED}
    assert ended == {event.track_id for event in first[0].events}
    assert states["smile"].filters == {}
