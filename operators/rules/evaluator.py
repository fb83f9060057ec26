"""Rules over one camera's stream, in event time.

Records are put in order by a small buffer, and applied when the watermark (the newest time seen, less `out_of_order`)
passes them. What is due between two records happens first, at exactly its own time. So the transitions depend on the
records and the rules only: not on when records arrive, how they are batched, or where a run was cut and resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from operators.records import Alert, FaceTrack, Gap, Observation, Scope, Tick, TrackEventKind
from operators.rules.lifecycle import Journal, Reading, Slot, expire, merge, retire, sample, unread
from operators.rules.plan import Plan, milliseconds, plan_rule
from operators.rules.rule import Rule, check_unique
from operators.units import Seconds

__all__ = ["Book", "EvaluatorState", "RuleEvaluator"]

FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Book:
    """All slots of one rule by scope key: track id, zone, or "" for the camera; `version` is the rule's."""

    version: str
    scope: Scope
    slots: dict[str, Slot]


@dataclass(frozen=True, slots=True)
class EvaluatorState:
    """Everything remembered of one camera: plain values, so that it can be stored and read back by its type.

    `newest` is the latest time seen and `clock` the time up to which everything has happened, in ms; `last` is the time
    of the last observation applied; what waits for the watermark is in `observations` and `gaps`. Counters: `late`
    records were not applied, `suppressed` episodes did not fire in a cooldown, `merged` slots gave way to an older one.
    """

    camera_id: str
    newest: int = -FOREVER
    clock: int = -FOREVER
    last: int = -FOREVER
    observations: tuple[Observation, ...] = ()
    gaps: tuple[Gap, ...] = ()
    books: dict[str, Book] = field(default_factory=dict)
    late: int = 0
    suppressed: int = 0
    merged: int = 0


