"""`mien topics` on a real broker, as a user runs it."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connectors.kafka_admin import find_topics, oldest_frames
from connectors.kafka_producer import FrameProducer
from connectors.kafka_settings import KafkaSettings
from operators.errors import SinkError
from operators.records import Gap, GapReason
from pipeline import kept_frames
from pipeline.cli import app
from pipeline.config import load_settings
from pipeline.kept_frames import KeptFrames
from tests.servers.kafka import Kafka

CONFIG = """
version: 1
purpose: a test of the topics
cameras:
  lobby: {{url: "scene://smile"}}
  desk: {{url: "scene://neutral"}}
kafka:
  bootstrap: ["{bootstrap}"]
  prefix: {prefix}
  partitions: {partitions}
  keep_frames: {keep_frames}
"""


def config(folder: Path, kafka: Kafka, prefix: str, *, partitions: int = 4, keep_frames: str = "60s") -> Path:
    path = folder / "mien.yaml"
    path.write_text(
        CONFIG.format(bootstrap=kafka.bootstrap, prefix=prefix, partitions=partitions, keep_frames=keep_frames)
    )
    return path


def mien(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def settings_of(path: Path) -> KafkaSettings:
    kafka = load_settings(path).kafka
    assert kafka is not None
    return kafka


def test_apply_makes_what_check_wants_and_may_be_repeated(tmp_path: Path, kafka: Kafka, prefix: str) -> None:
    path = config(tmp_path, kafka, prefix)
    before = mien("topics", "check", "-c", path)
    assert before.exit_code == 1
    assert f"wrong: {prefix}.frames is missing: run `mien topics apply`" in before.output

    made = mien("topics", "apply", "-c", path)
    assert made.exit_code == 0
    assert made.output.splitlines() == [
        f"{prefix}.{name}: created" for name in ("frames", "observations", "alerts", "dead-letters", "rule-state")
    ]
    assert mien("topics", "apply", "-c", path).output.strip() == "the topics are as they should be"
    after = mien("topics", "check", "-c", path)
    assert after.exit_code == 0, after.output


def test_other_settings_are_found_and_set(tmp_path: Path, kafka: Kafka, prefix: str) -> None:
    mien("topics", "apply", "-c", config(tmp_path, kafka, prefix))
    path = config(tmp_path, kafka, prefix, keep_frames="30s")
    found = mien("topics", "check", "-c", path)
    assert found.exit_code == 1
    assert f"{prefix}.frames: retention.ms is 60000, expected 30000" in found.output
    assert f"{prefix}.frames: retention.ms is now 30000" in mien("topics", "apply", "-c", path).output
    assert mien("topics", "check", "-c", path).exit_code == 0


def test_partitions_stay_as_they_were_made(tmp_path: Path, kafka: Kafka, prefix: str) -> None:
    mien("topics", "apply", "-c", config(tmp_path, kafka, prefix, partitions=4))
    path = config(tmp_path, kafka, prefix, partitions=8)
    mien("topics", "apply", "-c", path)
    found = mien("topics", "check", "-c", path)
    assert found.exit_code == 1
    assert f"{prefix}.frames has 4 partitions, expected 8: set kafka.partitions to 4, or stop" in found.output
    assert find_topics(settings_of(path)).topics["frames"].partitions == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # kafka-python forgets the sockets
@pytest.mark.parametrize("command", ["apply", "check"])
def test_a_broker_that_is_not_there_is_said_in_time(
    command: str, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.kafka_client.CONNECT_S", 1.0)
    path = tmp_path / "mien.yaml"
    path.write_text(CONFIG.format(bootstrap="127.0.0.1:1", prefix=prefix, partitions=4, keep_frames="60s"))
    result = mien("topics", command, "-c", path)
    assert isinstance(result.exception, SinkError)
    assert "no Kafka broker answers at 127.0.0.1:1" in str(result.exception)
    assert "check kafka.bootstrap" in str(result.exception)
    del result
    gc.collect()


def test_a_process_knows_how_long_pictures_are_kept(
    tmp_path: Path, kafka: Kafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_frames, "EVERY_S", 0.2)
    path = config(tmp_path, kafka, prefix)
    mien("topics", "apply", "-c", path)
    settings = settings_of(path)
    with FrameProducer(settings, ["lobby", "desk"]) as producer:
        producer.put(Gap("lobby", 1.0, 2.0, GapReason.DOWN))
    ends_at = time.monotonic() + 60
    with KeptFrames(settings) as kept:
        while (age := kept.take_age()) is None and time.monotonic() < ends_at:
            time.sleep(0.1)
    assert age is not None
    assert 0 <= age < 60


def test_the_oldest_readable_frame_is_known_and_goes(tmp_path: Path, kafka: Kafka, prefix: str) -> None:
    """Frames are gone soon after their time, also those of a camera that has stopped."""
    path = config(tmp_path, kafka, prefix, keep_frames="2s")
    mien("topics", "apply", "-c", path)
    settings = settings_of(path)
    with FrameProducer(settings, ["lobby", "desk"]) as producer:
        producer.put(Gap("lobby", 1.0, 2.0, GapReason.DOWN))
    ages = oldest_frames(settings)
    assert len(ages) == 1
    assert 0 <= min(ages.values()) < 60
    assert "oldest readable frame by partition" in mien("topics", "check", "-c", path).output
    ends_at = time.monotonic() + 60
    while oldest_frames(settings) and time.monotonic() < ends_at:
        time.sleep(0.5)
    assert oldest_frames(settings) == {}
