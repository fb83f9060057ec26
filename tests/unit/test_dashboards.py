"""The dashboards as JSON: in step with their files, of known types, and about fields that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from ruamel.yaml import YAML
from typer.testing import CliRunner

from connectors.elastic_settings import ElasticSettings
from connectors.elastic_templates import FIGURES, MAPPINGS, Index
from connectors.grafana_settings import GrafanaSettings
from operators.errors import ConfigError
from operators.records import GapReason
from operators.rules import EXPRESSIONS
from pipeline.cli import app
from pipeline.config import load_settings
from pipeline.dashboards import all_dashboards
from pipeline.dashboards.files import dashboard_files, provisioning_files
from pipeline.dashboards.layout import dashboard
from pipeline.dashboards.panels import words
from pipeline.dashboards.provisioning import alerting, datasource
from pipeline.dashboards.push import _notes, _numbers, push
from tests.grafana_sdk import UNITS, Dashboard, Dataquery, Rule, misfits, unknown
from tests.networks import own_classifier

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "examples" / "compose"

BOARDS = all_dashboards()
ALARMS = alerting(GrafanaSettings())["groups"][0]["rules"]
EACH_BOARD = pytest.mark.parametrize("board", [pytest.param(board, id=board["uid"]) for board in BOARDS])
EACH_ALARM = pytest.mark.parametrize("alarm", [pytest.param(alarm, id=alarm["uid"]) for alarm in ALARMS])
EACH_QUERY = pytest.mark.parametrize(
    "target",
    [
        pytest.param(target, id=f"{board['uid']}-{panel['title']}-{target['refId']}")
        for board in BOARDS
        for panel in board["panels"]
        for target in panel["targets"]
    ]
    + [pytest.param(alarm["data"][0]["model"], id=alarm["uid"]) for alarm in ALARMS],
)
MARK_FIELDS = {"timeField", "timeEndField", "textField", "tagsField"}
"""What the Elasticsearch data source reads from an annotation; the SDK knows only what all sources have."""
ALARM_FIELDS = {"intervalMs", "maxDataPoints"}
"""What Grafana's alerting wants of every query, of whatever source."""


def test_the_files_are_what_the_code_says():
    folder = ROOT / "helm" / "mien" / "dashboards"
    assert {path.name: path.read_text() for path in folder.glob("*")} == dashboard_files(), "run `make schema`"


def test_the_provisioning_of_compose_is_what_the_code_says():
    settings = load_settings(COMPOSE / "mien.yaml")
    assert settings.elasticsearch is not None
    wanted = provisioning_files(settings.elasticsearch, GrafanaSettings(), folder="/etc/mien/dashboards")
    found = {name: (COMPOSE / "grafana" / name).read_text() for name in wanted}
    assert found == wanted, "run `make schema`"


@EACH_BOARD
def test_grafana_s_sdk_knows_every_word(board: dict[str, Any]):
    assert [path for path in unknown(board, Dashboard) if path.rpartition(".")[2] not in MARK_FIELDS] == []
    assert misfits(board, Dashboard) == []


@EACH_QUERY
def test_grafana_s_sdk_knows_the_queries(target: dict[str, Any]):
    assert [path for path in unknown(target, Dataquery) if path.rpartition(".")[2] not in ALARM_FIELDS] == []
    assert misfits(target, Dataquery) == []


@EACH_ALARM
def test_grafana_s_sdk_knows_the_alarms(alarm: dict[str, Any]):
    assert [path for path in unknown(alarm, Rule) if path.rpartition(".")[2] not in ALARM_FIELDS] == []
    assert misfits({**alarm, "data": []}, Rule) == []


def test_the_check_by_the_sdk_can_fail():
    board = {"title": "x", "panels": [{"type": "stat", "titel": "x", "id": "1", "options": {"textMode": "loud"}}]}
    assert unknown(board, Dashboard) == [".panels[0].titel"]
    found = " ".join(misfits(board, Dashboard))
    assert "'1'" in found
    assert "'loud'" in found


@EACH_BOARD
def test_every_unit_is_one_of_grafana_s(board: dict[str, Any]):
    used = set(re.findall(r'"unit": "([^"]+)"', json.dumps(board)))
    used |= set(re.findall(r'"id": "unit", "value": "([^"]+)"', json.dumps(board)))
    assert used <= UNITS


