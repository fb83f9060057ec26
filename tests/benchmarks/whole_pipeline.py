"""Parts of `tests.benchmarks.reliability` in which cameras, all roles and sinks run: accounts, privacy, isolation.

account   captured = processed + dropped + dead-lettered, by the counters of every process; with the analyser killed,
          whose counters are gone, by the records themselves (R1)
privacy   the allow-list over every record of every topic but `frames`, every index, the store and the file (R13)
sinks     how late a webhook is while another is slow, and while it is away (R16)
"""

from __future__ import annotations

import json
import re
import time
import zlib
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np

from connectors.kafka_frames import FrameHead, decode_head
from connectors.kafka_records import decode_record
from operators.errors import DecodeError
from operators.records import Gap, Observation
from operators.rules import bridged
from tests.alerts import alert as made_alert
from tests.hook_server import Hooks, hook_server
from tests.integration.test_allow_list import BINARY_AS_TEXT, INDICES, RECORD, check, check_file, check_store, leaves
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed, Worker, until

Figures = dict[str, Any]

ACCOUNT_CAMERAS, ACCOUNT_FPS, ACCOUNT_S = 6, 15, 20.0
"""More pictures than two cores can analyse, so that some are dropped."""
BRIDGED_S = bridged(1 / ACCOUNT_FPS) + 2 / ACCOUNT_FPS
"""The longest hole that isn't told as a gap, from one picture that was looked at to the next."""
PATIENCE_S = 180.0
PHASE_S, ALERTS_PER_S = 15.0, 20.0
SLOW_S = 2.0
TRACK = {
    "track_id", "first_ts", "xyxy[]", "confidence", "source_px", "quality", "reasons[]", "enhanced", "label",
    "scores.*", "intensity", "zones[]",
}  # fmt: skip
OBSERVATIONS = {
    *(f"observation.{name}" for name in ("camera_id", "epoch", "seq", "ts", "clock", "reused")),
    *(f"observation.{name}" for name in ("faces", "faces[]", *(f"faces[].{name}" for name in TRACK))),
    *(f"observation.events[].{name}" for name in ("kind", "track_id", "into")),
    *(f"gap.{name}" for name in ("camera_id", "from_ts", "to_ts", "reason", "frames")),
    *(f"tick.{name}" for name in ("camera_id", "ts")),
}
LETTER = {"topic", "partition", "offset", "key", "stage", "reason", "bytes", "sha256"}
RULES = """
rules:
  - id: happy
    when: {{prob: happiness, enter: 0.5, exit: 0.3}}
    for: 500ms
    max_gap: 4s
    min_coverage: 0.1
    min_samples: 2
"""
ACCOUNT = (
    """
version: 1
purpose: a test of the accounts of frames
cameras:
{cameras}
models: {{detector: {{min_face_size: 30}}}}
store: {{path: "{folder}/mien.sqlite"}}
kafka: {{bootstrap: ["{bootstrap}"], prefix: {prefix}, partitions: {partitions}, keep_frames: 1h}}
worker: {{port: 0, stalled_after: {stalled_after}, stop_within: 30s, skip_older_than: 500ms}}
"""
    + RULES
)
WHOLE = (
    """
version: 1
purpose: a test of what leaves the pipeline
cameras:
  smile: {{url: "scene://smile", fps: 3, zones: {{desk: {{polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}}}}}
  neutral: {{url: "scene://neutral", fps: 1}}
models: {{detector: {{min_face_size: 30}}}}
store: {{path: "{folder}/mien.sqlite"}}
sinks:
  - {{type: jsonl, path: "{folder}/alerts.jsonl", statuses: [pending, broken, firing, resolved]}}
elasticsearch: {{url: "{elastic}", prefix: {prefix}}}
kafka: {{bootstrap: ["{bootstrap}"], prefix: {prefix}, partitions: {partitions}, keep_frames: 1h}}
worker: {{port: 0, stalled_after: {stalled_after}}}
"""
    + RULES
)
SINKS = (
    """
version: 1
purpose: a test of sinks
cameras: {{lobby: {{url: "rtsp://127.0.0.1/lobby"}}}}
store: {{path: "{folder}/mien.sqlite"}}
sinks:
  - {{type: webhook, name: watched, url: "{watched}"}}
  - {{type: webhook, name: broken, url: "{broken}"}}
  - {{type: jsonl, path: "{folder}/alerts.jsonl"}}
kafka: {{bootstrap: ["{bootstrap}"], prefix: {prefix}, partitions: {partitions}}}
worker: {{port: 0, stalled_after: {stalled_after}}}
"""
    + RULES
)


