"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: laws are checked without a clock, and the same examples on every machine.
settings.register_profile("mien", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mien")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Clips, pictures and weights that don't belong to the project; tests that need them skip without."""
    folder = Path(os.environ.get("MIEN_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data at {folder}: set MIEN_SHARED to a folder that holds data/")
    return folder


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests leaks into them."""
    for name in [name for name in os.environ if name.startswith("MIEN_") and name != "MIEN_SHARED"]:
        monkeypatch.delenv(name)
