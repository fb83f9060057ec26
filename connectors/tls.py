"""Whom we trust when a connection is encrypted."""

from __future__ import annotations

import ssl
from pathlib import Path

from operators.errors import ConfigError

__all__ = ["trust", "unusable"]


def trust(ca_file: Path | None, *, key: str) -> ssl.SSLContext:
    """Check servers' certificates and names: who signed in `ca_file` (PEM), or whom the system trusts.

    Raises ConfigError that names the `key` of the configuration for a file that is missing or isn't PEM.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise unusable(error, key=key, expected="certificates in PEM", got=str(ca_file)) from error


def unusable(error: OSError, *, key: str, expected: str, got: str) -> ConfigError:
    """What to say of files that OpenSSL can't use."""
    reason = getattr(error, "reason", None) or error.strerror or error
    return ConfigError(f"{key}: expected {expected}, got {got}: {reason}")
