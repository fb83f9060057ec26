"""Rules over the records of many cameras: what the runtimes, `mien analyze` and `mien replay` share."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from connectors import wire
from connectors.mailbox import MAX_STEP_BACK_S
from operators.errors import DecodeError
from operators.records import Alert, Frame, Gap, Observation, Status, Tick
from operators.rules import EvaluatorState, RuleEvaluator, RuleSet
from operators.rules.evaluator import GROUP, SITE

log = logging.getLogger(__name__)

Record = Observation | Gap | Tick


class Evaluation:
    """The rule evaluator with the state of every partition: each camera, each group, the site.

    `saved` are states by partition as `changed` gave them before, for a restart that goes on where the last run
    stopped. `only` is the one partition to evaluate, if not all.
    """

    def __init__(
        self, evaluator: RuleEvaluator, saved: Mapping[str, bytes] | None = None, *, only: str | None = None
    ) -> None:
        self.evaluator = evaluator
        self._only = only
        read = {name: _read(name, data) for name, data in (saved or {}).items()}
        self._states = {name: state for name, state in read.items() if state is not None}
        self._unread = read.keys() - self._states.keys()
        self._changed: set[str] = set()
        self._late: Counter[str] = Counter()
        self._wanted: dict[str, tuple[str, ...]] = {}

    def feed(self, records: Iterable[Record]) -> list[Alert]:
        """Apply the records in order; returns the transitions they cause."""
        return [alert for record in records for alert in self._step(record)]

    def flush(self) -> list[Alert]:
        """End of input: time runs out for everything that waits."""
        alerts: list[Alert] = []
        for name, state in sorted(self._states.items()):
            alerts += self.evaluator.finish(state)
            self._changed.add(name)
        return alerts

    def reload(self, evaluator: RuleEvaluator) -> list[Alert]:
        """Go on with other rules, or after a restart with other cameras; returns what ends by that, as `config`.

        A rule that is the same keeps its memory, an alert that fires keeps its id. What changed starts anew, and so
        does all that belongs to a camera or a group that `evaluator` doesn't watch any more.
        """
        self.evaluator = evaluator
        self._wanted.clear()
        alerts: list[Alert] = []
        for name, state in sorted(self._states.items()):
            newest = {camera: ts for camera, ts in state.newest.items() if self._goes_to(camera, name)}
            if newest.keys() != state.newest.keys():
                alerts += self.forget([name])
            elif newest:
                camera = max(newest, key=newest.__getitem__)
                alerts += evaluator.apply(state, Tick(camera, newest[camera] / 1000))  # no time passes
                self._changed.add(name)
        return alerts

    def late(self, camera_id: str) -> int:
        """How often, since the start, a record of a camera came after its time had passed, and was not applied.

        That may be for the camera itself, for a group of it, or for the site; each counts.
        """
        return self._late[camera_id]

    def firing(self) -> int:
        """How many alerts fire now; may be asked from any thread."""
        slots = (
            slot
            for state in self.states().values()
            for book in list(state.books.values())
            for slot in list(book.slots.values())
        )
        return sum(slot.alarm is not None and slot.alarm.fired_at is not None for slot in slots)

    def states(self) -> dict[str, EvaluatorState]:
        """What the rules remember of each partition; may be asked from any thread.

        It goes on changing: copy before looking (`list(...)`), as `firing` does.
        """
        return dict(self._states)

    def forget(self, partitions: Iterable[str]) -> list[Alert]:
        """End what partitions (cameras, groups) that are no longer watched left behind, with the reason `config`."""
        config = self.evaluator.ruleset.version
        alerts: list[Alert] = []
        for name in sorted(self._states.keys() & set(partitions)):
            ended = RuleEvaluator(RuleSet()).finish(self._states[name])
            alerts += [replace(alert, config=config) for alert in ended]
            self._states[name] = EvaluatorState(name)
            self._changed.add(name)
        return alerts

    @property
    def unread(self) -> bool:
        """Whether there is a saved state that couldn't be read, and `abandoned` wasn't asked yet."""
        return bool(self._unread)

    def abandoned(self, firing: Iterable[Alert]) -> list[Alert]:
        """End, as `lost`, what fires by a saved state that couldn't be read: nothing else ever would.

        `firing` are the last transitions of what fires, as they were journalled.
        """
        lost = [alert for alert in firing if _partition_of(alert) in self._unread]
        self._unread = set()
        return [
            replace(alert, seq=alert.seq + 1, status=Status.RESOLVED, reason="lost", ends_at=alert.ts) for alert in lost
        ]

    def changed(self) -> dict[str, bytes]:
        """States that moved since the last call, encoded, by partition."""
        states = {name: wire.encode(self._states[name]) for name in sorted(self._changed)}
        self._changed.clear()
        return states

    def _goes_to(self, camera_id: str, partition: str) -> bool:
        """Whether the records of a camera that is watched belong to a partition."""
        return camera_id in self.evaluator.cameras and partition in self.evaluator.partitions(camera_id)

    def _step(self, record: Record) -> Iterator[Alert]:
        camera = record.camera_id
        wanted = self._wanted.get(camera)
        if wanted is None:
            every = self.evaluator.partitions(camera)
            wanted = self._wanted[camera] = tuple(name for name in every if self._only in (None, name))
        for name in wanted:
            state = self._states.get(name)
            if state is not None and _set_back(state, record):
                yield from self.evaluator.finish(state)
                state = None
            if state is None:
                state = self._states[name] = EvaluatorState(name)
            self._changed.add(name)
            late_before = state.late
            yield from self.evaluator.apply(state, record)
            if state.late > late_before:
                self._late[camera] += 1


def in_order(items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> Iterator[Record]:
    """The items with each frame replaced by what was seen in it."""
    seen = iter(observations)
    for item in items:
        yield next(seen) if isinstance(item, Frame) else item


def _set_back(state: EvaluatorState, record: Record) -> bool:
    """Whether the camera's clock was set back: every new record would look late to what came from its future."""
    newest = state.newest.get(record.camera_id)
    ts = record.to_ts if isinstance(record, Gap) else record.ts
    if newest is None or ts * 1000 > newest - MAX_STEP_BACK_S * 1000:
        return False
    by_s = newest / 1000 - ts
    log.warning("clock was set back camera=%s by_s=%.0f: the rules start anew", record.camera_id, by_s)
    return True


def _read(name: str, data: bytes) -> EvaluatorState | None:
    """A saved state, or None: one of another version must not keep the cameras from being watched."""
    try:
        return wire.decode(data, EvaluatorState)
    except DecodeError as error:
        log.warning("rule state can't be read: its rules start anew of=%s error=%s", name, error)
        return None


def _partition_of(alert: Alert) -> str:
    """Where the alert comes from: a camera, `group:NAME`, or `site:`."""
    if alert.camera_id:
        return alert.camera_id
    return GROUP + alert.labels["group"] if "group" in alert.labels else SITE
