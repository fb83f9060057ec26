"""Alert rules in event time: the language (`rule`, `predicate`, `conditions`, `ruleset`), and its evaluation."""

from operators.rules.conditions import (
    Absence,
    Baseline,
    Between,
    Change,
    Count,
    Flank,
    Pulse,
    Ratio,
    Sequence,
    Share,
    Step,
)
from operators.rules.evaluator import EvaluatorState, Probe, RuleEvaluator, Watched
from operators.rules.plan import bridged
from operators.rules.predicate import Predicate, Smooth, parse_predicate
from operators.rules.rule import Escalation, Inhibit, Reacquire, Requires, Rule, Where
from operators.rules.ruleset import (
    EXPRESSIONS,
    Group,
    Limits,
    Mute,
    Routing,
    RuleSet,
    rule_version,
    with_defaults,
)
from operators.rules.schedule import Schedule

__all__ = [
    "EXPRESSIONS",
    "Absence",
    "Baseline",
    "Between",
    "Change",
    "Count",
    "Escalation",
    "EvaluatorState",
    "Flank",
    "Group",
    "Inhibit",
    "Limits",
    "Mute",
    "Predicate",
    "Probe",
    "Pulse",
    "Ratio",
    "Reacquire",
    "Requires",
    "Routing",
    "Rule",
    "RuleEvaluator",
    "RuleSet",
    "Schedule",
    "Sequence",
    "Share",
    "Smooth",
    "Step",
    "Watched",
    "Where",
    "bridged",
    "parse_predicate",
    "rule_version",
    "with_defaults",
]
