"""What Grafana reads from files when it starts: the data source, where the dashboards are, and rules about ourselves.

https://grafana.com/docs/grafana/latest/administration/provisioning/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from connectors.elastic_settings import ElasticSettings
from connectors.elastic_templates import Index
from connectors.grafana_settings import GrafanaSettings
from operators.errors import ConfigError
from pipeline.dashboards.queries import DATASOURCE, TIME, WHOLE, Json, Metric, lucene, over_time
from pipeline.recorder import DECISION

__all__ = ["ALARMS", "FOLDER_UID", "alerting", "datasource", "datasources", "providers"]

FOLDER_UID = "mien"
EVERY_S = 10
"""How far the documents are apart: no use in asking for less."""
EXPRESSION = {"type": "__expr__", "uid": "__expr__"}
RUNBOOK = "docs/grafana.md#alarms-about-the-pipeline"


def datasource(elastic: ElasticSettings, grafana: GrafanaSettings, *, secrets: bool = True) -> Json:
    """Elasticsearch, as Grafana's API takes it; without `secrets` it can be shown and kept in a file.

    Raises ConfigError where the certificates can't be read.
    """
    settings: Json = {"index": f"{elastic.prefix}-*", "timeField": TIME, "timeInterval": f"{EVERY_S}s"}
    secret: Json = {}
    if elastic.ca_file is not None and secrets:
        settings["tlsAuthWithCACert"] = True
        secret["tlsCACert"] = _text(elastic.ca_file)
    if grafana.elasticsearch_api_key is not None and secrets:
        settings["httpHeaderName1"] = "Authorization"
        secret["httpHeaderValue1"] = f"ApiKey {grafana.elasticsearch_api_key.get_secret_value()}"
    return {
        "name": "mien",
        "uid": DATASOURCE["uid"],
        "type": DATASOURCE["type"],
        "access": "proxy",
        "url": grafana.elasticsearch_url or elastic.url,
        "jsonData": settings,
        **({"secureJsonData": secret} if secret else {}),
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected elasticsearch.ca_file to be certificates in PEM, got {error}") from error


def datasources(elastic: ElasticSettings, grafana: GrafanaSettings) -> Json:
    """The file for provisioning/datasources."""
    return {"apiVersion": 1, "datasources": [datasource(elastic, grafana, secrets=False)]}


def providers(grafana: GrafanaSettings, folder: str) -> Json:
    """The file for provisioning/dashboards: those in a `folder` of the machine on which Grafana runs."""
    provider = {
        "name": "mien",
        "folder": grafana.folder,
        "folderUid": FOLDER_UID,
        "type": "file",
        "updateIntervalSeconds": 60,
        "allowUiUpdates": False,
        "options": {"path": folder},
    }
    return {"apiVersion": 1, "providers": [provider]}


def alerting(grafana: GrafanaSettings) -> Json:
    """The file for provisioning/alerting: rules about the pipeline's own health, never about faces."""
    rules = [_rule(alarm) for alarm in ALARMS]
    group = {"orgId": 1, "name": "mien", "folder": grafana.folder, "interval": "30s", "rules": rules}
    return {"apiVersion": 1, "groups": [group]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A figure of each `group`, reduced over the last `since_s`, is above or below a limit for a while.

    Without any document it says `nothing`: a part that a deployment doesn't have is no alarm, silence of all is one.
    """

    name: str
    title: str
    query: str
    metric: Metric
    group: str = ""
    reducer: str = "last"
    since_s: int = 300
    above: float | None = None
    below: float | None = None
    wait: str
    severity: str = "warning"
    nothing: str = "OK"


ALARMS = (
    Alarm(
        name="silent",
        title="nothing is heard of mien",
        query=lucene(Index.HEALTH, "mien.kind:process"),
        metric="count",
        reducer="sum",
        since_s=120,
        below=1,
        wait="1m",
        severity="critical",
        nothing="Alerting",
    ),
    Alarm(
        name="camera-down",
        title="a camera gives no picture",
        query=lucene(Index.HEALTH, "mien.kind:camera"),
        metric=("max", "mien.up"),
        group="observer.name",
        below=1,
        wait="1m",
        severity="critical",
    ),
    Alarm(
        name="pictures-old",
        title="the newest analysed picture of a camera is older than 5 s",
        query=lucene(Index.HEALTH, "mien.kind:camera", "mien.up:1"),
        metric=("min", "mien.age_s"),
        group="observer.name",
        above=5,
        wait="1m",
    ),
    Alarm(
        name="time-missed",
        title="more than a tenth of a camera's time is not seen",
        query=lucene(Index.METRICS, WHOLE),
        metric=("avg", "mien.observed_s"),
        group="observer.name",
        reducer="mean",
        since_s=600,
        below=9,
        wait="5m",
    ),
    Alarm(
        name="sink-down",
        title="alerts don't get through to a sink",
        query=lucene(Index.HEALTH, "mien.kind:sink"),
        metric=("max", "mien.up"),
        group="mien.sink",
        below=1,
        wait="2m",
        severity="critical",
    ),
    Alarm(
        name="sink-lags",
        title="more than 100 alert transitions wait for a sink",
        query=lucene(Index.HEALTH, "mien.kind:sink"),
        metric=("min", "mien.waiting"),
        group="mien.sink",
        above=100,
        wait="5m",
    ),
    Alarm(
        name="decisions-slow",
        title="one frame in twenty is decided on more than 2 s after it was taken",
        query=lucene(Index.HEALTH, "mien.kind:stage", f"mien.stage:{DECISION}"),
        metric=("max", "mien.latency.p95"),
        reducer="mean",
        above=2,
        wait="5m",
    ),
    Alarm(
        name="records-wait",
        title="records have waited for more than 30 s when a role of a worker comes to them",
        query=lucene(Index.HEALTH, "mien.kind:queue", "mien.waiting:>0"),
        metric=("min", "mien.age_s"),
        group="mien.queue",
        above=30,
        wait="5m",
    ),
)


def _rule(alarm: Alarm) -> Json:
    limit = {"type": "gt", "params": [alarm.above]} if alarm.below is None else {"type": "lt", "params": [alarm.below]}
    whose = f'{{{{ index $labels "{alarm.group}" }}}}: ' if alarm.group else ""
    values = over_time(alarm.query, [alarm.metric], group=alarm.group)
    latest = {"type": "reduce", "expression": "values", "reducer": alarm.reducer, "settings": {"mode": "dropNN"}}
    threshold = {"type": "threshold", "expression": "latest", "conditions": [{"evaluator": limit}]}
    return {
        "uid": f"mien-{alarm.name}",
        "title": f"mien: {alarm.title}",
        "condition": "limit",
        "data": [
            _step("values", values, DATASOURCE, since_s=alarm.since_s),
            _step("latest", latest, EXPRESSION, since_s=alarm.since_s),
            _step("limit", threshold, EXPRESSION, since_s=alarm.since_s),
        ],
        "noDataState": alarm.nothing,
        "execErrState": "Error",
        "for": alarm.wait,
        "annotations": {"summary": f"{whose}{alarm.title}", "runbook": RUNBOOK},
        "labels": {"severity": alarm.severity, "source": "mien"},
        "isPaused": False,
    }


def _step(ref: str, model: Json, where: Json, *, since_s: int) -> Json:
    """One query or expression of a rule."""
    return {
        "refId": ref,
        "datasourceUid": where["uid"],
        "relativeTimeRange": {"from": since_s, "to": 0},
        "model": {**model, "refId": ref, "datasource": where, "intervalMs": EVERY_S * 1000, "maxDataPoints": 100},
    }
