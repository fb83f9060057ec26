"""Why an alert came, or why a rule said nothing: from the store, or from a recording sample by sample.

The store knows an alert's transitions and the numbers in them. A recording is replayed with the same rules, which gives
the same alert ids, and the samples, dips and gaps of the episode besides. Nothing here reads a picture.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal

from connectors.recording import Recording
from connectors.store import Store, StoreSettings
from operators.errors import ConfigError
from operators.records import Alert, Status
from operators.rules import Probe, Rule, RuleEvaluator, RuleSet
from operators.rules.plan import Plan, plan_rule
from operators.rules.state import FOREVER
from pipeline.complaints import nearest
from pipeline.replay import evaluator_for, records_of, replay

__all__ = [
    "AROUND_MS",
    "Episode",
    "Misses",
    "Stretch",
    "Term",
    "alert_prefix",
    "explain_episode",
    "explain_misses",
    "from_store",
    "nearness",
    "sentence",
    "terms",
]

MOST_MISSES = 5
AROUND_MS = 2000
"""So much is shown before and after an episode."""
_LISTED = 5

_REASONS: Mapping[tuple[Status, str], str] = {
    (Status.PENDING, "condition"): "the first TRUE sample",
    (Status.FIRING, "condition"): "the condition holds",
    (Status.FIRING, "escalated"): "it lasts, so the severity is {severity} now",
    (Status.FIRING, "repeat"): "told again, as repeat_every asks",
    (Status.FIRING, "released"): "nothing silences it any more: it is sent now",
    (Status.FIRING, "limit"): "more alerts than limits.max_active_per_rule allows",
    (Status.BROKEN, "dip"): "FALSE for too long",
    (Status.BROKEN, "gap"): "UNKNOWN for too long",
    (Status.BROKEN, "timeout"): "the next step did not come in time",
    (Status.BROKEN, "between"): "not_between was seen in between",
    (Status.BROKEN, "replaced"): "a newer first step took its place",
    (Status.BROKEN, "cooldown"): "it would have fired, but the cooldown was not over",
    (Status.BROKEN, "schedule"): "the hours of the schedule ended",
    (Status.RESOLVED, "condition"): "FALSE for keep_firing_for",
    (Status.RESOLVED, "lost"): "UNKNOWN for lost_after: nobody knows how it ended",
    (Status.RESOLVED, "expired"): "it had been firing for max_duration",
    (Status.RESOLVED, "momentary"): "a point in time: what fires resolves at once",
    (Status.RESOLVED, "schedule"): "the hours of the schedule ended",
}
_ANY_STATUS = {
    "merged": "two tracks were one face; the alert that began earlier goes on",
    "config": "the rule was changed or removed",
}


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a condition: what it was, and what it had to be at least (or at most)."""

    name: str
    was: float
    needed: float
    unit: Literal["", "s", "%"] = ""
    at_most: bool = False

    @property
    def margin(self) -> float:
        """By how much it passed; below 0 by how much it missed."""
        return self.needed - self.was if self.at_most else self.was - self.needed

    @property
    def passed(self) -> bool:
        """Whether it was enough; the evidence has six digits, and what is rounded is no miss."""
        return self.margin >= -1e-6 * max(1.0, abs(self.was))

    @property
    def share(self) -> float:
        """How much of what was needed was there, up to 1."""
        return 1.0 if self.at_most or self.needed <= 0 else max(0.0, min(1.0, self.was / self.needed))


