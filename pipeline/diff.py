"""What a change of rules would have done: the alerts of two rule sets over one recording, put side by side.

An alert of one run is the same as one of the other if rule and labels agree and they overlap in time; its id says
nothing, since that changes with the rule. Where several could be, those that overlap longest belong together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.wire import iso_time
from operators.records import Alert, Gap, Observation, Severity, Status
from operators.rules import RuleEvaluator
from pipeline.evaluation import Evaluation

__all__ = ["Change", "Diff", "Episode", "compare", "difference", "document", "episodes"]

_NOT_IDENTITY = ("severity",)
"""Labels that may change while the alert stays the same."""
_LEAST = 0.0005
"""Half a millisecond: times closer than that are the same."""

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Episode:
    """The whole life of one alert; `fired_at` is None for one that was only ever pending. Times in seconds."""

    rule: str
    labels: Mapping[str, str]
    starts_at: float
    fired_at: float | None
    ends_at: float
    severity: Severity
    reason: str
    silenced_by: str = ""

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.rule, tuple(sorted(self.labels.items()))

    @property
    def lasted(self) -> float:
        """Seconds from its start to its end."""
        return self.ends_at - self.starts_at


@dataclass(frozen=True, slots=True)
class Change:
    """One alert that differs: `kinds` are added, removed, moved, duration, severity, silenced.

    An alert that was `added` has no `old`, one that was `removed` no `new`; `pending` says that it was, or is now, at
    least pending at that time.
    """

    kinds: tuple[str, ...]
    old: Episode | None
    new: Episode | None
    pending: bool = False

    @property
    def alert(self) -> Episode:
        """The one that is there, the newer of two."""
        episode = self.new or self.old
        if episode is None:
            raise ValueError("expected a change with an old or a new alert")
        return episode


@dataclass(frozen=True, slots=True)
class Diff:
    """Alerts that fired in one run or in both. `pending_only` counts the others by rule: (before, after)."""

    same: int = 0
    changes: tuple[Change, ...] = ()
    pending_only: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    fired: tuple[int, int] = (0, 0)

    @property
    def counts(self) -> Counter[str]:
        """Changes by kind; an alert may count for several."""
        return Counter(kind for change in self.changes for kind in change.kinds)


def compare(old: RuleEvaluator, new: RuleEvaluator, records: Iterable[Observation | Gap]) -> Diff:
    """Replay both rule sets over the records, which are read once, and compare their alerts."""
    before, after = Evaluation(old), Evaluation(new)
    was: list[Alert] = []
    would_be: list[Alert] = []
    for record in records:
        was += before.feed((record,))
        would_be += after.feed((record,))
    was += before.flush()
    would_be += after.flush()
    return difference(episodes(was), episodes(would_be))


def episodes(alerts: Iterable[Alert]) -> list[Episode]:
    """One entry per alert from its transitions, by start; its severity is the highest that it had."""
    by_id: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        by_id[alert.alert_id].append(alert)
    lives = [_episode(transitions) for transitions in by_id.values()]
    return sorted(lives, key=lambda life: (life.starts_at, life.key, life.ends_at))


def _episode(transitions: list[Alert]) -> Episode:
    last = transitions[-1]
    firing = [alert for alert in transitions if alert.status is Status.FIRING]
    return Episode(
        rule=last.rule,
        labels={name: text for name, text in transitions[0].labels.items() if name not in _NOT_IDENTITY},
        starts_at=last.starts_at,
        fired_at=last.fired_at,
        ends_at=last.ts if last.ends_at is None else last.ends_at,
        severity=max((alert.severity for alert in transitions), key=lambda severity: severity.rank),
        reason=last.reason,
        silenced_by=firing[0].silenced_by if firing else "",
    )


def difference(old: list[Episode], new: list[Episode]) -> Diff:
    """What changed from the old episodes to the new ones."""
    before, after = ([life for life in lives if life.fired_at is not None] for lives in (old, new))
    waited = [[life for life in lives if life.fired_at is None] for lives in (old, new)]
    pairs = _pairs(before, after)
    changes = [Change(kinds, a, b) for a, b in pairs if (kinds := tuple(_kinds(a, b)))]
    kept = {id(life) for pair in pairs for life in pair}
    changes += [Change(("removed",), life, None, _near(life, waited[1])) for life in before if id(life) not in kept]
    changes += [Change(("added",), None, life, _near(life, waited[0])) for life in after if id(life) not in kept]
    changes.sort(key=lambda change: (change.alert.starts_at, change.alert.key, change.kinds))
    counts = [Counter(life.rule for life in lives) for lives in waited]
    rules = sorted(counts[0].keys() | counts[1].keys())
    return Diff(
        same=len(pairs) - sum(change.old is not None and change.new is not None for change in changes),
        changes=tuple(changes),
        pending_only={rule: (counts[0][rule], counts[1][rule]) for rule in rules},
        fired=(len(before), len(after)),
    )


def _pairs(old: list[Episode], new: list[Episode]) -> list[tuple[Episode, Episode]]:
    """Which alerts belong together: of all that overlap, the longest overlap first."""
    found = sorted(
        ((_overlap(a, b), i, j) for i, j, a, b in _overlapping(old, new)), key=lambda one: (-one[0], one[1], one[2])
    )
    taken_old: set[int] = set()
    taken_new: set[int] = set()
    pairs = []
    for _, i, j in found:
        if i not in taken_old and j not in taken_new:
            taken_old.add(i)
            taken_new.add(j)
            pairs.append((old[i], new[j]))
    return pairs


def _overlapping(old: list[Episode], new: list[Episode]) -> Iterator[tuple[int, int, Episode, Episode]]:
    by_key: defaultdict[Key, list[tuple[int, Episode]]] = defaultdict(list)
    for j, b in enumerate(new):
        by_key[b.key].append((j, b))
    for i, a in enumerate(old):
        for j, b in by_key[a.key]:
            if b.starts_at > a.ends_at:
                break  # they are sorted by their start
            if b.ends_at >= a.starts_at:
                yield i, j, a, b


def _overlap(a: Episode, b: Episode) -> float:
    return min(a.ends_at, b.ends_at) - max(a.starts_at, b.starts_at)


def _kinds(old: Episode, new: Episode) -> Iterator[str]:
    if abs((new.fired_at or 0.0) - (old.fired_at or 0.0)) > _LEAST:
        yield "moved"
    if abs(new.lasted - old.lasted) > _LEAST:
        yield "duration"
    if new.severity is not old.severity:
        yield "severity"
    if new.silenced_by != old.silenced_by:
        yield "silenced"


def _near(life: Episode, waited: list[Episode]) -> bool:
    """Whether the other run was at least pending at that time."""
    return any(one.key == life.key and _overlap(one, life) >= 0 for one in waited)


def document(diff: Diff) -> dict[str, Any]:
    """The differences for a program to read."""
    return {
        "differs": bool(diff.changes),
        "same": diff.same,
        "fired": {"old": diff.fired[0], "new": diff.fired[1]},
        **{kind: diff.counts[kind] for kind in ("added", "removed", "moved", "duration", "severity", "silenced")},
        "pending_only": {rule: {"old": old, "new": new} for rule, (old, new) in diff.pending_only.items()},
        "changes": [
            {
                "kinds": list(change.kinds),
                "rule": change.alert.rule,
                "labels": dict(change.alert.labels),
                "pending_in_other": change.pending,
                "old": _document(change.old),
                "new": _document(change.new),
            }
            for change in diff.changes
        ],
    }


def _document(life: Episode | None) -> dict[str, Any] | None:
    if life is None or life.fired_at is None:
        return None
    return {
        "starts_at": iso_time(life.starts_at),
        "fired_at": iso_time(life.fired_at),
        "ends_at": iso_time(life.ends_at),
        "duration_s": round(life.lasted, 3),
        "severity": str(life.severity),
        "reason": life.reason,
        "silenced_by": life.silenced_by,
    }
