"""The dashboard for tuning rules: what was pending, what nearly fired, what was kept back."""

from __future__ import annotations

from connectors.elastic_templates import Index
from pipeline.dashboards.layout import CAMERAS, RULES, dashboard
from pipeline.dashboards.panels import by, coloured, matrix, quotient, table, time_series
from pipeline.dashboards.queries import CAMERA, RULE, Json, documents, each, lucene, over_time, terms

__all__ = ["tuning"]

STATUSES = {"pending": "yellow", "broken": "text", "firing": "red", "resolved": "green"}


def tuning() -> Json:
    """Whether the rules fire when they should: what was pending, what nearly fired, what was kept back."""
    every = lucene(Index.ALERTS, CAMERA, RULE)
    broken = lucene(Index.ALERTS, "event.action:broken", CAMERA, RULE)
    resolved = lucene(Index.ALERTS, "event.action:resolved", CAMERA, RULE)
    return dashboard(
        "mien-rules",
        "mien: rules",
        "For tuning rules: what was pending and what became of it, near misses, and what was kept back. "
        "To try a change on a recording before it is live: mien tune, mien replay.",
        variables=[CAMERAS, RULES],
        span="24h",
        refresh="5m",
        rows=[
            [
                time_series(
                    "Pending against fired",
                    each(every, ["count"], "event.action"),
                    says="Transitions by status. Many pending and few firing: `for` is long or `enter` is low. "
                    "As many firing as pending: the rule waits for nothing.",
                    bars=True,
                    stack="normal",
                    overrides=[
                        by("byName", name, {"color": {"mode": "fixed", "fixedColor": color}})
                        for name, color in STATUSES.items()
                    ],
                ),
                matrix(
                    "What became of it, by rule",
                    terms(every, ["count"], group=("rule.id", "event.action")),
                    down="rule.id",
                    across="event.action",
                    value="Count",
                    order=tuple(STATUSES),
                    says="Transitions by rule and status.",
                    unit="none",
                ),
            ],
            [
                table(
                    "Near misses",
                    documents(broken, most=500),
                    columns={
                        "@timestamp": "Time",
                        "rule.id": "Rule",
                        "mien.alert.place": "Place",
                        "near": "Part of for",
                        "mien.evidence.duration_s": "Held",
                        "mien.evidence.for_s": "For",
                        "mien.evidence.value_max": "Highest",
                        "mien.evidence.enter": "Enter",
                        "mien.evidence.coverage": "Seen",
                        "event.reason": "Reason",
                    },
                    newest="Part of for",
                    steps=[quotient("mien.evidence.duration_s", "mien.evidence.for_s", "near")],
                    says="Episodes that ended before they fired, those that held longest first: "
                    "a shorter `for` than they held would have fired.",
                    width=24,
                    height=10,
                    overrides=[
                        by("byName", "Time", {"unit": "dateTimeAsIso"}),
                        by("byName", "Held", {"unit": "s"}),
                        by("byName", "For", {"unit": "s"}),
                        by("byName", "Seen", {"unit": "percentunit"}),
                        by(
                            "byName",
                            "Part of for",
                            {
                                "unit": "percentunit",
                                "max": 1,
                                "custom.cellOptions": {"type": "gauge"},
                                **coloured((None, "blue"), (0.5, "yellow"), (0.8, "orange")),
                            },
                        ),
                    ],
                )
            ],
            [
                time_series(
                    "Longest episode that did not fire",
                    each(broken, [("max", "mien.evidence.duration_s")], "rule.id"),
                    says="How long the longest broken episode held, by rule.",
                    unit="s",
                    width=8,
                ),
                time_series(
                    "How long alerts lasted",
                    over_time(resolved, [("percentiles", "mien.evidence.duration_s")], alias="{{metric}}"),
                    says="From the first to the last sample for which the rule was true: median, 95 % and 99 %.",
                    unit="s",
                    width=8,
                ),
                time_series(
                    "Highest value of what did not fire",
                    each(broken, [("max", "mien.evidence.value_max")], "rule.id"),
                    says="The highest level that a broken episode reached; of an absence it is in seconds.",
                    width=8,
                ),
            ],
            [
                time_series(
                    "Kept back",
                    each(
                        lucene(Index.ALERTS, "_exists_:mien.alert.silenced_by", CAMERA, RULE),
                        ["count"],
                        "mien.alert.silenced_by",
                    ),
                    says="Transitions that were recorded and not sent, by cause: inhibited by another rule, "
                    "muted at these hours, grouped with others.",
                    bars=True,
                    stack="normal",
                ),
                matrix(
                    "Why it ended, by rule",
                    terms(
                        lucene(Index.ALERTS, "(event.action:broken OR event.action:resolved)", CAMERA, RULE),
                        ["count"],
                        group=("rule.id", "event.reason"),
                    ),
                    down="rule.id",
                    across="event.reason",
                    value="Count",
                    order=("condition", "dip", "gap", "lost", "expired"),
                    says="Many ends by gap or lost: look at the camera, not at the rule.",
                    unit="none",
                ),
            ],
        ],
    )
