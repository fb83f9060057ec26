"""A made-up recording with known incidents: several cameras, faces that come and go, planted fear, noise and gaps.

Numbers only, seeded: the same call gives the same records on every machine. `python -m tests.recordings DIR` writes the
hour that docs/tuning.md tunes a rule on.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.recording import Manifest, RecordedCamera
from connectors.recording_writer import RecordingWriter
from connectors.wire import iso_time
from operators.records import Clock, FaceTrack, Gap, GapReason, Observation

START = 1_795_212_000.0
"""2026-11-20T22:00:00Z."""
CAMERAS = ("lobby", "quay", "stairs")
REST = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "contempt")


@dataclass(frozen=True, slots=True)
class Planted:
    """A stretch of fear on one camera: `real` ones are incidents, the others are what rules must not fall for."""

    camera: str
    start: float
    end: float
    height: float
    real: bool
    dips: bool = False


@dataclass(frozen=True, slots=True)
class Night:
    """What is in the recording."""

    planted: tuple[Planted, ...]
    gaps: tuple[Gap, ...]
    minutes: float
    fps: float

    @property
    def incidents(self) -> tuple[Planted, ...]:
        """What really happened, by time."""
        return tuple(sorted((one for one in self.planted if one.real), key=lambda one: one.start))

    def records(self, seed: int = 5) -> Iterator[Observation | Gap]:
        """All cameras, one after the other."""
        for index, camera in enumerate(CAMERAS):
            yield from _camera(self, camera, random.Random(seed * 100 + index))


def night(*, minutes: float = 60.0, fps: float = 5.0, seed: int = 5) -> Night:
    """Nine minutes between two incidents of a camera, and between them bursts, grimaces and a nervous crowd."""
    rng = random.Random(seed)
    planted: list[Planted] = []
    gaps: list[Gap] = []
    end = START + minutes * 60
    for camera in CAMERAS:
        at = START + rng.uniform(60, 200)
        while at < end - 60:
            height, lasts = rng.uniform(0.58, 0.85), rng.uniform(3.5, 9.0)
            planted.append(Planted(camera, at, at + lasts, height, real=True, dips=rng.random() < 0.4))
            planted += _distractions(rng, camera, at + lasts + 20)
            if rng.random() < 0.3:
                gaps.append(Gap(camera, at + lasts + 300, at + lasts + 300 + rng.uniform(5, 40), GapReason.DOWN))
            at += rng.uniform(420, 660)
    return Night(tuple(one for one in planted if one.end < end), tuple(g for g in gaps if g.to_ts < end), minutes, fps)


def write(folder: Path, shown: Night) -> Path:
    """The recording in a folder, and beside it `incidents.csv`; returns the folder."""
    head = Manifest(
        mien="0.1.0",
        created_at=iso_time(START),
        purpose="A made-up night in a harbour museum: nobody was watched.",
        cameras={camera: RecordedCamera(fps=shown.fps) for camera in CAMERAS},
    )
    with RecordingWriter(folder, head, clock=lambda: START + 86400) as writer:
        writer.write(shown.records())
    write_incidents(folder / "incidents.csv", shown)
    return folder


def write_incidents(path: Path, shown: Night) -> None:
    """What really happened, as people write it: to the second, a little early or late."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("camera", "start", "end", "label"))
        for one in shown.incidents:
            writer.writerow((one.camera, iso_time(round(one.start)), iso_time(round(one.end)), "fright"))


def _distractions(rng: random.Random, camera: str, at: float) -> Iterator[Planted]:
    """Short bursts that look like fear, and long stretches that almost do."""
    for _ in range(rng.randint(3, 6)):
        at += rng.uniform(15, 60)
        if rng.random() < 0.6:
            yield Planted(camera, at, at + rng.uniform(0.6, 2.2), rng.uniform(0.6, 0.9), real=False)
        else:
            yield Planted(camera, at, at + rng.uniform(4, 9), rng.uniform(0.3, 0.52), real=False)


def _camera(shown: Night, camera: str, rng: random.Random) -> Iterator[Observation | Gap]:
    planted = sorted((one for one in shown.planted if one.camera == camera), key=lambda one: one.start)
    gaps = sorted((gap for gap in shown.gaps if gap.camera_id == camera), key=lambda gap: gap.from_ts)
    faces: dict[str, tuple[float, float]] = {}  # until when, and what it looks like at rest
    wander = 0.0
    number = 0
    for seq in range(int(shown.minutes * 60 * shown.fps)):
        ts = round(START + seq / shown.fps, 3)
        while gaps and gaps[0].to_ts <= ts:
            yield gaps.pop(0)
        if gaps and gaps[0].from_ts <= ts:
            continue
        now = next((one for one in planted if one.start <= ts < one.end), None)
        faces = {track: kept for track, kept in faces.items() if kept[0] > ts}
        arrives = rng.random() < (0.01 if faces else 0.03) / shown.fps
        if arrives or (now is not None and not faces):
            number += 1
            until = max(ts + rng.uniform(8, 60), now.end + 3 if now else 0.0)
            faces[f"{camera}-{number}"] = (until, rng.uniform(0.03, 0.15))
        if now is not None:
            first = next(iter(faces))
            faces[first] = (max(faces[first][0], now.end + 3), faces[first][1])
        wander = 0.9 * wander + rng.gauss(0, 0.02)
        levels = {track: rest + wander + rng.gauss(0, 0.03) for track, (_, rest) in faces.items()}
        if now is not None:
            levels[next(iter(faces))] = _height(now, ts, rng) + wander
        yield Observation(
            camera, 1, seq, ts, Clock.SENDER, tuple(_face(track, level, rng) for track, level in levels.items())
        )


def _height(one: Planted, ts: float, rng: random.Random) -> float:
    """Rises within half a second, trembles, and where it dips, is low for a quarter of a second now and then."""
    rise = min(1.0, (ts - one.start + 0.2) / 0.5)
    dip = 0.35 if one.dips and (ts - one.start) % 2.0 > 1.75 else 0.0
    return one.height * rise - dip + rng.gauss(0, 0.035)


def _face(track: str, fear: float, rng: random.Random) -> FaceTrack:
    fear = round(min(0.98, max(0.0, fear)), 3)
    quality = round(min(1.0, max(0.0, rng.gauss(0.75, 0.1))), 3)
    if rng.random() < 0.02:
        return FaceTrack(track, START, (200.0, 80.0, 260.0, 160.0), 0.9, 80.0, quality / 3, ("blurred",))
    scores = {"neutral": round(1 - fear, 3), **dict.fromkeys(REST[1:], 0.0), "fear": fear}
    label = "fear" if fear >= 0.5 else "neutral"
    return FaceTrack(track, START, (200.0, 80.0, 260.0, 160.0), 0.97, 80.0, quality, (), False, label, scores, fear)


if __name__ == "__main__":
    write(Path(sys.argv[1]), night())
