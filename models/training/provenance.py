"""Where a figure comes from, and a run: a number without its machine, commit and data isn't a result."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from models.catalogue import find
from operators.errors import ConfigError

__all__ = ["Origin", "commit", "here", "identify", "keep_origin"]

ROOT = Path(__file__).resolve().parents[2]


def here() -> dict[str, str | None]:
    """Version, commit and machine that a figure was measured with."""
    cpu = f"{platform.machine()} {_processor()} x{os.cpu_count()}"
    machine = f"{cpu}, {platform.system()} {platform.release()}"
    return {"mien": _version(), "commit": commit(), "machine": machine}


def _version() -> str | None:
    """None where mien runs from its sources and isn't installed."""
    try:
        return version("mien")
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of this code, `-dirty` where files differ from it; None outside its repository."""
    git = shutil.which("git")
    if git is None:
        return None
    top = _ask(git, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != ROOT:  # an installed package may lie in somebody else's repository
        return None
    return _ask(git, "describe", "--always", "--dirty", "--exclude=*") or None


def _ask(git: str, *words: str) -> str:
    asked = subprocess.run([git, *words], capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603
    return asked.stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


class Origin(msgspec.Struct, frozen=True):
    """Something that a run was begun with; the same content elsewhere is the same."""

    path: str
    sha256: str

    def __str__(self) -> str:
        """For messages."""
        return f"{self.path} (sha256 {self.sha256[:12]})"


def identify(name: str) -> Origin:
    """A run, a file, or a model of the registry; raises ConfigError or ModelError where there is none."""
    path = Path(name)
    if not path.exists():
        if "/" in name:
            raise ConfigError(f"there is no folder or file {name}: expected a run, or a model of the registry")
        return Origin(name, "-".join(sorted(find(name).files.values())))
    file = path / "checkpoint.pt" if path.is_dir() else path
    try:
        return Origin(name, hashlib.sha256(file.read_bytes()).hexdigest())
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}; expected the folder of a run") from error


def keep_origin(run: Path, origin: Mapping[str, Sequence[Origin]]) -> None:
    """Write into the folder of a run what it begins with, by kind: data, teachers and so on.

    Raises ConfigError where the run that is there was begun with something else. One that doesn't say goes on.
    """
    file = run / "origin.json"
    if not (run / "checkpoint.pt").exists():
        _write(file, origin)
    elif file.exists() and (changed := "; ".join(_changed(_read(file), origin))):
        raise ConfigError(
            f"{run} holds a run that was begun otherwise: name another folder, or give the same ({changed})"
        )


def _changed(before: Mapping[str, Sequence[Origin]], now: Mapping[str, Sequence[Origin]]) -> list[str]:
    return [
        f"{kind} was {_said(before[kind])}, now {_said(now[kind])}"
        for kind in now
        if kind in before and [one.sha256 for one in before[kind]] != [one.sha256 for one in now[kind]]
    ]


def _said(origins: Sequence[Origin]) -> str:
    return ", ".join(map(str, origins)) or "nothing"


def _write(file: Path, origin: Mapping[str, Sequence[Origin]]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.encode(origin) + b"\n")
    except OSError as error:
        raise ConfigError(f"{file} can't be written: {error.strerror}") from error


def _read(file: Path) -> dict[str, list[Origin]]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, list[Origin]])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{file} can't be read: delete it to go on unchecked ({error})") from error
