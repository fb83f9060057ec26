"""What is known of a camera before and between pictures: its settings, its states, when to try again. Does no I/O.

```
            picture            silence             picture
connecting ─────────> live ──────────────> stalled ─────────> live
     │ failed           │ failed               │ failed (read deadline)
     └──────────────────┴───> backing off <────┘
                                   │ start (the delay is over)
                                   └──────> connecting        any state ── ended, stop ──> stopped
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from operators.errors import Cause
from operators.masks import Polygon, checked_polygon
from operators.records import GapReason
from operators.units import Seconds

__all__ = ["ADVICE", "TRANSITIONS", "UNWELL", "Backoff", "Event", "State", "StreamSettings", "stall_limit"]

PORTS = MappingProxyType({"rtsp": 554, "rtsps": 322, "http": 80, "https": 443})
NETWORK_SCHEMES = frozenset(PORTS)
SCHEMES = NETWORK_SCHEMES | {"file", "scene"}
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://(.*)$", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d+)?([/?]|$)", re.IGNORECASE)
_NO_SCHEME = re.compile(r"[^/@]+:\d+(/|$)|[^/@]*:[^/@]*@")
_SECOND_HOST = re.compile(r"@[^/@]+[:/]")
_SECRET_PARAMETER = re.compile(r"((?:pass(?:word|wd)?|pwd|token|secret|key|auth)=)[^&;/]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Where a camera is and how to read it. Credentials found in `url` move to `username` and `password`."""

    url: str = field(repr=False)
    """rtsp(s)://, http(s)://, a file, a directory of pictures, or scene://NAME. Credentials are better given apart."""
    username: str = field(default="", kw_only=True)
    """Account on the camera; any character is fine, nothing needs to be escaped."""
    password: SecretStr | None = field(default=None, kw_only=True)
    """Its password: a string, {env: NAME} or {file: PATH}; any character is fine, nothing needs to be escaped."""
    transport: Literal["tcp", "udp"] = field(default="tcp", kw_only=True)
    """RTSP only. tcp loses nothing and passes firewalls; udp stays current on a poor network, at the price of holes."""
    fps: float = field(default=5.0, kw_only=True)
    """Pictures analysed per second of stream time, whatever the camera sends."""
    loop: bool = field(default=False, kw_only=True)
    """Files and directories only: begin again at the end."""
    open_timeout: Seconds = field(default=10.0, kw_only=True)
    """Longest wait for the first picture."""
    read_timeout: Seconds = field(default=10.0, kw_only=True)
    """Longest silence before the connection is given up and made anew."""
    frozen_after: Seconds = field(default=10.0, kw_only=True)
    """A network camera whose picture has not changed at all for so long counts as frozen."""
    black_after: Seconds = field(default=2.0, kw_only=True)
    """A network camera whose picture has been of one colour for so long counts as black."""
    masks: tuple[Polygon, ...] = field(default=(), kw_only=True)
    """Privacy masks: polygons in relative coordinates, blacked out in the capture process before anything else."""

    def __post_init__(self) -> None:
        if not self.url.strip():
            raise ValueError("url is empty: give an rtsp(s) or http(s) address, a file, a directory or scene://NAME")
        if not 0 < self.fps <= 120:
            raise ValueError(f"fps must be above 0 and at most 120, got {self.fps}")
        for name in ("open_timeout", "read_timeout", "frozen_after", "black_after"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be longer than 0s, got {getattr(self, name)}")
        for mask in self.masks:
            checked_polygon(mask)
        self._check_address()
        url, username, password = _split_credentials(self.url.strip())
        if password and _SECOND_HOST.search(url):
            raise ValueError("url can be read in more than one way because of its @: give username and password apart")
        object.__setattr__(self, "url", url)
        self._check_endpoint()
        if username and not self.username:
            object.__setattr__(self, "username", username)
        if password and self.password is None:
            object.__setattr__(self, "password", SecretStr(password))

    def _check_address(self) -> None:
        """Refuse what can't be opened anywhere. No message repeats the address: it may hold a password."""
        if self.scheme not in SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in sorted(SCHEMES))
            raise ValueError(f"url begins with {self.scheme}://, expected a path or one of {known}")
        if "://" not in self.url and _NO_SCHEME.match(self.url.strip()):
            raise ValueError("url looks like an address without its protocol: begin it with rtsp:// or http://")

    def _check_endpoint(self) -> None:
        try:
            reachable = not self.live or self.endpoint[0] != ""
        except ValueError:  # its text may hold a piece of a password
            reachable = False
        if not reachable:
            raise ValueError("url names no host and port: write for example rtsp://10.0.0.5:554/stream1")

    @property
    def scheme(self) -> str:
        """Lower-case scheme of the address; `file` for plain paths."""
        match = _SCHEME.match(self.url)
        return match[1].lower() if match else "file"

    @property
    def live(self) -> bool:
        """Whether a camera on the network sends the pictures, at its own pace."""
        return self.scheme in NETWORK_SCHEMES

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port of a camera on the network; without a port in the address, that of its protocol."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or PORTS[self.scheme]

    @property
    def shown(self) -> str:
        """The address for people and logs: no password, no token."""
        url = _SECRET_PARAMETER.sub(r"\1***", self.url)
        return url.replace("://", f"://{self.username}:***@", 1) if self.username else url

    def address(self) -> str:
        """The address with URL-encoded credentials. Never log it."""
        if not self.username:
            return self.url
        password = self.password.get_secret_value() if self.password else ""
        return self.url.replace("://", f"://{quote(self.username, safe='')}:{quote(password, safe='')}@", 1)


