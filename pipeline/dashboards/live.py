"""The dashboard for who watches: what fires now, and whether every camera is seen."""

from __future__ import annotations

from connectors.elastic_templates import Index
from pipeline.dashboards.layout import CAMERAS, RULES, ZONES, dashboard
from pipeline.dashboards.panels import by, coloured, states, table, tiles, time_of, time_series, timeline
from pipeline.dashboards.queries import CAMERA, LOOKED_AT, RULE, WHOLE, ZONE, Json, documents, each, lucene, over_time

__all__ = ["live"]

UP = states((0, "down", "red"), (1, "up", "green"))
ALERT_LOOKS = (
    by("byRegexp", "/Since|Time/", {"unit": "dateTimeAsIso"}),
    by(
        "byName",
        "Severity",
        {
            "custom.cellOptions": {"type": "color-text"},
            **states((0, "info", "blue"), (1, "notice", "green"), (2, "warning", "orange"), (3, "critical", "red")),
        },
    ),
)
HAPPENED = "(event.action:firing OR event.action:resolved)"


def live() -> Json:
    """What fires now, and what the cameras show."""
    now = lucene(Index.STATE, "event.action:firing", CAMERA, ZONE, RULE)
    camera = lucene(Index.HEALTH, "mien.kind:camera", CAMERA)
    return dashboard(
        "mien-live",
        "mien: live",
        "What fires now, on which camera, and whether all of them are seen.",
        variables=[CAMERAS, ZONES, RULES],
        rows=[
            [
                tiles(
                    "Firing now",
                    over_time(now, ["count"]),
                    calc="sum",
                    says="Alerts that have fired and not been resolved, however long ago they began.",
                    width=4,
                    height=5,
                    since="30d",
                    defaults={"noValue": "0", **coloured((None, "green"), (1, "red"))},
                ),
                tiles(
                    "Cameras",
                    each(camera, [("min", "mien.up")], "observer.name"),
                    by_name=True,
                    says="Green while a camera is live. One that isn't is not watched: its rules know nothing.",
                    width=12,
                    height=5,
                    defaults=UP,
                ),
                tiles(
                    "Newest result",
                    each(camera, [("max", "mien.age_s")], "observer.name"),
                    says="Age of the newest frame that was looked at, per camera.",
                    width=8,
                    height=5,
                    unit="s",
                    defaults=coloured((None, "green"), (2, "orange"), (10, "red")),
                ),
            ],
            [
                table(
                    "Fires now",
                    documents(now),
                    columns={
                        "event.start": "Since",
                        "event.severity": "Severity",
                        "rule.id": "Rule",
                        "mien.alert.place": "Place",
                        "observer.geo.name": "Zone",
                        "message": "What",
                        "mien.alert.silenced_by": "Kept back by",
                    },
                    newest="Since",
                    steps=[time_of("event.start")],
                    says="Every alert that fires, newest first, also what was kept back. Looks back 30 days.",
                    width=24,
                    height=7,
                    since="30d",
                    overrides=ALERT_LOOKS,
                )
            ],
            [
                timeline(
                    "Cameras over time",
                    each(camera, [("min", "mien.up")], "observer.name"),
                    says="Green while a camera is live. The marks are alerts, from start to end.",
                    width=12,
                    defaults=UP,
                ),
                timeline(
                    "Seen of every 10 seconds",
                    each(lucene(Index.METRICS, WHOLE, CAMERA), [("avg", "mien.observed_s")], "observer.name"),
                    says="How much of the time was observed: green all, orange in part, red nothing. "
                    "The rules know nothing about the rest.",
                    width=12,
                    unit="s",
                    defaults=coloured((None, "red"), (1, "orange"), (9, "green")),
                ),
            ],
            [
                time_series(
                    "Alerts",
                    each(lucene(Index.ALERTS, "event.action:firing", CAMERA, ZONE, RULE), ["count"], "rule.id"),
                    says="Alerts that fired or were escalated, by rule.",
                    bars=True,
                    stack="normal",
                ),
                time_series(
                    "Faces",
                    each(
                        lucene(Index.METRICS, WHOLE, LOOKED_AT, CAMERA), [("avg", "mien.faces.mean")], "observer.name"
                    ),
                    says="Faces in a frame, on average. Nobody is recognised: one person on two cameras counts twice.",
                ),
            ],
            [
                table(
                    "Latest",
                    documents(lucene(Index.ALERTS, HAPPENED, CAMERA, ZONE, RULE)),
                    columns={
                        "@timestamp": "Time",
                        "event.action": "Status",
                        "event.severity": "Severity",
                        "rule.id": "Rule",
                        "mien.alert.place": "Place",
                        "observer.geo.name": "Zone",
                        "event.reason": "Reason",
                        "message": "What",
                    },
                    newest="Time",
                    says="The latest alerts that fired or were resolved.",
                    width=24,
                    overrides=ALERT_LOOKS,
                )
            ],
        ],
    )