@dataclass(frozen=True, slots=True)
class Stretch:
    """A dip or a gap inside an episode, in ms."""

    kind: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert with everything that its scope showed, a little before and after."""

    alerts: tuple[Alert, ...]
    rule: Rule
    plan: Plan
    probes: tuple[Probe, ...]

    @property
    def deciding(self) -> Alert:
        """The transition that fired, or else the last one."""
        return next((alert for alert in self.alerts if alert.status is Status.FIRING), self.alerts[-1])

    @property
    def begin_ms(self) -> int:
        """Where the condition began."""
        return _ms(self.alerts[0].starts_at)

    @property
    def end_ms(self) -> int:
        """The last transition."""
        return _ms(self.alerts[-1].ts)

    @property
    def stretches(self) -> list[Stretch]:
        """The dips and gaps until it was decided, where they matter."""
        if not self.tolerant:
            return []
        decided = _ms(self.deciding.ts)
        inside = [probe for probe in self.probes if self.begin_ms <= probe.ts <= decided]
        return sorted([*_dips(inside), *_gaps(inside)], key=lambda stretch: stretch.begin)

    @property
    def terms(self) -> list[Term]:
        """What each part of the condition was when it was decided."""
        return [*terms(self.deciding, self.rule), *_tolerances(self.stretches, self.plan)]

    @property
    def tolerant(self) -> bool:
        """Whether it bears dips and gaps as a whole; a sequence does so step by step, and an outage has none."""
        return self.rule.sequence is None and self.plan.break_gap < FOREVER


@dataclass(frozen=True, slots=True)
class Misses:
    """How near a rule came without firing: the best episodes that broke, or the highest level where there are none."""

    rule: Rule
    fired: int
    broken: int
    highest: Probe | None
    best: tuple[Episode, ...]


def alert_prefix(text: str) -> str:
    """The beginning of an alert id from what a person may have copied: also the id of a transition."""
    return text.strip().partition("-")[0].lower()


def from_store(path: Path, prefix: str) -> list[Alert]:
    """The transitions of one alert, oldest first; raises ConfigError where the id names none, or several."""
    if not path.is_file():  # opening would make one
        raise ConfigError(f"{path}: no store here: name the configuration of the run with -c, or a --recording")
    store = Store(StoreSettings(path=path))
    try:
        found = store.history(prefix)
    finally:
        store.close()
    return _only_one(found, prefix, where=f"the store {path}")


def explain_episode(recording: Recording, ruleset: RuleSet, prefix: str) -> Episode:
    """Replay a recording and show one alert of it; raises ConfigError where the id names none, or several."""
    evaluator = evaluator_for(ruleset, recording.manifest)
    found = [alert for alert in replay(evaluator, records_of(recording)) if alert.alert_id.startswith(prefix)]
    alerts = _only_one(found, prefix, where=f"the recording {recording.folder} with these rules")
    return _episodes(recording, evaluator, [alerts])[0]


def explain_misses(recording: Recording, ruleset: RuleSet, rule_id: str) -> Misses:
    """Replay a recording and show where a rule nearly fired; raises ConfigError for a rule that isn't there."""
    known = {rule.id: rule for rule in ruleset.rules}
    if rule_id not in known:
        hint = nearest(rule_id, known) or f"; there are: {', '.join(known)}"
        raise ConfigError(f'no rule is called "{rule_id}"{hint}')
    highest: Probe | None = None

    def look(probe: Probe) -> None:
        nonlocal highest
        if probe.rule == rule_id and _height(probe) > (-math.inf if highest is None else _height(highest)):
            highest = probe

    evaluator = evaluator_for(ruleset, recording.manifest)
    alerts: dict[str, list[Alert]] = defaultdict(list)
    for alert in replay(_probed(evaluator, look), records_of(recording)):
        if alert.rule == rule_id:
            alerts[alert.alert_id].append(alert)
    broken = [told for told in alerts.values() if told[-1].status is Status.BROKEN]
    best = sorted(broken, key=lambda told: nearness(told[-1], known[rule_id]), reverse=True)[:MOST_MISSES]
    return Misses(
        rule=known[rule_id],
        fired=sum(any(alert.status is Status.FIRING for alert in told) for told in alerts.values()),
        broken=len(broken),
        highest=highest,
        best=tuple(_episodes(recording, evaluator, best)),
    )


def sentence(alert: Alert) -> str:
    """Why this transition came, in words."""
    if alert.status is Status.PENDING and alert.ts > alert.starts_at:
        return "the first step was seen"
    text = _REASONS.get((alert.status, alert.reason)) or _ANY_STATUS.get(alert.reason, alert.reason)
    text = text.format(severity=alert.severity)
    silenced = f"; not sent: {alert.silenced_by}" if alert.silenced_by else ""
    suppressed = "; it would have fired, but the cooldown was not over" if _suppressed(alert) else ""
    return text + suppressed + silenced


def terms(alert: Alert, rule: Rule | None) -> list[Term]:
    """The parts of the condition at a transition, as far as its evidence tells them (with the rule, all of them)."""
    found = [*_level_terms(alert, rule)]
    evidence = alert.evidence
    if evidence.get("for_s"):
        observed = rule is not None and rule.absence is not None and rule.absence.of == "faces"
        share = evidence["coverage"] if observed else 1.0
        found.append(
            Term("observed for" if observed else "for", evidence["duration_s"] * share, evidence["for_s"], "s")
        )
    if rule is not None and rule.ratio is not None and "ratio" in evidence:
        found.append(Term("ratio", evidence["ratio"], rule.ratio.at_least, "%"))
    if rule is not None and "samples" in evidence:
        found.append(Term("samples", evidence["samples"], rule.samples_needed))
        found.append(Term("coverage", evidence["coverage"], rule.min_coverage, "%"))
    return found


def nearness(alert: Alert, rule: Rule) -> tuple[bool, float]:
    """How near a broken episode came to firing, for sorting: one that only the cooldown kept is nearest."""
    return _suppressed(alert), min((term.share for term in terms(alert, rule)), default=0.0)


