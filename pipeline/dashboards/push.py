"""Put the dashboards into a Grafana that runs already, through its API; safe to repeat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from connectors.elastic_settings import ElasticSettings
from connectors.grafana import Grafana
from connectors.grafana_settings import GrafanaSettings
from operators.errors import ConfigError
from pipeline.config import Settings, labels_read
from pipeline.dashboards import all_dashboards
from pipeline.dashboards.provisioning import FOLDER_UID, datasource

__all__ = ["push"]

MARKS_SINCE = (12, 2, 4)
"""The first Grafana whose annotation queries Elasticsearch 9 understands (grafana/grafana#113723)."""


def push(settings: Settings) -> Iterator[str]:
    """Write folder, data source and dashboards, and say what was done, step by step.

    Raises ConfigError where sections are missing, SinkError where Grafana refuses or can't be reached.
    """
    if settings.grafana is None or settings.elasticsearch is None:
        missing = "grafana" if settings.grafana is None else "elasticsearch"
        raise ConfigError(f"expected a section {missing}: the dashboards show what Elasticsearch holds, in Grafana")
    yield from _notes(settings.grafana, settings.elasticsearch)
    with closing(Grafana(settings.grafana)) as grafana:
        version = grafana.health().version
        yield f"Grafana {version or 'of unknown version'} at {settings.grafana.url}"
        if version and _numbers(version) < MARKS_SINCE:
            yield "note: alert marks on Elasticsearch 9 need Grafana 12.2.4 or newer"
        grafana.put_folder(uid=FOLDER_UID, title=settings.grafana.folder)
        written = grafana.put_datasource(datasource(settings.elasticsearch, settings.grafana))
        yield "data source mien" + ("" if written else ": left alone, it is provisioned from a file there")
        for board in all_dashboards(labels_read(settings.models)):
            where = grafana.put_dashboard(board, folder_uid=FOLDER_UID, message="mien dashboards apply")
            yield f"{board['title']}: {settings.grafana.url.rstrip('/')}{where}"


def _notes(grafana: GrafanaSettings, elastic: ElasticSettings) -> Iterator[str]:
    """What Grafana can't reach or may not read, as far as it can be told from here."""
    if _is_here(grafana.elasticsearch_url or elastic.url) and not _is_here(grafana.url):
        yield "note: Grafana will look for Elasticsearch on its own machine: set grafana.elasticsearch_url"
    if (elastic.api_key or elastic.password) and grafana.elasticsearch_api_key is None:
        yield "note: Elasticsearch asks for a login: set grafana.elasticsearch_api_key to a key that may only read"


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}


def _numbers(version: str) -> tuple[int, ...]:
    """`12.2.4` of `12.2.4-pre+security`."""
    numbers = version.partition("-")[0].partition("+")[0].split(".")
    return tuple(int(number) if number.isdigit() else 0 for number in numbers)
