"""Settings in, parts out: the one place that knows which class serves which section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from connectors.jsonl import JsonlSettings, JsonlSink
from connectors.sink import Sink
from connectors.stdout import StdoutSink
from connectors.webhook import WebhookSettings, WebhookSink
from models.registry import load
from operators.analyze import Analyzer, CameraView, Stage
from operators.detail import Far
from operators.ports import Detector, Enhancer
from operators.records import Detections, Frame
from operators.rules.evaluator import RuleEvaluator
from pipeline.config import Models, Settings
