"""Grafana's HTTP API, through the package `grafana-api` and nothing of it that is gone.

That package is from 2020, so here it only builds requests. Its error handling is replaced by a look at each response,
as it breaks on pages of proxies; data sources and folders are addressed by uid, as the numeric ids went away. It
neither retries nor follows redirects here, which would turn a POST into a GET: all calls can simply be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import requests
from grafana_api.grafana_face import GrafanaFace

from connectors.grafana_settings import GrafanaSettings
from operators.errors import ConfigError, SinkError

__all__ = ["Grafana", "Health"]

T = TypeVar("T")

TIMEOUT_S = 10.0
_REASON_CHARS = 200
_ADVICE = {
    401: "set grafana.token to a service account's token that is still valid",
    403: "give the service account the role Editor, or Admin where data sources are to be written",
    404: "is grafana.url really the root of Grafana, with its sub-path if it has one?",
    409: "another one has this name: rename or delete it there",
    412: "somebody saved it at the same moment: try again",
}
_RETRYABLE = {408, 412, 425, 429}


@dataclass(frozen=True, slots=True)
class Health:
    """What Grafana says of itself; `version` is empty where it hides it."""

    version: str
    database: str


class Grafana:
    """One Grafana: `Grafana(settings).put_dashboard({...}, folder_uid="mien")`.

    Every method raises SinkError, retryable where another try may help; no message holds the token.
    """

    def __init__(self, settings: GrafanaSettings) -> None:
        if settings.token is None:
            raise ConfigError("expected grafana.token, the token of a service account, got none")
        if settings.ca_file is not None and not settings.ca_file.is_file():
            raise ConfigError(f"expected grafana.ca_file to be a file of certificates, got {settings.ca_file}")
        parts = urlsplit(settings.url)
        host = parts.hostname or ""
        self._token = settings.token.get_secret_value()
        self._shown = f"Grafana at {parts.scheme}://{parts.netloc}"
        self._face = GrafanaFace(
            self._token,
            host=f"[{host}]" if ":" in host else host,
            port=parts.port,
            url_path_prefix=f"{parts.path.strip('/')}/".lstrip("/"),
            protocol=parts.scheme,
            verify=True if settings.ca_file is None else str(settings.ca_file),
            timeout=TIMEOUT_S,
        )
        self._face.api.s.hooks["response"].append(self._refuse)

    def close(self) -> None:
        """Close the connections."""
        self._face.api.s.close()

    def health(self) -> Health:
        """Ask whether it is there, and its database too; needs no rights."""
        answer = self._call(lambda: self._face.api.GET("/health"))
        return Health(version=str(answer.get("version", "")), database=str(answer.get("database", "")))

    def put_folder(self, *, uid: str, title: str) -> None:
        """Create the folder, or give it this title."""
        folder = self._found(lambda: self._face.folder.get_folder(uid))
        if folder is None:
            self._call(lambda: self._face.folder.create_folder(title, uid=uid))
        elif folder.get("title") != title:
            self._call(lambda: self._face.folder.update_folder(uid, title, overwrite=True))

    def put_datasource(self, datasource: Mapping[str, Any]) -> bool:
        """Create or update the data source with this `uid`; False if it is left alone, as a file there owns it."""
        path = f"/datasources/uid/{datasource['uid']}"
        known = self._found(lambda: self._face.api.GET(path))
        if known is None:
            self._call(lambda: self._face.datasource.create_datasource(dict(datasource)))
        elif known.get("readOnly"):
            return False
        else:
            self._call(lambda: self._face.api.PUT(path, json=dict(datasource)))
        return True

    def put_dashboard(self, dashboard: Mapping[str, Any], *, folder_uid: str, message: str = "") -> str:
        """Create the dashboard with this `uid` or overwrite it, whoever changed it; returns its path in Grafana."""
        body = {"dashboard": {**dashboard, "id": None}, "folderUid": folder_uid, "overwrite": True, "message": message}
        answer = self._call(lambda: self._face.dashboard.update_dashboard(body))
        return str(answer.get("url", ""))

    def annotate(self, key: str, *, text: str, from_ts: float, to_ts: float | None, tags: Sequence[str] = ()) -> int:
        """Mark a stretch of time, or change the mark that has this `key`; returns its id.

        Grafana makes a new annotation of each request, so the mark carries the key as a tag and is looked for first.
        """
        tag = f"mien:{key}"
        found = self._call(lambda: self._face.annotations.get_annotation(tags=[quote(tag, safe="")], limit=1))
        mark = {
            "time_from": round(from_ts * 1000),
            "time_to": None if to_ts is None else round(to_ts * 1000),
            "tags": [tag, *tags],
            "text": text,
        }
        if found:
            number = int(found[0]["id"])
            self._call(lambda: self._face.annotations.update_annotation(number, **mark))
            return number
        return int(self._call(lambda: self._face.annotations.add_annotation(**mark))["id"])

    def _found(self, ask: Callable[[], T]) -> T | None:
        """What is asked for, or None where Grafana says that there is no such thing."""
        try:
            return self._call(ask)
        except _NotFoundError:
            return None

    def _call(self, ask: Callable[[], T]) -> T:
        """Make one request; every failure becomes a SinkError."""
        try:
            return ask()
        except requests.JSONDecodeError as error:
            message = f"{self._shown}: expected JSON, got something else: {_ADVICE[404]}"
            raise SinkError(message, retryable=False) from error
        except requests.exceptions.SSLError as error:
            message = f"{self._shown}: its certificate is not trusted: {_root(error)}: set grafana.ca_file"
            raise SinkError(message, retryable=False) from error
        except requests.Timeout as error:
            raise SinkError(f"{self._shown}: no answer within {TIMEOUT_S:g} s", retryable=True) from error
        except requests.RequestException as error:
            raise SinkError(f"{self._shown} can't be reached: {_root(error)}", retryable=True) from error

    def _refuse(self, response: requests.Response, **_: object) -> None:
        """Raise what an answer other than 2xx means, before the package looks at it."""
        if not 200 <= response.status_code < 300:
            with response:  # nobody else will close it
                raise self._refusal(response)

    def _refusal(self, response: requests.Response) -> SinkError:
        status = response.status_code
        if 300 <= status < 400:
            message = f"{self._shown} answered {status}, a redirect: set grafana.url to where it really is"
            return SinkError(message, retryable=False)
        words = ": ".join(filter(None, (self._words(response), _ADVICE.get(status, ""))))
        message = f"{self._shown} answered {status} to {response.request.method} {response.request.path_url}: {words}"
        if status == 404 and _is_json(response):
            return _NotFoundError(message, retryable=False)
        return SinkError(message, retryable=status >= 500 or status in _RETRYABLE)

    def _words(self, response: requests.Response) -> str:
        """Grafana's own explanation, or the beginning of whatever a proxy says; on one line, without the token."""
        text = response.text
        if _is_json(response) and isinstance(answer := response.json(), dict):
            text = str(answer.get("message", ""))
        text = text.replace(self._token, "***")[:_REASON_CHARS]
        return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


class _NotFoundError(SinkError):
    """Grafana itself says that there is no such thing; a proxy's 404 is another matter."""


def _is_json(response: requests.Response) -> bool:
    try:
        response.json()
    except requests.JSONDecodeError:
        return False
    return True


def _root(error: BaseException) -> str:
    """The innermost cause in its own words; what is around it repeats the request."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
