"""The same records, the same alerts, whatever way they take: `python -m tests.benchmarks.parity -o parity.json`.

Recordings of real clips (of the built-in scene where there are none) and a made-up night with gaps go through

    replay    `mien replay`, which is what the others are compared with
    shuffled  any order within the disorder that is allowed, in batches of 1 to 500 records (R3)
    resumed   cut at random places, the state stored and read back
    kafka     `mien worker --role evaluate` on a real broker, the cameras lagging behind each other
    pictures  the clips as cameras: `mien capture` -> frames -> `mien worker --role analyze+evaluate`

Of the first four every transition must be the same, down to its evidence. `pictures` has two sides. The frames in Kafka
go through the networks and the rules in this process, too: observations and alerts must be the same. `mien analyze`
reads the same clip without Kafka, so without JPEG and in the time of the file: what that changes is counted.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import platform
import random
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from connectors.kafka_frames import decode_frame, decode_head
from connectors.kafka_records import decode_record, encode_record
from connectors.recording import Manifest, RecordedCamera, Recording, open_recording, time_of
from connectors.recording_writer import RecordingWriter
from connectors.wire import alert_document, encode
from operators.records import Alert, Frame, Gap, Observation, Tick
from operators.rules import RuleEvaluator
from pipeline.analyze import Job as Analysis
from pipeline.analyze import analyze, default_settings
from pipeline.bench_kafka import scene_clip
from pipeline.build import build_analyzer, build_evaluator
from pipeline.config import Settings
from pipeline.evaluation import Evaluation
from pipeline.replay import Job, evaluator_for, replay, replay_recording
from tests.recordings import CAMERAS, START
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed, difference, made_up, until

ROOT = Path(__file__).parents[2]
DISORDER_S = 0.3
LAG_S = 1.5
"""How far cameras may lag behind each other: rules over several wait for 2 s."""
LARGEST_BATCH = 500
LOOPED_S = 30.0
"""Clips are a few seconds long: each is recorded in a loop for so long."""
NIGHT_MINUTES, NIGHT_FPS = 5.0, 5.0
CLIP_FPS = 30.0
"""Faster than any of the clips: every picture is taken."""
PICTURES_S = 120.0
Record = Observation | Gap
Figures = dict[str, Any]
RULES: list[dict[str, Any]] = [
    {"id": "neutral", "when": {"prob": "neutral", "enter": 0.7, "exit": 0.5}, "for": "600ms", "cooldown": "1s"},
    {"id": "happy", "when": {"prob": "happiness", "enter": 0.5, "exit": 0.3}, "for": "500ms"},
    {"id": "sad", "when": {"prob": "sadness", "enter": 0.4, "exit": 0.3, "smooth": {"ema": "300ms"}}, "for": "300ms"},
    {
        "id": "fear",
        "when": {"prob": "fear", "enter": 0.5, "exit": 0.4},
        "for": "3s",
        "max_gap": "700ms",
        "escalate": [{"after": "5s", "severity": "critical"}],
    },
    {
        "id": "negative-mostly",
        "when": {"prob_any": ["anger", "sadness", "fear"], "enter": 0.4, "exit": 0.3},
        "for": "2s",
        "ratio": {"at_least": 0.6, "bucket": "500ms"},
        "max_gap": "2s",
    },
    {
        "id": "crowd",
        "scope": "camera",
        "when": {"prob": "neutral", "enter": 0.6},
        "count": {"at_least": 2, "within": "5s"},
        "cooldown": "2s",
    },
    {
        "id": "neutral-then-fear",
        "sequence": {
            "within": "4s",
            "steps": [
                {"when": {"prob": "neutral", "enter": 0.7, "exit": 0.5}, "for": "300ms"},
                {"when": {"prob": "fear", "enter": 0.5, "exit": 0.4}, "for": "300ms"},
            ],
        },
    },
    {
        "id": "shift",
        "when": {"value": "valence"},
        "change": {"direction": "down", "zscore": 3.0, "absolute": 0.25, "baseline": {"over": "60s"}},
        "for": "500ms",
    },
    {"id": "nobody", "scope": "camera", "absence": {"of": "faces"}, "for": "2s"},
    {"id": "camera-down", "scope": "camera", "absence": {"of": "frames"}, "for": "10s"},
    {
        "id": "negative-everywhere",
        "scope": "group",
        "group": "all",
        "when": {"prob_any": ["anger", "sadness", "fear"], "enter": 0.4, "exit": 0.3},
        "share": {"at_least": 0.2, "exit": 0.1, "min_population": 2, "over": "5s"},
        "for": "1s",
    },
]
"""One rule for each kind of condition, so short that clips of some seconds bring them about."""


def record(folder: Path, videos: Sequence[Path], *, minutes: float = NIGHT_MINUTES) -> Recording:
    """Record clips as `mien analyze --record` does, each in a loop for a while, and beside them a made-up night."""
    night = made_up(minutes)
    seen = {camera: [one for one in night if one.camera_id == camera] for camera in CAMERAS}
    cameras = dict.fromkeys(CAMERAS, RecordedCamera(NIGHT_FPS))
    for video in videos:
        analyze(default_settings(video), Analysis(video=video, recording=folder / "once"))
    if videos:
        once = open_recording(folder / "once")
        for name, camera in once.cameras.items():
            cameras[name] = RecordedCamera(camera.fps)
            seen[name] = list(_looped([one for one in once.records() if one.camera_id == name]))
    head = Manifest(mien="parity", created_at="parity", purpose="a test of parity", cameras=cameras)
    with RecordingWriter(folder / "recording", head) as writer:
        for records in seen.values():
            writer.write(records)
    return open_recording(folder / "recording")


def _looped(records: Sequence[Record]) -> Iterator[Observation]:
    """A clip again and again, each time with faces that are new to the rules."""
    seen = [one for one in records if isinstance(one, Observation)]
    lasts_s = seen[-1].ts - seen[0].ts + 1.0
    for turn in range(int(LOOPED_S / lasts_s) + 1):
        shift = START + turn * lasts_s
        for one in seen:
            faces = tuple(
                replace(face, track_id=f"{face.track_id}-{turn}", first_ts=face.first_ts + shift) for face in one.faces
            )
            yield replace(one, epoch=turn + 1, ts=round(one.ts + shift, 3), faces=faces, events=())


def config(
    cameras: Mapping[str, Mapping[str, Any]],
    folder: Path,
    kafka: Kafka,
    prefix: str,
    models: Mapping[str, Any] | None = None,
) -> str:
    """A configuration with all rules; JSON is YAML."""
    return json.dumps(
        {
            "version": 1,
            "purpose": "a test of parity",
            "models": models or {},
            "cameras": cameras,
            "groups": {"all": {"cameras": sorted(cameras)}},
            "rules": RULES,
            "store": {"path": str(folder / "mien.sqlite")},
            "kafka": {
                "bootstrap": [kafka.bootstrap],
                "prefix": prefix,
                "partitions": 4,
                "keep_frames": "1h",
                "jpeg_quality": 95,
                "least_jpeg_quality": 95,
            },
            "worker": {"port": 0, "skip_older_than": "60s"},
        }
    )


@dataclass(frozen=True, slots=True)
class Input:
    """Records, the rules over them, and what `replay` tells: `wanted` by transition."""

    recording: Recording
    settings: Settings
    records: tuple[Record, ...]
    wanted: Mapping[str, Alert]

    def evaluator(self, *, out_of_order: float = 0.0) -> RuleEvaluator:
        """The rules, as `mien replay` knows the recorded cameras."""
        rules = self.settings.rule_set
        known = evaluator_for(rules, self.recording.manifest)
        return RuleEvaluator(rules, cameras=known.cameras, out_of_order=out_of_order)


def filmed_cameras(videos: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Clips as cameras of a configuration."""
    return {name: {"url": str(video), "fps": CLIP_FPS} for name, video in videos.items()}


