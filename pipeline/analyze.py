"""`mien analyze`: the chain on one video file, as fast as it can, one JSON object per analysed frame."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from connectors.camera import StreamSettings
from connectors.recording import RecordedCamera
from connectors.recording_writer import RecordingWriter
from connectors.schemes import open_source
from connectors.source import Source
from connectors.timing import Pacer
from connectors.wire import alert_document, encode, observation_document
from operators.errors import ConfigError
from operators.masks import Polygon, black_out
from operators.records import UNKNOWN, Clock, Frame, Observation
from pipeline.build import build_analyzer, build_evaluator, camera_view
from pipeline.config import Settings
from pipeline.evaluation import Evaluation
from pipeline.output import output_file
from pipeline.record import Job as Recorded
from pipeline.record import head_of

__all__ = ["Job", "Outcome", "analyze", "default_settings"]

BATCH = 8
"""Frames analysed together: their faces are classified in one call."""

Progress = Callable[[int, int], None]
"""Called with frames read so far and frames in the file (0 = unknown)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One video, and where its results go.

    `camera_id` names the configured camera whose zones, masks and detail apply; without it the video's own name is the
    camera. `fps` analyses fewer frames than there are. `recording` is a folder for `mien replay`: several videos may
    go into one, each under the name of its own camera.
    """

    video: Path
    output: Path | None = None
    alerts: Path | None = None
    recording: Path | None = None
    camera_id: str = ""
    fps: float | None = None


@dataclass(slots=True)
class Outcome:
    """What a run came to; `labels` counts faces by label."""

    frames: int = 0
    faces: int = 0
    lost: int = 0
    alerts: int = 0
    seconds: float = 0.0
    labels: dict[str, int] = field(default_factory=dict)

    @property
    def unreadable(self) -> int:
        """Faces below the quality gate."""
        return self.labels.get(UNKNOWN, 0)


def analyze(settings: Settings, job: Job, *, progress: Progress = lambda _done, _total: None) -> Outcome:
    """Write the observations of a video, and its alerts if asked; the rules are those of the settings.

    Raises SourceError where the video can't be read, SinkError where the results can't be written.
    """
    camera_id = job.camera_id or _camera_id(job.video)
    camera = settings.cameras.get(camera_id)
    if job.camera_id and camera is None:
        raise ConfigError(f"no camera {camera_id!r} in the configuration; there are: {', '.join(settings.cameras)}")
    _refuse_overwriting(job)
    view = {} if camera is None else {camera_id: camera_view(camera)}
    outcome, started = Outcome(), time.monotonic()
    analyzer = build_analyzer(settings, views=view)
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(StreamSettings(str(job.video)))))
        rate = job.fps or source.facts.fps or 25.0
        evaluation = Evaluation(build_evaluator(settings, fps={camera_id: rate}))
        lines = stack.enter_context(output_file(job.output))
        transitions = stack.enter_context(output_file(job.alerts))
        recording = stack.enter_context(_recording(job.recording, settings, camera_id, rate))
        frames = _frames(source, camera_id, job.fps, masks=camera.masks if camera else (), outcome=outcome)
        states = None
        while batch := list(islice(frames, BATCH)):
            states, observations = analyzer.step(states, batch)
            _count(outcome, observations)
            _write(lines, (observation_document(one) for one in observations))
            if recording is not None:
                recording.write(observations)
            alerts = evaluation.feed(observations)
            outcome.alerts += len(alerts)
            _write(transitions, map(alert_document, alerts))
            progress(outcome.frames, source.facts.frames)
        last = evaluation.flush()
        outcome.alerts += len(last)
        _write(transitions, map(alert_document, last))
    outcome.seconds = time.monotonic() - started
    return outcome


def default_settings(video: Path) -> Settings:
    """Settings for a video without a configuration: every default, no rules."""
    return Settings.model_validate(
        {"purpose": f"analysis of the file {video.name}", "cameras": {_camera_id(video): {"url": str(video)}}}
    )


def _frames(
    source: Source, camera_id: str, fps: float | None, *, masks: tuple[Polygon, ...], outcome: Outcome
) -> Iterator[Frame]:
    """The pictures to analyse, stamped with seconds from the start of the file."""
    pacer = Pacer(fps) if fps else None
    for seq, picture in enumerate(source):
        outcome.lost += picture.lost
        ts = seq / (source.facts.fps or 25.0) if picture.pts is None else picture.pts
        if pacer is None or pacer.picks(ts):
            yield Frame(camera_id, 0, seq, ts, Clock.MEDIA, black_out(picture.rgb(), masks))


def _count(outcome: Outcome, observations: list[Observation]) -> None:
    outcome.frames += len(observations)
    for face in (face for observation in observations for face in observation.faces):
        outcome.faces += 1
        outcome.labels[face.label] = outcome.labels.get(face.label, 0) + 1


def _camera_id(video: Path) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", video.stem.lower()).strip("-_") or "video"


def _refuse_overwriting(job: Job) -> None:
    """Results must not replace the recording, nor each other."""
    paths = [path.resolve() for path in (job.video, job.output, job.alerts) if path is not None]
    if len(set(paths)) < len(paths):
        raise ConfigError("the video, the observations and the alerts need three different files")


@contextmanager
def _recording(
    folder: Path | None, settings: Settings, camera_id: str, rate: float
) -> Iterator[RecordingWriter | None]:
    """A recording, if asked for, in which this camera is new: every file begins at the same time, zero."""
    if folder is None:
        yield None
        return
    camera = settings.cameras.get(camera_id)
    recorded = RecordedCamera(rate, tuple(camera.zones) if camera else ())
    head = head_of(settings, Recorded(folder=folder), cameras={camera_id: recorded})
    with RecordingWriter(folder, head) as writer:
        if any(file.camera_id == camera_id for file in writer.manifest.files):
            raise ConfigError(f"{folder} has a camera {camera_id!r} already: name another --camera, or another folder")
        yield writer


def _write(file: BinaryIO | None, documents: Iterator[dict[str, object]]) -> None:
    if file is None:
        return
    file.writelines(encode(document) + b"\n" for document in documents)
    file.flush()