def account(
    kafka: Kafka,
    folder: Path,
    prefix: str,
    *,
    kills: int,
    cameras: int = ACCOUNT_CAMERAS,
    seconds: float = ACCOUNT_S,
) -> Figures:
    """What became of every frame that capture took, with the analyser killed so many times meanwhile."""
    lines = [f'  cam-{n}: {{url: "scene://smile", fps: {ACCOUNT_FPS}}}' for n in range(cameras)]
    values = {"cameras": "\n".join(lines)}
    with Bed.make(folder, bootstrap=kafka.bootstrap, prefix=prefix, config=ACCOUNT, **values) as bed:
        worker = bed.start("analyze")
        capture = bed.capture()
        until(lambda: bool(_observations(bed)), seconds=PATIENCE_S, what="an observation")
        for _ in range(kills):
            time.sleep(seconds / (kills + 1))
            worker.kill()
            worker = bed.start("analyze")
        time.sleep(seconds / (kills + 1))
        assert capture.stop(seconds=40)[0] == 0, capture.text()
        broken = bed.send_broken_frames(kills + 3)
        bed.drain("analyze", "frames", seconds=PATIENCE_S)
        counted = {} if kills else _counters(worker)
        return {"kills": kills, **_captured(capture), "broken_sent": broken, **counted, **_records(bed)}


def _observations(bed: Bed) -> list[Observation]:
    return [one for one in map(decode_record, bed.values("observations")) if isinstance(one, Observation)]


def _captured(capture: Worker) -> Figures:
    """What `mien capture` says at its end."""
    found = re.findall(r": (\d+) frames captured, (\d+) sent, dropped: (.*)", capture.text())
    drops = sum(int(number) for *_, text in found for number in re.findall(r"(\d+) \w", text))
    captured, sent = (sum(int(one[place]) for one in found) for place in (0, 1))
    return {"captured": captured, "sent": sent, "dropped_before": drops, "capture_off_by": captured - sent - drops}


def _counters(worker: Worker) -> Figures:
    """What the analyser's counters say, once they stand still."""
    names = {
        "frames": "mien_frames_total",
        "analysed": "mien_frames_analysed_total",
        "skipped": "mien_frames_dropped_total",
        "letters": "mien_worker_dead_letters_total",
    }
    read: list[dict[str, int]] = []

    def still() -> bool:
        time.sleep(1.5)  # they are refreshed every second
        lines = worker.get("/metrics").text.splitlines()
        read.append({key: _sum(lines, name) for key, name in names.items()})
        return len(read) > 1 and read[-1] == read[-2]

    until(still, seconds=30, what="the counters")
    last = read[-1]
    return {f"counted_{key}": value for key, value in last.items()} | {
        "analyser_off_by": last["frames"] - last["analysed"] - last["skipped"]
    }


def _sum(lines: Iterable[str], name: str) -> int:
    return round(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} "))))


