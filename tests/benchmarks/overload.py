"""Far more pictures than can be analysed: how old those are that are, and how late the alerts (R12).

    python -m tests.benchmarks.overload --cameras 16 --fps 15 --seconds 60 -o overload.json

A Kafka of its own, one `mien worker --role all`, and a sender in the place of capture, all on this machine. Ages are
taken in the brokers: from the time of a picture to the observation of it, or to the alert that it brought about.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from connectors.kafka_client import connection
from connectors.kafka_frames import encode_frame
from connectors.kafka_records import decode_alert, decode_record
from connectors.kafka_topics import partition_of
from connectors.scene import LOOP_S, load_figure, render
from operators.records import Clock, Frame, Observation, Status
from pipeline.bench import context
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed, Worker

CONFIG = """
version: 1
purpose: a measurement of an overload on the built-in scene
cameras: {{{cameras}}}
models: {models}
rules:
  - id: happy
    when: {{prob: happiness, enter: 0.5, exit: 0.3}}
    for: 1s
    cooldown: 0s
store: {{path: "{folder}/mien.sqlite"}}
kafka: {{bootstrap: ["{bootstrap}"], prefix: {prefix}, partitions: {partitions}}}
worker: {{port: 0, stalled_after: {stalled_after}}}
"""
PICTURES = 44
WARM_UP_S = 15.0
Figures = dict[str, Any]


@contextmanager
def flooded(bed: Bed, *, fps: float) -> Iterator[list[int]]:
    """Every camera sends `fps` pictures a second meanwhile; the list holds how many went out."""
    figure, sent, over = load_figure("smile"), [0], threading.Event()
    images = [render(figure, number * LOOP_S / PICTURES) for number in range(PICTURES)]
    cameras = list(bed.settings.cameras)

    def send() -> None:
        began, epoch = time.time(), round(time.time() * 1000)
        with closing(KafkaProducer(**connection(bed.kafka))) as producer:
            while not over.is_set():
                seq, turn = divmod(sent[0], len(cameras))
                ts = time.time()
                image = images[int(ts % LOOP_S / LOOP_S * PICTURES)]
                body = encode_frame(Frame(cameras[turn], epoch, seq, ts, Clock.RECEIVE, image))
                place = partition_of(cameras[turn], bed.kafka.partitions, cameras)
                producer.send(bed.kafka.topic("frames"), key=cameras[turn].encode(), value=body, partition=place)
                sent[0] += 1
                time.sleep(max(0.0, began + sent[0] / len(cameras) / fps - time.time()))
            producer.flush()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()


def stamped(bed: Bed, topic: str) -> list[tuple[float, bytes]]:
    """All that a topic holds, each with when the broker took it."""
    found = []
    with closing(KafkaConsumer(**connection(bed.kafka), enable_auto_commit=False)) as consumer:
        every = [TopicPartition(bed.kafka.topic(topic), number) for number in range(bed.kafka.partitions)]
        consumer.assign(every)
        consumer.seek_to_beginning(*every)
        ends = consumer.end_offsets(every)
        while any(consumer.position(one) < ends[one] for one in every):
            for records in consumer.poll(timeout_ms=500).values():
                found += [(record.timestamp / 1000, record.value) for record in records]
    return found


def metric(worker: Worker, name: str) -> int:
    """The sum of a metric over its labels."""
    samples = re.findall(rf"^{name}{{[^}}]*}} (\S+)$", worker.get("/metrics").text, re.MULTILINE)
    return round(sum(map(float, samples)))


def spread(seconds: Sequence[float]) -> Figures:
    """Percentiles, and how many they are of."""
    if not seconds:
        return {"count": 0}
    p50, p95, p99 = np.percentile(seconds, (50, 95, 99)).round(3).tolist()
    return {"count": len(seconds), "p50_s": p50, "p95_s": p95, "p99_s": p99, "most_s": round(max(seconds), 3)}


def measure(bed: Bed, *, fps: float, seconds: float) -> Figures:
    """Flood one worker, and look at what came out."""
    worker = bed.start("all")
    with flooded(bed, fps=fps) as sent:
        time.sleep(WARM_UP_S)
        began = time.time()
        time.sleep(seconds)
        ended = time.time()
    bed.drain("analyze", "frames")
    time.sleep(2.0)  # the metrics are told once a second
    seen = [(at, decode_record(value)) for at, value in stamped(bed, "observations") if began <= at <= ended]
    fired = [(at, decode_alert(value)) for at, value in stamped(bed, "alerts") if began <= at <= ended]
    looked = [(at, one) for at, one in seen if isinstance(one, Observation)]
    ages = [at - one.ts for at, one in looked]
    analysed, dropped = metric(worker, "mien_frames_analysed_total"), metric(worker, "mien_frames_dropped_total")
    return {
        "offered_per_s": round(fps * len(bed.settings.cameras)),
        "analysed_per_s": round(len(ages) / seconds, 1),
        "frame_age": spread(ages),
        "alert_age": spread([at - one.ts for at, one in fired if one.status is Status.FIRING]),
        "frames": {"sent": sent[0], "analysed": analysed, "dropped": dropped, "dead": len(bed.letters())},
        "unaccounted": sent[0] - analysed - dropped - len(bed.letters()),
    }


def main() -> None:
    """Measure, and write the figures with machine, load and commit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--detector", default="mtcnn")
    parser.add_argument("--mirror", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    models = {"detector": {"name": asked.detector}} | ({"mirror": str(asked.mirror)} if asked.mirror else {})
    names = [f"cam-{number:02}" for number in range(1, asked.cameras + 1)]
    cameras = ", ".join(f'{name}: {{url: "scene://smile", fps: {asked.fps:g}}}' for name in names)
    with tempfile.TemporaryDirectory(prefix="mien-overload-") as name:
        kafka = Kafka(Path(name, "kafka"))
        kafka.start()
        try:
            values = {"cameras": cameras, "models": json.dumps(models), "partitions": 2 * asked.cameras}
            with Bed.make(Path(name), bootstrap=kafka.bootstrap, prefix="overload", config=CONFIG, **values) as bed:
                figures = measure(bed, fps=asked.fps, seconds=asked.seconds)
        finally:
            kafka.kill()
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    about = context(Path(__file__)) | {"input": f"{asked.cameras} x scene://smile, 640x360", "load": load}
    text = json.dumps({**about, "detector": asked.detector, **figures}, indent=2)
    print(text)
    if asked.output:
        asked.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
