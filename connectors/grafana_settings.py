"""How to reach Grafana."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

__all__ = ["GrafanaSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrafanaSettings:
    """The Grafana that `mien dashboards apply` writes to."""

    url: str = "http://127.0.0.1:3000"
    """Where it listens: http or https."""
    token: SecretStr | None = None
    """Token of a service account that may edit dashboards, folders and data sources."""
    ca_file: Path | None = None
    """Certificates that may sign the server's, in PEM; the system's when absent."""
    folder: str = "mien"
    """Title of the folder for the dashboards."""
    elasticsearch_url: str = ""
    """Elasticsearch as Grafana reaches it, where that differs from `elasticsearch.url`."""
    elasticsearch_api_key: SecretStr | None = None
    """API key that Grafana reads Elasticsearch with, in its encoded form: one that may only read."""

    def __post_init__(self) -> None:
        """Refuse what can't be reached."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected a url such as https://grafana:3000")
        if parts.username or parts.password:
            raise ValueError("expected a url without user and password: set token")
        if self.token is not None and not _fits_header(self.token.get_secret_value()):
            raise ValueError("expected a token of printable ASCII characters without blanks or line ends")


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and text != ""
