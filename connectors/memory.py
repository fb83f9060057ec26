"""A sink that keeps what it gets, for tests and for looking at a pipeline from a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from connectors.sink import NOTIFIED
from operators.errors import SinkError
from operators.records import Alert, Status

__all__ = ["MemorySink"]


class MemorySink:
    """Keeps alerts in `delivered`. Each delivery first takes the next of `failures` and raises it unless it is None."""

    def __init__(
        self,
        name: str = "memory",
        *,
        statuses: Sequence[Status] = NOTIFIED,
        silenced: bool = False,
        failures: Iterable[SinkError | None] = (),
    ) -> None:
        self.name = name
        self.statuses, self.silenced = statuses, silenced
        self.delivered: list[Alert] = []
        self.closed = False
        self._failures = iter(failures)

    def deliver(self, alerts: Sequence[Alert], /) -> None:
        """Keep the alerts, or raise the next failure and keep none."""
        failure = next(self._failures, None)
        if failure is not None:
            raise failure
        self.delivered += alerts

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
