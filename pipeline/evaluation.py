"""Rules over the records of many cameras: what the local runtime, `mien analyze` and later the worker share."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from connectors import wire
from operators.errors import DecodeError
from operators.records import Alert, Gap, Observation, Tick
from operators.rules.evaluator import EvaluatorState, RuleEvaluator

log = logging.getLogger(__name__)

SET_BACK_S = 30.0
"""A record this much older than what a camera's rules have seen is not late: the clock was set back."""

Record = Observation | Gap | Tick


class Evaluation:
    """The rule evaluator with the state of every camera.

    `saved` are states by camera as `changed` gave them before, for a restart that goes on where the last run stopped.
    """

    def __init__(self, evaluator: RuleEvaluator, saved: Mapping[str, bytes] | None = None) -> None:
        self.evaluator = evaluator
        self._states = {camera: _read(camera, data) for camera, data in (saved or {}).items()}
        self._changed: set[str] = set()

    def feed(self, records: Iterable[Record]) -> list[Alert]:
        """Apply the records in order; returns the transitions they cause."""
        return [alert for record in records for alert in self._step(record)]

    def flush(self) -> list[Alert]:
        """End of input: time runs out for everything that waits."""
        alerts: list[Alert] = []
        for camera, state in sorted(self._states.items()):
            self._states[camera], last = self.evaluator.flush(state)
            alerts += last
        return alerts

    def late(self, camera_id: str) -> int:
        """Records of a camera that came after their time had passed, and were not applied."""
        state = self._states.get(camera_id)
        return 0 if state is None else state.late

    def firing(self) -> int:
        """How many alerts fire now; may be asked from any thread."""
        slots = (
            slot
            for state in list(self._states.values())
            for book in state.books.values()
            for slot in book.slots.values()
        )
        return sum(slot.alarm is not None and slot.alarm.fired_at is not None for slot in slots)

    def forget(self, cameras: Iterable[str]) -> list[Alert]:
        """End what cameras that are no longer watched left behind, with the reason `config`."""
        alerts: list[Alert] = []
        for camera in sorted(self._states.keys() & set(cameras)):
            _, ended = RuleEvaluator(()).flush(self._states[camera])
            self._states[camera] = EvaluatorState(camera)
            self._changed.add(camera)
            alerts += ended
        return alerts

    def changed(self) -> dict[str, bytes]:
        """States that moved since the last call, encoded."""
        states = {camera: wire.encode(self._states[camera]) for camera in sorted(self._changed)}
        self._changed.clear()
        return states

    def _step(self, record: Record) -> list[Alert]:
        camera = record.camera_id
        self._changed.add(camera)
        before = self._from_the_future(record)
        self._states[camera], alerts = self.evaluator.step(self._states.get(camera), record)
        return before + alerts

    def _from_the_future(self, record: Record) -> list[Alert]:
        """End what a clock that has since been set back left behind: every new record would look late to it."""
        state = self._states.get(record.camera_id)
        ts = record.to_ts if isinstance(record, Gap) else record.ts
        if state is None or ts * 1000 > state.clock - SET_BACK_S * 1000:
            return []
        log.warning(
            "clock was set back camera=%s by_s=%.0f: its rules start anew", state.camera_id, state.clock / 1000 - ts
        )
        _, alerts = self.evaluator.flush(self._states.pop(record.camera_id))
        return alerts


def _read(camera: str, data: bytes) -> EvaluatorState:
    """A saved state; one of another version must not keep the cameras from being watched."""
    try:
        return wire.decode(data, EvaluatorState)
    except DecodeError as error:
        log.warning("rule state can't be read: the rules of this camera start anew camera=%s error=%s", camera, error)
        return EvaluatorState(camera)
