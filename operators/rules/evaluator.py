"""Rules over the streams of cameras, in event time.

Rules about a face, a zone or a camera are evaluated for each camera by itself; rules about a group or the whole site in
a partition of their own. Records are put in order by a small buffer, and applied when the watermark passes them. What
is due between two records happens first, at exactly its own time. So the transitions depend on the records and the
rules only: not on when records arrive, how they are batched, or where a run was cut and resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

from operators.records import Alert, Gap, Observation, Scope, Tick
from operators.rules.compile import compile_condition
from operators.rules.lifecycle import Journal, Probe, make_line
from operators.rules.partition import Partition
from operators.rules.plan import Watched, milliseconds, plan_rule
from operators.rules.rule import Rule
from operators.rules.ruleset import RuleSet
from operators.rules.silence import Silence
from operators.rules.state import FOREVER, NEVER, EvaluatorState

__all__ = ["EvaluatorState", "Probe", "RuleEvaluator", "Watched"]

GROUP, SITE = "group:", "site:"
Record = Observation | Gap | Tick


class RuleEvaluator:
    """Evaluates rules: `apply(state, item)` for the records of one partition, `finish(state)` at the end of its input.

    Both change the state that they are given; `step` and `flush` do the same to a copy. Nothing else is changed.
    `cameras` says what the rules must know of each. `out_of_order` is how much older than the newest one a record may
    be, in seconds; a camera that lags `idle_after` seconds behind the newest of its group holds the others up no
    longer. `probe` is told about every sample, where something is to be explained.
    """

    def __init__(
        self,
        ruleset: RuleSet,
        *,
        cameras: Mapping[str, Watched] | None = None,
        out_of_order: float = 0.0,
        idle_after: float = 2.0,
        probe: Callable[[Probe], None] | None = None,
    ) -> None:
        if out_of_order < 0 or idle_after < 0:
            raise ValueError(f"expected out_of_order and idle_after >= 0s, got {out_of_order:g}s and {idle_after:g}s")
        self.ruleset = ruleset
        self.cameras = dict(cameras or {})
        self._config = ruleset.version
        self._rules = ruleset.in_order()
        self._disorder = milliseconds(out_of_order)
        self._idle = milliseconds(idle_after)
        self._probe = probe
        self._silence = Silence(ruleset)
        self._partitions: dict[str, Partition] = {}

    def partitions(self, camera_id: str) -> tuple[str, ...]:
        """Where the records of a camera go: its own partition, then those of its groups and of the site."""
        wanted = {rule.group for rule in self._rules if rule.scope is Scope.GROUP}
        groups = [name for name in sorted(wanted) if camera_id in self.ruleset.groups[name].cameras]
        site = [SITE] if any(rule.scope is Scope.SITE for rule in self._rules) else []
        return (camera_id, *(GROUP + name for name in groups), *site)

    def step(self, state: EvaluatorState | None, item: Record, /) -> tuple[EvaluatorState, list[Alert]]:
        """As `apply`, to a copy of the state; None is the start of the camera's own partition."""
        following = EvaluatorState(item.camera_id) if state is None else deepcopy(state)
        return following, self.apply(following, item)

    def flush(self, state: EvaluatorState, /) -> tuple[EvaluatorState, list[Alert]]:
        """As `finish`, to a copy of the state."""
        following = deepcopy(state)
        return following, self.finish(following)

    def apply(self, state: EvaluatorState, item: Record, /) -> list[Alert]:
        """Apply one record; returns the transitions it brought about, in time order.

        Raises ValueError for a record of a camera that is not of this partition.
        """
        partition = self._partition(state.partition)
        camera = item.camera_id
        if partition.cameras and camera not in partition.cameras and state.partition != SITE:
            raise ValueError(
                f"expected a record of camera {' or '.join(map(repr, partition.cameras))}, got one of {camera!r}"
            )
        journal = Journal(state, self._silence, self._probe)
        if state.config != self._config:
            partition.adopt(state, self._config, journal)
        ts = milliseconds(item.to_ts if isinstance(item, Gap) else item.ts)
        if _is_late(state, item, ts):
            state.late += 1
            return journal.alerts
        if ts > state.newest.get(camera, NEVER):
            state.newest[camera] = ts
        until = max(self._watermark(state, partition), state.clock)
        if isinstance(item, Observation):
            if ts <= until and not state.observations and not state.gaps:
                partition.observe(state, item, ts, journal)  # the usual case: in order, and nothing waits
            else:
                state.observations.append(item)
        elif isinstance(item, Gap):
            state.gaps.append(item)
        if state.observations or state.gaps:
            _apply_ready(partition, state, until, journal)
        partition.let_pass(state, until, journal)
        return journal.alerts

    def finish(self, state: EvaluatorState, /) -> list[Alert]:
        """End of input: apply what is buffered and let everything happen that is still due."""
        partition = self._partition(state.partition)
        journal = Journal(state, self._silence, self._probe)
        if state.config != self._config:
            partition.adopt(state, self._config, journal)
        _apply_ready(partition, state, FOREVER, journal)
        end = max([state.clock, *state.newest.values()])
        partition.let_pass(state, end, journal)
        partition.end_frames(state, end, journal)
        partition.let_pass(state, FOREVER - 1, journal)
        state.clock = end
        return journal.alerts

    def _partition(self, name: str) -> Partition:
        """The rules of a partition, made ready for it once."""
        if name not in self._partitions:
            self._partitions[name] = self._compile(name)
        return self._partitions[name]

    def _compile(self, name: str) -> Partition:
        cameras = self._cameras(name)
        watched = [self.cameras[camera] for camera in cameras if camera in self.cameras]
        plans = [
            plan_rule(rule, self.ruleset, partition=name, watched=watched, config=self._config)
            for rule in self._rules
            if _belongs(rule, name)
        ]
        routing, limits = self.ruleset.routing, self.ruleset.limits
        return Partition(
            lines=tuple(
                make_line(
                    plan,
                    compile_condition(plan),
                    limit=limits.max_active_per_rule,
                    skip_quiet=self._probe is None,  # a probe is told about quiet faces too
                )
                for plan in plans
            ),
            cameras=cameras,
            wide=name.startswith((GROUP, SITE)),
            silences=bool(
                routing.mute or routing.group_wait or routing.group_interval or any(plan.inhibitors for plan in plans)
            ),
            counts_frames=any(plan.fps or (plan.rule.absence and plan.rule.absence.min_fps) for plan in plans),
            max_tracks=limits.max_tracks_per_camera,
        )

    def _cameras(self, name: str) -> tuple[str, ...]:
        if name == SITE:
            return tuple(self.cameras)
        if name.startswith(GROUP):
            group = self.ruleset.groups.get(name.removeprefix(GROUP))
            return group.cameras if group else ()
        return (name,)

    def _watermark(self, state: EvaluatorState, partition: Partition) -> int:
        """The time up to which nothing is waited for any more."""
        newest = state.newest
        if not partition.wide:
            return newest[state.partition] - self._disorder
        least = min(newest.get(camera, NEVER) for camera in {*partition.cameras, *newest})
        return max(least, max(newest.values()) - self._idle) - self._disorder


