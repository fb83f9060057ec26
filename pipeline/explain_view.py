"""Explanations as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.wire import iso_time
from operators.records import Alert
from operators.rules import Rule
from pipeline.explain import AROUND_MS, Episode, Misses, Term, sentence, terms
from pipeline.strip import LEGEND, clock, draw

__all__ = ["episode_lines", "history_lines", "miss_lines"]

_LISTED = 10
"""So many dips and gaps are listed one by one."""


def history_lines(alerts: Sequence[Alert], rule: Rule | None) -> list[str]:
    """What the store knows of one alert: its transitions, and the numbers at the last of those that fired it."""
    deciding = next((alert for alert in alerts if alert.fired_at is not None), alerts[-1])
    return [*_head(alerts), "", *_transitions(alerts), "", *_table(terms(deciding, rule)), *_figures(deciding)]


def episode_lines(episode: Episode) -> list[str]:
    """One alert with its samples."""
    begin = episode.begin_ms
    strip = draw(
        episode.probes, episode.alerts, begin_ms=begin - AROUND_MS, end_ms=episode.end_ms + AROUND_MS, zero_ms=begin
    )
    return [
        *_head(episode.alerts),
        "",
        *_transitions(episode.alerts),
        "",
        *strip,
        LEGEND,
        "",
        *_table(episode.terms),
        *_figures(episode.deciding),
        *_stretches(episode),
        *_limits(episode),
    ]


def miss_lines(misses: Misses) -> list[str]:
    """Where a rule nearly fired."""
    rule = misses.rule
    lines = [f"{rule.id}: {_counted(misses.fired, 'alert')} fired, {_counted(misses.broken, 'episode')} broken without"]
    if not misses.fired and not misses.broken:
        lines += _never(misses)
    for number, episode in enumerate(misses.best, 1):
        missed = [term for term in episode.terms if not term.passed]
        short = [f"{term.name} {_shown(term, term.was)} of {_shown(term, term.needed)}" for term in missed]
        why = "; ".join([*short, sentence(episode.alerts[-1])])
        lines += ["", f"{number}. {iso_time(episode.alerts[0].starts_at)}  {why}"]
        lines += ["   " + line if line else "" for line in episode_lines(episode)]
    return lines


def _never(misses: Misses) -> Iterator[str]:
    if misses.highest is None or misses.highest.level is None:
        yield "It never read a face: check where, the schedule, and the names of cameras and zones."
        return
    when = misses.rule.when
    enter = when.enter if when is not None else None
    short = "" if enter is None else f", {enter - misses.highest.level:.3g} short of enter {enter:g}"
    yield f"It was never TRUE. The highest level was {misses.highest.level:.3g}{short},"
    yield f"at {iso_time(misses.highest.ts / 1000)} in {misses.highest.partition}."


def _head(alerts: Sequence[Alert]) -> Iterator[str]:
    last = alerts[-1]
    labels = " ".join(f"{key}={value}" for key, value in sorted(last.labels.items()) if key != "rule")
    yield f"{last.rule}  {labels}"
    yield f"alert {last.alert_id}, by rules {last.config}" if last.config else f"alert {last.alert_id}"
    yield from (text for key in ("title", "summary") if (text := last.annotations.get(key)))


def _transitions(alerts: Sequence[Alert]) -> Iterator[str]:
    begin = round(alerts[0].starts_at * 1000)
    for alert in alerts:
        since = clock(round(alert.ts * 1000) - begin)
        yield f"{iso_time(alert.ts)}  +{since:<12}{alert.status:<9} {alert.reason:<10} {sentence(alert)}"


def _table(found: Sequence[Term]) -> Iterator[str]:
    if not found:
        return
    rows = [("", "part", "was", "needed", "")]
    for term in found:
        needed = f"at {'most' if term.at_most else 'least'} {_shown(term, term.needed)}"
        margin = (
            f"{_shown(term, abs(term.margin))} {'to spare' if term.passed else 'short' if not term.at_most else 'over'}"
        )
        rows.append(("✓" if term.passed else "✗", term.name, _shown(term, term.was), needed, margin))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _shown(term: Term, value: float) -> str:
    match term.unit:
        case "s":
            return clock(round(value * 1000))
        case "%":
            return f"{value:.0%}"
        case _:
            return f"{value:.0f}" if value >= 1000 or value == round(value) else f"{value:.3g}"


def _figures(alert: Alert) -> Iterator[str]:
    evidence = alert.evidence
    if "value_mean" in evidence:
        yield (
            f"value: mean {evidence['value_mean']:.3g}, highest {evidence['value_max']:.3g}, "
            f"last {evidence['value_last']:.3g}; {_counted(int(evidence.get('dips', 0)), 'dip')}, "
            f"{_counted(int(evidence.get('gaps', 0)), 'gap')}"
        )
    if "enter" in evidence:
        yield f"TRUE from {evidence['enter']:g} on, and then down to {evidence['exit']:g}"


def _stretches(episode: Episode) -> Iterator[str]:
    for stretch in episode.stretches[:_LISTED]:
        length = clock(stretch.end - stretch.begin)
        yield f"{stretch.kind} of {length} at +{clock(stretch.begin - episode.begin_ms)}"
    if len(episode.stretches) > _LISTED:
        yield f"and {len(episode.stretches) - _LISTED} more"


def _limits(episode: Episode) -> Iterator[str]:
    plan = episode.plan
    if episode.tolerant:
        yield (
            f"pending bears {clock(plan.break_dip)} of FALSE and {clock(plan.break_gap)} of UNKNOWN; "
            f"firing ends after {clock(plan.keep_firing_for)} of FALSE or {clock(plan.lost_after)} of UNKNOWN"
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