def _split_credentials(url: str) -> tuple[str, str, str]:
    """(URL without credentials, username, password); copes with passwords that nobody escaped.

    The credentials end at the first @ that a legal host follows, so `admin:p@ss:w/rd#%@10.0.0.5/live` works too.
    """
    match = _SCHEME.match(url)
    if not match or match[1].lower() not in NETWORK_SCHEMES:
        return url, "", ""
    scheme, rest = match.groups()
    for at in (index for index, letter in enumerate(rest) if letter == "@"):
        if _HOST.match(rest, at + 1) and not re.match(r"[^:@]*/", rest[:at]):
            username, _, password = rest[:at].partition(":")
            return f"{scheme}://{rest[at + 1 :]}", unquote(username), unquote(password)
    return url, "", ""


class State(StrEnum):
    """What a camera is doing now."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    """Connected, but silent for longer than its frame rate explains."""
    BACKING_OFF = "backing off"
    """Failed; the next attempt comes after a delay."""
    STOPPED = "stopped"


class Event(StrEnum):
    """What can happen to a camera."""

    START = "start"
    PICTURE = "picture"
    SILENCE = "silence"
    FAILED = "failed"
    ENDED = "ended"
    STOP = "stop"


def _transitions() -> dict[tuple[State, Event], State]:
    table = {(state, event): state for state in State for event in Event}
    for state in State:
        table[state, Event.ENDED] = table[state, Event.STOP] = State.STOPPED
    for state in (State.CONNECTING, State.LIVE, State.STALLED):
        table[state, Event.PICTURE] = State.LIVE
        table[state, Event.FAILED] = State.BACKING_OFF
    table[State.LIVE, Event.SILENCE] = State.STALLED
    table[State.BACKING_OFF, Event.START] = table[State.STOPPED, Event.START] = State.CONNECTING
    return table


TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(_transitions())
"""Next state for every state and event; what makes no sense in a state, such as a late picture, leaves it alone."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next attempt."""

    first: Seconds = 1.0
    """Delay after the first failure; doubles with each further one."""
    longest: Seconds = 60.0
    """The delay never grows beyond this. Wrong passwords wait this long at once: cameras lock accounts."""
    stable_after: Seconds = 30.0
    """A connection that lived so long clears the count of failures."""

    def delay(self, failures: int, *, cause: Cause, jitter: float) -> float:
        """Seconds to wait after `failures` >= 1 in a row; `jitter` in [0, 1] spreads cameras that failed together."""
        if cause is Cause.AUTH:
            return self.longest * (0.75 + 0.25 * jitter)
        doubled = self.first * 2.0 ** min(failures - 1, 30)
        return min(self.longest, doubled) * (0.5 + 0.5 * jitter)


STALL_FLOOR_S = 2.0
STALL_FRAMES = 8


def stall_limit(fps: float) -> float:
    """Seconds of silence that a camera sending `fps` pictures a second doesn't explain; `fps` 0 when unknown."""
    return max(STALL_FLOOR_S, STALL_FRAMES / fps) if fps > 0 else STALL_FLOOR_S


ADVICE: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.AUTH: "The camera refuses the account: check username and password (several wrong tries may lock it).",
        Cause.NOT_FOUND: "Nothing is at this address: check the path; the camera's manual or web page names it.",
        Cause.TLS: "The encrypted connection failed: check that the port speaks TLS, or use rtsp:// or http://.",
        Cause.TIMEOUT: "The camera doesn't answer in time: check its load, cable or wireless link and the number of "
        "clients it allows; with transport udp, a firewall may hold the pictures back.",
        Cause.CODEC: "The data can't be decoded: set the camera to H.264, H.265 or MJPEG and check that the address is "
        "its video stream.",
        Cause.EOF: "The camera ended the stream: it may be restarting or serving too many clients.",
        Cause.NETWORK: "The camera can't be reached: check host name, port, and that it is switched on and connected.",
        Cause.READER: "Our process that reads the camera died or could not start: check this machine's free memory and "
        "open files, then the log; if only this camera is hit, its data breaks the decoder.",
    }
)
"""One plain sentence per cause, for the person who has to go and look."""

UNWELL: Mapping[str, str] = MappingProxyType(
    {
        GapReason.OVERLOAD: "This machine can't analyse all its frames: lower fps or detail, or use a faster detector.",
        GapReason.FROZEN: "The picture doesn't change: the camera's encoder may hang; restart it.",
        GapReason.BLACK: "The picture is black or of one colour: check the lens cap, the light and the camera's "
        "privacy mode.",
    }
)
"""What to do about a live camera whose frames are dropped, by reason."""
