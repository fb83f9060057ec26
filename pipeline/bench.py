"""`mien bench`: how many cameras this machine carries, and where its CPU time goes.

Copies of one clip play as cameras in real time through the local runtime. What is reported was measured in the steady
state after a warm-up: frames per second in and analysed, drops, CPU seconds by part, latency from frame to decision
(beyond a rule's `for`), peak memory. A figure is worth its machine, commit and input, so all three are in the JSON.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

from models.session import kernel_seconds
from pipeline.config import Settings
from pipeline.local import LocalPipeline

__all__ = ["Bench", "Result", "context", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is measured: `cameras` copies of `clip` at `width` x `height`, `fps` in and analysed, for `seconds`."""

    clip: Path
    cameras: int = 1
    width: int = 640
    height: int = 360
    fps: float = 10.0
    seconds: float = 30.0
    warm_up_s: float = 8.0
    detector: str = "mtcnn"
    mirror: Path | None = None
    min_face_size: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row. CPU is in cores (CPU seconds per second); latencies are in ms from frame to decision."""

    cameras: int
    detector: str
    fps_in: float
    fps_analysed: float
    dropped: Mapping[str, int]
    faces_per_frame: float
    cpu_total: float
    cpu_kernels: float
    cpu_decode: float
    outside_share: float
    stage_ms_per_frame: Mapping[str, float]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class _Sample:
    """Counters at one moment; the difference of two is a measurement."""

    at: float
    cpu_s: float
    kernels_s: float
    frames: int
    analysed: int
    faces: int
    drops: Mapping[str, int]
    stages_s: Mapping[str, float]


def measure(bench: Bench, *, progress: Callable[[str], None] = lambda _: None) -> Result:
    """Run one configuration; raises MienError as the pipeline does."""
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as folder:
        progress(f"preparing the clip at {bench.width}x{bench.height}, {bench.fps:g} fps")
        clip = Path(folder) / "clip.mp4"
        transcode(bench.clip, clip, bench)
        decode_s = decode_cost(clip)
        with LocalPipeline(_settings(bench, clip, Path(folder))) as pipeline:
            _wait(bench.warm_up_s, "warming up", pipeline, progress)
            pipeline.recorder.latencies_s.clear()
            before = _sample(pipeline)
            peak = _wait(bench.seconds, f"measuring {bench.cameras} cameras", pipeline, progress)
            after = _sample(pipeline)
            latencies = np.array(pipeline.recorder.latencies_s)
    return _result(bench, before, after, latencies, decode_s=decode_s, peak=peak)


def context(clip: Path) -> dict[str, str]:
    """Machine, commit and input of a measurement."""
    return {
        "mien": importlib.metadata.version("mien"),
        "commit": _commit(),
        "machine": f"{platform.machine()} {_processor()} x{os.cpu_count()}, {platform.system()} {platform.release()}",
        "onnxruntime": importlib.metadata.version("onnxruntime"),
        "input": f"{clip.name} sha256:{hashlib.sha256(clip.read_bytes()).hexdigest()[:16]}",
    }


def transcode(source: Path, target: Path, bench: Bench) -> None:
    """Write `source` as H.264 at the size and rate of the bench, one key frame per second."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream("libx264", rate=round(bench.fps))
        stream.width, stream.height, stream.pix_fmt = bench.width, bench.height, "yuv420p"
        stream.options = {"preset": "veryfast", "g": str(round(bench.fps)), "bf": "0"}
        for number, frame in enumerate(reader.decode(video=0)):
            scaled = frame.reformat(bench.width, bench.height, "yuv420p")
            scaled.pts, scaled.time_base = number, Fraction(1, round(bench.fps))
            writer.mux(stream.encode(scaled))
        writer.mux(stream.encode(None))


def decode_cost(clip: Path) -> float:
    """CPU seconds to decode one frame of the clip to an RGB array, alone."""
    with av.open(str(clip)) as reader:
        started, frames = time.process_time(), 0
        for frame in reader.decode(video=0):
            frame.to_ndarray(format="rgb24")
            frames += 1
    return (time.process_time() - started) / max(frames, 1)


