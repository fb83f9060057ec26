"""The sustained condition: TRUE for long enough, seen well enough, with short dips and gaps tolerated."""

from __future__ import annotations

from operators.rules.episode import Episode
from operators.rules.plan import Plan
from operators.rules.signal import Signal, false_at

__all__ = ["breaks_at", "satisfied"]


def satisfied(plan: Plan, episode: Episode) -> bool:
    """Whether the episode, whose last sample is TRUE, is enough for the rule to fire."""
    return (
        episode.duration_ms >= plan.for_ms
        and episode.samples >= plan.rule.samples_needed
        and episode.coverage >= plan.rule.min_coverage
    )


def breaks_at(plan: Plan, signal: Signal) -> tuple[int, int, str]:
    """When and why a pending episode ends if no other sample comes, as `(wake, ts, reason)`.

    `ts` is when it ends, `wake` the first ms in which that is certain: a sample just in time still closes a gap.
    """
    dip = false_at(signal, plan.max_dip, plan.max_gap)
    if dip is not None:
        return dip, dip, "dip"
    gap = signal.at + plan.max_gap
    return gap + 1, gap, "gap"
