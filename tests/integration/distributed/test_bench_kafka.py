"""`mien bench kafka` end to end on a short clip: every figure is there and adds up. No figure is judged."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import pytest
from kafka import KafkaAdminClient

from connectors.scene import load_figure, render
from pipeline.bench_kafka import KafkaBench, as_document, measure_latency, measure_throughput
from tests.servers.kafka import Kafka

pytestmark = pytest.mark.timeout(300)

WITH_FACE, LOOP = 25, 45


@pytest.fixture
def bench(tmp_path: Path, kafka: Kafka) -> KafkaBench:
    """Five seconds with a happy face, four without."""
    path, figure = tmp_path / "clip.mp4", load_figure("smile")
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(LOOP):
            t = 10 + number / 5 if number < WITH_FACE else 0.0
            frame = av.VideoFrame.from_ndarray(render(figure, t, width=320, height=180), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    return KafkaBench(clip=path, bootstrap=kafka.bootstrap, cameras=2, width=320, height=180, seconds=3, warm_up_s=0)


def topics(kafka: Kafka) -> list[str]:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    found = [name for name in admin.list_topics() if name.startswith("mien-bench")]
    admin.close()
    return found


def test_frames_go_into_the_broker_and_nothing_stays(bench: KafkaBench, kafka: Kafka) -> None:
    result = measure_throughput(bench)
    assert result.cameras == 2
    assert result.frames_per_s > 1
    assert result.mb_per_s * 1000 == pytest.approx(result.frames_per_s * result.kb_per_frame)
    assert 0 < result.p50_ms <= result.p95_ms <= result.p99_ms
    assert result.cores > 0
    assert topics(kafka) == []


def test_alerts_come_through_both_runtimes(bench: KafkaBench, kafka: Kafka) -> None:
    bench = KafkaBench(clip=bench.clip, bootstrap=bench.bootstrap, width=320, height=180, seconds=12, warm_up_s=0)
    results = [measure_latency(bench, "local"), measure_latency(bench, "kafka")]
    for result in results:
        assert result.alerts > 0
        assert result.fps_analysed > 0
        assert 0 < result.p50_ms <= result.p95_ms <= result.p99_ms
        assert result.peak_mb > 50
        assert result.cores > 0
    document = json.loads(json.dumps(as_document([], results, bench)))
    assert {"machine", "commit", "input", "load", "latency"} <= document.keys()
    assert [one["runtime"] for one in document["latency"]] == ["local", "kafka"]
    assert topics(kafka) == []
