"""`mien analyze`: the chain on one video file, as fast as it can, one JSON object per analysed frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from connectors.video import Recording
from connectors.wire import alert_document, observation_document, to_json
from operators.analyze import Analyzer, CameraState
from operators.records import Alert, Frame, Observation
from pipeline.build import build_analyzer, build_evaluator
from pipeline.config import Settings
from pipeline.evaluation import Evaluation

__all__ = ["Analysed", "analyze"]

BATCH = 8
"""Frames analysed together: their faces are classified in one call."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """What a run over a file came to."""

    frames: int
    faces: int
    unreadable: int
    alerts: int
    seconds: float
