"""The dashboard about what faces show: over time, and by the hours of the week."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.elastic_templates import Index
from pipeline.dashboards.layout import CAMERAS, choice, dashboard, options
from pipeline.dashboards.panels import by, heat, matrix, names, time_series
from pipeline.dashboards.queries import CAMERA, LOOKED_AT, WHOLE, ZONE, Json, each, lucene, over_time, terms

__all__ = ["expressions"]

COLORS = {
    "neutral": "text",
    "happiness": "green",
    "surprise": "yellow",
    "sadness": "blue",
    "anger": "red",
    "disgust": "purple",
    "fear": "orange",
    "contempt": "super-light-purple",
}
_FIRST = "happiness"
WEEKDAYS = {
    str(number): {"index": number, "text": name}
    for number, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), 1)
}
HOURS = tuple(str(hour) for hour in range(24))


def expressions(labels: Sequence[str]) -> Json:
    """Which expressions faces show, when and where; of `labels`."""
    seen = lucene(Index.METRICS, LOOKED_AT, CAMERA, ZONE)
    week = ("mien.weekday", "mien.hour")
    return dashboard(
        "mien-expressions",
        "mien: expressions",
        "Which expressions the faces show: over time, and by the hours of the week. Expressions, not inner states.",
        variables=[
            CAMERAS,
            choice(
                "zone",
                "Zone (All: whole picture)",
                "observer.geo.name",
                kind=Index.METRICS,
                everything=f'"" OR {WHOLE}',
            ),
            options("expression", "Expression", labels, first=_FIRST if _FIRST in labels else labels[0]),
        ],
        span="24h",
        refresh="5m",
        rows=[
            [
                time_series(
                    "Share of each expression",
                    over_time(seen, [("avg", f"mien.expression.share.{name}") for name in labels], alias="{{field}}"),
                    says="Of the faces that could be read: how many showed each expression most. "
                    "The mean over stretches of 10 s in which there was a face.",
                    width=24,
                    height=10,
                    unit="percentunit",
                    stack="percent",
                    steps=[names(r".*\.(.*)")],
                    overrides=[
                        by("byName", name, {"color": {"mode": "fixed", "fixedColor": color}})
                        for name, color in COLORS.items()
                    ],
                )
            ],
            [
                time_series(
                    "Mean probability of $expression",
                    each(seen, [("avg", "mien.expression.score.$expression")], "observer.name"),
                    says="What the model gives the chosen expression, on average over the faces that could be read.",
                    unit="percentunit",
                    defaults={"max": 1},
                ),
                time_series(
                    "Faces, and those that could not be read",
                    over_time(seen, [("avg", "mien.faces.mean")], alias="faces in a frame"),
                    over_time(seen, [("avg", "mien.faces.unknown")], alias="share not read"),
                    says="A face that is too small, blurred, turned or dark is counted, and is of unknown expression.",
                    overrides=[
                        by("byName", "share not read", {"unit": "percentunit", "custom.axisPlacement": "right"})
                    ],
                ),
            ],
            [
                matrix(
                    "Share of $expression, by hour and weekday",
                    terms(seen, [("avg", "mien.expression.share.$expression")], group=week),
                    down="mien.weekday",
                    across="mien.hour",
                    order=HOURS,
                    value="Average",
                    says="The hours are those of elasticsearch.timezone. Empty where no face could be read. "
                    "Looks back four weeks, whatever the time range is.",
                    width=24,
                    height=9,
                    since="28d",
                    unit="percentunit",
                    defaults={**heat("continuous-blues"), "decimals": 0},
                    overrides=[by("byName", " ", {"mappings": [{"type": "value", "options": WEEKDAYS}]})],
                )
            ],
            [
                matrix(
                    "Faces in a frame, by hour and weekday",
                    terms(seen, [("avg", "mien.faces.mean")], group=week),
                    down="mien.weekday",
                    across="mien.hour",
                    order=HOURS,
                    value="Average",
                    says="When there is somebody at all: a share over few faces says little.",
                    width=24,
                    height=9,
                    since="28d",
                    defaults={**heat("continuous-greens"), "decimals": 1},
                    overrides=[by("byName", " ", {"mappings": [{"type": "value", "options": WEEKDAYS}]})],
                )
            ],
        ],
    )
