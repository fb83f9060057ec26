"""The same records bring about the same transitions, whatever way they take: tests/benchmarks/parity.py, in short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.recording import open_recording
from operators.records import Status
from tests.benchmarks.parity import (
    Input,
    config,
    filmed_cameras,
    pictures,
    prepare,
    record,
    recorded_cameras,
    replayed,
    resumed,
    shuffled,
    through_kafka,
)
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(180),
]

MINUTES = 4.0
SHUFFLES = 25
CUTS = 10
WRONG = ("missing", "extra", "different", "evidence")


@pytest.fixture
def bed(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Bed]:
    recording = record(tmp_path, [], minutes=MINUTES)
    with Bed.of(tmp_path, config(recorded_cameras(recording), tmp_path, kafka, prefix)) as made:
        yield made


@pytest.fixture
def given(bed: Bed, tmp_path: Path) -> Input:
    return prepare(open_recording(tmp_path / "recording"), bed.settings)


def test_a_recording_by_every_way(given: Input, bed: Bed):
    assert {one.status for one in given.wanted.values()} == set(Status)
    ways = [replayed(given, bed.folder)]
    ways += [shuffled(given, seed) for seed in range(SHUFFLES)]
    ways += [resumed(given, seed) for seed in range(CUTS)]
    ways.append(through_kafka(given, bed, seed=1))
    assert [way for way in ways if any(way.get(name) for name in WRONG)] == []


@pytest.mark.parametrize("models", [{}, {"temporal": {"name": "temporal"}}], ids=["average", "head"])
def test_real_pictures_from_capture_to_alerts(
    models: dict[str, Any], shared: Path, kafka: Kafka, prefix: str, tmp_path: Path
):
    """Exactly what the frames in Kafka say; as JPEG they are nearly what `mien analyze` sees."""
    clips = shared / "data" / "clips"
    videos = {name: clips / f"head-pose-face-detection-{name}.gif" for name in ("female", "male")}
    with Bed.of(tmp_path, config(filmed_cameras(videos), tmp_path, kafka, prefix, models)) as bed:
        found = pictures(bed, videos)
    assert found["observations"] == found["frames_sent"] > 0
    assert found["other_observations"] == 0
    same = found["same_frames"]
    assert same["expected"] > 0
    assert [same[name] for name in WRONG] == [0, 0, 0, 0]
    alone = found["against_analyze"]
    assert alone["frames_with_as_many_faces"] >= 0.9 * found["frames_sent"]
