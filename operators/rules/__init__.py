"""Alert rules in event time: the language (`rule`), and its evaluation (`evaluator`)."""

from operators.rules.evaluator import EvaluatorState, RuleEvaluator
from operators.rules.rule import (
    Escalation,
    Predicate,
    Reacquire,
    Rule,
    RuleSet,
    Where,
    parse_predicate,
    rule_version,
    with_defaults,
)

__all__ = [
    "Escalation",
    "EvaluatorState",
    "Predicate",
    "Reacquire",
    "Rule",
    "RuleEvaluator",
    "RuleSet",
    "Where",
    "parse_predicate",
    "rule_version",
    "with_defaults",
]
