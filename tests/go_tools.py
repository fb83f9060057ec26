"""Helm, and Compose's own loader, built from source where Go is. Without Go the tests skip; in CI that is a failure."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

__all__ = ["NO_GO", "go_tool"]

SCRIPT = Path(__file__).with_name("install-go-tools.sh")
NO_GO = 3


@cache
def _folder() -> tuple[int, str]:
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip() if done.returncode == 0 else done.stderr


def go_tool(name: str) -> Path:
    """The path of `helm` or `compose`; the first call may build them, which takes minutes."""
    status, said = _folder()
    if status == NO_GO and not os.environ.get("CI"):
        pytest.skip(f"{name} is not here: {said.strip()}")
    assert status == 0, said
    return Path(said) / name
