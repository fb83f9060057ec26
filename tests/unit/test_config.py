"""Loading: what overrides what, where secrets come from, the rules file, the schema, the example."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import SecretStr, ValidationError

from connectors.jsonl import JsonlSettings
from operators.errors import ConfigError
from operators.records import Scope, Severity
from operators.rules import Group, Limits, Mute, Predicate, Schedule
from pipeline.checks import check_rules
from pipeline.config import (
    READS,
    Settings,
    check_settings,
    json_schema,
    load_rules,
    load_settings,
    rules_report,
    rules_schema,
    secret_values,
    show,
)
from pipeline.yaml_source import read_yaml

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples" / "rules").glob("*.yaml") if ".test." not in path.name)
HARD = "p@ss:w/rd %41#?&\"' \\é"
RULES = """\
version: 1
defaults: {cooldown: 5s, schedule: opening}
signals: {negative: {anger: 1, fear: 1}}
groups: {doors: {cameras: [lobby]}}
schedules: {opening: {timezone: Europe/Vienna, days: [mon], hours: ["08:00-18:00"]}}
routing: {mute: [{schedule: opening, invert: true, severity_below: critical}], group_wait: 2s}
limits: {max_active_per_rule: 20}
rules:
  - {id: upset, when: "negative >= 0.6 and not happiness >= 0.2", for: 3s}
  - {id: crowd, scope: group, group: doors, count: {at_least: 3, within: 10s}}
"""
MINIMAL = """\
purpose: A test watches nobody.
cameras:
  lobby:
    url: rtsp://10.0.0.5/stream1
