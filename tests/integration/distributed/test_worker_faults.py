"""Workers and a broker that goes away, a store that hangs, topics that aren't there: they end in time, or go on."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alerts import alert as made_alert
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed, expected, found, made_up, until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

RECORDS = made_up(minutes=5)
HALF = len(RECORDS) // 2
STOP_WITHIN_S = 8.0


@pytest.fixture
def bed(own_kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Bed]:
    with Bed.make(tmp_path, bootstrap=own_kafka.bootstrap, prefix=prefix, stalled_after="5s") as made:
        yield made


def test_a_broker_that_goes_and_comes_back_loses_nothing(bed: Bed, own_kafka: Kafka):
    worker = bed.start("evaluate")
    bed.send(RECORDS[:HALF])
    until(lambda: len(bed.alerts()) > 5, seconds=30, what="alerts")
    own_kafka.stop()
    time.sleep(8)  # longer than a worker may be without progress while the broker is there
    own_kafka.start()
    bed.send(RECORDS[HALF:])
    bed.drain()
    assert found(bed.alerts()) == expected(bed.settings, RECORDS)
    assert worker.process.poll() is None, worker.text()


def test_sigterm_with_a_dead_broker_ends_in_time(bed: Bed, own_kafka: Kafka):
    worker = bed.start("all")
    bed.send(RECORDS[:HALF])
    own_kafka.kill()
    time.sleep(1)
    status, seconds = worker.stop()
    assert status == 0, worker.text()
    assert seconds < STOP_WITHIN_S + 2
    bed.workers.clear()


def test_a_worker_without_progress_ends_itself(bed: Bed):
    """Somebody else holds the store: the alerts can't be written, and nothing says that this will ever change."""
    worker = bed.start("notify")
    with sqlite3.connect(bed.folder / "mien.sqlite", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        bed.send_alerts([made_alert(1)])
        assert worker.process.wait(60) == 1
    assert "stalled: role=notify: 1 records wait, and none was worked on" in worker.text()


def test_missing_topics_are_told(own_kafka: Kafka, bed: Bed):
    text = bed.config.read_text(encoding="utf-8")
    bed.config.write_text(text.replace("prefix: ", "prefix: other-"), encoding="utf-8")
    worker = bed.start("evaluate", ready=False)
    worker.wait_for("mien topics apply")
    assert worker.stop()[0] == 0