def _level_terms(alert: Alert, rule: Rule | None) -> Iterator[Term]:
    peak = alert.evidence.get("value_max")
    if peak is None:
        return
    if rule is not None and rule.absence is not None:
        if rule.absence.of == "faces":
            yield Term("faces", alert.evidence["value_last"], rule.absence.fewer_than - 1, at_most=True)
    elif rule is not None and rule.sequence is not None:
        made = sum(name.startswith("step_") for name in alert.evidence)
        yield Term("steps", made, len(rule.sequence.steps))
    elif rule is not None and rule.count is not None:
        yield Term(rule.count.of, peak, rule.count.at_least)
    elif rule is not None and rule.share is not None:
        yield Term("share", peak, rule.share.at_least, "%")
        yield Term("population", alert.evidence.get("population", 0), rule.share.min_population)
    elif rule is not None and rule.change is not None:
        yield Term("change", abs(alert.evidence["value_last"]), rule.change.absolute)
        if "zscore" in alert.evidence:
            yield Term("z-score", alert.evidence["zscore"], rule.change.zscore)
    elif "enter" in alert.evidence:
        yield Term("peak", peak, alert.evidence["enter"])


def _tolerances(stretches: Iterable[Stretch], plan: Plan) -> Iterator[Term]:
    limits = {"dip": plan.break_dip, "gap": plan.break_gap}
    for kind, limit in limits.items():
        longest = max((each.end - each.begin for each in stretches if each.kind == kind), default=0)
        if longest:
            yield Term(f"longest {kind}", longest / 1000, limit / 1000, "s", at_most=True)


def _dips(probes: Sequence[Probe]) -> Iterator[Stretch]:
    """Stretches of FALSE: from the first FALSE sample to the next other one."""
    begin: int | None = None
    for probe in probes:
        if probe.value is False:
            begin = probe.ts if begin is None else begin
        elif begin is not None:
            yield Stretch("dip", begin, probe.ts)
            begin = None


def _gaps(probes: Sequence[Probe]) -> Iterator[Stretch]:
    """Stretches without a readable sample, where one was due."""
    readable = list(dict.fromkeys(probe.ts for probe in probes if probe.value is not None))
    steps = [later - earlier for earlier, later in pairwise(readable)]
    usual = median(steps) if steps else 0
    for earlier, later in pairwise(readable):
        if later - earlier > 1.5 * usual:
            yield Stretch("gap", earlier, later)


def _episodes(recording: Recording, evaluator: RuleEvaluator, told: Sequence[Sequence[Alert]]) -> list[Episode]:
    """What the scopes of these alerts showed: replays the recording once more, keeping only the samples around them."""
    if not told:
        return []
    kept: list[list[Probe]] = [[] for _ in told]
    spans = [(_ms(alerts[0].starts_at) - AROUND_MS, _ms(alerts[-1].ts) + AROUND_MS) for alerts in told]

    def keep(probe: Probe) -> None:
        for alerts, (begin, end), probes in zip(told, spans, kept, strict=True):
            if probe.rule == alerts[0].rule and begin <= probe.ts <= end:
                probes.append(probe)

    for _ in replay(_probed(evaluator, keep), records_of(recording)):
        pass
    return [_episode(evaluator, alerts, probes) for alerts, probes in zip(told, kept, strict=True)]


def _episode(evaluator: RuleEvaluator, alerts: Sequence[Alert], probes: Sequence[Probe]) -> Episode:
    alert = alerts[0]
    ruleset = evaluator.ruleset
    rule = next(rule for rule in ruleset.rules if rule.id == alert.rule)
    partition, key = _scope_of(alert, probes)
    group = ruleset.groups.get(alert.labels.get("group", ""))
    cameras = [alert.camera_id] if alert.camera_id else group.cameras if group else evaluator.cameras
    watched = [evaluator.cameras[name] for name in cameras if name in evaluator.cameras]
    return Episode(
        alerts=tuple(alerts),
        rule=rule,
        plan=plan_rule(rule, ruleset, partition=partition, watched=watched),
        probes=tuple(probe for probe in probes if (probe.partition, probe.key) == (partition, key)),
    )


def _scope_of(alert: Alert, probes: Sequence[Probe]) -> tuple[str, str]:
    """Partition and key of an alert; one that came and went in an instant is known by its sample."""
    own = next((probe for probe in probes if probe.alert_id == alert.alert_id), None)
    own = own or next((probe for probe in probes if probe.ts == _ms(alert.ts) and probe.value), None)
    return (own.partition, own.key) if own else (alert.camera_id, alert.labels.get("zone", ""))


def _probed(evaluator: RuleEvaluator, probe: Callable[[Probe], None]) -> RuleEvaluator:
    return RuleEvaluator(evaluator.ruleset, cameras=evaluator.cameras, probe=probe)


def _only_one(found: Sequence[Alert], prefix: str, *, where: str) -> list[Alert]:
    ids = list(dict.fromkeys(alert.alert_id for alert in found))
    if not ids:
        raise ConfigError(f'no alert in {where} has an id that begins with "{prefix}"')
    if len(ids) > 1:
        listed = ", ".join(ids[:_LISTED]) + (", ..." if len(ids) > _LISTED else "")
        raise ConfigError(
            f'{len(ids)} alerts in {where} have ids that begin with "{prefix}": {listed}; write more of it'
        )
    return list(found)


def _height(probe: Probe) -> float:
    return -math.inf if probe.level is None else probe.level


def _suppressed(alert: Alert) -> bool:
    return bool(alert.evidence.get("suppressed"))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