"""


@pytest.fixture
def load(tmp_path: Path):
    """Load MINIMAL with more lines after it."""

    def loaded(more: str = "", *, text: str = MINIMAL) -> Settings:
        path = tmp_path / "mien.yaml"
        path.write_text(text + more, encoding="utf-8")
        return load_settings(path)

    return loaded


def test_defaults_are_those_of_the_dataclasses(load) -> None:
    settings = load()
    assert settings.cameras["lobby"].read_timeout == 10.0
    assert settings.store.retention == 30 * 86400
    assert settings.metrics is None


def test_settings_are_frozen(load) -> None:
    with pytest.raises(ValidationError):
        load().purpose = "another"


def test_durations_and_trailing_underscores(load) -> None:
    settings = load("    read_timeout: 1m30s\nrules:\n  - {id: fear, when: fear >= 0.6, for: 3s}\n")
    assert settings.cameras["lobby"].read_timeout == 90.0
    assert settings.rules[0].for_ == 3.0


@pytest.mark.parametrize(
    ("file", "secret_file", "variable", "expected"),
    [
        (False, None, None, 5.0),  # the default
        (True, None, None, 1.0),
        (True, "2", None, 2.0),
        (True, None, "3", 3.0),
        (True, "2", "3", 3.0),
        (False, "2", None, 2.0),
    ],
)
def test_precedence(  # noqa: PLR0917  # one column of the table each
    load, file: bool, secret_file: str | None, variable: str | None, expected: float, tmp_path: Path, monkeypatch
) -> None:
    if secret_file is not None:
        folder = tmp_path / "secrets"
        folder.mkdir()
        (folder / "cameras__lobby__fps").write_text(f"{secret_file}\n")
        monkeypatch.setenv("MIEN_SECRETS_DIR", str(folder))
    if variable is not None:
        monkeypatch.setenv("MIEN_CAMERAS__LOBBY__FPS", variable)
    assert load("    fps: 1\n" if file else "").cameras["lobby"].fps == expected


def test_a_variable_adds_to_a_section_and_leaves_the_rest(load, monkeypatch) -> None:
    monkeypatch.setenv("MIEN_ANALYSIS__TRACKER__MAX_AGE", "5s")
    monkeypatch.setenv("MIEN_PURPOSE", "another")
    monkeypatch.setenv("MIEN_CAMERAS__LOBBY__MASKS", "[[[0, 0], [1, 0], [1, 1]]]")
    settings = load("    fps: 1\nanalysis: {tracker: {high: 0.7}}\n")
    assert settings.analysis.tracker.max_age == 5.0
    assert settings.analysis.tracker.high == 0.7
    assert settings.purpose == "another"
    assert settings.cameras["lobby"].masks == (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),)


@pytest.mark.parametrize("password", ["1e5", "0123", "null", "true", "{not json", HARD])
def test_a_password_from_a_variable_stays_the_text_it_is(load, password: str, monkeypatch) -> None:
    monkeypatch.setenv("MIEN_CAMERAS__LOBBY__PASSWORD", password)
    camera = load("    username: admin\n").cameras["lobby"]
    assert camera.password == SecretStr(password)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "MIEN_CAMERAS__LOBBY__FPS",
            "fast",
            'MIEN_CAMERAS__LOBBY__FPS: cameras.lobby.fps: expected a number, got "fast"',
        ),
        ("MIEN_CAMERAS__LOBBY__FPSS", "5", 'FPSS: cameras.lobby.fpss: unknown key, did you mean "fps"?'),
        (
            "MIEN_CAMERA__LOBBY__FPS",
            "5",
            'MIEN_CAMERA__LOBBY__FPS: no such section of the settings, did you mean "MIEN_CAME',
        ),
        ("MIEN_CAMERAS__LOBBY__MASKS", "[[", 'MASKS: cameras.lobby.masks: expected a list, got "[["'),
    ],
)
def test_a_wrong_variable_is_named(load, name: str, value: str, told: str, monkeypatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="environment variable") as raised:
        load()
    assert told in str(raised.value)


def test_variables_of_other_programs_are_left_alone(load, monkeypatch) -> None:
    monkeypatch.setenv("MIEN_METRICS_PORT", "tcp://10.0.0.1:9108")  # Kubernetes sets this for a service mien-metrics
    monkeypatch.setenv("MIEN_SERVICE_HOST", "10.0.0.1")
    assert load().metrics is None


@pytest.mark.parametrize("secret", ["simple", "1e5", "  spaces  ", "ends in a newline\n", HARD])
def test_secrets_from_environment_file_and_text_are_the_same(load, secret: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LOBBY", secret)
    (tmp_path / "lobby.secret").write_text(f"{secret}\n", encoding="utf-8")
    for written in ("{env: LOBBY}", "{file: lobby.secret}", json.dumps(secret)):
        camera = load(f"    username: admin\n    password: {written}\n").cameras["lobby"]
        assert camera.password is not None
        assert camera.password.get_secret_value() == secret


def test_a_reference_that_is_overridden_need_not_exist(load, monkeypatch) -> None:
    monkeypatch.setenv("MIEN_CAMERAS__LOBBY__PASSWORD", "stronger")
    camera = load("    username: admin\n    password: {env: NO_SUCH_VARIABLE}\n").cameras["lobby"]
    assert camera.password == SecretStr("stronger")


def test_a_reference_is_read_only_where_a_secret_belongs(load, monkeypatch) -> None:
    monkeypatch.setenv("LOBBY", "hunter2")
    with pytest.raises(ConfigError, match="expected text, got keys and values"):
        load("    username: {env: LOBBY}\n")


@pytest.mark.parametrize(
    "more",
    [
        "    password: hunter2\n    fps: hunter2\n",
        "    password: {env: SECRET}\n    transport: hunter2\n",
        "    password: [hunter2]\n",
        "    password: hunter2\n    pasword: hunter2\n",
        "sinks:\n  - {type: webhook, url: 'ftp://u:hunter2@h/x', secret: {file: hunter}, token: {env: SECRET}}\n",
        "    open_timeout: rtsp://admin:hunter2@h\n",
        "    password: *hunter2\n",
        "    password: 'hunter2\n",
        "    password: hunter2: x\n",
        "    password: !hunter2 x\n",
    ],
)
def test_no_output_repeats_a_secret(load, more: str, monkeypatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    with pytest.raises(ConfigError) as raised:
        load(more)
    error = raised.value
    assert "hunter2" not in f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"


def test_pydantics_own_error_hides_the_input() -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(purpose="x", cameras={"lobby": {"url": "scene://smile", "password": ["hunter2"]}})
    assert "hunter2" not in f"{raised.value} {raised.value!r}"


def test_show_masks_secrets_and_reads_back(load, tmp_path: Path) -> None:
    settings = load(
        "    username: admin\n    password: hunter2\n    open_timeout: 1m30s\n"
        "rules:\n  - {id: fear, when: fear >= 0.6, for: 3s}\n"
        "  - {id: calm, when: 'not (fear >= 0.6 or anger >= 0.6)', inhibit: [{rules: [fear], equal: []}]}\n"
        "  - {id: away, scope: camera, absence: {of: frames, reasons: [down]}, for: 5s}\n"
        "sinks:\n  - {type: webhook, url: 'https://u:hunter3@example.org/x', token: hunter4}\n"
    )
    shown = show(settings)
    assert "hunter" not in shown
    assert "password: '**********'" in shown
    assert "open_timeout: 1m30s" in shown
    assert "for: 3s" in shown
    (tmp_path / "shown.yaml").write_text(shown, encoding="utf-8")
    again = load_settings(tmp_path / "shown.yaml")
    assert again.rule_set == settings.rule_set
    assert again.analysis == settings.analysis
    assert sorted(secret_values(settings)) == ["hunter2", "hunter4"]


def test_rules_file_beside_the_configuration(load, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        "version: 1\ndefaults: {cooldown: 5s, severity: info}\n"
        "rules:\n  - {id: fear, when: fear >= 0.6, severity: warning}\n  - {id: anger, when: anger >= 0.6}\n"
    )
    fear, anger = load("rules: rules.yaml\n").rules
    assert (fear.severity, fear.cooldown) == ("warning", 5.0)
    assert (anger.severity, anger.cooldown) == ("info", 5.0)


def test_a_rule_set_is_the_same_inline_in_a_rules_file_and_alone(load, tmp_path: Path) -> None:
    inline = load(RULES.replace("version: 1\n", "").replace("defaults:", "rule_defaults:")).rule_set
    (tmp_path / "rules.yaml").write_text(RULES)
    assert load("rules: rules.yaml\n").rule_set == inline
    assert load_rules(tmp_path / "rules.yaml") == inline
    assert load_rules(tmp_path / "mien.yaml") == inline
    upset, crowd = inline.rules
    fear, joy = Predicate(prob="negative", enter=0.6), Predicate(prob="happiness", enter=0.2)
    assert upset.when == Predicate(all=(fear, Predicate(not_=joy)))
    assert (upset.cooldown, upset.schedule, crowd.scope, crowd.group) == (5.0, "opening", Scope.GROUP, "doors")
    assert inline.signals == {"negative": {"anger": 1.0, "fear": 1.0}}
    assert inline.groups == {"doors": Group(("lobby",))}
    assert inline.schedules == {"opening": Schedule("Europe/Vienna", ("08:00-18:00",), ("mon",))}
    assert inline.routing.mute == (Mute("opening", invert=True, severity_below=Severity.CRITICAL),)
    assert (inline.routing.group_wait, inline.limits) == (2.0, Limits(20))


def test_sections_that_rules_name_may_stand_in_either_file(load, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("rules:\n  - {id: upset, when: negative >= 0.6}\n")
    assert load("rules: rules.yaml\nsignals: {negative: {anger: 1}}\n").rule_set.signals == {"negative": {"anger": 1.0}}


def test_a_rules_file_may_name_what_only_the_configuration_has(load, tmp_path: Path) -> None:
    load("signals: {negative: {anger: 1}}\nrules:\n  - {id: own, when: fear >= 0.6}\n")
    (tmp_path / "rules.yaml").write_text("rules:\n  - {id: upset, when: negative >= 0.6}\n")
    assert [rule.id for rule in load_rules(tmp_path / "rules.yaml", tmp_path / "mien.yaml").rules] == ["upset"]
    assert rules_report(tmp_path / "rules.yaml", tmp_path / "mien.yaml") == []
    with pytest.raises(ConfigError, match='"negative" is no expression'):
        load_rules(tmp_path / "rules.yaml")


def test_rules_are_about_what_the_configured_network_reads(load) -> None:
    rules = "rules:\n  - {id: upset, when: contempt >= 0.6}\n"
    seven = "models: {expression: {name: seresnet_base.fer2013-1}}\n"
    assert len(load(rules).rules) == 1
    with pytest.raises(ConfigError, match='"contempt" is no expression; there are: anger, disgust, fear, happiness'):
        load(seven + rules)


def test_shares_of_a_site_name_what_the_network_reads(load) -> None:
    assert load("models: {expression: {site: {neutral: 0.95}}}\n").models.expression.site == {"neutral": 0.95}
    with pytest.raises(ConfigError, match=r'models\.expression\.site.*"calm" is no expression'):
        load("models: {expression: {site: {calm: 0.95}}}\n")


def test_rules_on_classes_of_ones_own(load) -> None:
    settings = load("rules:\n  - {id: smiles, when: happiness >= 0.6}\n")
    own = settings.rules[0]
    smiles = replace(own, when=replace(own.when, prob="smiling"))
    section = settings.model_copy(update={"rules": (smiles,), "signals": {"lively": {"smiling": 1.0}}})
    assert not list(check_rules(section, None, labels=("smiling", "resting")))
    told = [one.text for one in check_rules(section, None)]
    assert len(told) == 2
    assert all(text.startswith('"smiling" is no expression') for text in told)


def test_rules_are_read_without_the_secrets_of_their_configuration(load, tmp_path: Path) -> None:
    rules = "rules:\n  - {id: fear, when: fear >= 0.6}\n"
    with pytest.raises(ConfigError, match="NO_SUCH_VARIABLE is not set"):
        load(f"    username: admin\n    password: {{env: NO_SUCH_VARIABLE}}\n{rules}")
    assert load_rules(tmp_path / "mien.yaml").rules[0].id == "fear"


EVERY_SECRET = """\
purpose: A test watches nobody.
cameras:
  lobby: {url: rtsp://10.0.0.5/1, username: admin, password: {env: LOBBY}}
  quay: {fps: 5}
kafka: {security: {mechanism: plain, key_password: {env: KEY}}}
elasticsearch: {username: mien}
grafana: {token: {file: secrets/grafana}}
sinks: [{type: webhook, url: "https://h/", token: {env: HOOK}}]
"""
SECRETS = {
    "cameras": {"LOBBY": "p-lobby", "MIEN_CAMERAS__QUAY__URL": "rtsp://u:p-quay@10.0.0.6/1"},
    "kafka": {"KEY": "p-key", "MIEN_KAFKA__SECURITY__USERNAME": "mien", "MIEN_KAFKA__SECURITY__PASSWORD": "p-kafka"},
    "elasticsearch": {"MIEN_ELASTICSEARCH__PASSWORD": "p-elastic"},
    "sinks": {"HOOK": "p-hook"},
}


@pytest.mark.parametrize("role", READS)
def test_a_process_needs_the_secrets_of_what_it_reads_and_no_others(role: str, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "mien.yaml"
    path.write_text(EVERY_SECRET)
    needed = {name: value for section in READS[role] for name, value in SECRETS.get(section, {}).items()}
    for name, value in needed.items():
        monkeypatch.setenv(name, value)
    if "grafana" in READS[role]:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "grafana").write_text("p-grafana")
        needed["grafana"] = "p-grafana"
    settings = load_settings(path, reads=READS[role])
    assert {text for text in secret_values(settings) if text.startswith("p-")} == {
        f"p-{part}" for part in ("lobby", "quay", "key", "kafka", "elastic", "hook", "grafana") if part in str(needed)
    }
    for name in needed.keys() - {"grafana", "MIEN_KAFKA__SECURITY__USERNAME"}:
        with monkeypatch.context() as without:
            without.delenv(name)
            with pytest.raises(ConfigError):
                load_settings(path, reads=READS[role])


def test_a_rules_file_alone_knows_no_environment(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    monkeypatch.setenv("MIEN_CAMERAS__LOBBY__FPS", "5")
    monkeypatch.setenv("MIEN_LIMITS__MAX_ACTIVE_PER_RULE", "7")
    assert load_rules(tmp_path / "rules.yaml").limits == Limits(20)


def test_a_variable_sets_a_limit_of_a_configuration(load, monkeypatch) -> None:
    monkeypatch.setenv("MIEN_LIMITS__MAX_ACTIVE_PER_RULE", "7")
    assert load().rule_set.limits == Limits(7)


def test_warnings_are_logged_and_stop_nothing(load, tmp_path: Path, caplog) -> None:
    load("rules:\n  - {id: fear, when: fear >= 0.6, for: 500ms}\n")
    _, lines = check_settings(tmp_path / "mien.yaml")
    assert caplog.messages == lines
    assert "mien.yaml:6:40: rules[0].for: warning: 5 readable pictures of lobby take 800ms" in lines[0]


def test_a_report_on_a_rules_file_is_checked_against_the_cameras_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "mien.yaml").write_text(
        f"{MINIMAL}    username: admin\n    password: {{env: NO_SUCH_VARIABLE}}\n"
        "rules:\n  - {id: other, when: feer >= 0.6}\n"
    )
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules:\n  - {id: a, when: fear >= 0.6, where: {cameras: [loby]}}\n  - {id: b, when: fear >= 0.6, for: 500ms}\n"
    )
    assert rules_report(rules) == []
    error, warning = rules_report(rules, tmp_path / "mien.yaml")
    assert (error.severity, warning.severity) == ("error", "warning")
    assert error.text == f'{rules}:2:50: rules[0].where.cameras[0]: "loby" is no camera, did you mean "lobby"?'
    assert warning.text.startswith(f"{rules}:3:37: rules[1].for: warning: 5 readable pictures of lobby")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules:\n  - {id: a, when: fear >= 0.6\n", "rules.yaml:3:1: not YAML"),
        ("rule_defaults: {}\nrules: []\n", 'rules.yaml:1:1: rule_defaults: unknown key, did you mean "defaults"?'),
        ("version: 1\n", "rules.yaml: rules: missing"),
        ("rules: [{id: a, when: fear >= 0.6, for: 3}]\n", "rules.yaml:1:41: rules[0].for: expected a duration"),
        ("rules: [{id: a, when: feer >= 0.6}]\n", 'rules.yaml:1:23: rules[0].when: "feer" is no expression'),
        ("rules: [{id: a, when: fear >= 60}]\n", "rules.yaml:1:23: rules[0].when: fear is from 0 to 1"),
    ],
)
def test_a_report_names_what_stops_a_rules_file(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    (finding,) = rules_report(tmp_path / "rules.yaml")
    assert finding.severity == "error"
    assert told in finding.text
    with pytest.raises(ConfigError):
        load_rules(tmp_path / "rules.yaml")


def test_a_tree_of_predicates_may_be_deep_but_not_endless(load) -> None:
    deep = "{not: " * 40 + "fear >= 0.6" + "}" * 40
    assert len(load(f"rules:\n  - {{id: a, when: {deep}}}\n").rules[0].when.leaves) == 1
    endless = "{not: " * 5000 + "fear >= 0.6" + "}" * 5000
    with pytest.raises(ConfigError, match="nested too deeply"):
        load(f"rules:\n  - {{id: a, when: {endless}}}\n")


def test_rule_defaults_apply_to_inline_rules(load) -> None:
    settings = load("rule_defaults: {max_gap: 900ms}\nrules:\n  - {id: fear, when: fear >= 0.6}\n")
    assert settings.rules[0].max_gap == pytest.approx(0.9)


def test_sinks_are_told_apart_by_type(load) -> None:
    sinks = load("sinks:\n  - {type: stdout}\n  - {type: jsonl, path: alerts.jsonl}\n").sinks
    assert sinks[1] == JsonlSettings(Path("alerts.jsonl"))


def test_disabled_cameras_are_not_active(load) -> None:
    settings = load("  gate: {url: 'scene://smile', enabled: false}\n")
    assert list(settings.active_cameras) == ["lobby"]


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
        (lambda path: path.write_bytes(b"a: \x01\n"), "not YAML"),
    ],
)
def test_files_that_can_not_be_read(tmp_path: Path, prepare, told: str) -> None:
    path = tmp_path / "mien.yaml"
    prepare(path)
    with pytest.raises(ConfigError, match=told) as raised:
        load_settings(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "schema"), [("mien", json_schema), ("mien.rules", rules_schema)])
def test_committed_schemas_have_not_drifted(name: str, schema: Callable[[], dict[str, Any]]) -> None:
    committed = json.loads((ROOT / "docs" / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(schema())), "run `make schema`"


def test_the_schema_of_a_rules_file_knows_what_the_loader_knows(tmp_path: Path) -> None:
    validator = jsonschema.Draft202012Validator(rules_schema())
    path = tmp_path / "rules.yaml"
    for more, valid in (("", True), ("cameras: {}\n", False), ("rule_defaults: {}\n", False), ("limit: {}\n", False)):
        path.write_text(RULES + more)
        assert validator.is_valid(read_yaml(path).data) is valid
    path.write_text("version: 1\n")
    assert not validator.is_valid(read_yaml(path).data)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_rules_are_valid(path: Path) -> None:
    assert rules_report(path) == []
    jsonschema.Draft202012Validator(rules_schema()).validate(read_yaml(path).data)


def test_schema_is_valid_and_describes_every_key() -> None:
    schema = json_schema()
    for one in (schema, rules_schema()):
        jsonschema.Draft202012Validator.check_schema(one)
    undescribed = []
    for name, definition in schema["$defs"].items():
        for key, value in definition.get("properties", {}).items():
            if "description" not in value and "description" not in schema["$defs"].get(_target(value), {}):
                undescribed.append(f"{name}.{key}")
    assert undescribed == []


def _target(value: dict) -> str:
    return value.get("$ref", "").removeprefix("#/$defs/")


def test_example_is_valid_and_loads(tmp_path: Path, monkeypatch) -> None:
    example = ROOT / "mien.example.yaml"
    text = example.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=docs/mien.schema.json\n")
    jsonschema.Draft202012Validator(json_schema()).validate(read_yaml(example).data)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "quay").write_text("secret\n")
    (tmp_path / "mien.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("LOBBY_PASSWORD", "secret")
    monkeypatch.setenv("HOOK_SECRET", "secret")
    settings = load_settings(tmp_path / "mien.yaml")
    assert set(settings.cameras) == {"lobby", "quay"}


@pytest.mark.parametrize(
    ("more", "valid"),
    [
        ("", True),
        ("    password: {env: A}\n", True),
        ("    password: {evn: A}\n", False),
        ("    read_timeout: 10\n", False),
        ("    read_timeout: 10s\n", True),
        ("rules: rules.yaml\n", True),
        ("sinks: [{type: nowhere}]\n", False),
        ("rule_defaults: {for: 3s}\n", True),
        ("rule_defaults: {fro: 3s}\n", False),
        ("rules: [{id: a, when: {not: {all: [fear >= 0.6, {prob: anger, enter: 0.6}]}}}]\n", True),
        ("rules: [{id: a, when: {not: {all: [fear >= 0.6, {prop: anger, enter: 0.6}]}}}]\n", False),
        ("rules: [{id: a, when: {not: 0.6}}]\n", False),
        ("rules: [{id: a, scope: site, count: {at_least: 3, within: 10s}}]\n", True),
        ("rules: [{id: a, scope: site, count: 3}]\n", False),
        ("signals: {negative: {anger: 1}}\n", True),
        ("signals: {negative: anger}\n", False),
        ("schedules: {opening: {timezone: UTC, days: [mon]}}\n", True),
        ("schedules: {opening: {timezone: UTC, days: [monday]}}\n", False),
    ],
)
def test_schema_says_what_the_loader_says(tmp_path: Path, more: str, valid: bool) -> None:
    path = tmp_path / "mien.yaml"
    path.write_text(MINIMAL + more)
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(read_yaml(path).data) is valid
