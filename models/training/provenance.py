"""Where a figure comes from: a number without its machine, commit and data isn't a result."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["commit", "here"]

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
