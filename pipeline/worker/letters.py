"""Dead letters: what could not be worked on, told without its content, since that may be a picture."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from faust.types import AppT

from connectors.kafka_settings import KafkaSettings
from connectors.kafka_topics import DEAD_LETTERS
from connectors.wire import encode
from pipeline.worker.app import Event, make_topic
from pipeline.worker.progress import Progress

__all__ = ["DeadLetters", "attempt", "letter", "told"]

log = logging.getLogger(__name__)

REASON_LIMIT = 300
"""Longest reason in characters."""

P = ParamSpec("P")
T = TypeVar("T")


def attempt(work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | Exception:
    """What `work` returns for these arguments, or what it raises: the dead-letter boundary.

    Whatever is wrong with one record must not stop the others. This is the only place in the workers that catches
    everything; who calls it buries the record, or lets the process end.
    """
    try:
        return work(*args, **options)
    except Exception as error:  # noqa: BLE001 -- the dead-letter boundary
        return error


def told(error: Exception) -> str:
    """The reason that a dead letter names."""
    return f"{type(error).__name__}: {error}"


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
