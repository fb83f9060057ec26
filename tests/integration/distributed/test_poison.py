"""Records that nobody can read: told in the dead letters, without what is in them, and nothing else is held up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.servers.kafka import Kafka
from tests.worker_bed import BROKEN, Bed, expected, found, made_up

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

RECORDS = made_up(minutes=5)


@pytest.fixture
def bed(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Bed]:
    with Bed.make(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix) as made:
        yield made


def test_broken_observations_are_told_and_the_others_go_on(bed: Bed):
    worker = bed.start("evaluate")
    broken = bed.send(RECORDS, broken_every=500)
    assert broken > len(BROKEN)
    bed.drain()
    assert found(bed.alerts()) == expected(bed.settings, RECORDS)
    letters = bed.letters()
    assert len(letters) == broken
    assert {letter["stage"] for letter in letters} == {"evaluate"}
    assert {letter["topic"] for letter in letters} == {bed.kafka.topic("observations")}
    assert {letter["sha256"] for letter in letters} == {sha256(junk).hexdigest() for junk in BROKEN}
    assert Counter(letter["bytes"] for letter in letters).keys() == {len(junk) for junk in BROKEN}
    assert set().union(*letters) == {"topic", "partition", "offset", "key", "stage", "reason", "bytes", "sha256"}
    assert all(letter["reason"] for letter in letters)
    assert "not JSON" not in worker.text()
    assert worker.stop()[0] == 0
