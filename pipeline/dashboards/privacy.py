"""The dashboard about privacy: what is kept, for how long, and what is not told."""

from __future__ import annotations

from connectors.elastic_templates import Index
from pipeline.dashboards.layout import CAMERAS, dashboard
from pipeline.dashboards.panels import by, table, time_series, words
from pipeline.dashboards.queries import CAMERA, WHOLE, Json, each, lucene, over_time, terms

__all__ = ["privacy"]

KEPT = "(mien.kind:topic AND mien.queue:frames)"


def privacy() -> Json:
    """What is kept, for how long, and what is not told."""
    used = "(mien.kind:camera OR (mien.kind:queue AND mien.queue:analyze))"
    return dashboard(
        "mien-privacy",
        "mien: privacy",
        "What is kept, for how long, and what is not told.",
        variables=[CAMERAS],
        span="24h",
        refresh="5m",
        rows=[
            [
                words(
                    "What is stored here",
                    "Figures about moments: how many faces, which expressions, which rule fired where and when.\n\n"
                    "**No** picture, no crop, no embedding, no identity, and no id by which a face could be followed. "
                    "Elasticsearch itself refuses fields that are not on the list.\n\n"
                    "Pictures live in memory, and in a distributed pipeline for a minute in Kafka's topic `frames`.",
                    says="",
                    width=8,
                    height=9,
                ),
                time_series(
                    "Oldest picture",
                    each(lucene(Index.HEALTH, used), [("max", "mien.age_s")], "mien.kind"),
                    over_time(lucene(Index.HEALTH, KEPT), [("max", "mien.age_s")], alias="kept in Kafka"),
                    says="`kept in Kafka` is the age of the oldest picture that can still be read there. Of those that "
                    "were worked on, `queue` waited in Kafka, and `camera` is the newest in memory.",
                    width=16,
                    height=9,
                    unit="s",
                ),
            ],
            [
                time_series(
                    "Not told",
                    each(
                        lucene(Index.ALERTS, "_exists_:mien.alert.silenced_by", CAMERA),
                        ["count"],
                        "mien.alert.silenced_by",
                    ),
                    says="Transitions that were recorded and not sent, by cause.",
                    bars=True,
                    stack="normal",
                ),
                time_series(
                    "Faces without an expression",
                    each(lucene(Index.METRICS, WHOLE, CAMERA), [("avg", "mien.faces.unknown")], "observer.name"),
                    says="Share of the faces that are too small, blurred, turned or dark: nothing is said of them.",
                    unit="percentunit",
                    defaults={"max": 1},
                ),
            ],
            [
                table(
                    "What is kept",
                    terms("*:*", ["count", ("min", "@timestamp"), ("max", "@timestamp")], group=("_index",)),
                    columns={"_index": "Index", "Count": "How many", "Min": "Oldest", "Max": "Newest"},
                    says="All of mien in Elasticsearch, by index; whole months are dropped. How long they are kept: "
                    "elasticsearch.keep_alerts_months and keep_metrics_months.",
                    width=24,
                    height=7,
                    unit="none",
                    since="5y",
                    overrides=[by("byRegexp", "/Oldest|Newest/", {"unit": "dateTimeAsIso"})],
                )
            ],
        ],
    )