@EACH_QUERY
def test_every_field_is_in_the_mapping(target: dict[str, Any]):
    """A misspelt field is no error for Elasticsearch: it finds nothing."""
    kinds = re.findall(r"event\.dataset:mien\.([\w-]+)", target["query"])
    known = fields(Index(kinds[0]) if kinds else None)
    assert used_fields(target) <= known


def used_fields(target: dict[str, Any]) -> set[str]:
    parts = [*target["metrics"], *target["bucketAggs"]]
    found = {part["field"] for part in parts if "field" in part}
    found |= set(re.findall(r"([\w.@]+):", target["query"])) - {"_exists_"}
    found |= set(re.findall(r"_exists_:([\w.]+)", target["query"]))
    return {name.replace("$expression", EXPRESSIONS[0]) for name in found}


def fields(kind: Index | None) -> set[str]:
    """The fields of a kind of document; those of all, where a query asks for all."""
    mappings = [MAPPINGS[kind]] if kind else MAPPINGS.values()
    plain = {name for mapping in mappings for name, type_ in mapping.items() if type_ != FIGURES} | {"_index"}
    figures = {name for mapping in mappings for name, type_ in mapping.items() if type_ == FIGURES}
    evidence = ("duration_s", "for_s", "value_max", "enter", "coverage")
    names = (*EXPRESSIONS, *GapReason, *evidence)
    return plain | {f"{figure}.{name}" for figure in figures for name in names}


@EACH_BOARD
def test_every_variable_that_is_used_can_be_chosen(board: dict[str, Any]):
    used = set(re.findall(r"\$(\w+)", json.dumps([board["panels"], board["annotations"]])))
    assert used - {"1"} == {variable["name"] for variable in board["templating"]["list"]}


def test_no_two_panels_share_a_number_or_a_place():
    for board in BOARDS:
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)
        places = [place for panel in board["panels"] for place in covered(panel["gridPos"])]
        assert len(set(places)) == len(places)
        assert max(x for x, _ in places) == 23


def covered(grid: dict[str, int]) -> list[tuple[int, int]]:
    return [(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])]


def test_a_row_that_is_too_wide_is_refused():
    panels = [words("a", "", says="", width=20), words("b", "", says="", width=8)]
    with pytest.raises(ValueError, match="expected panels of 24 columns in a row, got 28: 'a'"):
        dashboard("uid", "title", "says", variables=[], rows=[panels])


def test_every_panel_explains_itself():
    silent = [panel["title"] for board in BOARDS for panel in board["panels"] if not panel["description"]]
    assert silent == ["What is stored here"]  # is itself an explanation


def test_all_panels_ask_the_one_data_source():
    uid = datasource(ElasticSettings(), GrafanaSettings())["uid"]
    text = json.dumps(BOARDS)
    assert set(re.findall(r'"type": "elasticsearch", "uid": "([^"]+)"', text)) == {uid}


@EACH_ALARM
def test_alarms_are_about_the_machine_and_explained(alarm: dict[str, Any]):
    assert alarm["condition"] in {step["refId"] for step in alarm["data"]}
    assert "event.dataset:mien.alert" not in alarm["data"][0]["model"]["query"]
    page, _, anchor = alarm["annotations"]["runbook"].partition("#")
    text = (ROOT / page).read_text()
    assert anchor in {
        line.strip("# \n").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")
    }
    assert alarm["uid"].removeprefix("mien-") in text


def test_secrets_are_not_written_to_files():
    key = SecretStr("b64s3cret")
    elastic = ElasticSettings(api_key=key)
    grafana = GrafanaSettings(token=SecretStr("glsa_s3cret"), elasticsearch_api_key=key)
    assert "s3cret" not in "".join(provisioning_files(elastic, grafana, folder="/x").values())
    assert datasource(elastic, grafana)["secureJsonData"] == {"httpHeaderValue1": "ApiKey b64s3cret"}


