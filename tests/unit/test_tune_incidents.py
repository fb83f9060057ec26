"""Labels: what people may write, and where they are told that it can't be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.errors import ConfigError
from pipeline.tune.incidents import Incident, read_incidents

PLACES = ("lobby", "quay")


def read(tmp_path: Path, text: str) -> list[Incident]:
    path = tmp_path / "incidents.csv"
    path.write_text(text, encoding="utf-8")
    return read_incidents(path, rule="fear", places=PLACES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("camera,start,end\nlobby,10,12.5\n", [Incident("lobby", 10.0, 12.5)]),
        (
            "camera,start,end,label\nlobby,1970-01-01T00:01:00Z,1970-01-01T01:01:01+01:00,a fall\n",
            [Incident("lobby", 60, 61, "a fall")],
        ),
        ("group,start,end\nquay,1,1\n", [Incident("quay", 1, 1)]),
        ("camera,start,end\nquay,9,9\nlobby,1,2\n", [Incident("lobby", 1, 2), Incident("quay", 9, 9)]),  # by time
        (
            "camera,start,end,rule\nlobby,1,2,anger\nlobby,3,4,fear\nlobby,5,6,\n",
            [Incident("lobby", 3, 4), Incident("lobby", 5, 6)],
        ),
        ("\ufeffcamera;start;end\nlobby;1;2\n", [Incident("lobby", 1, 2)]),  # as a spreadsheet in Europe saves it
        ('camera,start,end,label\nlobby,1,2,"a fall, then help"\n', [Incident("lobby", 1, 2, "a fall, then help")]),
    ],
)
def test_read(tmp_path: Path, text: str, expected: list[Incident]) -> None:
    assert read(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: no column 'camera'; no column 'start'; no column 'end'"),
        ("camera,start\n", ":1: no column 'end'"),
        ("camera,start,end,lable\n", "unknown column 'lable', did you mean \"label\"?"),
        (
            "camera,start,end\nlobby,1,2\nloby,1,2\n",
            ":3: the rule doesn't look at 'loby' in this recording, did you mean \"lobby\"?",
        ),
        ("camera,start,end\nroof,1,2\n", "expected one of lobby, quay"),
        ("camera,start,end\nlobby,5,2\n", ":2: expected an end after the start, got 5 to 2"),
        ("camera,start,end\nlobby,soon,2\n", ":2: expected start as 2026-11-20T22:10:05Z or in seconds"),
        (
            "camera,start,end\nlobby,2026-11-20T22:10:05,2\n",
            ":2: expected start with a time zone, such as 2026-11-20T22:10:05Z",
        ),
        ("camera,start,end\nlobby,1,inf\n", ":2: expected a finite end"),
        ("camera,start,end\nlobby,1,2,3\n", ":2: more values than columns"),
        ("camera,start,end\nlobby,1\n", ":2: expected end as"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "incidents.csv:" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read as a CSV file"):
        read_incidents(tmp_path / "none.csv", rule="fear", places=PLACES)
