"""Settings in, parts out: the one place that knows which class serves which section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from connectors.jsonl import JsonlSettings, JsonlSink
from connectors.sink import Sink
from connectors.stdout import StdoutSettings, StdoutSink
from connectors.webhook import WebhookSettings, WebhookSink
from models.registry import load
from models.temporal import TemporalHead
from operators.analyze import Analyzer, CameraView, Stage, untimed
from operators.detail import Tiled
from operators.errors import ModelError
from operators.ports import Classifier, Detector, TemporalModel
from operators.records import Detections, Frame
from operators.rules import RuleEvaluator, Watched
from pipeline.config import Settings
from pipeline.sections import Camera, ExpressionModel

if TYPE_CHECKING:
    from pipeline.telemetry import Telemetry

__all__ = ["build_analyzer", "build_evaluator", "build_sinks", "build_telemetry"]

Each = Callable[[Callable[[Frame], Detections], Iterable[Frame]], Iterable[Detections]]


def build_analyzer(
    settings: Settings, *, views: Mapping[str, CameraView] | None = None, stage: Stage = untimed, each: Each = map
) -> Analyzer:
    """The stages with their models; `views` stand in for those of the configured cameras. Raises ModelError."""
    models, analysis = settings.models, settings.analysis
    get: Callable[..., Any] = partial(load, device=models.device, threads=models.threads, mirror=models.mirror)
    options = {} if models.detector.min_face_size is None else {"min_face_size": models.detector.min_face_size}
    detector: Detector = get(models.detector.name, **options)
    classifier: Classifier = get(models.expression.name, path=models.expression.path, **_told(models.expression))
    return Analyzer(
        detector=detector,
        far_detector=Tiled(detector),
        classifier=classifier,
        enhancer=None if models.enhancer is None else get(models.enhancer.name, path=models.enhancer.path),
        views=views if views is not None else {name: camera_view(camera) for name, camera in settings.cameras.items()},
        motion=analysis.motion,
        tracker=analysis.tracker,
        gate=analysis.quality,
        illumination=analysis.illumination,
        enhance=analysis.enhance,
        temporal=_temporal(settings, get, classifier),
        each=each,
        stage=stage,
    )


def _told(section: ExpressionModel) -> dict[str, Any]:
    """What the configuration says in place of the registry."""
    said = {"site": section.site, "temperature": section.temperature}
    return {key: value for key, value in said.items() if value}


def _temporal(settings: Settings, get: Callable[..., Any], classifier: Classifier) -> TemporalModel[Any]:
    """The filter, or the head that takes its place, which has to know what the classifier says."""
    chosen, filtering = settings.models.temporal, settings.analysis.temporal
    if chosen is None:
        return filtering
    head: TemporalHead = get(chosen.name, path=chosen.path, hold=filtering.hold, reset_after=filtering.reset_after)
    if head.labels != classifier.labels:
        raise ModelError(
            f"models.temporal {chosen.name} follows {', '.join(head.labels)}, but models.expression "
            f"{settings.models.expression.name} reads {', '.join(classifier.labels)}: name a head for that network"
        )
    return head


def camera_view(camera: Camera) -> CameraView:
    """What the analysis must know of a camera."""
    return CameraView(zones=camera.zones, far=camera.detail == "far")


def build_evaluator(settings: Settings, *, fps: Mapping[str, float] | None = None) -> RuleEvaluator:
    """The rules, with the analysis rate of each camera (or `fps` by camera id) for the default of `max_gap`."""
    cameras = {
        name: Watched(interval=1 / (fps or {}).get(name, camera.fps), zones=tuple(camera.zones))
        for name, camera in settings.active_cameras.items()
    }
    cameras |= {name: Watched(interval=1 / rate) for name, rate in (fps or {}).items() if name not in cameras}
    return RuleEvaluator(settings.rule_set, cameras=cameras)


def build_sinks(settings: Settings) -> list[Sink]:
    """The configured sinks, in their order, and Elasticsearch."""
    sinks = [_sink(section) for section in settings.sinks]
    if settings.elasticsearch is not None:
        from connectors.elastic_sink import ElasticSink  # noqa: PLC0415 -- its package is an extra

        sinks.append(ElasticSink(settings.elasticsearch))
    return sinks


def build_telemetry(settings: Settings, *, role: str) -> Telemetry | None:
    """What tells Elasticsearch about cameras and this process; None without Elasticsearch."""
    if settings.elasticsearch is None:
        return None
    from pipeline.telemetry import Telemetry  # noqa: PLC0415 -- as above

    return Telemetry(settings, settings.elasticsearch, role=role)


def _sink(section: StdoutSettings | JsonlSettings | WebhookSettings) -> Sink:
    match section:
        case StdoutSettings():
            return StdoutSink(section)
        case JsonlSettings():
            return JsonlSink(section)
        case WebhookSettings():
            return WebhookSink(section)
