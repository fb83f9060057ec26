"""Roles by name, and what an application of Faust is told."""

from __future__ import annotations

import pytest

from operators.errors import ConfigError
from pipeline.config import Settings
from pipeline.worker.app import make_app, make_topic
from pipeline.worker.roles import parse_roles

SETTINGS = {
    "purpose": "a test",
    "cameras": {"lobby": {"url": "rtsp://127.0.0.1/lobby"}},
    "kafka": {"bootstrap": ["one:9092", "two:9092"], "prefix": "here", "max_message_bytes": 2_000_000},
}


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("evaluate", ("evaluate",)),
        ("analyze+notify", ("analyze", "notify")),
        ("all", ("analyze", "evaluate", "notify")),
    ],
)
def test_roles_by_name(text: str, roles: tuple[str, ...]):
    assert parse_roles(text) == roles


@pytest.mark.parametrize("text", ["", "analyse", "evaluate+evaluate", "all+notify", "capture+evaluate"])
def test_other_roles_are_told(text: str):
    with pytest.raises(ConfigError, match="expected a role of analyze, evaluate, notify"):
        parse_roles(text)


def test_an_application_makes_nothing_and_serves_nothing():
    conf = make_app(Settings.model_validate(SETTINGS), "evaluate").conf
    assert conf.id == "here.evaluate"
    assert [str(url) for url in conf.broker] == ["kafka://one:9092", "kafka://two:9092"]
    assert not conf.web_enabled
    assert not conf.topic_allow_declare
    assert conf.topic_disable_leader
    assert str(conf.store) == "memory:"
    assert conf.consumer_max_fetch_size == conf.producer_max_request_size == 2_000_000
    assert conf.consumer_group_instance_id is None


def test_a_named_worker_is_a_static_member():
    conf = make_app(Settings.model_validate(SETTINGS), "notify", instance="cellar").conf
    assert conf.consumer_group_instance_id == "notify-cellar"


def test_few_frames_are_held_and_more_records():
    settings = Settings.model_validate(SETTINGS)
    frames, records = (make_app(settings, role).conf.stream_buffer_maxsize for role in ("analyze", "evaluate"))
    assert frames * 300_000 < 16e6
    assert records > frames


def test_a_topic_hands_on_bytes_that_nobody_has_read():
    """Faust would decode JSON even of a topic of bytes, and crash the agent where it is none."""
    topic = make_topic(make_app(Settings.model_validate(SETTINGS), "evaluate"), "here.observations")
    assert (topic.schema.key_serializer, topic.schema.value_serializer) == ("raw", "raw")


def test_without_a_section_about_kafka():
    with pytest.raises(ConfigError, match="section `kafka`"):
        make_app(Settings.model_validate({**SETTINGS, "kafka": None}), "evaluate")
