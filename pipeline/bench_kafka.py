"""`mien bench kafka`: what Kafka costs. Frames through capture, and alerts through both runtimes, in one run.

The same cameras, rules and sink run once as `mien run` and once as `mien capture` and `mien worker --role all`, each in
processes of their own, as a user starts them. The latency is taken outside of both: from the time of the frame that
made a rule fire, so beyond its `for`, to the moment a webhook has the alert.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, cycle
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import psutil

from connectors.kafka_admin import apply_topics, delete_topics
from connectors.kafka_client import hush
from connectors.kafka_producer import FrameProducer
from connectors.kafka_settings import KafkaSettings
from connectors.scene import LOOP_S, load_figure, render
from operators.errors import SinkError
from operators.records import Clock, Frame, Image
from pipeline.bench import Bench, context, transcode

__all__ = ["KafkaBench", "Latency", "Throughput", "as_document", "measure_latency", "measure_throughput", "scene_clip"]

Runtime = Literal["local", "kafka"]
Tell = Callable[[str], None]

RULES = tuple(round(0.5 + 0.25 * number, 2) for number in range(16))
"""`for` of the rules in seconds: spread out, so that the alerts of one face don't all come at once."""
PATIENCE_S = 120.0
"""How long the processes may take to start and to find the first happy face."""
IN_HAND = 2
"""Frames of a camera that wait when throughput is measured: more only wait longer."""
KEPT_PICTURES = 60
STOP_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaBench:
    """What is measured: `cameras` copies of `clip` at `width` x `height` and `fps`, for `seconds` after a warm-up."""

    clip: Path
    bootstrap: str
    cameras: int = 1
    width: int = 640
    height: int = 360
    fps: float = 5.0
    seconds: float = 30.0
    warm_up_s: float = 8.0
    detector: str = "mtcnn"
    mirror: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """As many frames as capture gets to the broker; times in ms from handing over to the acknowledgement."""

    cameras: int
    frames_per_s: float
    mb_per_s: float
    kb_per_frame: float
    cores: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One runtime: from frame to alert, beyond `for`. `cores` and `peak_mb` are of mien's processes, not the broker."""

    runtime: Runtime
    cameras: int
    alerts: int
    fps_analysed: float
    dropped: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cores: float
    peak_mb: float