def _records(bed: Bed) -> Figures:
    """Every frame in the topic by what tells of it: an observation, a gap around it, two records close around it."""
    frames = [head for value in bed.values("frames") if (head := _head(value)) is not None]
    seen: Counter[tuple[str, float]] = Counter()
    points: dict[str, list[float]] = {name: [] for name in bed.settings.cameras}
    gaps: dict[str, list[Gap]] = {name: [] for name in bed.settings.cameras}
    for record in map(decode_record, bed.values("observations")):
        if isinstance(record, Observation):
            seen[record.camera_id, record.ts] += 1
            points[record.camera_id].append(record.ts)
        elif isinstance(record, Gap):
            gaps[record.camera_id].append(record)
            points[record.camera_id] += [record.from_ts, record.to_ts]
    rest = [one for one in frames if (one.camera_id, one.ts) not in seen]
    untold = [one for one in rest if not any(gap.from_ts <= one.ts <= gap.to_ts for gap in gaps[one.camera_id])]
    holes_s = [_hole(one.ts, sorted(points[one.camera_id])) for one in untold]
    return {
        "in_topic": len(frames),
        "observed": len(frames) - len(rest),
        "told_as_gap": len(rest) - len(untold),
        "bridged": sum(hole <= BRIDGED_S for hole in holes_s),
        "unaccounted": sum(hole > BRIDGED_S for hole in holes_s),
        "observed_twice": sum(count - 1 for count in seen.values()),
        "dead_letters": len(bed.letters()),
    }


def _hole(ts: float, points: Sequence[float]) -> float:
    """Seconds between the two records around a time."""
    place = bisect(points, ts)
    return points[place] - points[place - 1] if 0 < place < len(points) else float("inf")


def _head(value: bytes) -> FrameHead | None:
    try:
        head = decode_head(value)
    except DecodeError:
        return None
    return head if isinstance(head, FrameHead) else None


def privacy(kafka: Kafka, elastic: Elasticsearch, folder: Path, prefix: str, *, transitions: int = 3) -> Figures:
    """Run the whole pipeline until there are so many transitions, then look at all that it wrote."""
    config = {"config": WHOLE, "elastic": elastic.url}
    with Bed.make(folder, bootstrap=kafka.bootstrap, prefix=prefix, **config) as bed:
        worker = bed.start("all", ready=False)
        for role in ("analyze", "evaluate", "notify", "rollup"):
            worker.wait_for(f"ready role={role}")
        capture = bed.capture()
        bed.send_broken_frames(2)
        until(lambda: len(bed.values("alerts")) >= transitions, seconds=PATIENCE_S, what="alerts")
        assert capture.stop(seconds=40)[0] == 0, capture.text()
        for role, topic in (("analyze", "frames"), ("evaluate", "observations"), ("notify", "alerts")):
            bed.drain(role, topic)
        assert worker.stop()[0] == 0, worker.text()
        return _looked_at(bed, elastic, prefix)


def _looked_at(bed: Bed, elastic: Elasticsearch, prefix: str) -> Figures:
    """How many documents of each place were looked at, and what none should hold."""
    places: dict[str, Iterable[Callable[[], None]]] = {
        "topic observations": _checks(map(json.loads, bed.values("observations")), OBSERVATIONS),
        "topic alerts": _checks(map(json.loads, bed.values("alerts")), RECORD),
        "topic dead-letters": _checks(bed.letters(), LETTER),
        "topic rule-state": [lambda value=value: _scan(value) for value in bed.values("rule-state") if value],
        **{
            f"index {kind}": _checks(_documents(elastic, f"{prefix}-{kind}"), allowed)
            for kind, allowed in INDICES.items()
        },
        "store": [lambda: check_store(bed.folder / "mien.sqlite")],
        "file": [lambda: check_file(bed.folder / "alerts.jsonl")],
    }
    looked: dict[str, int] = {}
    forbidden: list[str] = []
    for place, checks in places.items():
        for one in checks:
            looked[place] = looked.get(place, 0) + 1
            try:
                one()
            except AssertionError as error:
                forbidden.append(f"{place}: {error}")
    return {"looked_at": looked, "empty": sorted(places.keys() - looked.keys()), "forbidden": sorted(set(forbidden))}


def _checks(documents: Iterable[Any], allowed: set[str]) -> Iterator[Callable[[], None]]:
    for document in documents:
        yield lambda document=document: check(document, allowed)


def _scan(value: bytes) -> None:
    """The memory of rules: no text in it is long or encoded, and numbers stand alone, not in rows like an embedding."""
    plain = value if value.startswith(b"[") else zlib.decompress(value)
    for path, leaf in leaves(msgspec.json.decode(plain)):
        assert not isinstance(leaf, str) or not BINARY_AS_TEXT.search(leaf), f"{path} may hold something encoded"
        assert not re.search(r"image|crop|jpeg|embedding|landmark|pixels", path), f"{path} should not be there"


