"""The rules of one rule partition, and how far it has come: each record counts once, however often it is delivered."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from connectors.kafka_records import Record
from connectors.wire import encode
from operators.errors import DecodeError
from operators.records import Alert
from operators.rules import RuleEvaluator
from pipeline.evaluation import Evaluation

__all__ = ["NOWHERE", "Place", "Rulebook"]

log = logging.getLogger(__name__)

COMPRESSED_FROM = 4096
"""A larger state is compressed: crowds make it grow to megabytes of JSON, a tenth of that in the end."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in its Kafka partition a record stands, and when the broker took it, in ms.

    The time tells a topic that was deleted and made anew, where offsets begin at 0 again.
    """

    offset: int
    written_ms: int

    def is_new_after(self, last: Place) -> bool:
        """Whether a record here was not applied yet, when the one at `last` was."""
        return self.offset > last.offset or self.written_ms > last.written_ms


NOWHERE = Place(-1, -1)


class _Saved(msgspec.Struct, array_like=True):
    offset: int
    written_ms: int
    state: msgspec.Raw


class Rulebook:
    """The state of one rule partition: a camera, `group:NAME`, or `site:`.

    `saved` is what `save` gave before, if anything. One that can't be read must not keep a camera from being watched:
    its rules start anew, and `abandon` ends what it left behind.
    """

    def __init__(self, name: str, evaluator: RuleEvaluator, saved: bytes | None = None) -> None:
        self.name = name
        self.place = NOWHERE
        self._state = b""
        if saved is not None:
            try:
                self.place, self._state = _opened(saved)
            except DecodeError as error:
                log.warning("rule state is damaged of=%s error=%s", name, error)
        self._evaluation = Evaluation(evaluator, None if saved is None else {name: self._state}, only=name)

    def feed(self, record: Record, place: Place) -> list[Alert]:
        """Apply a record, unless it was applied before; returns the transitions that it causes."""
        if not place.is_new_after(self.place):
            return []
        self.place = place
        return self._evaluation.feed((record,))

    def reload(self, evaluator: RuleEvaluator) -> list[Alert]:
        """Go on with other rules; returns what ends by that."""
        return self._evaluation.reload(evaluator)

    def end(self) -> list[Alert]:
        """Nobody watches this partition any more, or not here: everything that fires ends."""
        return self._evaluation.forget([self.name])

    @property
    def unread(self) -> bool:
        """Whether the saved state couldn't be read, and `abandon` wasn't called yet."""
        return self._evaluation.unread

    def abandon(self, firing: Iterable[Alert]) -> list[Alert]:
        """End what fires by a state that couldn't be read; `firing` are last transitions, also of other partitions."""
        return self._evaluation.abandoned(firing)

    def firing(self) -> int:
        """How many alerts fire now."""
        return self._evaluation.firing()

    def save(self) -> bytes | None:
        """Everything that a restart needs; None where nothing is remembered."""
        self._state = self._evaluation.changed().get(self.name, self._state)
        if not self._state:
            return None
        saved = encode(_Saved(self.place.offset, self.place.written_ms, msgspec.Raw(self._state)))
        return zlib.compress(saved, level=1) if len(saved) > COMPRESSED_FROM else saved


def _opened(saved: bytes) -> tuple[Place, bytes]:
    try:
        plain = saved if saved.startswith(b"[") else zlib.decompress(saved)
        found = msgspec.json.decode(plain, type=_Saved)
    except (msgspec.MsgspecError, zlib.error) as error:
        raise DecodeError(f"expected a saved rule state, got {len(saved)} bytes that are none: {error}") from error
    return Place(found.offset, found.written_ms), bytes(found.state)
