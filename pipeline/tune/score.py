"""What one setting would have done: its alerts, counted, and measured against what really happened.

An alert detects an incident if `[starts_at, ends_at]` comes within the tolerance of it, on the same camera (or group).
One alert detects at most one incident and an incident is detected at most once, the earliest by the earliest. A further
alert during an incident that was detected is a repeat: neither right nor false. Alerts that another rule inhibited were
not told: they are counted apart and are neither right nor false.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Literal

import numpy as np

from operators.records import Alert, Scope, Status
from pipeline.tune.incidents import Incident

__all__ = ["Fired", "Found", "Miss", "Score", "Tally", "score"]

DAY = 86400.0
NEAREST = 5
"""Nearest misses that are kept of a setting."""
Verdict = Literal["", "found", "false", "repeat"]


@dataclass(frozen=True, slots=True)
class Fired:
    """One alert that was told; times in seconds, `incident` is the index of what it detected."""

    place: str
    starts_at: float
    fired_at: float
    ends_at: float
    verdict: Verdict = ""
    incident: int | None = None


@dataclass(frozen=True, slots=True)
class Miss:
    """An episode that broke before it fired; `lasted` from its first to its last TRUE sample."""

    place: str
    starts_at: float
    ends_at: float
    lasted: float
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """Against the incidents. A number is None where there was nothing to take it from."""

    found: int
    missed: int
    false: int
    repeats: int
    precision: float | None
    recall: float
    f1: float
    delay_median: float | None
    """Seconds from an incident's start to the alert's firing."""
    delay_p95: float | None
    false_per_day: float
    """False alarms per camera (or group) and 24 h of observed time."""
    hours: float
    """The observed time of all cameras (or groups)."""


@dataclass(frozen=True, slots=True)
class Score:
    """One setting in figures."""

    alerts: int
    inhibited: int
    """Alerts that were not told because another rule fired."""
    per_hour: float
    """Alerts per camera (or group) and hour of observed time."""
    lasted_median: float | None
    """Seconds from an alert's start to its end."""
    lasted_p95: float | None
    broken: Mapping[str, int]
    """Episodes that were pending and never fired, by reason."""
    nearest: tuple[Miss, ...]
    """Those that lasted longest, without those that only a cooldown kept from firing."""
    fired: tuple[Fired, ...]
    against: Found | None = None
    missed: Mapping[int, Miss | None] = field(default_factory=dict)
    """Incidents that were not detected by index, with the longest broken episode during each."""

    @property
    def pending(self) -> int:
        """Episodes that were pending and never fired."""
        return sum(self.broken.values())


class Tally:
    """The transitions of one setting, as they come.

    Keeps what fired, and of what broke only the counts, the longest, and the longest during each incident.
    """

    def __init__(self, incidents: Sequence[Incident], tolerance: float) -> None:
        self.incidents = incidents
        self.tolerance = tolerance
        self.at: dict[str, list[int]] = {}
        for index, incident in enumerate(incidents):
            self.at.setdefault(incident.place, []).append(index)
        self.fired: dict[str, Fired] = {}
        self.untold: set[str] = set()
        self.broken: Counter[str] = Counter()
        self.nearest: list[Miss] = []
        self.during: dict[int, Miss] = {}

    def add(self, alert: Alert) -> None:
        """Count one transition."""
        match alert.status:
            case Status.FIRING if alert.silenced_by:
                self.untold.add(alert.alert_id)
            case Status.FIRING if alert.alert_id not in self.fired:
                self.fired[alert.alert_id] = Fired(_place(alert), alert.starts_at, alert.ts, alert.ts)
            case Status.RESOLVED if alert.alert_id in self.fired:
                told = self.fired[alert.alert_id]
                self.fired[alert.alert_id] = Fired(told.place, told.starts_at, told.fired_at, alert.ts)
            case Status.BROKEN:
                self._break(alert)

    def _break(self, alert: Alert) -> None:
        reason = "cooldown" if alert.evidence.get("suppressed") else alert.reason
        self.broken[reason] += 1
        lasted = alert.evidence.get("duration_s", 0.0)
        miss = Miss(_place(alert), alert.starts_at, alert.ts, lasted, reason)
        if reason != "cooldown" and (len(self.nearest) < NEAREST or lasted > self.nearest[-1].lasted):
            self.nearest = nlargest(NEAREST, [*self.nearest, miss], key=_lasted)
        for index in self.met(miss):
            if index not in self.during or lasted > self.during[index].lasted:
                self.during[index] = miss

    def met(self, episode: Fired | Miss) -> list[int]:
        """The incidents, by index and so in order of time, that an episode comes within the tolerance of."""
        return [
            index
            for index in self.at.get(episode.place, ())
            if episode.starts_at <= self.incidents[index].end + self.tolerance
            and episode.ends_at >= self.incidents[index].start - self.tolerance
        ]


