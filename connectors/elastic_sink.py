"""Alerts to Elasticsearch: every transition once, and the state of each alert.

Used through `pipeline.delivery` like every sink: the journal on the disk is its queue, however long the server is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from connectors.elastic import Elastic
from connectors.elastic_documents import alert_entries
from connectors.elastic_settings import SINK, ElasticSettings
from operators.errors import SinkError
from operators.records import Alert, Status

__all__ = ["ElasticSink"]


class ElasticSink:
    """Writes each batch as one bulk request. The same alerts twice give the same documents."""

    name = SINK
    statuses = tuple(Status)
    silenced = True

    def __init__(self, settings: ElasticSettings) -> None:
        self._elastic = Elastic(settings)
        self._zone = ZoneInfo(settings.timezone)

    def deliver(self, alerts: Sequence[Alert], /) -> None:
        """Write the alerts; raises SinkError, retryable but for what the mapping refuses."""
        refused = self._elastic.write([entry for alert in alerts for entry in alert_entries(alert, self._zone)])
        if refused:
            raise SinkError(f"elasticsearch refuses the document: {refused[0].reason}", retryable=False)

    def close(self) -> None:
        """Close the connections."""
        self._elastic.close()
