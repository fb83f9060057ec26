"""How old the oldest picture is that can still be read in Kafka: the answer to "how long do you keep pictures?"."""

from __future__ import annotations

import logging
import threading
from typing import Self

from connectors.kafka_admin import oldest_frames
from connectors.kafka_settings import KafkaSettings
from operators.errors import ConfigError, SinkError

__all__ = ["KeptFrames"]

log = logging.getLogger(__name__)

EVERY_S = 30.0


class KeptFrames:
    """Asks the brokers every half a minute, in a thread of its own; a context manager."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._over = threading.Event()
        self._age_s: float | None = None

    def take_age(self) -> float | None:
        """The age in seconds that was found last, once; None where nothing new is known, or no picture is kept."""
        age, self._age_s = self._age_s, None
        return age

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, name="kept frames", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask no more; an answer that is on its way is not waited for."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._age_s = max(oldest_frames(self._kafka).values(), default=None)
            except (SinkError, ConfigError) as error:  # who works with these brokers says it louder
                log.debug("age of the oldest picture is not known: %s", error)
            self._over.wait(EVERY_S)
