"""What every sink is: it takes batches of alerts, in order, and says whether a failure is worth another try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from operators.errors import SinkError
from operators.records import Alert, Status

__all__ = ["NOTIFIED", "WAITED", "RetryAfterError", "Sink"]

NOTIFIED = (Status.FIRING, Status.RESOLVED)
"""The statuses that are sent on by default; the store keeps pending and broken ones too, for tuning."""
WAITED = (Status.PENDING, Status.BROKEN)
"""What never fired, or not yet."""


class Sink(Protocol):
    """A place that alerts go to. Used by one thread only, so it needs no locks."""

    @property
    def name(self) -> str:
        """Key of the sink's cursor in the store: keep it, and a restart goes on where delivery stopped."""
        ...

    @property
    def statuses(self) -> Sequence[Status]:
        """The statuses it wants."""
        ...

    @property
    def silenced(self) -> bool:
        """Whether it also wants transitions that are recorded and not told: an archive does, people don't."""
        ...

    def deliver(self, alerts: Sequence[Alert], /) -> None:
        """Return once all are safe at the other side; raises SinkError, and the same batch may come again."""
        ...

    def close(self) -> None:
        """Free what it holds; called once, after the last `deliver`."""
        ...


class RetryAfterError(SinkError):
    """The other side named the time it wants to be left alone for."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message, retryable=True)
        self.seconds = seconds