def _settings(bench: Bench, clip: Path, folder: Path) -> Settings:
    camera = {"url": str(clip), "fps": bench.fps, "loop": True}
    detector = {"name": bench.detector, "min_face_size": bench.min_face_size}
    mirror = {} if bench.mirror is None else {"mirror": str(bench.mirror)}
    data: dict[str, Any] = {
        "purpose": "benchmark on a recorded clip",
        "cameras": {f"cam-{n:02}": camera for n in range(1, bench.cameras + 1)},
        "models": {"detector": detector, **mirror},
        "rules": [
            {"id": f"{name}-3s", "when": {"prob": name, "enter": 0.6, "exit": 0.45}, "for": "3s"} for name in _RULES
        ],
        "store": {"path": str(folder / "bench.sqlite")},
        "metrics": None,
    }
    return Settings(**data)


_RULES = ("fear", "happiness", "anger", "surprise")


def _wait(seconds: float, doing: str, pipeline: LocalPipeline, progress: Callable[[str], None]) -> float:
    """Let the pipeline run; returns the peak resident memory in MB, of all its processes together."""
    peak, ends_at = 0.0, time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0:
        progress(f"{doing}: {left:.0f} s left")
        pipeline.finished()
        peak = max(peak, sum(process.memory_full_info().pss for process in _processes()) / 1e6)
        time.sleep(min(left, 1.0))
    return peak


def _sample(pipeline: LocalPipeline) -> _Sample:
    status = pipeline.status()
    drops: dict[str, int] = {}
    for camera in status.cameras:
        for reason, count in camera.drops.items():
            drops[reason] = drops.get(reason, 0) + count
    return _Sample(
        at=time.monotonic(),
        cpu_s=sum(sum(process.cpu_times()[:2]) for process in _processes()),
        kernels_s=kernel_seconds(),
        frames=sum(camera.frames for camera in status.cameras),
        analysed=pipeline.recorder.analysed(),
        faces=pipeline.recorder.faces,
        drops=drops,
        stages_s=dict(pipeline.recorder.wall_s),
    )


def _processes() -> list[psutil.Process]:
    here = psutil.Process()
    return [here, *here.children(recursive=True)]


def _result(
    bench: Bench, before: _Sample, after: _Sample, latencies: np.ndarray, *, decode_s: float, peak: float
) -> Result:
    seconds = after.at - before.at
    analysed = max(1, after.analysed - before.analysed)
    cpu = after.cpu_s - before.cpu_s
    kernels = after.kernels_s - before.kernels_s
    decode = decode_s * (after.frames - before.frames)
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)) * 1000 if len(latencies) else (np.nan,) * 3
    return Result(
        cameras=bench.cameras,
        detector=bench.detector,
        fps_in=(after.frames - before.frames) / seconds,
        fps_analysed=analysed / seconds,
        dropped={reason: count - before.drops.get(reason, 0) for reason, count in after.drops.items()},
        faces_per_frame=(after.faces - before.faces) / analysed,
        cpu_total=cpu / seconds,
        cpu_kernels=kernels / seconds,
        cpu_decode=decode / seconds,
        outside_share=1 - (kernels + decode) / cpu,
        stage_ms_per_frame={
            stage: (total - before.stages_s.get(stage, 0.0)) / analysed * 1000
            for stage, total in after.stages_s.items()
        },
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        peak_mb=peak,
    )


def _commit() -> str:
    git, here = shutil.which("git"), Path(__file__).parent
    if git is None:
        return "unknown"
    asked = subprocess.run([git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=here)  # noqa: S603
    return asked.stdout.strip() or "unknown"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def as_document(results: Sequence[Result], clip: Path) -> dict[str, Any]:
    """What `--json` writes."""
    return {**context(clip), "results": [asdict(result) for result in results]}