def prepare(recording: Recording, settings: Settings) -> Input:
    """Evaluate the recording in order."""
    records = tuple(recording.records())
    alerts = replay(evaluator_for(settings.rule_set, recording.manifest), records)
    return Input(recording, settings, records, {one.transition_id: one for one in alerts})


def recorded_cameras(recording: Recording) -> dict[str, dict[str, Any]]:
    """The cameras of a recording for a configuration."""
    return {name: {"url": "unused.mp4", "fps": camera.fps} for name, camera in recording.cameras.items()}


def replayed(given: Input, folder: Path) -> Figures:
    """What the command writes, as far as lines go: as many, and the same."""
    path = folder / "replay.jsonl"
    replay_recording(given.recording, given.settings.rule_set, Job(output=path))
    lines = path.read_bytes().splitlines()
    wanted = {encode(alert_document(alert)) for alert in given.wanted.values()}
    return {"transitions": len(lines), "missing": len(wanted - set(lines)), "extra": len(set(lines) - wanted)}


def shuffled(given: Input, seed: int) -> Figures:
    """In another order of arrival and in batches of any size."""
    rng = random.Random(seed)
    records = _arriving(given.records, lambda one: 0.0 if isinstance(one, Gap) else rng.uniform(0, DISORDER_S - 0.001))
    evaluation = Evaluation(given.evaluator(out_of_order=DISORDER_S))
    alerts = [alert for batch in _batches(records, rng) for alert in evaluation.feed(batch)]
    return difference([*alerts, *evaluation.flush()], given.wanted)


