"""Everything but the frames goes through Kafka: cameras to alerts with capture and analysis in one process."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.kafka_records import decode_record
from operators.records import Observation
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed, until

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(360),
]

CONFIG = """
version: 1
purpose: a test of the whole distributed pipeline on the built-in scene
cameras:
  smile: {{url: "scene://smile", fps: 2}}
  neutral: {{url: "scene://neutral", fps: 1}}
rules:
  - id: happy
    when: {{prob: happiness, enter: 0.5, exit: 0.3}}
    for: 1s
    max_gap: 4s
    max_dip: 1s
    min_coverage: 0.1
    min_samples: 2
models: {{detector: {{min_face_size: 30}}}}
store: {{path: "{folder}/mien.sqlite"}}
sinks:
  - {{type: jsonl, path: "{folder}/alerts.jsonl"}}
kafka: {{bootstrap: ["{bootstrap}"], prefix: {prefix}, partitions: {partitions}}}
worker: {{port: 0, stalled_after: {stalled_after}}}
"""


@pytest.fixture
def bed(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Bed]:
    with Bed.make(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix, config=CONFIG) as made:
        yield made
    gc.collect()


def test_from_camera_to_sink_without_frames_in_kafka(bed: Bed):
    rest = bed.start("evaluate+notify")
    worker = bed.start("capture+analyze", ready=False)
    alerts = bed.folder / "alerts.jsonl"
    until(lambda: alerts.exists() and alerts.stat().st_size > 0, seconds=200, what="an alert")
    assert worker.get("/readyz").status_code == 200
    assert "mien_frames_analysed_total" in worker.get("/metrics").text
    status, _ = worker.stop()
    assert status == 0, worker.text()
    first = json.loads(alerts.read_text(encoding="utf-8").splitlines()[0])
    assert (first["rule"], first["camera_id"], first["status"]) == ("happy", "smile", "firing")
    assert bed.values("frames") == []
    records = [decode_record(value) for value in bed.values("observations")]
    assert {one.camera_id for one in records if isinstance(one, Observation)} == {"smile", "neutral"}
    for camera in ("smile", "neutral"):
        times = [one.ts for one in records if one.camera_id == camera and isinstance(one, Observation)]
        assert times == sorted(times)
    assert rest.stop()[0] == 0, rest.text()
    assert "Traceback" not in worker.text() + rest.text()
