"""Which module evaluates which condition."""

from __future__ import annotations

from operators.rules.absence import NoFaces, NoFrames
from operators.rules.change import ChangeFromUsual
from operators.rules.condition import Condition
from operators.rules.crowd import CountTracks, ShareOfTracks
from operators.rules.plan import Plan
from operators.rules.pulse import Pulses
from operators.rules.ratio import MostlyTrue
from operators.rules.reading import Reader
from operators.rules.sequence import Steps
from operators.rules.sustained import Sustained

__all__ = ["compile_condition"]


def compile_condition(plan: Plan) -> Condition:
    """The condition of a rule, ready for its partition."""
    rule = plan.rule
    if rule.absence:
        return NoFaces(plan, rule.absence) if rule.absence.of == "faces" else NoFrames(plan)
    if rule.count and rule.count.of == "tracks":
        return CountTracks.of(plan, rule.count)
    if rule.sequence:
        return Steps.of(plan)
    if plan.reader is None:
        raise ValueError(f"expected a rule with `when`, got {rule.id} ({rule.condition})")
    return _of_signal(plan, plan.reader)


def _of_signal(plan: Plan, reader: Reader) -> Condition:
    """Those that can't do without `when`."""
    rule = plan.rule
    if rule.change:
        return ChangeFromUsual.of(plan, reader.leaves[0], rule.change)
    if rule.pulse:
        return Pulses.of(plan, reader, rule.pulse)
    if rule.share:
        return ShareOfTracks.of(plan, rule.share)
    if rule.ratio:
        return MostlyTrue.of(plan, reader, rule.ratio)
    return Sustained(plan, reader)
