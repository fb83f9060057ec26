"""What the servers need from this machine: a Java, and jars from Maven Central, fetched once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("MIEN_SERVERS") or user_cache_path("mien") / "servers")
"""Where the jars are kept; the variable moves it."""


NOT_HERE = "no test server here"
"""How a skip begins whose reason is a missing server."""


class MissingError(Exception):
    """This machine lacks something that a server needs."""


def java(at_least: int, *, compiler: bool = False) -> Path:
    """The oldest Java here that is new enough: JAVA_HOME, PATH and /usr/lib/jvm are searched."""
    found = {home: version for home in _homes() if (version := _version(home)) >= at_least}
    if compiler:
        found = {home: version for home, version in found.items() if (home / "bin" / "javac").exists()}
    if not found:
        raise MissingError(f"no {'JDK' if compiler else 'Java'} {at_least} or newer: install one, or set JAVA_HOME")
    return min(found, key=lambda home: found[home]) / "bin" / "java"


def jars(name: str) -> list[Path]:
    """The jars of a server, fetched by Maven where they aren't yet; `name`.xml lists what it needs."""
    pom = HERE / f"{name}.xml"
    folder = CACHE / f"{name}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    with locked(CACHE / f"{name}.lock"):
        if not folder.is_dir():
            _fetch(pom, folder)
    return sorted(folder.glob("*.jar"))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(pom: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingError(f"no Maven to fetch {pom.stem} with: install maven")
    half = folder.with_suffix(".part")
    half.mkdir(parents=True, exist_ok=True)
    command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={half}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"Maven could not fetch {pom.stem}:\n{(done.stdout + done.stderr)[-2000:]}")
    half.rename(folder)


def _homes() -> list[Path]:
    named = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    homes = [Path(named)] if named else []
    homes += [Path(on_path).resolve().parents[1]] if on_path else []
    return [*homes, *sorted(Path("/usr/lib/jvm").glob("*"))]


def _version(home: Path) -> int:
    """The major version of the Java in a folder; 0 when there is none."""
    try:
        release = (home / "release").read_text()
    except OSError:
        return 0
    found = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return int(found[1]) if found and (home / "bin" / "java").exists() else 0
