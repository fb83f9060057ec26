"""`evaluate`: observations in, alerts out. The rule state lives in a Faust table, whose changelog is `rule-state`.

For each batch: apply the records, send the alerts and wait until the brokers have them, then write the state, then let
the offsets be committed. So a crash can only repeat: records that the state knows are passed over, and alerts that are
sent twice have the same ids.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

from faust.types import AppT

from connectors.kafka_alerts import firing_alerts
from connectors.kafka_records import decode_record, encode_alert
from connectors.kafka_topics import ALERTS, RULE_STATE, partition_of
from operators.errors import DecodeError
from operators.records import Alert
from operators.rules import RuleEvaluator
from pipeline.boundary import attempt, told
from pipeline.config import Settings
from pipeline.recorder import Recorder
from pipeline.status import Status
from pipeline.topics import kafka_of
from pipeline.worker.app import Event, make_topic
from pipeline.worker.intake import Batch
from pipeline.worker.letters import DeadLetters
from pipeline.worker.progress import Progress
from pipeline.worker.rulebook import Place, Rulebook

__all__ = ["LIMIT", "Evaluate"]

log = logging.getLogger(__name__)

LIMIT = 500
"""Most records in one batch: some 30 ms of rules, in which nothing else runs."""

Where = tuple[int, str]
"""A Kafka partition, and a rule partition in it."""


class Evaluate:
    """The rules of all rule partitions that are assigned to this worker."""

    def __init__(
        self, app: AppT, settings: Settings, evaluator: RuleEvaluator, *, recorder: Recorder, progress: Progress
    ) -> None:
        self._kafka = kafka = kafka_of(settings)
        self._app = app
        self._evaluator = evaluator
        self._cameras = frozenset(settings.cameras)
        self._count = kafka.partitions
        self._recorder = recorder
        self._progress = progress
        self._letters = DeadLetters(app, kafka, progress)
        self._alerts = make_topic(app, kafka.topic(ALERTS))
        self._states = app.Table(
            "rule-state",
            key_type=bytes,
            value_type=bytes,
            partitions=kafka.partitions,
            changelog_topic=make_topic(app, kafka.topic(RULE_STATE), changelog=True),
        )
        self._books: dict[Where, Rulebook] = {}

    def describe(self, status: Status) -> Status:
        """The status with how many alerts fire now, of those that are ours."""
        return replace(status, firing=sum(book.firing() for book in list(self._books.values())))

    async def restore(self) -> None:
        """Take up the state of the partitions that are ours now; what nobody watches here any more ends."""
        ours = {partition for _, partition in self._progress.positions}
        self._books = {}
        alerts: list[Alert] = []
        for key, saved in list(self._states.data.items()):
            partition, name = where = _read_key(key)
            if partition not in ours or not saved:
                continue
            book = self._books[where] = Rulebook(name, self._evaluator, saved)
            # Where cameras were added or taken away, a rule partition may go on in another Kafka partition.
            alerts += book.reload(self._evaluator) if partition == self._partition(name) else book.end()
        alerts += await self._abandoned()
        await self._settle(alerts, set(self._books))
        log.info("rule state is read back partitions=%d states=%d", len(ours), len(self._books))

    async def reload(self, evaluator: RuleEvaluator) -> None:
        """Go on with other rules."""
        self._evaluator = evaluator
        alerts = [alert for book in self._books.values() for alert in book.reload(evaluator)]
        await self._settle(alerts, set(self._books))

    async def work(self, batch: Batch) -> None:
        """Apply a batch of records."""
        alerts: list[Alert] = []
        touched: set[Where] = set()
        bad: list[tuple[Event, str]] = []
        with self._recorder.stage("rules"):
            for event in batch:
                applied = attempt(self._apply, event, alerts)
                if isinstance(applied, Exception):
                    bad.append((event, told(applied)))
                else:
                    touched.add(applied)
        for event, reason in bad:
            await self._letters.bury(event, reason)
        await self._settle(alerts, touched)

    async def _abandoned(self) -> list[Alert]:
        """End what fires by a state that couldn't be read; which alerts those are, only their topic knows."""
        unread = {where: book for where, book in self._books.items() if book.unread}
        if not unread:
            return []
        partitions = {partition for partition, _ in unread}
        firing = await asyncio.to_thread(firing_alerts, self._kafka, partitions)
        return [alert for book in unread.values() for alert in book.abandon(firing)]

    def _apply(self, event: Event, alerts: list[Alert]) -> Where:
        """Apply one record and note its alerts; returns whose state has changed."""
        message = event.message
        record = decode_record(message.value)
        name = bytes(message.key or b"").decode()
        if ":" not in name and name != record.camera_id:
            raise DecodeError(f"expected a record of camera {name!r} by its key, got one of {record.camera_id!r}")
        where = message.partition, name
        book = self._books.get(where) or Rulebook(name, self._evaluator)
        alerts += book.feed(record, Place(message.offset, round(message.timestamp * 1000)))
        self._books[where] = book
        return where

    async def _settle(self, alerts: list[Alert], touched: set[Where]) -> None:
        """The brokers have the alerts before they have the state that no longer brings them about."""
        generation = self._app.consumer_generation_id
        with self._recorder.stage("journal"):
            await self._send(alerts)
            if self._app.consumer_generation_id == generation:  # else somebody else may have gone on by now
                await self._write(touched)
        for alert in alerts:
            self._recorder.alerted(alert)

    async def _send(self, alerts: Iterable[Alert]) -> None:
        sent = []
        for alert in alerts:
            key = alert.camera_id or _wider(alert)
            body = encode_alert(alert)
            sent.append(await self._alerts.send(key=key.encode(), value=body, partition=self._partition(key)))
        await asyncio.gather(*sent)

    async def _write(self, touched: Iterable[Where]) -> None:
        written = []
        for where in sorted(touched):
            key, saved = _key(where), self._books[where].save()
            if saved is None:
                continue
            written.append(self._states.send_changelog(where[0], key, saved))
            self._states.data[key] = saved
        await asyncio.gather(*written)

    def _partition(self, name: str) -> int:
        return partition_of(name, self._count, self._cameras)


def _key(where: Where) -> bytes:
    """Key of a state in the table: with its Kafka partition, so that one left behind in another is seen to be that."""
    return f"{where[0]} {where[1]}".encode()


def _read_key(key: bytes) -> Where:
    partition, _, name = key.decode().partition(" ")
    return int(partition), name


def _wider(alert: Alert) -> str:
    """The rule partition of an alert that is about more than a camera."""
    group = alert.labels.get("group")
    return f"group:{group}" if group else "site:"
