"""Alerts to a URL, in the payload of Prometheus Alertmanager's webhook (version 4), signed.

Whatever takes Alertmanager's webhooks takes these: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
Each alert carries one more object, `mien`, with what Alertmanager has no field for. The signature follows the scheme of
common payment webhooks: HMAC-SHA256 over `time.body`, so that a copied request can be told by its age.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx
from pydantic import SecretStr

from connectors.sink import NOTIFIED, RetryAfterError
from connectors.wire import alert_document, encode
from operators.errors import SinkError
from operators.records import Alert, Status
from operators.units import Seconds

__all__ = ["WebhookSettings", "WebhookSink", "payload", "sign"]

_NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time, which Alertmanager sends as `endsAt` of what still fires."""
_GROUP_BY = ("alertname", "camera_id", "group")
_RETRYABLE = {401, 403, 408, 425, 429}
"""401 and 403 are about our credentials, not about the alert: it waits until they are put right."""
_LONGEST_WAIT_S = 300.0
_ANSWER_BYTES = 64 * 1024
_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Post alerts to a URL in Alertmanager's format."""

    url: str
    """Where to post to: http or https; only its scheme, host and port ever appear in logs and errors."""
    type: Literal["webhook"] = "webhook"
    """Which sink this is."""
    name: str = "webhook"
    """Key of the position in the store; must differ between sinks."""
    secret: SecretStr | None = None
    """Signs every request in the header X-Mien-Signature; unsigned when absent."""
    token: SecretStr | None = None
    """Sent as `Authorization: Bearer`."""
    timeout: Seconds = 10.0
    """Longest wait for the connection and for each part of the answer."""
    receiver: str = "mien"
    """Value of `receiver` in the payload."""
    external_url: str = ""
    """Where people find more about an alert: `externalURL` and `generatorURL` in the payload."""
    statuses: tuple[Status, ...] = NOTIFIED
    """Which transitions are posted."""

    def __post_init__(self) -> None:
        """Refuse what can't be posted to, without repeating a URL that may hold a secret."""
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ValueError(f"expected a URL such as https://example.org/hook: {error}") from None
        if url.scheme not in {"http", "https"} or not url.host:
            got = _shown(url) if url.host else "none"
            raise ValueError(f"expected a url that starts with http:// or https:// and names a host, got {got}")
        if self.token is not None and not _fits_header(self.token.get_secret_value()):
            raise ValueError("expected a token of printable ASCII characters without blanks or line ends")
        if self.timeout <= 0:
            raise ValueError(f"expected a timeout above 0s, got {self.timeout:g} s")


class WebhookSink:
    """Posts each batch as one request; 2xx is success, what the server's state may cure is retried."""

    def __init__(self, settings: WebhookSettings, *, clock: Callable[[], float] = time.time) -> None:
        self.name = settings.name
        self.statuses, self.silenced = settings.statuses, False
        self._settings = settings
        self._clock = clock
        url = httpx.URL(settings.url)
        self._shown = _shown(url)
        self._url = url.copy_with(userinfo=b"")
        self._client = httpx.Client(
            auth=(url.username, url.password) if url.userinfo else None,
            timeout=settings.timeout,
            headers={"User-Agent": "mien", "Content-Type": "application/json"},
        )
        # httpx logs every URL in full at INFO, and the path of a webhook is often its password.
        logging.getLogger("httpx").setLevel(logging.WARNING)

    def deliver(self, alerts: Sequence[Alert], /) -> None:
        """Post the alerts; raises SinkError, retryable for 401, 403, 408, 425, 429, 5xx and network errors."""
        body = encode(payload(alerts, receiver=self._settings.receiver, external_url=self._settings.external_url))
        try:
            with self._client.stream("POST", self._url, content=body, headers=self._headers(alerts, body)) as response:
                answer = _beginning(response)
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise SinkError(f"webhook {self._shown} can't be reached: {what}", retryable=True) from error
        if not response.is_success:
            raise self._refusal(response, answer)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _headers(self, alerts: Sequence[Alert], body: bytes) -> dict[str, str]:
        ids = "\n".join(alert.transition_id for alert in alerts)
        headers = {"Idempotency-Key": hashlib.sha256(ids.encode()).hexdigest()}
        if self._settings.secret is not None:
            secret = self._settings.secret.get_secret_value()
            headers["X-Mien-Signature"] = sign(body, secret=secret, timestamp=int(self._clock()))
        if self._settings.token is not None:
            headers["Authorization"] = f"Bearer {self._settings.token.get_secret_value()}"
        return headers

    def _refusal(self, response: httpx.Response, answer: str) -> SinkError:
        code = response.status_code
        message = f"webhook {self._shown} answered {code} {response.reason_phrase}: {answer}".rstrip(": ")
        if code not in _RETRYABLE and code < 500:
            return SinkError(message, retryable=False)
        seconds = _retry_after(response.headers.get("Retry-After", ""), now=self._clock())
        return SinkError(message, retryable=True) if seconds is None else RetryAfterError(message, seconds=seconds)


