"""Who may ask, and what a browser may do with the answer.

The guard stands before every route: host names against DNS rebinding, the origin against requests that other sites make
in a person's name, the token or a session against everyone else, sizes against floods. It says in headers that pages
run nothing but their own files, and that answers are kept nowhere.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import Field, SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.sections import Console
from pipeline.web.answers import Answer, ProblemAnswer
from pipeline.web.errors import problem

__all__ = ["COOKIE", "Guard", "Sessions", "router"]

router = APIRouter(prefix="/api/session", tags=["session"])

COOKIE = "mien-session"
SESSION_S = 12 * 3600.0
SESSIONS = 100
"""More people at the same time make the oldest ones show the token again."""
LARGEST_BODY = 64 * 1024
LARGEST_RULES = 1024 * 1024
"""A rules file of 60,000 letters, in JSON."""
LARGEST_PICTURE = 12 * 1024 * 1024
"""A picture of 8 MiB in base64, and what stands around it."""
OPEN = ("/healthz", "/readyz", "/api/session")
"""Needs no token, as the page that asks for it and its files don't: none of them says anything."""
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Sessions:
    """Who has shown the token, by what their browser got for it. Only hashes are kept."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = None if token is None else token.get_secret_value().encode()
        self._ends: dict[bytes, float] = {}

    @property
    def needed(self) -> bool:
        """Whether there is a token to be shown."""
        return self._token is not None

    def fits(self, token: str) -> bool:
        """Whether this is the token; takes as long for any text."""
        return self._token is None or secrets.compare_digest(token.encode(errors="replace"), self._token)

    def begin(self) -> str:
        """A new session, as its browser shows it from now on."""
        shown = secrets.token_urlsafe(32)
        while len(self._ends) >= SESSIONS:
            del self._ends[next(iter(self._ends))]
        self._ends[_hash(shown)] = time.monotonic() + SESSION_S
        return shown

    def knows(self, shown: str) -> bool:
        """Whether this is a session that has not ended."""
        return self._ends.get(_hash(shown), 0.0) > time.monotonic()

    def end(self, shown: str) -> None:
        """End a session, if it is one."""
        self._ends.pop(_hash(shown), None)


class Credentials(Answer):
    """What a person shows to begin a session."""

    token: Annotated[SecretStr, Field(max_length=1000, examples=["the token of console.token"])]


class Session(Answer):
    """Where a browser stands."""

    needed: bool
    """Whether the console asks for a token at all."""
    signed_in: bool
    """Whether requests of this browser are answered."""


@router.get("")
async def session(request: Request) -> Session:
    """Whether a token is needed, and whether this browser has shown it."""
    sessions = _sessions(request)
    return Session(needed=sessions.needed, signed_in=_admitted(request.headers, sessions))


@router.post("", responses={401: {"model": ProblemAnswer, "description": "That is not the token."}})
async def begin(request: Request, response: Response, body: Credentials) -> Session:
    """Show the token once; the browser gets a cookie that no script can read, for 12 hours."""
    sessions = _sessions(request)
    if not sessions.fits(body.token.get_secret_value()):
        raise HTTPException(401, "that is not the token: it stands in the configuration, under console.token")
    if sessions.needed:
        response.set_cookie(
            COOKIE,
            sessions.begin(),
            max_age=int(SESSION_S),
            httponly=True,
            samesite="strict",
            secure=request.headers.get("origin", "").startswith("https:"),
        )
    return Session(needed=sessions.needed, signed_in=True)


@router.delete("")
async def end(request: Request, response: Response) -> Session:
    """End the session of this browser."""
    sessions = _sessions(request)
    sessions.end(_cookie(request.headers))
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return Session(needed=sessions.needed, signed_in=not sessions.needed)


class Guard:
    """Stands before the application; see the module."""

    def __init__(self, app: ASGIApp, *, console: Console, sessions: Sessions) -> None:
        self._app, self._sessions = app, sessions
        self._names = {"localhost", *map(_plain, (console.host, *console.names))}
        self._everywhere = console.everywhere
        if self._everywhere:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a limited body; every answer gets its headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        app = self._app if refusal is None else refusal
        await app(scope, _limited(scope, receive), _told(scope, send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path, method = scope["path"], scope["method"]
        if not self._is_me(headers.get("host", "")):
            return problem(421, "this console is not known by that host name: add it to console.names")
        if _is_foreign(headers, path, changes=method not in {"GET", "HEAD", "OPTIONS"}):
            return problem(403, "this request comes from another site: use the console's own pages")
        if _int(headers.get("content-length")) > _largest(path):
            return problem(413, f"expected a request of at most {_largest(path)} bytes")
        if not (path in OPEN or _is_page(path) or _admitted(headers, self._sessions)):
            refused = problem(401, "expected the token, as `Authorization: Bearer TOKEN` or as a session: sign in")
            refused.headers["WWW-Authenticate"] = "Bearer"
            return refused
        return None

    def _is_me(self, host: str) -> bool:
        """Whether a request was sent to a name of ours; a page of another site that resolves here has its own name."""
        try:
            name = _plain(urlsplit(f"//{host}").hostname or "")
        except ValueError:
            return False
        if name.removesuffix(".") in self._names:
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._everywhere


def _plain(host: str) -> str:
    """A host as browsers write it: IPv6 addresses can be written in many ways."""
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower()


def _int(text: str | None) -> int:
    """The number that a header holds; 0 where it holds none."""
    return int(text) if text is not None and text.isdecimal() else 0


def _is_foreign(headers: Headers, path: str, *, changes: bool) -> bool:
    """Whether another site's page has made this request; programs that aren't browsers don't say."""
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"} and not _is_page(path):
        return True
    origin = headers.get("origin")
    return changes and origin is not None and origin.partition("://")[2] != headers.get("host")


def _is_page(path: str) -> bool:
    """Whether this is the page or one of its files, which are the same for everybody; others may link to them."""
    return path == "/" or path.startswith("/static/")


def _admitted(headers: Headers, sessions: Sessions) -> bool:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return sessions.fits(token.strip())
    return not sessions.needed or sessions.knows(_cookie(headers))


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _largest(path: str) -> int:
    return {"/predict": LARGEST_PICTURE, "/api/replays": LARGEST_RULES}.get(path, LARGEST_BODY)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """The request's body, cut off where it is longer than it may be, whatever it said before."""
    largest, got = _largest(scope["path"]), 0

    async def limited() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > largest:
            raise HTTPException(413, f"expected a request of at most {largest} bytes")
        return message

    return limited


def _told(scope: Scope, send: Send) -> Send:
    """Answers with the headers that tell a browser what it may do."""
    kept = "no-cache" if _is_page(scope["path"]) else "no-store"

    async def told(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers.setdefault("Cache-Control", kept)
        await send(message)

    return told


def _sessions(request: Request) -> Sessions:
    found = request.app.state.sessions
    assert isinstance(found, Sessions)  # noqa: S101 -- `create_app` puts it there
    return found


def _hash(shown: str) -> bytes:
    return hashlib.sha256(shown.encode()).digest()
