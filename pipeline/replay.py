"""Rules over a recording, in event time: the same operators as live, and the same alerts every time.

Nothing here reads a clock but to keep a pace that was asked for, so two runs give the same bytes.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from connectors.footage import read_frames
from connectors.recording import Manifest, Recording, time_of
from connectors.wire import alert_document, encode
from operators.analyze import CameraState
from operators.errors import Cause, ConfigError, SourceError
from operators.records import Alert, Gap, Observation, Status
from operators.rules import EXPRESSIONS, RuleEvaluator, RuleSet, Watched
from pipeline.build import build_analyzer
from pipeline.config import Settings, load_rules
from pipeline.evaluation import Evaluation
from pipeline.output import output_file
from pipeline.parallel import in_parallel

__all__ = [
    "Job",
    "Outcome",
    "evaluator_for",
    "labels_in",
    "recorded_settings",
    "records_of",
    "replay",
    "replay_recording",
    "rules_for",
]

BATCH = 8
"""Pictures analysed together: their faces are classified in one call."""
PARALLEL_FROM = 40_000
"""Records from which on several processes are faster than one: they need a second to start."""
TELL_EVERY = 2000
"""Records between two calls of the progress."""

Record = Observation | Gap
Source = Literal["observations", "video"]
Progress = Callable[[int, int], None]
"""Called with records done so far and in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to replay: transitions go to `output` as JSON lines, if named.

    `speed` 1 is the pace at which it was recorded, None as fast as possible. `source` video sends the recorded pictures
    through the models again; None takes the observations where there are some. A long recording is evaluated in so
    many `processes`, 0 for one per core; the result is the same.
    """

    output: Path | None = None
    speed: float | None = None
    source: Source | None = None
    processes: int = 0


@dataclass(slots=True)
class Outcome:
    """What a replay came to; alerts that fired, and that were only ever pending, by rule and camera (or group)."""

    records: int = 0
    late: int = 0
    transitions: int = 0
    seconds: float = 0.0
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    pending_only: Counter[tuple[str, str]] = field(default_factory=Counter)


def evaluator_for(ruleset: RuleSet, manifest: Manifest) -> RuleEvaluator:
    """The rules, with what they must know of the recorded cameras."""
    cameras = {name: Watched(interval=1 / camera.fps, zones=camera.zones) for name, camera in manifest.cameras.items()}
    return RuleEvaluator(ruleset, cameras=cameras)


def replay(evaluator: RuleEvaluator, records: Iterable[Record]) -> Iterator[Alert]:
    """Every transition, in the order of the records; at their end, time runs out for all that waits."""
    yield from _through(Evaluation(evaluator), records)


def _through(evaluation: Evaluation, records: Iterable[Record]) -> Iterator[Alert]:
    for record in records:
        yield from evaluation.feed((record,))
    yield from evaluation.flush()


def recorded_settings(manifest: Manifest) -> Settings:
    """The configuration that a recording was made with; raises ConfigError where this mien can't read it."""
    try:
        return Settings.model_validate(dict(manifest.configuration))
    except ValidationError as error:
        raise ConfigError(
            f"the configuration in the manifest, of mien {manifest.mien}, is not one that this mien reads "
            f"({error.error_count()} mistakes): name the rules with --rules FILE"
        ) from error


def rules_for(manifest: Manifest, path: Path | None) -> RuleSet:
    """The rules in a file, or without one those that a recording was made with. Raises ConfigError."""
    return recorded_settings(manifest).rule_set if path is None else load_rules(path, labels=labels_in(manifest))


def labels_in(manifest: Manifest) -> tuple[str, ...]:
    """The expressions that the faces of a recording can show."""
    network = manifest.models.get("expression")
    return network.labels if network and network.labels else EXPRESSIONS


