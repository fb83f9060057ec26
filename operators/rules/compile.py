"""Which module evaluates which condition."""

from __future__ import annotations

from operators.rules.condition import Condition
from operators.rules.plan import Plan
from operators.rules.sustained import Sustained

__all__ = ["compile_condition"]


def compile_condition(plan: Plan) -> Condition:
    """The condition of a rule, ready for its partition."""
    if plan.reader is None:
        raise NotImplementedError
    return Sustained(plan, plan.reader)