def _belongs(rule: Rule, partition: str) -> bool:
    match rule.scope:
        case Scope.GROUP:
            return partition == GROUP + rule.group
        case Scope.SITE:
            return partition == SITE
        case _:
            return ":" not in partition and (not rule.where.cameras or partition in rule.where.cameras)


def _apply_ready(partition: Partition, state: EvaluatorState, until: int, journal: Journal) -> None:
    """Apply, in order, what waits and is not younger than `until`."""
    waiting: list[Observation | Gap] = sorted([*state.observations, *state.gaps], key=_order)
    state.observations, state.gaps = [], []
    for record in waiting:
        ts = _order(record)[0]
        if isinstance(record, Gap):
            if ts <= until:
                to_ts = milliseconds(record.to_ts)
                partition.miss(state, record, from_ts=ts, to_ts=to_ts, journal=journal)
            else:
                state.gaps.append(record)
        elif ts <= until:
            partition.observe(state, record, ts, journal)
        else:
            state.observations.append(record)


def _order(record: Observation | Gap) -> tuple[int, int, str, int, int]:
    """Order of application: by time; a gap begins after the observation at its start."""
    if isinstance(record, Gap):
        return milliseconds(record.from_ts), 1, record.camera_id, milliseconds(record.to_ts), 0
    return milliseconds(record.ts), 0, record.camera_id, record.epoch, record.seq


def _is_late(state: EvaluatorState, item: Record, ts: int) -> bool:
    """Whether the time of a record, of a gap its end, has already passed."""
    if isinstance(item, Observation):
        return ts < state.clock or ts <= state.last.get(item.camera_id, NEVER)
    return isinstance(item, Gap) and ts <= state.clock