def _documents(elastic: Elasticsearch, name: str) -> list[Any]:
    httpx.post(f"{elastic.url}/{name}-2*/_refresh", timeout=30)
    query = {"size": 10_000}
    answer = httpx.post(f"{elastic.url}/{name}-2*/_search", json=query, timeout=30)
    return [hit["_source"] for hit in answer.raise_for_status().json()["hits"]["hits"]]


@dataclass(frozen=True, slots=True)
class _Phase:
    """A stretch of time in which the other webhook is as it is."""

    name: str
    first: int
    last: int


def sinks(kafka: Kafka, folder: Path, prefix: str) -> Figures:
    """Alerts at a steady pace to two webhooks, one of which is slow for a while and then away."""
    phases: list[_Phase] = []
    sent: dict[str, float] = {}
    with ExitStack() as stack:
        watched, other = stack.enter_context(hook_server()), hook_server()
        broken = other.__enter__()
        values = {"config": SINKS, "watched": watched.url, "broken": broken.url}
        bed = stack.enter_context(Bed.make(folder, bootstrap=kafka.bootstrap, prefix=prefix, **values))
        bed.start("notify")
        _send(bed, "warm-up", sent, phases)
        _send(bed, "before", sent, phases)
        broken.slow_s = SLOW_S
        _send(bed, "slow", sent, phases)
        broken.slow_s = 0.0
        until(lambda: len(_arrivals(broken)) == len(sent), seconds=PATIENCE_S, what="what was held back")
        _send(bed, "between", sent, phases)
        other.__exit__(None, None, None)
        _send(bed, "away", sent, phases)
        again = stack.enter_context(hook_server(port=broken.port))
        until(lambda: len(_arrivals(broken, again)) == len(sent), seconds=PATIENCE_S, what="what was held back")
        _send(bed, "after", sent, phases)
        until(lambda: len(_arrivals(watched)) == len(sent), seconds=30, what="all alerts")
        until(lambda: len(_arrivals(broken, again)) == len(sent), seconds=30, what="all alerts")
        arrived = _arrivals(watched)
    late = {name: at - sent[name] for name, at in arrived.items()}
    rows = {phase.name: _late([late[_id(n)] for n in range(phase.first, phase.last)]) for phase in phases[1:]}
    return {
        "alerts": len(sent),
        **rows,
        "slow_against_usual": _against(rows, "slow", "before", "between"),
        "away_against_usual": _against(rows, "away", "between", "after"),
    }


def _against(rows: Mapping[str, Mapping[str, float]], name: str, before: str, after: str) -> float:
    """How many times later the median is than right before and after."""
    return round(2 * rows[name]["p50_ms"] / (rows[before]["p50_ms"] + rows[after]["p50_ms"]), 3)


def _id(number: int) -> str:
    return made_alert(number).transition_id


def _send(bed: Bed, name: str, sent: dict[str, float], phases: list[_Phase]) -> None:
    first = len(sent)
    began = time.monotonic()
    with bed.sender() as send:
        for number in range(round(PHASE_S * ALERTS_PER_S)):
            time.sleep(max(0.0, began + number / ALERTS_PER_S - time.monotonic()))
            now = time.time()
            sent[_id(first + number)] = now
            send(made_alert(first + number, ts=now, starts_at=now - 3, fired_at=now))
    phases.append(_Phase(name, first, len(sent)))


def _arrivals(*hooks: Hooks) -> dict[str, float]:
    """When each transition first came."""
    found: dict[str, float] = {}
    for request in (request for one in hooks for request in list(one.requests)):
        for name in request.ids:
            found.setdefault(name, request.at)
    return found


def _late(seconds: Sequence[float]) -> Mapping[str, float]:
    p50, p95, p99 = (round(float(value) * 1000, 1) for value in np.percentile(seconds, (50, 95, 99)))
    return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
