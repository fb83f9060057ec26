"""Copies the console's one foreign part, uPlot, from npm: `python -m tests.vendor`, and commit what changed.

The copy is committed, so that neither a build nor a run needs npm or a network. `tests/unit/test_vendor.py` holds it to
the hashes below; for a newer version change `VERSION`, `INTEGRITY` (`npm view uplot@VERSION dist.integrity`) and them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "1.6.32"
INTEGRITY = "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw=="
"""What npm says of the package; one that is another is not unpacked."""
FOLDER = Path(__file__).parent.parent / "pipeline" / "web" / "static" / "vendor" / "uplot"
FILES = {
    "dist/uPlot.esm.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
    "dist/uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""What the console needs of the package, with the SHA-256 of each."""


def fetch() -> bytes:
    """The package from the registry; raises ValueError where it is not the one that we know."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"uplot@{VERSION}", "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        package = (Path(folder) / f"uplot-{VERSION}.tgz").read_bytes()
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    if integrity != INTEGRITY:
        raise ValueError(f"expected a package with {INTEGRITY}, got {integrity}: do not use it")
    return package


def unpack(package: bytes) -> None:
    """Write the wanted files where the console is served from."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(package)) as files:
        for name in FILES:
            member = files.extractfile(f"package/{name}")
            if member is None:
                raise ValueError(f"expected a file {name} in the package, got a folder")
            (FOLDER / Path(name).name).write_bytes(member.read())


if __name__ == "__main__":
    unpack(fetch())