@dataclass(frozen=True)
class RuleEvaluator:
    """Evaluates rules: `step(state, item)` for the records of one camera, `flush(state)` at the end of its input."""

    rules: tuple[Rule, ...]
    """The rules."""
    out_of_order: Seconds = 0.0
    """How much older than the newest one a record may be; 0 for a stream that is in order."""
    interval: Mapping[str, float] = field(default_factory=dict)
    """Seconds between two analysed frames by camera id, for the default `max_gap`."""
    _plans: dict[str, tuple[Plan, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.out_of_order < 0:
            raise ValueError(f"expected out_of_order >= 0s, got {self.out_of_order:g}s")
        check_unique(self.rules)

    def step(
        self, state: EvaluatorState | None, item: Observation | Gap | Tick, /
    ) -> tuple[EvaluatorState, list[Alert]]:
        """Apply one record; returns the next state and the transitions it brought about, in time order.

        Raises ValueError for a record of another camera than the state's.
        """
        state = state or EvaluatorState(item.camera_id)
        if item.camera_id != state.camera_id:
            raise ValueError(f"expected a record of camera {state.camera_id!r}, got one of {item.camera_id!r}")
        if _is_late(state, item):
            return replace(state, late=state.late + 1), []
        newest = max(state.newest, milliseconds(item.to_ts if isinstance(item, Gap) else item.ts))
        return self._advance(state, item, newest=newest, until=newest - milliseconds(self.out_of_order))

    def flush(self, state: EvaluatorState, /) -> tuple[EvaluatorState, list[Alert]]:
        """End of input: apply what is buffered and let everything happen that is still due."""
        flushed, alerts = self._advance(state, None, newest=state.newest, until=FOREVER)
        return replace(flushed, clock=state.newest), alerts

    def plans(self, camera_id: str) -> tuple[Plan, ...]:
        """The rules that look at a camera, made ready for it."""
        if camera_id not in self._plans:
            interval = self.interval.get(camera_id, 0.0)
            self._plans[camera_id] = tuple(
                plan_rule(rule, camera_id, interval=interval)
                for rule in self.rules
                if not rule.where.cameras or camera_id in rule.where.cameras
            )
        return self._plans[camera_id]

    def _advance(
        self, state: EvaluatorState, item: Observation | Gap | Tick | None, *, newest: int, until: int
    ) -> tuple[EvaluatorState, list[Alert]]:
        """Put `item` into the buffer and apply, in order, everything up to `until`."""
        until = max(until, state.clock)
        buffer: list[Observation | Gap] = [*state.observations, *state.gaps]
        if isinstance(item, Observation | Gap):
            buffer.append(item)
        buffer.sort(key=_order)
        count = sum(1 for record in buffer if _order(record)[0] <= until)
        ready, waiting = buffer[:count], buffer[count:]

        run = _Run(self.plans(state.camera_id), state)
        for record in ready:
            run.apply(record)
        run.let_pass(until)
        following = EvaluatorState(
            camera_id=state.camera_id,
            newest=newest,
            clock=until,
            last=run.last,
            observations=tuple(record for record in waiting if isinstance(record, Observation)),
            gaps=tuple(record for record in waiting if isinstance(record, Gap)),
            books=run.books(),
            late=run.late,
            suppressed=state.suppressed + run.journal.suppressed,
            merged=state.merged + run.journal.merged,
        )
        return following, run.journal.alerts


def _order(record: Observation | Gap) -> tuple[int, int, int, int]:
    """Order of application: by time; a gap begins after the observation at its start."""
    if isinstance(record, Gap):
        return milliseconds(record.from_ts), 1, milliseconds(record.to_ts), 0
    return milliseconds(record.ts), 0, record.epoch, record.seq


def _is_late(state: EvaluatorState, item: Observation | Gap | Tick) -> bool:
    """Whether the time of a record has already passed; of a gap, whether all of it has."""
    if isinstance(item, Observation):
        ts = milliseconds(item.ts)
        return ts < state.clock or ts <= state.last
    return isinstance(item, Gap) and milliseconds(item.to_ts) <= state.clock


class _Run:
    """The work of one step: fresh copies of the books, changed in place and thrown away after."""

    def __init__(self, plans: tuple[Plan, ...], state: EvaluatorState) -> None:
        self.plans = plans
        self.camera_id = state.camera_id
        self.clock = state.clock
        self.last = state.last
        self.late = state.late
        self.journal = Journal()
        self.slots = {plan.rule.id: self._adopt(plan, state.books.get(plan.rule.id)) for plan in plans}
        for rule_id in state.books.keys() - self.slots.keys():
            self._retire(rule_id, state.books[rule_id])

    def apply(self, record: Observation | Gap) -> None:
        """Apply one record after everything that is due before it."""
        if isinstance(record, Gap):
            self._apply_gap(record)
        else:
            self._apply_observation(record)

    def let_pass(self, now: int) -> None:
        """Let everything happen that is due by `now`, in time order."""
        first = len(self.journal.alerts)
        for plan in self.plans:
            slots = self.slots[plan.rule.id]
            due = [key for key, slot in slots.items() if slot.due <= now] if slots else ()
            for key in due:
                _put(slots, key, expire(plan, slots[key], now, self.journal))
        if len(self.journal.alerts) > first:
            self.journal.alerts[first:] = sorted(self.journal.alerts[first:], key=_when)
        self.clock = max(self.clock, now)

    def books(self) -> dict[str, Book]:
        """The books after this step; rules with nothing to remember have none."""
        return {
            plan.rule.id: Book(plan.version, plan.rule.scope, slots)
            for plan in self.plans
            if (slots := self.slots[plan.rule.id])
        }

    def _adopt(self, plan: Plan, book: Book | None) -> dict[str, Slot]:
        if book is None:
            return {}
        if book.version == plan.version:
            return dict(book.slots)
        self._retire(plan.rule.id, book)
        return {}

    def _retire(self, rule_id: str, book: Book) -> None:
        for slot in book.slots.values():
            ended = retire(slot, rule=rule_id, scope=book.scope, camera_id=self.camera_id, ts=self.clock)
            self.journal.alerts.extend(ended)

    def _apply_gap(self, gap: Gap) -> None:
        ts = max(milliseconds(gap.from_ts), self.clock)
        self.let_pass(ts)
        for plan in self.plans:
            slots = self.slots[plan.rule.id]
            for key in list(slots):
                _put(slots, key, unread(plan, slots[key], ts))

    def _apply_observation(self, observation: Observation) -> None:
        ts = milliseconds(observation.ts)
        if ts <= self.last:
            self.late += 1
            return
        self.let_pass(ts)
        self.last = ts
        for event in observation.events:
            if event.kind is TrackEventKind.MERGED and event.into is not None:
                self._merge(event.track_id, event.into, ts)
        for plan in self.plans:
            match plan.rule.scope:
                case Scope.TRACK:
                    self._read_tracks(plan, observation.faces, ts)
                case Scope.ZONE:
                    self._read_zones(plan, observation.faces, ts)
                case Scope.CAMERA:
                    level, face = plan.strongest(observation.faces)
                    self._read(plan, "", level, face, ts=ts)

    def _read_tracks(self, plan: Plan, faces: tuple[FaceTrack, ...], ts: int) -> None:
        for face in faces:
            self._read(plan, face.track_id, plan.level(face), face, ts=ts)
        slots = self.slots[plan.rule.id]
        if slots:
            for key in slots.keys() - {face.track_id for face in faces}:
                _put(slots, key, unread(plan, slots[key], ts))

    def _read_zones(self, plan: Plan, faces: tuple[FaceTrack, ...], ts: int) -> None:
        zones = plan.zones or {*self.slots[plan.rule.id], *(zone for face in faces for zone in face.zones)}
        for zone in sorted(zones):
            level, face = plan.strongest(face for face in faces if zone in face.zones)
            self._read(plan, zone, level, face, ts=ts)

    def _read(self, plan: Plan, key: str, level: float | None, face: FaceTrack | None, *, ts: int) -> None:
        slots = self.slots[plan.rule.id]
        slot = slots.get(key)
        if level is None:
            if slot is not None:
                _put(slots, key, unread(plan, slot, ts))
        elif slot is not None or level >= plan.enter:
            _put(slots, key, sample(plan, slot, Reading(level, face), key=key, ts=ts, journal=self.journal))

    def _merge(self, track_id: str, into: str, ts: int) -> None:
        for plan in self.plans:
            slots = self.slots[plan.rule.id]
            old = slots.get(track_id)
            if plan.rule.scope is Scope.TRACK and old is not None and ts - old.signal.at <= plan.reacquire:
                del slots[track_id]
                _put(slots, into, merge(plan, old, slots.get(into), ts=ts, journal=self.journal))


def _put(slots: dict[str, Slot], key: str, slot: Slot | None) -> None:
    if slot is None:
        slots.pop(key, None)
    else:
        slots[key] = slot


def _when(alert: Alert) -> tuple[float, str, str, int]:
    return alert.ts, alert.rule, alert.alert_id, alert.seq
