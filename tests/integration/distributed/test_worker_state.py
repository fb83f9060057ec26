"""Rule state that can't be read: what fires by it ends, and the rules go on anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaProducer

from connectors.kafka_topics import partition_of
from connectors.recording import time_of
from operators.records import Alert, Status
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed, expected, found, made_up, until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

RECORDS = made_up(minutes=5)


@pytest.fixture
def bed(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Bed]:
    with Bed.make(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix) as made:
        yield made


def damage(bed: Bed, name: str) -> None:
    """Overwrite the saved state of a rule partition."""
    partition = partition_of(name, bed.kafka.partitions, bed.settings.cameras)
    with closing(KafkaProducer(bootstrap_servers=list(bed.kafka.bootstrap))) as producer:
        key = f"{partition} {name}".encode()
        producer.send(bed.kafka.topic("rule-state"), key=key, value=b"of another version", partition=partition)
        producer.flush()


def first_firing(alerts: list[Alert], *, camera: str) -> Alert:
    return next(one for one in alerts if (one.status, one.rule, one.camera_id) == (Status.FIRING, "fear", camera))


def test_what_fires_by_a_state_that_cannot_be_read_ends_once(bed: Bed):
    wanted = list(expected(bed.settings, RECORDS).values())
    fires = first_firing(wanted, camera="lobby")
    others = {one.alert_id for one in wanted if one.camera_id != "lobby"}
    worker = bed.start("evaluate")
    bed.send([one for one in RECORDS if time_of(one) <= fires.ts])
    bed.drain()
    worker.kill()
    damage(bed, "lobby")
    worker = bed.start("evaluate")
    until(lambda: bool(lost(bed)), seconds=30, what="the end of what fired")
    worker.kill()
    worker = bed.start("evaluate")
    assert "rule state can't be read" in worker.text(), "nothing came since, so nothing was saved"
    bed.send([one for one in RECORDS if time_of(one) > fires.ts])
    bed.drain()
    (ended,) = found(lost(bed)).values()
    assert (ended.alert_id, ended.seq, ended.status) == (fires.alert_id, fires.seq + 1, Status.RESOLVED)
    alerts = found(bed.alerts()).values()
    assert {one.alert_id for one in alerts if one.camera_id != "lobby"} == others, "nothing else has changed"
    assert any(one.camera_id == "lobby" and one.starts_at > fires.ts for one in alerts), "it is watched again"


def lost(bed: Bed) -> list[Alert]:
    """What ended for want of a state, of the camera whose state was damaged."""
    return [one for one in bed.alerts() if one.reason == "lost" and one.camera_id == "lobby" and one.rule == "fear"]