def test_the_data_source_is_that_of_the_settings(tmp_path: Path):
    authority = tmp_path / "ca.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----")
    elastic = ElasticSettings(url="https://here:9200", prefix="faces", ca_file=authority)
    found = datasource(elastic, GrafanaSettings(elasticsearch_url="https://there:9200"))
    assert found["url"] == "https://there:9200"
    assert found["jsonData"]["index"] == "faces-*"
    assert found["jsonData"]["tlsAuthWithCACert"] is True
    assert found["secureJsonData"] == {"tlsCACert": "-----BEGIN CERTIFICATE-----"}


def test_certificates_that_can_t_be_read_are_named(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"expected elasticsearch\.ca_file to be certificates in PEM, got .*none\.pem"
    ):
        datasource(ElasticSettings(url="https://es:9200", ca_file=tmp_path / "none.pem"), GrafanaSettings())


@pytest.mark.parametrize(
    ("elastic", "grafana", "note"),
    [
        ({}, {"url": "https://grafana.example"}, "note: Grafana will look for Elasticsearch on its own machine"),
        ({"api_key": SecretStr("k")}, {}, "note: Elasticsearch asks for a login"),
        ({}, {}, ""),
        ({"url": "http://es:9200", "api_key": SecretStr("k")}, {"elasticsearch_api_key": SecretStr("r")}, ""),
    ],
)
def test_what_grafana_could_not_read_is_said(elastic: dict[str, Any], grafana: dict[str, Any], note: str):
    notes = list(_notes(GrafanaSettings(**grafana), ElasticSettings(**elastic)))
    assert [one.partition(":")[0] for one in notes] == (["note"] if note else [])
    assert "".join(notes).startswith(note)


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("12.2.4", (12, 2, 4)), ("13.0.0-pre", (13, 0, 0)), ("12.3.2+security-01", (12, 3, 2)), ("x.1", (0, 1))],
)
def test_a_version_is_compared_by_its_numbers(version: str, numbers: tuple[int, ...]):
    assert _numbers(version) == numbers


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["dashboards", *arguments])


def test_list_names_all():
    done = invoke("list")
    assert done.exit_code == 0
    assert all(board["uid"] in done.output for board in BOARDS)


def test_show_prints_what_grafana_imports():
    assert json.loads(invoke("show", "mien-live").output) == BOARDS[0]


def test_show_of_another_name_says_which_there_are():
    with pytest.raises(ConfigError, match=r'no dashboard is called "mien-life".*mien-live'):
        CliRunner().invoke(app, ["dashboards", "show", "mien-life"], catch_exceptions=False)


def test_write_writes_dashboards_and_provisioning(tmp_path: Path):
    where = (str(tmp_path / "boards"), "--provisioning", str(tmp_path / "grafana"), "--dashboards-at", "/srv/boards")
    done = invoke("write", *where, "-c", str(COMPOSE / "mien.yaml"))
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "boards").iterdir()} == set(dashboard_files())
    provider = YAML(typ="safe").load(tmp_path / "grafana" / "dashboards" / "mien.yaml")
    assert provider["providers"][0]["options"]["path"] == "/srv/boards"
    assert len(done.output.split()) == len(dashboard_files()) + 3


CONFIG = """
version: 1
purpose: a test of the dashboards
cameras: {smile: {url: "scene://smile"}}
rules: []
"""


def test_a_network_of_ones_own_has_its_own_classes_drawn(tmp_path: Path):
    path = tmp_path / "mien.yaml"
    path.write_text(CONFIG + f"models: {{expression: {{path: {own_classifier(tmp_path / 'own.onnx')}}}}}\n")
    assert invoke("write", str(tmp_path), "-c", str(path)).exit_code == 0
    text = (tmp_path / "mien-expressions.json").read_text()
    assert "mien.expression.share.bright" in text
    assert "mien.expression.share.fear" not in text
    (chosen,) = (one for one in json.loads(text)["templating"]["list"] if one["name"] == "expression")
    assert chosen["current"]["value"] == "dark"


@pytest.mark.parametrize(
    ("sections", "missing"),
    [("", "grafana"), ("grafana: {token: x}", "elasticsearch"), ("elasticsearch: {}", "grafana")],
)
def test_apply_needs_both_sections(tmp_path: Path, sections: str, missing: str):
    path = tmp_path / "mien.yaml"
    path.write_text(CONFIG + sections)
    with pytest.raises(ConfigError, match=f"expected a section {missing}"):
        list(push(load_settings(path)))