def sign(body: bytes, *, secret: str, timestamp: int) -> str:
    """Return `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`, the value of X-Mien-Signature."""
    digest = hmac.new(secret.encode(), b"%d.%b" % (timestamp, body), hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def payload(alerts: Sequence[Alert], *, receiver: str = "mien", external_url: str = "") -> dict[str, Any]:
    """Return Alertmanager's webhook message, version 4, for a batch in the order of its transitions."""
    items = [_item(alert, generator_url=external_url) for alert in alerts]
    common = _common([item["labels"] for item in items])
    group = {name: common[name] for name in _GROUP_BY if name in common}
    return {
        "version": "4",
        "groupKey": "{}:{" + ", ".join(f'{name}="{value}"' for name, value in group.items()) + "}",
        "truncatedAlerts": 0,
        "status": "firing" if any(item["status"] == "firing" for item in items) else "resolved",
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": common,
        "commonAnnotations": _common([item["annotations"] for item in items]),
        "externalURL": external_url,
        "alerts": items,
    }


def _item(alert: Alert, *, generator_url: str) -> dict[str, Any]:
    document = alert_document(alert)
    labels = {
        **document["labels"],
        "alertname": alert.rule,
        "severity": document["severity"],
        "scope": document["scope"],
        **({"camera_id": alert.camera_id} if alert.camera_id else {}),  # a group or the site has none
    }
    return {
        "status": "resolved" if alert.status in {Status.RESOLVED, Status.BROKEN} else "firing",
        "labels": labels,
        "annotations": document["annotations"],
        "startsAt": document["starts_at"],
        "endsAt": document["ends_at"] or _NEVER,
        "generatorURL": generator_url,
        "fingerprint": hashlib.sha256(alert.alert_id.encode()).hexdigest()[:16],
        "mien": {
            name: document[name]
            for name in (
                "id",
                "alert_id",
                "seq",
                "status",
                "reason",
                "severity",
                "ts",
                "fired_at",
                "evidence",
                "config",
            )
        },
    }


def _common(mappings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the entries that all mappings share."""
    first, *others = mappings
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _shown(url: httpx.URL) -> str:
    """Return the part of a URL that holds no secret."""
    return f"{url.scheme}://{url.host}" + (f":{url.port}" if url.port else "")


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _beginning(response: httpx.Response) -> str:
    """Read the answer, so that the connection can be used again, but no more than a page; return its first words."""
    answer = b""
    for chunk in response.iter_bytes():
        answer += chunk
        if len(answer) > _ANSWER_BYTES:
            break
    text = answer.decode(errors="replace")[:_REASON_CHARS]
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _retry_after(value: str, *, now: float) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date, capped; None when absent or nonsense."""
    try:
        seconds = float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - now
    except ValueError:
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_S)
