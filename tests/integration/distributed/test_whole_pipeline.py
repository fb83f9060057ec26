"""From cameras to sinks through Kafka: every frame is accounted for, and nothing leaves that should not."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.whole_pipeline import LETTER, OBSERVATIONS, account, privacy
from tests.integration.test_allow_list import check
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.kafka import Kafka

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.timeout(360),
]


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    gc.collect()


def test_no_record_of_any_topic_index_or_store_holds_more_than_it_may(
    kafka: Kafka, elastic: Elasticsearch, prefix: str, tmp_path: Path
):
    found = privacy(kafka, elastic, tmp_path, prefix)
    assert found["forbidden"] == []
    assert found["empty"] == []


def test_every_frame_is_sent_or_dropped_analysed_or_skipped(kafka: Kafka, prefix: str, tmp_path: Path):
    """Under overload, by the counters and by the records; what is no frame is a dead letter."""
    found = account(kafka, tmp_path, prefix, kills=0, cameras=3, seconds=4)
    assert found["captured"] > 0
    assert [found[name] for name in ("capture_off_by", "analyser_off_by", "unaccounted")] == [0, 0, 0]
    assert found["in_topic"] == found["sent"] == found["counted_frames"]
    assert found["dead_letters"] == found["counted_letters"] == found["broken_sent"]


@pytest.mark.parametrize(
    ("document", "allowed", "path"),
    [
        ({"observation": {"camera_id": "lobby", "image": "x"}}, OBSERVATIONS, "observation.image"),
        ({"observation": {"faces": [{"embedding": [0.1]}]}}, OBSERVATIONS, "embedding"),
        ({"topic": "frames", "value": "x"}, LETTER, "value"),
    ],
)
def test_the_lists_refuse_what_is_not_on_them(document: object, allowed: set[str], path: str):
    with pytest.raises(AssertionError, match=path):
        check(document, allowed)