def replay_recording(
    recording: Recording, ruleset: RuleSet, job: Job, *, progress: Progress = lambda _done, _total: None
) -> Outcome:
    """Evaluate the rules over a recording. Raises SourceError and SinkError where a file can't be read or written."""
    outcome, started = Outcome(), time.monotonic()
    evaluator = evaluator_for(ruleset, recording.manifest)
    with output_file(job.output) as lines:
        for alert in _alerts(recording, evaluator, job, outcome, progress):
            _count(outcome, alert)
            if lines is not None:
                lines.write(encode(alert_document(alert)) + b"\n")
                if job.speed is not None:
                    lines.flush()
    outcome.seconds = time.monotonic() - started
    return outcome


def _alerts(
    recording: Recording, evaluator: RuleEvaluator, job: Job, outcome: Outcome, progress: Progress
) -> Iterator[Alert]:
    """The transitions; `outcome` learns how many records there were, and how many of them were late."""
    kind = _kind(recording, job.source)
    total = sum(file.records for file in recording.files(kind))
    processes = min(job.processes or os.cpu_count() or 1, len(recording.cameras))
    if processes > 1 and kind == "observations" and job.speed is None and total >= PARALLEL_FROM:
        found = in_parallel(recording, evaluator, processes, progress=lambda done: progress(done, total))
        outcome.records, outcome.late, recording.damaged = found.records, found.late, found.damaged
        yield from found.alerts
        return
    records = _told(records_of(recording, kind), outcome, total, progress)
    evaluation = Evaluation(evaluator)
    yield from _through(evaluation, records if job.speed is None else _paced(records, job.speed))
    outcome.late = sum(map(evaluation.late, recording.cameras))


def _count(outcome: Outcome, alert: Alert) -> None:
    outcome.transitions += 1
    key = alert.rule, alert.camera_id or alert.labels.get("group", "")
    if alert.status is Status.FIRING and alert.ts == alert.fired_at:  # not an escalation or a reminder
        outcome.fired[key] += 1
    elif alert.status is Status.BROKEN:
        outcome.pending_only[key] += 1


def _kind(recording: Recording, source: Source | None) -> Source:
    return source or ("observations" if recording.files() else "video")


def records_of(recording: Recording, source: Source | None = None) -> Iterator[Record]:
    """What was seen, by time: as it was recorded, or as the models see the recorded video now."""
    kind = _kind(recording, source)
    if not recording.files(kind):
        raise SourceError(
            f"the recording {recording.folder} holds no {kind}"
            + (": it was made without --frames" if kind == "video" else ""),
            cause=Cause.NOT_FOUND,
        )
    return recording.records() if kind == "observations" else _seen_again(recording)


def _seen_again(recording: Recording) -> Iterator[Record]:
    """The video through the models, with the gaps as they were; masks are in the video already."""
    gaps = (record for record in recording.records() if isinstance(record, Gap))
    return merge(gaps, _analysed(recording), key=time_of)  # a gap is told before the picture that ends it


def _analysed(recording: Recording) -> Iterator[Observation]:
    settings = recorded_settings(recording.manifest)
    frames = read_frames(recording)
    states: Mapping[str, CameraState] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="detect") as workers:
        analyzer = build_analyzer(settings, each=workers.map)
        while batch := list(islice(frames, BATCH)):
            states, observations = analyzer.step(states, batch)
            yield from observations


def _told(records: Iterator[Record], outcome: Outcome, total: int, progress: Progress) -> Iterator[Record]:
    """The records, counted, with the progress told now and then."""
    for outcome.records, record in enumerate(records, 1):
        if outcome.records % TELL_EVERY == 0:
            progress(outcome.records, total)
        yield record


def _paced(records: Iterable[Record], speed: float) -> Iterator[Record]:
    """The records at `speed` times the pace at which they were recorded."""
    origin: float | None = None
    for record in records:
        now, ts = time.monotonic(), time_of(record)
        origin = now - ts / speed if origin is None else origin
        time.sleep(max(0.0, origin + ts / speed - now))
        yield record