def score(tally: Tally, observed: Mapping[str, float]) -> Score:
    """The figures of one setting; `observed` is the observed time of each camera or group in seconds."""
    fired = sorted(tally.fired.values(), key=lambda one: (one.fired_at, one.place, one.starts_at))
    seconds = sum(observed.values())
    against = None
    missed: dict[int, Miss | None] = {}
    if tally.incidents:
        fired = _judge(fired, tally)
        against = _compare(fired, tally.incidents, seconds)
        detected = {one.incident for one in fired}
        missed = {index: tally.during.get(index) for index in range(len(tally.incidents)) if index not in detected}
    lasted = [one.ends_at - one.starts_at for one in fired]
    return Score(
        alerts=len(fired),
        inhibited=len(tally.untold - tally.fired.keys()),
        per_hour=_rate(len(fired), seconds, 3600),
        lasted_median=_quantile(lasted, 0.5),
        lasted_p95=_quantile(lasted, 0.95),
        broken=dict(sorted(tally.broken.items())),
        nearest=tuple(tally.nearest),
        fired=tuple(fired),
        against=against,
        missed=missed,
    )


def _judge(fired: Sequence[Fired], tally: Tally) -> list[Fired]:
    """Each alert, in order of firing, detects the earliest incident that it meets and that none has detected."""
    detected: set[int] = set()
    judged = []
    for one in fired:
        met = tally.met(one)
        first = next((index for index in met if index not in detected), None)
        if first is not None:
            detected.add(first)
        verdict: Verdict = "found" if first is not None else "repeat" if met else "false"
        judged.append(Fired(one.place, one.starts_at, one.fired_at, one.ends_at, verdict, first))
    return judged


def _compare(fired: Sequence[Fired], incidents: Sequence[Incident], seconds: float) -> Found:
    verdicts = Counter(one.verdict for one in fired)
    found, false = verdicts["found"], verdicts["false"]
    delays = [one.fired_at - incidents[one.incident].start for one in fired if one.incident is not None]
    return Found(
        found=found,
        missed=len(incidents) - found,
        false=false,
        repeats=verdicts["repeat"],
        precision=found / (found + false) if found + false else None,
        recall=found / len(incidents),
        f1=2 * found / (found + false + len(incidents)),
        delay_median=_quantile(delays, 0.5),
        delay_p95=_quantile(delays, 0.95),
        false_per_day=_rate(false, seconds, DAY),
        hours=seconds / 3600,
    )


def _place(alert: Alert) -> str:
    """The camera, or the group of a rule that looks at several; a site has no name."""
    return alert.camera_id or alert.labels.get("group", "") or (Scope.SITE if alert.scope is Scope.SITE else "")


def _rate(count: int, seconds: float, unit: float) -> float:
    return count / seconds * unit if seconds else 0.0


def _quantile(values: Sequence[float], share: float) -> float | None:
    return float(np.quantile(values, share)) if values else None


def _lasted(miss: Miss) -> float:
    return miss.lasted