def resumed(given: Input, seed: int) -> Figures:
    """Cut at 1 to 5 places; what goes on has nothing but the stored states."""
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(1, len(given.records)), rng.randint(1, 5)))
    saved: dict[str, bytes] = {}
    alerts: list[Alert] = []
    for start, end in zip([0, *cuts], [*cuts, len(given.records)], strict=True):
        evaluation = Evaluation(given.evaluator(), saved)
        alerts += evaluation.feed(given.records[start:end])
        saved |= evaluation.changed()
    return difference([*alerts, *Evaluation(given.evaluator(), saved).flush()], given.wanted)


def through_kafka(given: Input, bed: Bed, seed: int) -> Figures:
    """Through a worker; the broker has no end of input, so `replay` goes without it too."""
    rng = random.Random(seed)
    lags = {camera: rng.uniform(0, LAG_S) for camera in given.recording.cameras}
    bed.start("evaluate")
    bed.send(_arriving(given.records, lambda one: lags[one.camera_id]))
    bed.drain()
    wanted = Evaluation(given.evaluator()).feed(given.records)
    return difference(bed.alerts(), {one.transition_id: one for one in wanted})


def _arriving(records: Iterable[Record], delay: Callable[[Record], float]) -> list[Record]:
    return sorted(records, key=lambda one: time_of(one) + delay(one))


def _batches(records: Sequence[Record], rng: random.Random) -> Iterator[Sequence[Record]]:
    rest = iter(records)
    while batch := list(islice(rest, rng.randint(1, LARGEST_BATCH))):
        yield batch


def pictures(bed: Bed, videos: Mapping[str, Path]) -> Figures:
    """Real pictures from capture to alerts; then the same frames, and the same clips, without Kafka."""
    alone = {name: _analysed(bed, name, video) for name, video in videos.items()}
    frames = sum(len(one.observations) for one in alone.values())
    bed.start("evaluate")
    analyser = bed.start("analyze")
    capture = bed.capture()
    until(lambda: _told(bed) >= frames, seconds=PICTURES_S, what=f"{frames} frames")
    capture.stop()
    bed.drain("analyze", "frames", seconds=PICTURES_S)
    analyser.stop()  # it tells of cameras that are silent, without an end
    bed.drain("evaluate")
    alerts = bed.alerts()
    items = [one for one in map(decode_frame, bed.values("frames")) if isinstance(one, Frame)]
    seen, records = _seen(bed.settings, items), _records(bed)
    here = Evaluation(build_evaluator(bed.settings)).feed(records)
    return {
        "clips": len(videos),
        "frames": frames,
        "frames_sent": len(items),
        "observations": len(seen),
        "other_observations": len(set(map(encode_record, seen)) ^ set(map(encode_record, _observations(records)))),
        "same_frames": difference(alerts, {one.transition_id: one for one in here}),
        "against_analyze": _compared(alone, seen, alerts),
    }


def _told(bed: Bed) -> int:
    """How many pictures were sent, or told as missing."""
    heads = map(decode_head, bed.values("frames"))
    return sum(one.frames if isinstance(one, Gap) else 1 for one in heads)


def _seen(settings: Settings, frames: Sequence[Frame]) -> list[Observation]:
    """What the networks see in frames, in this process."""
    return build_analyzer(settings).step({}, frames)[1]


def _records(bed: Bed) -> list[Record]:
    """What `analyze` has told, by time, each record once: its observations, and the gaps between them."""
    told = map(decode_record, dict.fromkeys(bed.values("observations")))
    return sorted((one for one in told if not isinstance(one, Tick)), key=time_of)


def _observations(records: Iterable[Record]) -> list[Observation]:
    return [one for one in records if isinstance(one, Observation)]


@dataclass(frozen=True, slots=True)
class _Alone:
    """What `mien analyze` makes of a clip."""

    observations: list[Figures]
    alerts: list[Figures]


def _analysed(bed: Bed, name: str, video: Path) -> _Alone:
    seen, told = bed.folder / f"{name}.jsonl", bed.folder / f"{name}-alerts.jsonl"
    analyze(bed.settings, Analysis(video=video, output=seen, alerts=told, camera_id=name))
    return _Alone(*([json.loads(line) for line in path.read_bytes().splitlines()] for path in (seen, told)))


