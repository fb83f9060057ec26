"""Elasticsearch, as far as mien needs it: is the server one that we can talk to, are its indices ours, write to them.

Nothing here retries or waits: a failure is a SinkError that says whether to come again, and all writes may be repeated
without harm. The client is https://elasticsearch-py.readthedocs.io.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from connectors.elastic_documents import Entry, action
from connectors.elastic_settings import ElasticSettings
from connectors.elastic_templates import Index, current, expired, index_of, mapping, templates
from connectors.tls import trust
from operators.errors import ConfigError, SinkError

try:
    import elasticsearch
    from elasticsearch import helpers
except ImportError as error:  # an extra
    raise ConfigError(
        f"elasticsearch needs the package {error.name}: install it with pip install 'mien[distributed]', "
        "or take the section out of the configuration"
    ) from error

__all__ = ["Applied", "Elastic", "Refusal", "Server"]

log = logging.getLogger(__name__)

CLIENT = ".".join(map(str, elasticsearch.__version__))
MAJOR = elasticsearch.__version__[0]
BATCH, BATCH_BYTES = 500, 5 * 1024 * 1024
APPLY_EVERY_S = 6 * 3600.0
"""So often the indices are looked after: new ones prepared, old ones dropped."""
_REASON_CHARS = 300
_EXISTS = 409
"""The document is there already, or a newer one is: what we wanted."""
_NO_INDEX = 404
"""This cluster makes no index by itself (`action.auto_create_index`)."""
_OURS = {400, 413}
"""The document itself is at fault: it will never be taken."""
_ELSEWHERE = {400, 404, 405}
"""`GET /` is not there: a proxy hides it, or the server has no such page."""


@dataclass(frozen=True, slots=True)
class Server:
    """Who answers: `version` is empty where it doesn't tell."""

    name: str
    version: str
    health: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` has done: the templates it put, and the indices it dropped because of their age."""

    templates: tuple[str, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that Elasticsearch will never take, and why."""

    entry: Entry
    reason: str


class Elastic:
    """One connection; may be used from many threads. Every method raises SinkError."""

    def __init__(self, settings: ElasticSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._applied_at: float | None = None
        api_key, password = settings.api_key, settings.password
        options: dict[str, Any] = {"request_timeout": settings.timeout, "max_retries": 0}
        if settings.url.startswith("https:"):
            options["ssl_context"] = trust(settings.ca_file, key="elasticsearch.ca_file")
        if api_key:
            options["api_key"] = api_key.get_secret_value()
        elif password:
            options["basic_auth"] = (settings.username, password.get_secret_value())
        self._client = elasticsearch.Elasticsearch(settings.url, **options)
        # It logs every request at INFO and every failed try as a WARNING; we say it once, as an error or a retry.
        logging.getLogger("elastic_transport").setLevel(logging.ERROR)

    def check(self) -> Server:
        """Who answers; raises SinkError where it is none that the installed client can talk to."""
        with self._translated():
            version = self._version()
            health = self._client.cluster.health()
        if version and int(version.partition(".")[0]) < MAJOR:
            raise SinkError(f"{self.shown}: {self._misfit(version)}", retryable=True)
        return Server(str(health["cluster_name"]), version, str(health["status"]))

    def apply(self) -> Applied:
        """Make templates, mappings and indices what they should be, and drop the indices that are past their time."""
        prefix, bodies = self._settings.prefix, templates(self._settings)
        with self._translated():
            indices = self._client.indices
            for name, body in bodies.items():
                indices.put_index_template(name=name, **body)
            for name in current(prefix, self._clock()):
                self._make(name)
            for kind in Index:  # what was created by an older version learns the new fields
                indices.put_mapping(index=f"{prefix}-{kind}-*", **mapping(kind))
            found = indices.get(index=f"{prefix}-*", features="aliases")
            old = expired(self._settings, found, self._clock())
            for name in old:
                indices.delete(index=name, ignore_unavailable=True)
                log.info("index dropped, its retention is over index=%s", name)
        return Applied(tuple(bodies), tuple(old))

    def held(self) -> dict[str, int]:
        """How many documents each index of ours holds."""
        with self._translated():
            return {
                name: self._client.count(index=name)["count"]
                for name in sorted(self._client.indices.get(index=f"{self._settings.prefix}-*", features="aliases"))
            }

    def write(self, entries: Sequence[Entry]) -> list[Refusal]:
        """Write documents; those that are there already count as written. Returns those that never will be.

        Raises SinkError when some could not be written now: all may come again.
        """
        self._prepare()
        refused, absent, later = [], set[str](), ""
        with self._translated(refused=_OURS):
            for entry, (_, item) in zip(entries, self._bulk(entries), strict=True):
                (result,) = item.values()
                status = result["status"]
                if status in _OURS:
                    refused.append(Refusal(entry, _reason(result["error"])))
                elif status >= 300 and status != _EXISTS:
                    later = f"{status} {_reason(result['error'])}"
                    if status == _NO_INDEX:
                        absent.add(index_of(self._settings.prefix, entry.kind, entry.ts))
        with self._translated():
            for index in sorted(absent):
                self._make(index)
        if later:
            raise SinkError(f"{self.shown} did not take all documents: {later}", retryable=True)
        return refused

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def shown(self) -> str:
        """Where it is, without a secret."""
        return f"elasticsearch {self._settings.url}"

    def _prepare(self) -> None:
        """Before the first write, after an outage, and now and then: is it the right server, is all in its place."""
        if self._applied_at is None or not 0 <= self._clock() - self._applied_at < APPLY_EVERY_S:
            self.check()
            self.apply()
            self._applied_at = self._clock()

    def _make(self, index: str) -> None:
        """Make an index from its template, unless it is there."""
        try:
            self._client.indices.create(index=index)
        except elasticsearch.BadRequestError as error:
            if error.message != "resource_already_exists_exception":
                raise

    def _bulk(self, entries: Sequence[Entry]) -> Iterable[tuple[bool, dict[str, Any]]]:
        return helpers.streaming_bulk(
            self._client,
            (action(entry, self._settings.prefix) for entry in entries),
            chunk_size=BATCH,
            max_chunk_bytes=BATCH_BYTES,
            raise_on_error=False,
        )

    def _version(self) -> str:
        try:
            return str(self._client.info()["version"]["number"])
        except elasticsearch.ApiError as error:
            if error.status_code not in _ELSEWHERE or _is_too_old(error):
                raise
        nodes = self._client.nodes.info(filter_path="nodes.*.version").get("nodes", {})
        return min((str(node["version"]) for node in nodes.values()), key=_numbers, default="")

    @contextmanager
    def _translated(self, *, refused: Collection[int] = ()) -> Iterator[None]:
        """Turn the client's errors into SinkError with advice; `refused` are the answers that will not change."""
        try:
            yield
        except elasticsearch.UnsupportedProductError as error:
            raise SinkError(
                f"{self.shown} is no Elasticsearch (it does not say X-Elastic-Product): check elasticsearch.url",
                retryable=True,
            ) from error
        except elasticsearch.ApiError as error:
            final = error.status_code in refused and not _is_too_old(error)
            raise SinkError(f"{self.shown} answered {self._advice(error)}", retryable=not final) from error
        except elasticsearch.TransportError as error:
            self._applied_at = None  # who comes back may be another, or have lost what it had
            what = f"{type(error).__name__}: {error.message}"
            raise SinkError(f"{self.shown} can't be reached: {what}: {_remedy(error)}", retryable=True) from error

    def _advice(self, error: elasticsearch.ApiError) -> str:
        status = error.status_code
        if _is_too_old(error):
            return f"{status} media_type_header_exception: {self._misfit('')}"
        if status == 401:
            return "401: it does not know us: check elasticsearch.api_key, or username and password"
        if status == 403:
            return (
                "403: we may not do that: allow monitor and manage_index_templates of the cluster, and all of the "
                f"indices {self._settings.prefix}-*"
            )
        body = error.body
        reason = body.get("error", body) if isinstance(body, dict) else error.message
        return f"{status} {_reason(reason) if isinstance(reason, dict) else reason}"

    def _misfit(self, version: str) -> str:
        return (
            f"the server{version and f' has version {version}, which'} is too old for the installed client: the Python "
            f"package elasticsearch {CLIENT} talks to version {MAJOR} and later. Install the client of the "
            "server's own major, for example pip install 'elasticsearch>=8.15,<9', or upgrade the server"
        )


def _remedy(error: elasticsearch.TransportError) -> str:
    if isinstance(error, elasticsearch.SSLError):
        return (
            "set elasticsearch.ca_file to the certificate of who signed the server's, and use the host name that it is "
            "for"
        )
    return "check elasticsearch.url, and that the server runs"


def _is_too_old(error: elasticsearch.ApiError) -> bool:
    """Whether the server does not understand the content type `compatible-with=MAJOR` of a newer client."""
    return error.status_code in {400, 406} and "media_type_header_exception" in str(error)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split("."))


def _reason(error: Mapping[str, Any]) -> str:
    """What the server says, with the innermost cause, which is the one that names the value."""
    cause = error.get("caused_by", {}).get("reason", "")
    return f"{error.get('type')}: {error.get('reason')}{f' ({cause})' if cause else ''}"[:_REASON_CHARS]
