"""The dashboards for Grafana: written in Python, kept as JSON in helm/mien/dashboards."""

from __future__ import annotations

from collections.abc import Sequence

from operators.rules import EXPRESSIONS
from pipeline.dashboards.expressions import expressions
from pipeline.dashboards.health import health
from pipeline.dashboards.live import live
from pipeline.dashboards.privacy import privacy
from pipeline.dashboards.queries import Json
from pipeline.dashboards.tuning import tuning

__all__ = ["all_dashboards"]


def all_dashboards(labels: Sequence[str] = EXPRESSIONS) -> list[Json]:
    """All of them in Grafana's JSON, in the order of a tour; `labels` are the expressions that the network reads."""
    return [live(), expressions(labels), tuning(), health(), privacy()]
