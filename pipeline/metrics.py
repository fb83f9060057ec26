"""Every metric there is, for Prometheus to read; docs/metrics.md says what each is good for.

What the pipeline already counts is read from its `Status` at each scrape (`READINGS`), never counted a second time.
What only the moment knows, such as how long a stage took, is recorded as it happens (`Metrics`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from operators.errors import ConfigError
from operators.records import Alert
from operators.records import Status as AlertStatus
from pipeline.status import CameraStatus, Status

__all__ = ["READINGS", "Metrics", "Reading", "Server"]

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the value."""

STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LATENCY_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
LONGEST_LATENCY_S = 3600.0
"""Beyond this the time of the alert is no wall clock: a file counts from 0, a camera's clock may be wrong."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric that is read from the status; a counter where `name` ends in `_total`, else a gauge."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Status], Samples]


READINGS = (
    Reading(
        "mien_frames_total",
        "Pictures picked for analysis.",
        ("camera",),
        lambda status: _each(status, lambda camera: camera.frames),
    ),
    Reading(
        "mien_frames_analysed_total",
        "Frames that became observations; in `mien capture` those that the brokers have.",
        ("camera",),
        lambda status: _each(status, lambda camera: camera.analysed),
    ),
    Reading(
        "mien_frames_dropped_total",
        "Frames that were not analysed or, in `mien capture`, not sent, by reason.",
        ("camera", "reason"),
        lambda status: _split(status, lambda camera: camera.drops),
    ),
    Reading(
        "mien_frames_lost_total",
        "Frames that never arrived from the camera, or arrived broken.",
        ("camera",),
        lambda status: _each(status, lambda camera: camera.lost),
    ),
    Reading(
        "mien_records_late_total",
        "Frames whose time had already passed for the rules.",
        ("camera",),
        lambda status: _each(status, lambda camera: camera.late),
    ),
    Reading(
        "mien_camera_skew_seconds",
        "The camera's clock minus ours; absent where the camera doesn't tell its time.",
        ("camera",),
        lambda status: _each(status, lambda camera: camera.skew_s),
    ),
    Reading(
        "mien_reconnects_total",
        "Times the camera had to be opened again, by cause.",
        ("camera", "cause"),
        lambda status: _split(status, lambda camera: camera.reconnects),
    ),
    Reading(
        "mien_camera_up",
        "1 while the camera is live.",
        ("camera",),
        lambda status: _each(status, lambda camera: camera.state == "live"),
    ),
    Reading(
        "mien_frame_age_seconds",
        "Now minus the time of the newest analysed frame; absent for files.",
        ("camera",),
        lambda status: _each(status, lambda camera: camera.age_s),
    ),
    Reading(
        "mien_faces",
        "Faces in the newest analysed frame.",
        ("camera",),
        lambda status: _each(status, lambda camera: camera.faces),
    ),
    Reading("mien_alerts_firing", "Alerts that fire now.", (), lambda status: [((), status.firing)]),
    Reading(
        "mien_sink_waiting",
        "Alert transitions in the store that the sink doesn't have yet.",
        ("sink",),
        lambda status: [((sink.name,), sink.waiting) for sink in status.sinks],
    ),
    Reading(
        "mien_sink_up",
        "0 while the sink's last delivery failed.",
        ("sink",),
        lambda status: [((sink.name,), not sink.error) for sink in status.sinks],
    ),
    Reading(
        "mien_store_up",
        "0 while the store can't be written, and alerts are only held in memory.",
        (),
        lambda status: [((), not status.store_error)],
    ),
    Reading(
        "mien_rules_info",
        "Always 1; the version is that of the rules in force.",
        ("version",),
        lambda status: [((status.rules.version,), 1)],
    ),
    Reading(
        "mien_rules_up",
        "0 while what the rules file holds now is refused, and older rules go on.",
        (),
        lambda status: [((), not status.rules.error)],
    ),
    Reading(
        "mien_rules_reload_total",
        "Changes of the rules while running, by result.",
        ("result",),
        lambda status: [(("applied",), status.rules.reloads), (("refused",), status.rules.refused)],
    ),
    Reading(
        "mien_worker_ready",
        "1 once a role of a worker has its partitions and their state.",
        ("role",),
        lambda status: [((one.role,), one.ready) for one in status.roles],
    ),
    Reading(
        "mien_worker_partitions",
        "Partitions that are assigned to a role of a worker.",
        ("role",),
        lambda status: [((one.role,), one.partitions) for one in status.roles],
    ),
    Reading(
        "mien_worker_records_total",
        "Records that a role of a worker has worked on.",
        ("role",),
        lambda status: [((one.role,), one.done) for one in status.roles],
    ),
    Reading(
        "mien_worker_dead_letters_total",
        "Records that a role of a worker could not work on.",
        ("role",),
        lambda status: [((one.role,), one.dead) for one in status.roles],
    ),
    Reading(
        "mien_worker_waiting",
        "Records that wait in the brokers for a role of a worker.",
        ("role",),
        lambda status: [((one.role,), one.waiting) for one in status.roles if one.waiting is not None],
    ),
    Reading("mien_uptime_seconds", "Time since the start.", (), lambda status: [((), status.uptime_s)]),
)
"""The metrics that are read from the status."""


class Metrics:
    """The metrics of one pipeline, in a registry of their own. Safe to use from any thread."""

    def __init__(self, *, provider: str = "cpu", clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._readings = _Readings()
        self.registry.register(self._readings)
        self._stages = Histogram(
            "mien_stage_seconds",
            "Wall time of one call of a stage.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self._alerts = Counter(
            "mien_alerts_total",
            "Alert transitions by rule, status and severity.",
            ["rule", "status", "severity"],
            registry=self.registry,
        )
        self._silenced = Counter(
            "mien_alerts_silenced_total",
            "Alert transitions that were recorded and not sent, by rule and cause.",
            ["rule", "cause"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "mien_alert_latency_seconds",
            "From the frame that made a rule fire, so beyond its `for`, to the alert in the store.",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        build = Gauge("mien_build_info", "Always 1.", ["version", "provider"], registry=self.registry)
        build.labels(version("mien"), provider).set(1)
        ProcessCollector(registry=self.registry)

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Note how long one call of a stage took."""
        self._stages.labels(stage).observe(seconds)

    def count_alert(self, alert: Alert) -> None:
        """Count one transition, and how late it is where it fires and its time is a wall clock's."""
        self._alerts.labels(alert.rule, alert.status, alert.severity).inc()
        if alert.silenced_by:
            self._silenced.labels(alert.rule, alert.silenced_by.partition(":")[0]).inc()
        late = self._clock() - alert.ts
        if alert.status is AlertStatus.FIRING and late < LONGEST_LATENCY_S:
            self._latency.observe(max(late, 0.0))

    def refresh(self, status: Status) -> None:
        """Make `status` what the next scrape sees."""
        self._readings.status = status

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> Server:
        """Answer scrapes until the server is stopped; port 0 takes any free one. Raises ConfigError where it can't."""
        try:
            server, thread = start_http_server(port, host, registry=self.registry)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"expected to serve metrics on {host}:{port}, got {error}: set metrics.port to a free port "
                "(0 takes any) or metrics.host to an address of this machine"
            ) from error
        return Server(server, thread)


@dataclass(frozen=True, slots=True)
class Server:
    """A running metrics server."""

    http: WSGIServer
    thread: Thread

    @property
    def port(self) -> int:
        """The port it answers on."""
        return int(self.http.server_port)

    def stop(self) -> None:
        """Finish the scrape in progress and give the port back."""
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class _Readings(Collector):
    """The readings of the latest status."""

    def __init__(self) -> None:
        self.status = Status(uptime_s=0.0, cameras=())

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        status = self.status
        for reading in READINGS:
            kind = CounterMetricFamily if reading.name.endswith("_total") else GaugeMetricFamily
            family = kind(reading.name, reading.help, labels=reading.labels)
            for labels, value in reading.samples(status):
                family.add_metric(labels, float(value))
            yield family


def _each(status: Status, value: Callable[[CameraStatus], float | None]) -> Samples:
    for camera in status.cameras:
        number = value(camera)
        if number is not None:
            yield (camera.camera_id,), number


def _split(status: Status, values: Callable[[CameraStatus], Mapping[str, int]]) -> Samples:
    for camera in status.cameras:
        for name, number in values(camera).items():
            yield (camera.camera_id, name), number
