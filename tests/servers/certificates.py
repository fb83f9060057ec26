"""An authority of our own for tests, with certificates for 127.0.0.1 and for a client, made by openssl for two days."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

KEY_PASSWORD = "key-s3cret%/@"


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files. `server` holds the certificate and its key."""

    authority: Path
    stranger: Path
    server: Path
    client: Path
    client_key: Path
    locked_key: Path
    """The client's key again, encrypted with KEY_PASSWORD."""


def make_certificates(folder: Path) -> Certificates:
    """Make an authority, what it has signed, and a `stranger`, another authority of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, stranger = _authority(folder / "authority"), _authority(folder / "stranger")
    server = _signed(folder / "server", authority, "subjectAltName=IP:127.0.0.1")
    client = _signed(folder / "client", authority, "extendedKeyUsage=clientAuth")
    whole = folder / "server-with-key.pem"
    whole.write_text(_key(server).read_text() + server.read_text())
    locked = folder / "locked.key"
    _openssl("pkcs8", "-topk8", "-in", _key(client), "-out", locked, "-passout", f"pass:{KEY_PASSWORD}")
    return Certificates(authority, stranger, whole, client, _key(client), locked)


def _authority(path: Path) -> Path:
    return _certificate(path, "-subj", "/CN=mien tests", "-addext", "keyUsage=critical,keyCertSign")


def _signed(path: Path, authority: Path, extension: str) -> Path:
    signer = ("-CA", authority, "-CAkey", _key(authority))
    ordinary = ("-addext", "basicConstraints=critical,CA:false", "-addext", extension)
    return _certificate(path, "-subj", f"/CN={path.name}", *signer, *ordinary)


def _certificate(path: Path, *how: str | Path) -> Path:
    made = path.with_suffix(".pem")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", _key(made))
    _openssl("req", "-x509", "-days", "2", *key, "-out", made, *how)
    return made


def _key(certificate: Path) -> Path:
    return certificate.with_suffix(".key")


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