def scene_clip(folder: Path, *, fps: int) -> Path:
    """The built-in scene as a video, for who has no clip with faces."""
    path, figure = folder / "scene.mp4", load_figure("smile")
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number in range(round(LOOP_S * fps)):
            frame = av.VideoFrame.from_ndarray(render(figure, number / fps), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    return path


def measure_throughput(bench: KafkaBench, *, tell: Tell = lambda _: None) -> Throughput:
    """Encode and send pictures of all cameras as fast as the broker takes them; raises SinkError without a broker."""
    cameras = [f"cam-{number:02}" for number in range(1, bench.cameras + 1)]
    pictures = _pictures(bench)
    acknowledged: list[float] = []

    def observe(stage: str, seconds: float) -> None:
        if stage == "send":
            acknowledged.append(seconds)

    with _topics(bench) as settings, FrameProducer(settings, cameras, stale_after=60.0, observe=observe) as producer:
        over = threading.Event()
        feeders = [threading.Thread(target=_feed, args=(producer, name, pictures, over)) for name in cameras]
        for feeder in feeders:
            feeder.start()
        try:
            _pass(1.0, "sending", tell)
            acknowledged.clear()
            before, cpu, started = producer.status(), time.process_time(), time.monotonic()
            _pass(bench.seconds, f"sending frames of {bench.cameras} cameras", tell)
            after, cores, seconds = producer.status(), time.process_time() - cpu, time.monotonic() - started
            times = np.array(acknowledged)
        finally:
            over.set()
            for feeder in feeders:
                feeder.join()
    frames = sum(after[name].sent - before[name].sent for name in cameras)
    sent_bytes = sum(after[name].sent_bytes - before[name].sent_bytes for name in cameras)
    p50, p95, p99 = _percentiles(times)
    return Throughput(
        cameras=bench.cameras,
        frames_per_s=frames / seconds,
        mb_per_s=sent_bytes / seconds / 1e6,
        kb_per_frame=sent_bytes / max(frames, 1) / 1e3,
        cores=cores / seconds,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
    )


def measure_latency(bench: KafkaBench, runtime: Runtime, *, tell: Tell = lambda _: None) -> Latency:
    """Run one runtime and time its alerts; raises SinkError where it ends early.

    On a machine that is overloaded nothing may fire: then there are no alerts, and NaN for the times.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mien-bench-")))
        clip = folder / "clip.mp4"
        tell(f"preparing the clip at {bench.width}x{bench.height}, {bench.fps:g} fps")
        transcode(bench.clip, clip, Bench(clip=bench.clip, width=bench.width, height=bench.height, fps=bench.fps))
        settings = stack.enter_context(_topics(bench)) if runtime == "kafka" else None
        hook = stack.enter_context(_hook())
        data = _config(bench, clip, folder, hook, settings)
        commands = [["run", "--plain"]] if runtime == "local" else [["capture"], ["worker", "--role", "all"]]
        processes = [stack.enter_context(_mien(command, data, folder)) for command in commands]
        _first_alert(hook, processes, tell)
        _pass(bench.warm_up_s, f"{runtime}: warming up", tell)
        hook.late_s.clear()
        before, started = _figures(processes), time.monotonic()
        peak = _pass(bench.seconds, f"{runtime}: measuring {bench.cameras} cameras", tell, processes)
        after, seconds = _figures(processes), time.monotonic() - started
        late = np.array(hook.late_s)
    p50, p95, p99 = _percentiles(late)
    return Latency(
        runtime=runtime,
        cameras=bench.cameras,
        alerts=len(late),
        fps_analysed=(after.analysed - before.analysed) / seconds,
        dropped=round(after.dropped - before.dropped),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        cores=(after.cpu_s - before.cpu_s) / seconds,
        peak_mb=peak,
    )


def as_document(throughput: Sequence[Throughput], latency: Sequence[Latency], bench: KafkaBench) -> dict[str, Any]:
    """What `--json` writes: the figures with machine, load, commit and input."""
    return {
        **context(bench.clip),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "cameras_are": f"{bench.width}x{bench.height} at {bench.fps:g} fps, detector {bench.detector}",
        "throughput": [_figures_of(one) for one in throughput],
        "latency": [_figures_of(one) for one in latency],
    }


def _figures_of(one: Throughput | Latency) -> dict[str, Any]:
    """The fields, with null for what could not be measured: JSON has no NaN."""
    return {name: None if value != value else value for name, value in asdict(one).items()}  # noqa: PLR0124


@contextmanager
def _topics(bench: KafkaBench) -> Iterator[KafkaSettings]:
    """Topics of this measurement alone."""
    hush()
    settings = KafkaSettings(
        bootstrap=(bench.bootstrap,), prefix=f"mien-bench-{uuid.uuid4().hex[:8]}", partitions=2 * bench.cameras
    )
    apply_topics(settings)
    try:
        yield settings
    finally:
        delete_topics(settings)


def _pictures(bench: KafkaBench) -> list[Image]:
    with av.open(str(bench.clip)) as reader:
        decoded = (frame.reformat(bench.width, bench.height, "rgb24") for frame in reader.decode(video=0))
        return [frame.to_ndarray() for frame, _ in zip(decoded, range(KEPT_PICTURES), strict=False)]


def _feed(producer: FrameProducer, camera: str, pictures: Sequence[Image], over: threading.Event) -> None:
    for seq, image in zip(count(), cycle(pictures), strict=False):
        while producer.status()[camera].waiting >= IN_HAND and not over.is_set():
            time.sleep(0.001)
        if over.is_set():
            return
        producer.put(Frame(camera, 1, seq, time.time(), Clock.RECEIVE, image))


def _pass(seconds: float, doing: str, tell: Tell, processes: Sequence[_Process] = ()) -> float:
    """Let time go by; returns the peak memory in MB of the processes, which must not end."""
    peak, ends_at = 0.0, time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0:
        tell(f"{doing}: {left:.0f} s left")
        peak = max(peak, sum(process.memory_mb() for process in processes))
        time.sleep(min(left, 1.0))
    return peak


def _percentiles(seconds: np.ndarray) -> tuple[float, float, float]:
    """p50, p95 and p99 in ms."""
    p50, p95, p99 = np.percentile(seconds, (50, 95, 99)) * 1000 if len(seconds) else (np.nan,) * 3
    return float(p50), float(p95), float(p99)


@dataclass(frozen=True, slots=True)
class _Figures:
    """Counters at one moment; the difference of two is a measurement."""

    cpu_s: float
    analysed: float
    dropped: float


@dataclass(slots=True)
class _Process:
    """One mien with its own children, and where it tells its metrics."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    _cpu_s: dict[int, float] = field(default_factory=dict)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    def cpu_s(self) -> float:
        """CPU seconds of all its processes so far, of those that have ended up to when they were last looked at."""
        for one in self._alive():
            with suppress(psutil.NoSuchProcess):
                self._cpu_s[one.pid] = sum(one.cpu_times()[:2])
        return sum(self._cpu_s.values())

    def memory_mb(self) -> float:
        """What its processes hold now, shared pages shared out."""
        held = 0.0
        for one in self._alive():
            with suppress(psutil.NoSuchProcess):
                held += one.memory_full_info().pss / 1e6
        return held

    def _alive(self) -> list[psutil.Process]:
        """Itself and its children; SinkError when it has ended."""
        if self.process.poll() is not None:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
            raise SinkError(f"{self.name} ended with status {self.process.returncode}:\n{last}", retryable=False)
        here = psutil.Process(self.process.pid)
        return [here, *here.children(recursive=True)]


def _figures(processes: Sequence[_Process]) -> _Figures:
    return _Figures(
        cpu_s=sum(process.cpu_s() for process in processes),
        analysed=processes[-1].metric("mien_frames_analysed_total"),
        dropped=sum(process.metric("mien_frames_dropped_total") for process in processes),
    )


@contextmanager
def _mien(command: Sequence[str], data: Mapping[str, Any], folder: Path) -> Iterator[_Process]:
    """A running mien command."""
    name, port = f"mien {' '.join(command)}", _free_port()
    config, log = folder / f"{command[0]}.yaml", folder / f"{command[0]}.log"
    listening = {"metrics": {"port": port}} if command[0] == "run" else {"worker": {"port": port}}
    config.write_text(json.dumps({**data, **listening}), encoding="utf-8")  # JSON is YAML
    code = "from pipeline.cli import main; raise SystemExit(main())"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - nothing from outside is in the command
            [sys.executable, "-c", code, *command, "-c", str(config)], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield _Process(name, process, port, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _config(bench: KafkaBench, clip: Path, folder: Path, hook: _Hook, kafka: KafkaSettings | None) -> dict[str, Any]:
    """What both runtimes are to do."""
    camera = {"url": str(clip), "fps": bench.fps, "loop": True}
    models: dict[str, Any] = {"detector": {"name": bench.detector}}
    if bench.mirror is not None:
        models["mirror"] = str(bench.mirror)
    happy = {
        "when": {"prob": "happiness", "enter": 0.5, "exit": 0.3},
        "scope": "camera",
        "cooldown": "1s",
        # A machine that is overloaded reads few pictures of each camera.
        "max_gap": "2s",
        "max_dip": "1s",
        "min_coverage": 0.1,
        "min_samples": 2,
    }
    data: dict[str, Any] = {
        "version": 1,
        "purpose": "benchmark on a recorded clip",
        "cameras": {f"cam-{number:02}": camera for number in range(1, bench.cameras + 1)},
        "models": models,
        "rule_defaults": happy,
        "rules": [{"id": f"after-{number}", "for": f"{seconds:g}s"} for number, seconds in enumerate(RULES)],
        "store": {"path": str(folder / "bench.sqlite")},
        "sinks": [{"type": "webhook", "url": hook.url}],
    }
    if kafka is not None:
        brokers = {"bootstrap": list(kafka.bootstrap), "prefix": kafka.prefix, "partitions": kafka.partitions}
        data["kafka"] = brokers
    return data


def _first_alert(hook: _Hook, processes: Sequence[_Process], tell: Tell) -> None:
    """Wait until the whole way from the cameras to the webhook works, but not for ever."""
    ends_at = time.monotonic() + PATIENCE_S
    while not hook.late_s and time.monotonic() < ends_at:
        _pass(1.0, "waiting for the first alert", tell, processes)


@dataclass(slots=True)
class _Hook:
    """A webhook that notes how late each alert is that fires."""

    url: str = ""
    late_s: list[float] = field(default_factory=list)

    def note(self, body: bytes) -> None:
        now = time.time()
        for alert in json.loads(body)["alerts"]:
            if alert["mien"]["status"] == "firing":
                self.late_s.append(now - datetime.fromisoformat(alert["mien"]["ts"]).timestamp())


@contextmanager
def _hook() -> Iterator[_Hook]:
    hook = _Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.note(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
