"""Fixtures of all tests."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.servers.java import NOT_HERE

# A busy machine is no failure: laws are checked without a clock, and the same examples on every machine.
settings.register_profile("mien", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mien")

ROOT = Path(__file__).parent.parent


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it plainly when nothing was tried on real servers."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ()) if report.longrepr]
    missing = [reason.partition(NOT_HERE)[2] for reason in reasons if NOT_HERE in reason]
    if missing:
        terminalreporter.section("real servers", yellow=True)
        terminalreporter.line(f"{len(missing)} tests did not run, for want of a server or Prometheus:")
        for reason in sorted(set(missing)):
            terminalreporter.line(reason.lstrip(": "))


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


@pytest.fixture(autouse=True)
def clean_logging() -> Iterator[None]:
    """A command that set up the log leaves no handler behind: its stream is closed when its test is over."""
    root = logging.getLogger()
    handlers, level, hooks = list(root.handlers), root.level, (sys.excepthook, threading.excepthook)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
