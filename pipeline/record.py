"""`mien record`: what the cameras show, kept for later: observations always, pictures only for a stated purpose."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from connectors.footage import Footage
from connectors.recording import Manifest, RecordedCamera, RecordedModel
from connectors.recording_writer import RecordingWriter
from connectors.store import StoreSettings
from connectors.wire import iso_time
from models.registry import find
from operators.errors import ModelError, SinkError
from operators.records import Frame, Gap, Observation
from operators.units import Seconds
from pipeline.config import Settings, labels_read, show
from pipeline.evaluation import in_order
from pipeline.local import Tape
from pipeline.run import run
from pipeline.sections import Console

__all__ = ["Job", "Outcome", "best_effort", "head_of", "record", "taping"]

log = logging.getLogger(__name__)

_NOT_RECORDED = ("sinks", "store", "metrics", "console")
"""Sections that say where alerts go: nothing of the recording depends on them, and they hold addresses and secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A recording to make. Pictures are kept only where `video_purpose` says why; `retention` None keeps for ever."""

    folder: Path
    retention: Seconds | None = None
    video_purpose: str = ""


@dataclass(slots=True)
class Outcome:
    """What was written; `dropped` counts the pictures for which disk or encoder were too slow."""

    records: int = 0
    gaps: int = 0
    pictures: int = 0
    dropped: int = 0


def record(settings: Settings, job: Job, *, seconds: float | None = None, plain: bool = False) -> Outcome:
    """Record the cameras until the time is up, the sources end, or SIGINT / SIGTERM comes.

    Rules, sinks and the store of the configuration are left alone: a mien that runs beside it alerts, once.
    Raises SinkError where the recording can't be written.
    """
    with TemporaryDirectory(prefix="mien-record-") as folder, taping(settings, job) as (tape, outcome):
        silent = {
            "rules": (),
            "sinks": (),
            "metrics": None,
            "console": Console(enabled=False),
            "store": StoreSettings(path=Path(folder) / "store.sqlite"),
        }
        run(settings.model_copy(update=silent), seconds=seconds, plain=plain, tape=tape)
    return outcome


@contextmanager
def taping(settings: Settings, job: Job) -> Iterator[tuple[Tape, Outcome]]:
    """A tape for the local pipeline that writes a recording, and what has been written so far."""
    outcome = Outcome()
    with ExitStack() as stack:
        writer = stack.enter_context(RecordingWriter(job.folder, head_of(settings, job)))
        footage = stack.enter_context(Footage(writer)) if job.video_purpose else None

        def tape(items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> None:
            records = [item for item in in_order(items, observations) if isinstance(item, Observation | Gap)]
            writer.write(records)
            outcome.records += len(records)
            outcome.gaps += len(records) - len(observations)
            if footage is not None:
                frames = [item for item in items if isinstance(item, Frame)]
                for frame in frames:
                    footage.film(frame)
                dropped = footage.dropped - outcome.dropped
                outcome.pictures += len(frames) - dropped
                outcome.dropped += dropped

        yield tape, outcome


def best_effort(tape: Tape) -> Tape:
    """The same tape for a pipeline that must go on alerting when it can't be recorded any more; said once."""
    broken = False

    def attempt(items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> None:
        nonlocal broken
        if broken:
            return
        try:
            tape(items, observations)
        except SinkError as error:
            broken = True
            log.warning("the recording ends here, alerts go on: %s", error)

    return attempt


def head_of(settings: Settings, job: Job, *, cameras: Mapping[str, RecordedCamera] | None = None) -> Manifest:
    """What the manifest says before there is a file; `cameras` stand in for those of the configuration."""
    configured = {
        name: RecordedCamera(camera.fps, tuple(camera.zones)) for name, camera in settings.active_cameras.items()
    }
    return Manifest(
        mien=version("mien"),
        created_at=iso_time(time.time()),
        purpose=settings.purpose.strip(),
        video_purpose=job.video_purpose,
        models=_models(settings),
        configuration=_configuration(settings),
        cameras=configured if cameras is None else cameras,
        retention_s=job.retention,
    )


def _models(settings: Settings) -> dict[str, RecordedModel]:
    models = settings.models
    detector = find(models.detector.name)
    recorded = {"detector": RecordedModel(detector.name, detector.files)}
    own = (("expression", models.expression), ("enhancer", models.enhancer), ("temporal", models.temporal))
    for task, chosen in own:
        if chosen is not None:
            entry, path = find(chosen.name), chosen.path
            recorded[task] = RecordedModel(entry.name, entry.files if path is None else {path.name: _sha256(path)})
    recorded["expression"] = replace(recorded["expression"], labels=labels_read(models))
    return recorded


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror}") from error


def _configuration(settings: Settings) -> dict[str, Any]:
    """The settings as a configuration file would say them, without accounts, passwords and tokens."""
    shown: dict[str, Any] = YAML(typ="safe").load(show(settings))
    for name, camera in settings.cameras.items():
        entry = shown["cameras"][name]
        entry["url"] = replace(camera, username="", password=None).shown
        entry.pop("username", None)
        entry.pop("password", None)
    return {key: value for key, value in shown.items() if key not in _NOT_RECORDED}
