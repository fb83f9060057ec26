"""The whole exception tree.

MienError
├── ConfigError     the configuration can't be used: file, line, column and key are in the message
├── SourceError     a camera or file can't be opened or read; `cause` classifies it
├── DecodeError     bytes that should be a record or a picture are not
├── ModelError      weights are missing, altered or don't fit
└── SinkError       a sink refused or can't be reached; `retryable` says whether to try again

Foreign exceptions are translated once, at the edge, with `raise ... from`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial

__all__ = ["Cause", "ConfigError", "DecodeError", "MienError", "ModelError", "SinkError", "SourceError"]


class MienError(Exception):
    """Any error this project raises on purpose."""


class ConfigError(MienError):
    """The configuration can't be used."""


class Cause(StrEnum):
    """Why a camera can't be read."""

    AUTH = "auth"
    NOT_FOUND = "not_found"
    TLS = "tls"
    TIMEOUT = "timeout"
    CODEC = "codec"
    EOF = "eof"
    NETWORK = "network"
    READER = "reader"


class SourceError(MienError):
    """A camera or file can't be opened or read."""

    def __init__(self, message: str, *, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause

    def __reduce__(self) -> tuple[Callable[..., SourceError], tuple[object, ...]]:
        """Pickle it with its cause: errors come out of other processes."""
        return partial(type(self), cause=self.cause), self.args


class DecodeError(MienError):
    """Bytes that should be a record or a picture are not."""


class ModelError(MienError):
    """Weights are missing, altered or don't fit."""


class SinkError(MienError):
    """A sink refused or can't be reached."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable

    def __reduce__(self) -> tuple[Callable[..., SinkError], tuple[object, ...]]:
        """Pickle it with all it says: errors come out of other processes."""
        return partial(type(self), retryable=self.retryable), self.args
