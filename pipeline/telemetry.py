"""Roll-ups and health of one process, on their way to Elasticsearch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Self
from zoneinfo import ZoneInfo

from connectors.elastic_documents import rollup_entry
from connectors.elastic_settings import ElasticSettings
from connectors.elastic_writer import ElasticWriter
from operators.records import Gap, Observation, Tick
from operators.rollup import Rollup, Rollups, RollupState
from pipeline.config import Settings
from pipeline.health_documents import Health, Queue
from pipeline.kept_frames import KeptFrames
from pipeline.recorder import Recorder
from pipeline.status import Status

__all__ = ["Telemetry"]

EVERY_S = 10.0
"""How often a process says how it is, and the width of a roll-up."""
CLOSE_S = 0.5


class Telemetry:
    """Tells Elasticsearch what cameras show and how this process is; a context manager. Never waits for the server.

    `observe` what the rules get, `report` as often as you like.
    """

    def __init__(
        self,
        settings: Settings,
        elastic: ElasticSettings,
        *,
        role: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = ElasticWriter(elastic)
        self._zone = ZoneInfo(elastic.timezone)
        self._rollups = {name: Rollups(tuple(camera.zones), width=EVERY_S) for name, camera in settings.cameras.items()}
        self._states: dict[str, RollupState] = {}
        self._observing = threading.Lock()
        self._health = Health(role)
        self._kept = KeptFrames(settings.kafka) if settings.kafka and "analyze" in role.split("+") else None
        self._running = ExitStack()
        self._clock = clock
        self._reported_at = clock() // EVERY_S

    def __enter__(self) -> Self:
        self._writer.start()
        if self._kept is not None:
            self._running.enter_context(self._kept)
        return self

    def __exit__(self, *_: object) -> None:
        """Tell what is known of the last seconds, and end."""
        self._running.close()
        with self._observing:
            self._put(rollup for name, state in self._states.items() for rollup in self._of(name).finish(state, name))
        self._writer.close(CLOSE_S)

    def observe(self, records: Iterable[Observation | Gap | Tick]) -> None:
        """Take in records, each camera's in order; may be called from any thread."""
        with self._observing:
            for record in records:
                name = record.camera_id
                self._states[name], told = self._of(name).step(self._states.get(name), record)
                self._put(told)

    def report(self, status: Status, recorder: Recorder, *, queues: Sequence[Queue] = ()) -> None:
        """Say how the process is, if it is time to."""
        turn = self._clock() // EVERY_S
        if turn == self._reported_at:
            return
        self._reported_at = turn
        self._writer.put(
            self._health.documents(
                status,
                turn * EVERY_S,
                times=recorder.take_times(),
                queues=queues,
                discarded=self._writer.take_discarded(),
                kept_s=None if self._kept is None else self._kept.take_age(),
            )
        )

    def _of(self, camera_id: str) -> Rollups:
        return self._rollups.get(camera_id) or Rollups(width=EVERY_S)

    def _put(self, rollups: Iterable[Rollup]) -> None:
        self._writer.put(rollup_entry(rollup, self._zone) for rollup in rollups)
