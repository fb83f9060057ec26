"""What the console reads, and the newest picture of each camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from connectors.store import Store
from connectors.store_reader import StoreReader
from operators.analyze import Analyzer
from operators.records import Frame, Gap, Observation
from operators.rules import RuleSet
from pipeline.config import Settings, labels_read
from pipeline.evaluation import Evaluation, in_order
from pipeline.status import Status
from pipeline.web.history import History
from pipeline.web.recent import Recent

__all__ = ["From", "Memory", "Newest", "Seen", "Sources"]

MISSED_S = 2.0
"""Faces that were found so short a time ago are blurred too: the newest frame may have missed one."""
FRESH_S = 30.0
"""A picture that is older is not shown: it says nothing about now."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The newest analysed frame of a camera, what was seen in it, and what a moment `before`; `at` is monotonic."""

    frame: Frame
    observation: Observation
    before: tuple[Observation, ...]
    at: float


class Newest:
    """The newest analysed frame of each camera, by reference: keeping it costs no copy and no time."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def tape(self, items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> None:
        """Take what the pipeline has analysed."""
        frames = (item for item in items if isinstance(item, Frame))
        now = time.monotonic()
        for frame, observation in zip(frames, observations, strict=True):
            last = self._seen.get(frame.camera_id)
            before = () if last is None else (*last.before, last.observation)
            recent = tuple(one for one in before if abs(frame.ts - one.ts) <= MISSED_S)
            self._seen[frame.camera_id] = Seen(frame, observation, recent, now)

    def of(self, camera_id: str) -> Seen | None:
        """The newest of a camera, or None where there is no fresh one."""
        seen = self._seen.get(camera_id)
        return seen if seen is not None and time.monotonic() - seen.at <= FRESH_S else None


class Memory:
    """What the cameras showed lately, fed by the pipeline's tape; nothing of it is stored."""

    def __init__(self, settings: Settings) -> None:
        self._pictures = settings.console.live != "off"
        self.newest = Newest()
        self.history = History(settings.console.history, labels_read(settings.models))
        self.recent = Recent(len(settings.cameras))

    def tape(self, items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> None:
        """Take what the pipeline has analysed."""
        records = [record for record in in_order(items, observations) if isinstance(record, Observation | Gap)]
        self.history.take(records)
        self.recent.take(records)
        if self._pictures:
            self.newest.tape(items, observations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything that the API reads or changes. All of it may be asked from any thread."""

    settings: Settings
    status: Callable[[], Status]
    """The latest status of the pipeline, at most 0.25 s old."""
    reader: StoreReader
    """Alerts: a connection of its own that only reads."""
    store: Store
    """The pipeline's store: only for what people change."""
    metrics: CollectorRegistry
    memory: Memory
    """What the cameras showed lately."""
    evaluation: Evaluation
    """The rules with their state, as they move on: copy before looking (`list(...)`), as `Evaluation.firing` does."""
    analyzer: Callable[[], Analyzer]
    """The pipeline's own models, which may be called from several threads."""
    clock: Callable[[], float] = time.time
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the console ends: what goes on for long looks at it several times a second."""

    @property
    def history(self) -> History:
        """What the cameras showed in the last hours, in figures."""
        return self.memory.history

    @property
    def recent(self) -> Recent:
        """What was seen in the last minutes, frame by frame."""
        return self.memory.recent

    @property
    def ruleset(self) -> RuleSet:
        """The rules in force."""
        return self.evaluation.evaluator.ruleset


async def _sources(request: Request) -> Sources:  # else it would wait for a thread
    found = request.app.state.sources
    assert isinstance(found, Sources)  # noqa: S101 -- `create_app` puts it there
    return found


From = Annotated[Sources, Depends(_sources)]
"""A parameter of an operation: `def cameras(sources: From) -> ...`."""
