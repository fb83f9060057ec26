"""The servers of the tests themselves: they serve, they come back with their data, and nothing is left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import httpx
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests.servers import java, process
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.kafka import Kafka
from tests.servers.keeper import alive
from tests.servers.process import Process, ServerError


def put(bootstrap: str, topic: str, count: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    sent = [producer.send(topic, str(number).encode()) for number in range(count)]
    assert [future.get(20).offset for future in sent] == list(range(count))
    producer.close()


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20000)
    consumer.assign([TopicPartition(topic, 0)])
    values = [record.value for record in islice(consumer, count)]
    consumer.close()
    return values


def test_kafka_takes_records_and_gives_them_back(kafka: Kafka, prefix: str) -> None:
    put(kafka.bootstrap, prefix, 20)
    assert read(kafka.bootstrap, prefix, 20) == [str(number).encode() for number in range(20)]


def test_elasticsearch_finds_what_was_put_in(elastic: Elasticsearch, prefix: str) -> None:
    url = f"{elastic.url}/{prefix}"
    httpx.put(f"{url}/_create/1?refresh=true", json={"n": 7}, timeout=20).raise_for_status()
    assert httpx.put(f"{url}/_create/1", json={"n": 8}, timeout=20).status_code == 409
    assert httpx.get(f"{url}/_search?q=n:7", timeout=20).json()["hits"]["total"]["value"] == 1


def test_killed_kafka_comes_back_with_what_it_acknowledged(own_kafka: Kafka, prefix: str) -> None:
    put(own_kafka.bootstrap, prefix, 500)
    own_kafka.kill()
    assert own_kafka.process.pid is None
    own_kafka.start()
    assert len(read(own_kafka.bootstrap, prefix, 500)) == 500


def test_killed_elasticsearch_comes_back_with_what_it_acknowledged(own_elastic: Elasticsearch, prefix: str) -> None:
    document = f"{own_elastic.url}/{prefix}/_doc/1"
    httpx.put(document, json={"n": 7}, timeout=20).raise_for_status()
    own_elastic.kill()
    with pytest.raises(httpx.ConnectError):
        httpx.get(document)
    own_elastic.start()
    assert httpx.get(document, timeout=20).json()["_source"] == {"n": 7}


SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen(SLEEP)
    (tmp_path / "data").mkdir()
    keeper = str(java.HERE / "keeper.py")
    subprocess.run([sys.executable, keeper, str(owner.pid), str(tmp_path), *SLEEP], check=True)
    wait_until((tmp_path / "pid").exists)
    server = int((tmp_path / "pid").read_text())
    assert alive(server)
    owner.kill()
    owner.wait()
    wait_until(lambda: not (tmp_path / "pid").exists())
    assert not alive(server)
    assert not (tmp_path / "data").exists()


def test_a_server_that_ends_at_its_start_tells_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no room on the disk')"]
    with pytest.raises(RuntimeError, match=r"ended at its start; it said:\nno room on the disk"):
        Process(tmp_path, command, is_ready=lambda: False, owner=os.getpid()).start()


def test_a_server_that_never_answers_is_told_in_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_S", 0.5)
    server = Process(tmp_path, SLEEP, is_ready=lambda: False, owner=os.getpid())
    with pytest.raises(ServerError, match=r"does not answer within 0.5 s \(is this machine too busy\?\); it said:"):
        server.start()
    server.kill()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(java.MissingError, match="no JDK 99 or newer: install one, or set JAVA_HOME"):
        java.java(99, compiler=True)
    monkeypatch.setattr(java, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(java.MissingError, match="no Maven to fetch kafka with: install maven"):
        java.jars("kafka")


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(400):
        if done():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 20 s")
