"""Rules over a recording, in event time: the same operators as live, the same alerts every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.recording import Manifest
from operators.records import Alert, Gap, Observation
from operators.rules import RuleEvaluator, RuleSet
from pipeline.evaluation import Evaluation

__all__ = ["evaluator_for", "replay"]


def evaluator_for(ruleset: RuleSet, manifest: Manifest) -> RuleEvaluator:
    """The rules, with what they must know of the recorded cameras."""
    cameras = manifest.cameras
    return RuleEvaluator(ruleset.rules, interval={name: 1 / camera.fps for name, camera in cameras.items()})


def replay(evaluator: RuleEvaluator, records: Iterable[Observation | Gap]) -> Iterator[Alert]:
    """Every transition, in the order of the records; at their end, time runs out for all that waits."""
    evaluation = Evaluation(evaluator)
    for record in records:
        yield from evaluation.feed((record,))
    yield from evaluation.flush()
