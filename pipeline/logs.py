"""Log lines on standard error: `time level logger key=value ...`, and no secret in any of them.

Whoever logs must not log secrets. This is the last line of defence: passwords come back inside the messages of
libraries, in the arguments of exceptions and in tracebacks.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TextIO
from urllib.parse import quote, quote_plus

from pipeline.complaints import hide

__all__ = ["Redaction", "set_up"]

log = logging.getLogger(__name__)

_QUIET = ("httpx", "httpcore")
"""Libraries that log every request with its full URL at INFO."""


class Redaction(logging.Filter):
    """Masks secrets in a record: message, arguments, traceback. Also every `user:password@` of a URL."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = {form for secret in secrets for form in _forms(secret)}

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; the record goes on with its text in one piece."""
        record.msg = hide(record.getMessage(), self._secrets)
        record.args = None
        if record.exc_info:
            record.exc_text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = hide(record.exc_text, self._secrets)
        if record.stack_info:
            record.stack_info = hide(record.stack_info, self._secrets)
        return True


def set_up(*, secrets: Iterable[str] = (), level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send the log to standard error, or to `stream`; called again, it replaces what it set up before."""
    formatter = logging.Formatter("{asctime}.{msecs:03.0f}Z {levelname:<7} {name} {message}", "%Y-%m-%dT%H:%M:%S", "{")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(Redaction(secrets))
    root = logging.getLogger()
    for old in [old for old in root.handlers if any(isinstance(one, Redaction) for one in old.filters)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log what nobody caught: the interpreter's own traceback would show a secret as it is."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("stopped by an error that is a bug in mien", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value or args.exc_type()
    name = args.thread.name if args.thread else "unknown"
    log.critical(
        "thread stopped by an error that is a bug in mien thread=%s",
        name,
        exc_info=(args.exc_type, error, args.exc_traceback),
    )


def _forms(secret: str) -> set[str]:
    """The ways a secret is written: as it is, in a URL, inside quotes."""
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
    }
