"""`mien bench` end to end on a short clip: every figure is there and adds up. No figure is judged."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import pytest

from connectors.scene import load_figure, render
from pipeline.bench import Bench, as_document, measure

pytestmark = pytest.mark.integration


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path, figure = tmp_path / "clip.mp4", load_figure("smile")
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(render(figure, 10 + number / 5, width=320, height=180), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    return path


def test_every_figure_is_measured(clip: Path) -> None:
    told: list[str] = []
    bench = Bench(clip=clip, cameras=2, width=320, height=180, fps=4, seconds=3, warm_up_s=3)
    result = measure(bench, progress=told.append)
    assert result.fps_analysed > 0
    assert result.cpu_total >= result.cpu_kernels > 0
    assert 0 < result.outside_share < 1
    assert 0 < result.p50_ms <= result.p95_ms <= result.p99_ms
    assert result.peak_mb > 50
    assert {"detect", "classify", "rules"} <= result.stage_ms_per_frame.keys()
    assert any("measuring 2 cameras" in line for line in told)
    document = json.loads(json.dumps(as_document([result], clip)))
    assert {"machine", "commit", "input", "results"} <= document.keys()