def _compared(alone: Mapping[str, _Alone], observations: Sequence[Observation], alerts: Sequence[Alert]) -> Figures:
    """Faces, labels and transitions of single cameras; times count from the first frame."""
    faces = labels = same = transitions = 0
    furthest_s = 0.0
    for name, one in alone.items():
        seen = [record for record in observations if record.camera_id == name]
        by_seq = {record.seq: record for record in seen}
        pairs = [(theirs, by_seq[theirs["seq"]]) for theirs in one.observations if theirs["seq"] in by_seq]
        faces += sum(len(theirs["faces"]) == len(ours.faces) for theirs, ours in pairs)
        labels += sum(_labels(theirs) == sorted(face.label for face in ours.faces) for theirs, ours in pairs)
        wanted = [(each["rule"], each["status"], _seconds(each["ts"])) for each in one.alerts if each["camera_id"]]
        got = [(each.rule, str(each.status), each.ts - seen[0].ts) for each in alerts if each.camera_id == name]
        lasts_s = one.observations[-1]["ts"]  # after it only cameras tell that they are down
        wanted, got = ([each for each in every if 0 <= each[2] <= lasts_s] for every in (wanted, got))
        matched = list(_matched(sorted(wanted), sorted(got)))
        transitions += max(len(wanted), len(got))
        same += len(matched)
        furthest_s = max([furthest_s, *matched])
    frames = sum(len(one.observations) for one in alone.values())
    return {
        "frames": frames,
        "frames_with_as_many_faces": faces,
        "frames_with_the_same_labels": labels,
        "transitions": transitions,
        "same_transitions": same,
        "furthest_ms": round(furthest_s * 1000),
    }


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _labels(document: Figures) -> list[str]:
    return sorted(face["label"] for face in document["faces"])


def _matched(wanted: Sequence[tuple[str, str, float]], got: Sequence[tuple[str, str, float]]) -> Iterator[float]:
    """How far apart the transitions are that have a partner, of the same rule and status within half a second."""
    rest = list(got)
    for rule, status, ts in wanted:
        near = [one for one in rest if one[:2] == (rule, status) and abs(one[2] - ts) < 0.5]
        if near:
            nearest = min(near, key=lambda one: abs(one[2] - ts))
            rest.remove(nearest)
            yield abs(nearest[2] - ts)


_given: Input | None = None


def _one_shuffle(seed: int) -> Figures:
    assert _given is not None
    return shuffled(_given, seed)


def _summed(rows: Sequence[Figures]) -> Figures:
    return {"runs": len(rows), **{key: sum(row[key] for row in rows) for key in rows[0]}}


@contextmanager
def running(folder: Path) -> Iterator[Kafka]:
    """A broker of our own."""
    kafka = Kafka(folder)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.kill()


def main() -> None:
    global _given  # noqa: PLW0603 -- what the processes of the pool are forked with
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shuffles", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=100, help="runs that are cut and resumed")
    parser.add_argument("--kafka", type=int, default=10, help="runs through a worker")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    shared = Path(os.environ.get("MIEN_SHARED", ROOT.parent / "shared"))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    result: Figures = {
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores",
        "commit": commit.stdout.strip(),
    }
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="mien-parity-") as name, running(Path(name) / "kafka") as kafka:
        folder = Path(name)
        videos = sorted((shared / "data" / "clips").glob("*.gif")) or [scene_clip(folder, fps=8)]
        recording = record(folder, videos)
        cameras = recorded_cameras(recording)

        def bed(of: Mapping[str, Mapping[str, Any]]) -> Bed:
            prefix = f"p{uuid.uuid4().hex[:8]}"
            (folder / prefix).mkdir()
            return Bed.of(folder / prefix, config(of, folder / prefix, kafka, prefix))

        with bed(cameras) as first:
            _given = prepare(recording, first.settings)
        result["input"] = {
            "clips": [video.name for video in videos],
            "records": len(_given.records),
            "rules": len(RULES),
            "transitions": len(_given.wanted),
        }
        result["replay"] = replayed(_given, folder)
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
            result["shuffled"] = _summed(list(pool.map(_one_shuffle, range(arguments.shuffles), chunksize=5)))
        result["resumed"] = _summed([resumed(_given, seed) for seed in range(arguments.cuts)])
        rows = []
        for seed in range(arguments.kafka):
            with bed(cameras) as one:
                rows.append(through_kafka(_given, one, seed))
        result["kafka"] = _summed(rows)
        named = {video.stem.lower(): video for video in videos}
        with bed(filmed_cameras(named)) as one:
            result["pictures"] = pictures(one, named)
    text = json.dumps(result, indent=2)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
