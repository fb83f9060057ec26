"""The dashboard about the machines: do they keep up, what was missed and why."""

from __future__ import annotations

from connectors.elastic_templates import Index
from operators.records import GapReason
from pipeline.dashboards.layout import CAMERAS, dashboard
from pipeline.dashboards.panels import by, names, states, table, time_series, timeline
from pipeline.dashboards.queries import CAMERA, WHOLE, Json, each, lucene, over_time, terms
from pipeline.recorder import DECISION

__all__ = ["health"]

UP = states((0, "failing", "red"), (1, "works", "green"))


def health() -> Json:
    """Whether the machine keeps up."""
    camera = lucene(Index.HEALTH, "mien.kind:camera", CAMERA)
    stage = lucene(Index.HEALTH, "mien.kind:stage")
    queue, sink = (lucene(Index.HEALTH, f"mien.kind:{kind}") for kind in ("queue", "sink"))
    total = lucene(Index.HEALTH, "mien.kind:stage", f"mien.stage:{DECISION}")
    whole = lucene(Index.METRICS, WHOLE, CAMERA)
    return dashboard(
        "mien-pipeline",
        "mien: pipeline",
        "Whether the machines keep up: frames in and out, what was missed and why, latency, and what waits.",
        variables=[CAMERAS],
        rows=[
            [
                time_series(
                    "Frames in and out",
                    over_time(camera, [("avg", "mien.fps.in")], group="observer.name", alias="{{observer.name}} sent"),
                    over_time(
                        camera, [("avg", "mien.fps.out")], group="observer.name", alias="{{observer.name}} analysed"
                    ),
                    says="Frames per second that a camera sends, and that are analysed: no more than its `fps`. "
                    "Those that should have been and were not are the frames dropped.",
                ),
                time_series(
                    "Seconds missed, by reason",
                    over_time(whole, [("sum", f"mien.gap_s.{reason}") for reason in GapReason], alias="{{field}}"),
                    says="Time of which nothing is known, over all cameras that are chosen.",
                    unit="s",
                    bars=True,
                    stack="normal",
                    steps=[names(r".*\.(.*)")],
                ),
            ],
            [
                time_series(
                    "Frames dropped, by reason",
                    each(lucene(Index.HEALTH, "mien.kind:drop", CAMERA), [("sum", "mien.count")], "mien.reason"),
                    says="Frames that were captured and not analysed.",
                    bars=True,
                    stack="normal",
                    unit="none",
                ),
                time_series(
                    "Age of the newest result",
                    each(camera, [("max", "mien.age_s")], "observer.name"),
                    says="Now minus the time of the newest frame that was looked at.",
                    unit="s",
                ),
            ],
            [
                time_series(
                    "From camera to decision",
                    over_time(total, [("max", "mien.latency.p50")], alias="p50"),
                    over_time(total, [("max", "mien.latency.p95")], alias="p95"),
                    over_time(total, [("max", "mien.latency.p99")], alias="p99"),
                    says="From when a frame was taken to when the rules had seen it.",
                    unit="s",
                ),
                time_series(
                    "95 % of the calls of each stage take less than",
                    each(stage, [("max", "mien.latency.p95")], "mien.stage"),
                    says="Wall time of one call; `decision` is from camera to decision.",
                    unit="s",
                ),
            ],
            [
                table(
                    "Latency of each stage",
                    terms(
                        stage,
                        [
                            ("avg", "mien.latency.p50"),
                            ("avg", "mien.latency.p95"),
                            ("max", "mien.latency.p99"),
                            ("sum", "mien.count"),
                        ],
                        group=("mien.stage",),
                    ),
                    columns={
                        "mien.stage": "Stage",
                        "Average mien.latency.p50": "p50",
                        "Average mien.latency.p95": "p95",
                        "Max": "p99",
                        "Sum": "Calls",
                    },
                    says="Over the time range: means of p50 and p95, the highest p99, and how often it ran.",
                    unit="s",
                    overrides=[by("byName", "Calls", {"unit": "short"})],
                ),
                time_series(
                    "Calls of each stage",
                    each(stage, [("sum", "mien.count")], "mien.stage"),
                    says="How often each stage ran.",
                    unit="none",
                ),
            ],
            [
                time_series(
                    "What waits, and how long",
                    each(queue, [("max", "mien.age_s")], "mien.queue"),
                    says="How long the oldest record had waited when each role of the workers came to it.",
                    unit="s",
                ),
                time_series(
                    "Records that wait",
                    each(queue, [("max", "mien.waiting")], "mien.queue"),
                    over_time(
                        sink,
                        [("max", "mien.waiting")],
                        group="mien.sink",
                        alias="to {{mien.sink}}",
                    ),
                    says="Records that wait for each role of the workers, and alert transitions that wait for a sink.",
                    unit="none",
                ),
            ],
            [
                timeline(
                    "Sinks",
                    each(sink, [("min", "mien.up")], "mien.sink"),
                    says="Red while the last delivery to a sink failed; alerts wait on disk meanwhile.",
                    width=8,
                    defaults=UP,
                ),
                time_series(
                    "Frames lost or late",
                    over_time(camera, [("sum", "mien.frames.lost")], alias="lost"),
                    over_time(camera, [("sum", "mien.frames.late")], alias="late"),
                    over_time(camera, [("sum", "mien.camera.reconnects")], alias="reconnects"),
                    says="Lost: never arrived or arrived broken. Late: their time had passed for the rules. "
                    "Reconnects: times a camera had to be opened again.",
                    width=8,
                    bars=True,
                    unit="none",
                ),
                time_series(
                    "Camera clock minus ours",
                    each(camera, [("avg", "mien.camera.skew_s")], "observer.name"),
                    says="Only of cameras that tell their time.",
                    width=8,
                    unit="s",
                    from_zero=False,
                ),
            ],
        ],
    )
