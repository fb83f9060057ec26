"""Lists and mappings from the environment, at any depth; what is text stays text."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.errors import ConfigError
from pipeline.config import load_settings

FILE = "purpose: Test.\ncameras: {lobby: {url: scene://smile}}\nkafka: {}\nelasticsearch: {}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "mien.yaml"
    file.write_text(FILE)
    return file


def test_a_list_in_a_section(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_KAFKA__BOOTSTRAP", '["a:9092", "b:9092"]')
    monkeypatch.setenv("MIEN_ROUTING__GROUP_BY", '["rule"]')
    settings = load_settings(path)
    assert settings.kafka is not None
    assert settings.kafka.bootstrap == ("a:9092", "b:9092")
    assert settings.routing.group_by == ("rule",)


def test_a_mapping_in_a_section(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_MODELS__DETECTOR", '{"name": "yunet"}')
    monkeypatch.setenv("MIEN_CAMERAS__LOBBY__ZONES", '{"desk": {"polygon": [[0, 0], [1, 0], [1, 1]]}}')
    settings = load_settings(path)
    assert settings.models.detector.name == "yunet"
    assert list(settings.cameras["lobby"].zones) == ["desk"]


@pytest.mark.parametrize("password", ["1e5", "true", '{"a": 1}', "[x]", "p@ss:w/rd", "null"])
def test_a_password_is_text_whatever_it_looks_like(password: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_KAFKA__SECURITY__MECHANISM", "plain")
    monkeypatch.setenv("MIEN_KAFKA__SECURITY__USERNAME", "mien")
    monkeypatch.setenv("MIEN_KAFKA__SECURITY__PASSWORD", password)
    monkeypatch.setenv("MIEN_CAMERAS__LOBBY__PASSWORD", password)
    settings = load_settings(path)
    assert settings.kafka is not None
    assert settings.kafka.security.password is not None
    assert settings.kafka.security.password.get_secret_value() == password
    assert settings.cameras["lobby"].password is not None
    assert settings.cameras["lobby"].password.get_secret_value() == password


def test_what_is_no_json_says_so_without_the_value(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_KAFKA__BOOTSTRAP", "[a:9092")
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert "a:9092" not in str(caught.value) or "expected a list" in str(caught.value)


def test_secret_files_may_lie_in_folders_as_they_are_mounted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that Kubernetes mounts has its files twice: behind a link, and in a folder for this version of it."""
    mounted = path.parent / "secrets" / "kafka"
    (mounted / "..2026").mkdir(parents=True)
    (mounted / "..2026" / "kafka__prefix").write_text("harbour\n")
    (mounted / "..data").symlink_to("..2026")
    (mounted / "kafka__prefix").symlink_to("..data/kafka__prefix")
    (path.parent / "secrets" / "cameras__lobby__fps").write_text("7")
    (path.parent / "secrets" / ".old").mkdir()
    (path.parent / "secrets" / ".old" / "cameras__lobby__fps").write_text("wrong")
    monkeypatch.setenv("MIEN_SECRETS_DIR", str(path.parent / "secrets"))
    settings = load_settings(path)
    assert settings.kafka is not None
    assert settings.kafka.prefix == "harbour"
    assert settings.cameras["lobby"].fps == 7
