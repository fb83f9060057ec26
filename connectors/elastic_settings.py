"""How to reach Elasticsearch, and what is kept there for how long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import SecretStr

from operators.units import Seconds

__all__ = ["SINK", "ElasticSettings"]

SINK = "elasticsearch"
"""What the sink is called that this section makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticSettings:
    """The Elasticsearch that alerts, roll-ups and the pipeline's health are written to."""

    url: str = "http://127.0.0.1:9200"
    """Where it listens: http or https. No user or password here: they would be shown."""
    api_key: SecretStr | None = None
    """API key in its encoded form; wins over user and password."""
    username: str = ""
    """User of basic authentication."""
    password: SecretStr | None = None
    """Password of basic authentication."""
    ca_file: Path | None = None
    """Certificates that may sign the server's, in PEM; the system's when absent."""
    prefix: str = "mien"
    """Indices are called PREFIX-alerts-2026.11, and alike -alert-state-, -metrics- and -health-, one per month."""
    timeout: Seconds = 10.0
    """Longest wait for an answer."""
    replicas: int = 0
    """Copies of each index on other nodes; 1 or more on a cluster."""
    keep_alerts_months: int = 24
    """Whole months of alerts that are kept, besides the current one."""
    keep_metrics_months: int = 3
    """Whole months of roll-ups and health that are kept, besides the current one."""
    timezone: str = "UTC"
    """Whose hours and weekdays the documents carry, such as Europe/Berlin; their times are always UTC."""

    def __post_init__(self) -> None:
        """Refuse what can't be reached, without repeating a URL that may hold a password."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected a url such as https://elasticsearch:9200")
        if parts.username or parts.password:
            raise ValueError("expected a url without user and password: set username and password, or api_key")
        if self.ca_file and parts.scheme != "https":
            raise ValueError("expected a url that starts with https:// where ca_file is set")
        if bool(self.username) != (self.password is not None):
            raise ValueError("expected username and password together, got one of them")
        self._check_bounds()

    def _check_bounds(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", self.prefix):
            raise ValueError(
                f"expected a prefix of lower-case letters, digits, dots, - and _, as in mien, got {self.prefix!r}"
            )
        if self.timeout <= 0:
            raise ValueError(f"expected a timeout above 0s, got {self.timeout:g} s")
        for name in ("replicas", "keep_alerts_months", "keep_metrics_months"):
            if getattr(self, name) < 0:
                raise ValueError(f"expected {name} of 0 or more, got {getattr(self, name)}")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the folder Europe is no zone
            raise ValueError(f"expected a time zone such as Europe/Berlin, got {self.timezone!r}") from None
