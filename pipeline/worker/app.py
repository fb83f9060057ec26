"""A Faust application for one role, with the settings that keep it from stalling, losing or guessing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import faust
from faust.types import AppT, EventT, TopicT

from connectors.kafka_security import faust_credentials
from connectors.kafka_settings import KafkaSettings
from pipeline.config import Settings
from pipeline.topics import kafka_of
from pipeline.worker.pacing import PacedTransport

__all__ = ["Event", "group_of", "make_app", "make_topic"]

Event = EventT[bytes]

FRAMES_HELD = 32
"""Most pictures that Faust holds in memory for one role: its own default of 4096 would be 400 MB."""
RECORDS_HELD = 1024
"""The same for records, of about 1 KB each."""


def make_app(settings: Settings, role: str, *, instance: str = "") -> AppT:
    """The application of one role: a consumer group of its own, no web server, no topics made behind our back.

    With `instance` the worker is a static member of its group: one that comes back under that name within the session
    timeout takes up its partitions without a rebalance. Two workers must not share it.
    """
    kafka = kafka_of(settings)
    app = faust.App(
        group_of(kafka, role),
        broker=[f"kafka://{broker}" for broker in kafka.bootstrap],
        broker_credentials=faust_credentials(kafka),
        version=1,
        datadir=Path(tempfile.gettempdir()) / "mien",  # made at the start, and never written to
        store="memory://",
        autodiscover=False,
        web_enabled=False,  # its pages show tables to everybody; pipeline/health.py answers instead
        topic_allow_declare=False,
        topic_disable_leader=True,
        reply_create_topic=False,
        processing_guarantee="at_least_once",
        table_standby_replicas=0,
        stream_wait_empty=False,  # a batch that waits for a dead broker would hold up the shutdown
        stream_buffer_maxsize=FRAMES_HELD if role == "analyze" else RECORDS_HELD,
        stream_recovery_delay=0.0,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_rebalance_timeout=10.0,
        broker_request_timeout=20.0,
        broker_commit_interval=1.0,
        consumer_group_instance_id=f"{role}-{instance}" if instance else None,
        consumer_max_fetch_size=kafka.max_message_bytes,
        consumer_auto_offset_reset="earliest",
        producer_max_request_size=kafka.max_message_bytes,
        producer_acks=-1,
    )
    app.transport = PacedTransport(app.conf.broker, app)
    return app


def group_of(kafka: KafkaSettings, role: str) -> str:
    """The consumer group of a role."""
    return f"{kafka.prefix}.{role}"


def make_topic(app: AppT, name: str, *, changelog: bool = False) -> TopicT:
    """A topic of bytes, by its full name: what can't be read is found by our own code, and can't crash an agent."""
    return app.topic(
        name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        acks=not changelog,
        internal=changelog,
        allow_empty=True,
    )
