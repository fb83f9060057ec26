"""Tests of pipeline/build.py: what stands in the settings reaches the parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.jsonl import JsonlSink
from connectors.stdout import StdoutSink
from connectors.webhook import WebhookSink
from models.temporal import TemporalHead
from operators.errors import ModelError
from operators.temporal import ExpressionFilter
from pipeline.build import build_analyzer, build_evaluator, build_sinks
from pipeline.config import Settings


def settings(**sections: object) -> Settings:
    whole = {
        "purpose": "a test",
        "cameras": {
            "near": {"url": "a.mp4", "fps": 4, "zones": {"desk": {"polygon": [[0, 0], [1, 0], [1, 1]]}}},
            "quay": {"url": "b.mp4", "fps": 10, "detail": "far"},
        },
        **sections,
    }
    return Settings.model_validate(whole)


def test_the_analysis_sections_are_the_operators() -> None:
    analyzer = build_analyzer(
        settings(
            models={"detector": {"name": "mtcnn", "min_face_size": 33}},
            analysis={"tracker": {"max_age": "7s"}, "quality": {"min_source_px": 15}, "motion": {"enabled": True}},
        )
    )
    assert analyzer.detector.options.min_face_size == 33
    assert analyzer.tracker.max_age == 7
    assert analyzer.gate.min_source_px == 15
    assert analyzer.motion.enabled
    assert analyzer.enhancer is None


def test_each_camera_is_seen_as_configured() -> None:
    views = build_analyzer(settings()).views
    assert sorted(views["near"].zones) == ["desk"]
    assert (views["near"].far, views["quay"].far) == (False, True)


def test_the_rules_know_the_rate_of_each_camera() -> None:
    rules = [{"id": "a", "when": "fear >= 0.6", "for": "3s"}]
    evaluator = build_evaluator(settings(rules=rules))
    assert [rule.id for rule in evaluator.ruleset.rules] == ["a"]
    assert {name: camera.interval for name, camera in evaluator.cameras.items()} == {"near": 0.25, "quay": 0.1}


def test_sinks_come_in_their_order(tmp_path: Path) -> None:
    sections = [
        {"type": "stdout"},
        {"type": "jsonl", "path": str(tmp_path / "alerts.jsonl")},
        {"type": "webhook", "url": "http://127.0.0.1:1/hook"},
    ]
    sinks = build_sinks(settings(sinks=sections))
    assert [type(sink) for sink in sinks] == [StdoutSink, JsonlSink, WebhookSink]
    for sink in sinks:
        sink.close()


def test_a_model_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(ModelError, match="mien models"):
        build_analyzer(settings(models={"detector": {"name": "yunet"}, "mirror": "/no/such/folder"}))


def test_the_enhancer_of_a_local_file_upscales(shared: Path) -> None:
    path = shared / "data" / "weights" / "realesr-animevideov3-x4.onnx"
    analyzer = build_analyzer(
        settings(models={"enhancer": {"path": str(path)}}, analysis={"enhance": {"enabled": True}})
    )
    assert analyzer.enhancer is not None
    assert analyzer.enhancer.scale == 4
    assert analyzer.enhance.enabled


def test_a_temporal_head_takes_the_place_of_the_filter() -> None:
    filtering = {"time_constant": "0.3s", "hold": "4s", "reset_after": "7s"}
    assert build_analyzer(settings(analysis={"temporal": filtering})).temporal == ExpressionFilter(0.3, 4, 7)
    head = build_analyzer(settings(models={"temporal": {}}, analysis={"temporal": filtering})).temporal
    assert isinstance(head, TemporalHead)
    assert (head.options.hold, head.options.reset_after) == (4, 7)


def test_a_temporal_head_of_other_labels_is_refused() -> None:
    models = {"expression": {"name": "expression-fer2013"}, "temporal": {}}
    with pytest.raises(ModelError, match=r"follows neutral, .* expression-fer2013 reads anger, .*: name a head"):
        build_analyzer(settings(models=models))
