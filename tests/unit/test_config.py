"""Loading: what overrides what, where secrets come from, the rules file, the schema, the example."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import SecretStr, ValidationError

from connectors.jsonl import JsonlSettings
from operators.errors import ConfigError
from pipeline.config import Settings, json_schema, load_settings, secret_values, show
from pipeline.yaml_source import read_yaml

ROOT = Path(__file__).parent.parent.parent
HARD = "p@ss:w/rd %41#?&\"' \\é"
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
        "sinks:\n  - {type: webhook, url: 'https://u:hunter3@example.org/x', token: hunter4}\n"
    )
    shown = show(settings)
    assert "hunter" not in shown
    assert "password: '**********'" in shown
    assert "open_timeout: 1m30s" in shown
    assert "for: 3s" in shown
    (tmp_path / "shown.yaml").write_text(shown, encoding="utf-8")
    again = load_settings(tmp_path / "shown.yaml")
    assert again.rules == settings.rules
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


def test_committed_schema_has_not_drifted() -> None:
    committed = json.loads((ROOT / "docs" / "mien.schema.json").read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(json_schema())), "run `make schema`"


def test_schema_is_valid_and_describes_every_key() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
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
    ],
)
def test_schema_says_what_the_loader_says(tmp_path: Path, more: str, valid: bool) -> None:
    path = tmp_path / "mien.yaml"
    path.write_text(MINIMAL + more)
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(read_yaml(path).data) is valid
