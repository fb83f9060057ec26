import hashlib
from pathlib import Path

from tests.vendor import FILES, FOLDER, VERSION


def test_the_foreign_code_is_what_npm_gave_us():
    found = {name: hashlib.sha256((FOLDER / Path(name).name).read_bytes()).hexdigest() for name in FILES}
    assert found == FILES, "run python -m tests.vendor, or say in it which files are wanted now"


def test_nothing_else_lies_beside_it():
    assert {file.name for file in FOLDER.iterdir()} == {Path(name).name for name in FILES}


def test_it_says_its_version_and_its_licence():
    assert f"(v{VERSION})" in (FOLDER / "uPlot.esm.js").read_text(encoding="utf-8")
    assert "MIT License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
