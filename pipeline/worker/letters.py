"""Dead letters: what could not be worked on, told without its content, since that may be a picture."""

from __future__ import annotations

import hashlib
import logging

from faust.types import AppT

from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import DEAD_LETTERS
from connectors.wire import encode
from pipeline.worker.app import Event, make_topic
from pipeline.worker.progress import Progress

__all__ = ["DeadLetters", "letter"]

log = logging.getLogger(__name__)

REASON_LIMIT = 300
"""Longest reason in characters."""


def letter(event: Event, *, role: str, reason: str) -> bytes:
    """One dead letter as JSON: where the record is, how large, and why; its sha256 tells whether two are the same."""
    message = event.message
    value, key = bytes(message.value or b""), bytes(message.key or b"")
    return encode(
        {
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "key": key[:100].decode("utf-8", errors="replace"),
            "stage": role,
            "reason": reason[:REASON_LIMIT],
            "bytes": len(value),
            "sha256": hashlib.sha256(value).hexdigest(),
        }
    )


class DeadLetters:
    """The way to the dead letters of one role."""

    def __init__(self, app: AppT, kafka: KafkaSettings, progress: Progress) -> None:
        self._topic = make_topic(app, kafka.topic(DEAD_LETTERS))
        self._progress = progress

    async def bury(self, event: Event, reason: str) -> None:
        """Tell of one record, and wait until the broker has it."""
        role, message = self._progress.role, event.message
        log.error(
            "dead letter role=%s partition=%d offset=%d reason=%s", role, message.partition, message.offset, reason
        )
        body = letter(event, role=role, reason=reason)
        await (await self._topic.send(key=role.encode(), value=body, partition=0))
        self._progress.dead += 1
