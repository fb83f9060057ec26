"""Dashboards and provisioning as files."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

from ruamel.yaml import YAML

from connectors.elastic_settings import ElasticSettings
from connectors.grafana_settings import GrafanaSettings
from operators.rules import EXPRESSIONS
from pipeline.dashboards import all_dashboards
from pipeline.dashboards.provisioning import alerting, datasources, providers
from pipeline.dashboards.queries import Json

__all__ = ["HEADER", "dashboard_files", "provisioning_files"]

HEADER = "# Written by `mien dashboards write`: change pipeline/dashboards, not this file.\n"


def dashboard_files(labels: Sequence[str] = EXPRESSIONS) -> dict[str, str]:
    """The JSON of each dashboard, by file name; `labels` as of `all_dashboards`."""
    return {f"{board['uid']}.json": json.dumps(board, indent=2) + "\n" for board in all_dashboards(labels)}


def provisioning_files(elastic: ElasticSettings, grafana: GrafanaSettings, *, folder: str) -> dict[str, str]:
    """What belongs into Grafana's provisioning folder, by path; the dashboards are in `folder` on its machine.

    No secrets: an Elasticsearch that asks for a key needs it added by who sets up Grafana.
    """
    return {
        "datasources/mien.yaml": _yaml(datasources(elastic, grafana)),
        "dashboards/mien.yaml": _yaml(providers(grafana, folder)),
        "alerting/mien.yaml": _yaml(alerting(grafana)),
    }


def _yaml(data: Json) -> str:
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 120
    writer.representer.ignore_aliases = lambda *_: True
    text = io.StringIO()
    writer.dump(data, text)
    return HEADER + text.getvalue()
