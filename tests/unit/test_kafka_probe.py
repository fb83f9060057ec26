"""Looking for brokers that aren't there must cost nothing that stays: a worker does it for as long as they are away."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from connectors.kafka_client import hush
from connectors.kafka_probe import Probe
from connectors.kafka_settings import KafkaSettings
from operators.errors import SinkError

pytest.importorskip("kafka")
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # kafka-python's own, of refused attempts

NOBODY = KafkaSettings(bootstrap=("127.0.0.1:1",))


def held() -> tuple[int, int]:
    return threading.active_count(), sum(1 for _ in Path("/proc/self/fd").iterdir())


def look() -> None:
    with pytest.raises(SinkError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        Probe(NOBODY, within_s=0.2)


def test_a_look_that_finds_nobody_leaves_nothing_behind() -> None:
    hush()
    look()
    before = held()
    for _ in range(4):
        look()
    assert held() == before
    gc.collect()  # the last one's sockets, while their warning is expected
