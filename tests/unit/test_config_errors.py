"""Every broken or doubtful file of tests/golden/config gives exactly the text beside it.

After a wanted change: `python tests/unit/test_config_errors.py`, then read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from operators.errors import ConfigError
from pipeline.config import check_settings

GOLDEN = Path(__file__).parent.parent / "golden" / "config"
CASES = sorted(path.name for path in GOLDEN.glob("*.yaml"))


def complain(name: str) -> str:
    """What is said about one broken or doubtful file, with a path relative to the folder."""
    try:
        _, lines = check_settings(name)
    except ConfigError as error:
        lines = [str(error)]
    assert lines
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_each_mistake_has_its_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    assert complain(name) == (GOLDEN / name).with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_no_text_holds_a_secret(name: str) -> None:
    text = (GOLDEN / name).with_suffix(".txt").read_text(encoding="utf-8")
    assert not any(secret in text for secret in ("hunter2", "hunter3", "31337"))


def test_there_are_cases() -> None:
    assert len(CASES) > 50
    assert sum("hunter2" in (GOLDEN / name).read_text("latin-1") for name in CASES) >= 6


if __name__ == "__main__":
    os.chdir(GOLDEN)
    for case in CASES:
        Path(case).with_suffix(".txt").write_text(complain(case), encoding="utf-8")
