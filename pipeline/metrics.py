"""Every metric there is, for Prometheus to read; docs/metrics.md says what each is good for.

What the pipeline already counts is read from its `Status` at each scrape (`READINGS`), never counted a second time.
What only the moment knows, such as how long a stage took, is recorded as it happens (`Metrics`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from threading import Thread
from types import MappingProxyType
from wsgiref.simple_server import WSGIServer

import psutil
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from connectors.mailbox import LATE, STOPPED
from operators.errors import ConfigError
from operators.records import Alert, GapReason
from operators.records import Status as AlertStatus
from pipeline.status import CameraStatus, Status

__all__ = ["READINGS", "STAGES", "Metrics", "Reading", "Server"]

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


STAGES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys((GapReason.FROZEN.value, GapReason.BLACK.value, LATE, STOPPED, "unowned"), "capture"),
        GapReason.OVERLOAD.value: "analysis",
        **dict.fromkeys(("stale", "congested", "unsent", "too_large"), "send"),
    }
)
"""Where frames are dropped, by reason."""

READINGS = (
    Reading(
        "mien_camera_up",
        "1 while the camera is live, 0 while it gives no pictures; told by the process that reads it.",
        ("camera",),
        lambda status: _each(_captured(status), lambda camera: camera.state == "live"),
    ),
    Reading(
        "mien_frames_total",
        "Pictures picked for analysis; a rate below the configured fps: the camera sends too few.",
        ("camera",),
        lambda status: _each(status.cameras, lambda camera: camera.frames),
    ),
    Reading(
        "mien_frames_analysed_total",
        "Frames that became observations, or in `mien capture` that the brokers have; a rate below fps: too slow.",
        ("camera",),
        lambda status: _each(status.cameras, lambda camera: camera.analysed),
    ),
    Reading(
        "mien_frames_dropped_total",
        "Frames that were picked and not analysed, by where and why; rules treat that time as unknown.",
        ("camera", "stage", "reason"),
        lambda status: _drops(status.cameras),
    ),
    Reading(
        "mien_frames_lost_total",
        "Frames that never arrived from the camera, or arrived broken; a steady rate: the network loses packets.",
        ("camera",),
        lambda status: _each(_captured(status), lambda camera: camera.lost),
    ),
    Reading(
        "mien_frame_age_seconds",
        "Now minus the time of the newest analysed frame; absent for files, which have no wall clock.",
        ("camera",),
        lambda status: _each(status.cameras, lambda camera: camera.age_s),
    ),
    Reading(
        "mien_camera_skew_seconds",
        "The camera's clock minus ours; absent where the camera doesn't tell its time.",
        ("camera",),
        lambda status: _each(status.cameras, lambda camera: camera.skew_s),
    ),
    Reading(
        "mien_reconnects_total",
        "Times the camera had to be opened again, by cause; `mien cameras check` explains each.",
        ("camera", "cause"),
        lambda status: (((c.camera_id, cause), n) for c in status.cameras for cause, n in c.reconnects.items()),
    ),
    Reading(
        "mien_records_late_total",
        "Frames that came after their time had passed for the rules of the camera, a group or the site: a clock jumps.",
        ("camera",),
        lambda status: _each(_captured(status), lambda camera: camera.late),
    ),
    Reading(
        "mien_faces",
        "Faces in the newest analysed frame.",
        ("camera",),
        lambda status: _each(status.cameras, lambda camera: camera.faces),
    ),
    Reading(
        "mien_capture_resident_memory_bytes",
        "Memory of the process that reads the camera; pages shared with the main process count in both.",
        ("camera",),
        lambda status: _readers(status.cameras, lambda reader: reader.memory_info().rss),
    ),
    Reading(
        "mien_capture_cpu_seconds_total",
        "CPU time of the process that reads the camera; begins anew with each connection.",
        ("camera",),
        lambda status: _readers(status.cameras, lambda reader: sum(reader.cpu_times()[:2])),
    ),
    Reading(
        "mien_alerts_firing",
        "Alerts that fire now, silenced ones too.",
        (),
        lambda status: [((), status.firing)],
    ),
    Reading(
        "mien_sink_waiting",
        "Alert transitions in the store that the sink doesn't have yet; growth: it is slow or down.",
        ("sink",),
        lambda status: [((sink.name,), sink.waiting) for sink in status.sinks],
    ),
    Reading(
        "mien_sink_up",
        "0 while the sink's last delivery failed; what it misses waits in the store.",
        ("sink",),
        lambda status: [((sink.name,), not sink.error) for sink in status.sinks],
    ),
    Reading(
        "mien_store_up",
        "0 while the store can't be written, and alerts are only held in memory; absent where there is no store.",
        (),
        lambda status: [((), not status.store_error)] if status.store else (),
    ),
    Reading(
        "mien_rules_info",
        "Always 1; the version is that of the rules in force, which every alert carries as `config`.",
        ("version",),
        lambda status: [((status.rules.version,), 1)] if status.rules.version else (),
    ),
    Reading(
        "mien_rules_up",
        "0 while what the rules file holds now is refused, and older rules go on.",
        (),
        lambda status: [((), not status.rules.error)] if status.rules.version else (),
    ),
    Reading(
        "mien_rules_reloads_total",
        "Changes of the rules while running, by result: applied or refused.",
        ("result",),
        lambda status: [(("applied",), status.rules.reloads), (("refused",), status.rules.refused)],
    ),
    Reading(
        "mien_worker_ready",
        "1 once a role of a worker has its partitions, and the rule state in them.",
        ("role",),
        lambda status: [((one.role,), one.ready) for one in status.roles],
    ),
    Reading(
        "mien_worker_partitions",
        "Partitions that are assigned to a role of a worker; 0 on a spare one.",
        ("role",),
        lambda status: [((one.role,), one.partitions) for one in status.roles],
    ),
    Reading(
        "mien_worker_records_total",
        "Records that a role of a worker has worked on: frames, observations or alerts.",
        ("role",),
        lambda status: [((one.role,), one.done) for one in status.roles],
    ),
    Reading(
        "mien_worker_dead_letters_total",
        "Records that a role of a worker could not work on; the topic dead-letters says why.",
        ("role",),
        lambda status: [((one.role,), one.dead) for one in status.roles],
    ),
    Reading(
        "mien_worker_waiting",
        "Records that wait in the brokers for a role of a worker; absent while those don't answer.",
        ("role",),
        lambda status: [((one.role,), one.waiting) for one in status.roles if one.waiting is not None],
    ),
)
"""The metrics that are read from the status."""


class Metrics:
    """The metrics of one pipeline, in a registry of their own. Safe to use from any thread."""

    def __init__(self, *, provider: str = "cpu", clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        # Prometheus sees when a counter begins; a series for each that says so would double them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._begun = ""
        self._readings = _Readings()
        self.registry.register(self._readings)
        self._stages = Histogram(
            "mien_stage_seconds",
            "Wall time of one call of a stage; the largest eats the time between two frames.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self._alerts = Counter(
            "mien_alerts_total",
            "Alert transitions; many broken to few firing: the rule's threshold is in the noise.",
            ["rule", "status", "severity"],
            registry=self.registry,
        )
        self._silenced = Counter(
            "mien_alerts_silenced_total",
            "Alert transitions that were recorded and not sent: inhibited, muted or grouped.",
            ["rule", "cause"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "mien_alert_latency_seconds",
            "From the frame that made a rule fire, so beyond its `for`, to the alert in the store: camera to alert.",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        build = Gauge(
            "mien_build_info",
            "Always 1, while a process of mien answers.",
            ["version", "provider"],
            registry=self.registry,
        )
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
        """Make `status` what the next scrape sees; call it every second or so."""
        self._readings.refresh(status)
        self._begin(status)

    def _begin(self, status: Status) -> None:
        """Count the alerts of new rules from 0: else `increase()` would not see the first one of each."""
        evaluates = not status.roles or any(one.role == "evaluate" for one in status.roles)
        if evaluates and status.rules.version != self._begun:
            self._begun = status.rules.version
            for rule, transition in product(status.rules.rules, AlertStatus):
                self._alerts.labels(rule.id, transition, rule.severity)

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
    """The readings of the latest status, and how old that is."""

    def __init__(self) -> None:
        self._latest = Status(uptime_s=0.0, cameras=()), time.monotonic()

    def refresh(self, status: Status) -> None:
        self._latest = status, time.monotonic()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        status, taken_at = self._latest
        yield GaugeMetricFamily(
            "mien_status_age_seconds",
            "How old what is read from the status is; more than seconds: the process lives and is stuck.",
            time.monotonic() - taken_at,
        )
        for reading in READINGS:
            kind = CounterMetricFamily if reading.name.endswith("_total") else GaugeMetricFamily
            family = kind(reading.name, reading.help, labels=reading.labels)
            for labels, value in reading.samples(status):
                family.add_metric(labels, float(value))
            yield family


def _captured(status: Status) -> Sequence[CameraStatus]:
    """The cameras, in a process that reads them; roles of a worker only know their frames."""
    return () if status.roles else status.cameras


def _each(cameras: Iterable[CameraStatus], value: Callable[[CameraStatus], float | None]) -> Samples:
    for camera in cameras:
        number = value(camera)
        if number is not None:
            yield (camera.camera_id,), number


def _drops(cameras: Iterable[CameraStatus]) -> Samples:
    for camera in cameras:
        for reason, number in camera.drops.items():
            yield (camera.camera_id, STAGES.get(reason, "capture"), reason), number


def _readers(cameras: Iterable[CameraStatus], value: Callable[[psutil.Process], float]) -> Samples:
    """Facts of the processes that read the cameras, as far as they still run."""
    for camera in cameras:
        with suppress(psutil.Error):
            if camera.pid is not None and (reader := psutil.Process(camera.pid)).ppid() == os.getpid():
                yield (camera.camera_id,), value(reader)
