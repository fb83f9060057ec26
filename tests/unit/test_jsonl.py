"""Tests of connectors/jsonl.py."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import pytest

from connectors.jsonl import JsonlSettings, JsonlSink
from connectors.wire import alert_document
from operators.errors import SinkError
from tests.alerts import FEAR, alert, resolved


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.jsonl"


@pytest.fixture
def sink(path):
    sink = JsonlSink(JsonlSettings(path=path))
    yield sink
    sink.close()


def documents(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def numbers(path: Path) -> list[int]:
    return [int(str(document["alert_id"])[-5:]) for document in documents(path)]


def test_a_line_per_transition_in_order(sink, path):
    sink.deliver([FEAR])
    sink.deliver([resolved(FEAR), alert(1)])
    assert documents(path) == [alert_document(each) for each in (FEAR, resolved(FEAR), alert(1))]


def test_a_batch_that_comes_again_after_a_crash_is_not_doubled(path):
    before = JsonlSink(JsonlSettings(path=path))
    before.deliver([alert(1)])
    before.deliver([alert(2), alert(3)])  # and now a crash, before the cursor moved
    before.close()
    after = JsonlSink(JsonlSettings(path=path))
    after.deliver([alert(2), alert(3), alert(4)])
    after.close()
    assert numbers(path) == [1, 2, 3, 4]


def test_a_torn_last_line_gets_an_end(path):
    before = JsonlSink(JsonlSettings(path=path))
    before.deliver([alert(1), alert(2)])
    before.close()
    path.write_bytes(path.read_bytes()[:-30])
    after = JsonlSink(JsonlSettings(path=path))
    after.deliver([alert(1), alert(2), alert(3)])
    after.close()
    first, torn, *rest = path.read_text().splitlines()
    with pytest.raises(json.JSONDecodeError):
        json.loads(torn)
    assert [json.loads(line)["alert_id"] for line in (first, *rest)] == ["alert-00001", "alert-00002", "alert-00003"]


def test_a_whole_line_without_its_end_counts(path):
    before = JsonlSink(JsonlSettings(path=path))
    before.deliver([alert(1)])
    before.close()
    path.write_bytes(path.read_bytes().rstrip())
    after = JsonlSink(JsonlSettings(path=path))
    after.deliver([alert(1), alert(2)])
    after.close()
    assert numbers(path) == [1, 2]


def test_logrotate_moves_the_file_and_a_new_one_begins(sink, path):
    sink.deliver([alert(1)])
    path.rename(path.with_suffix(".old"))
    sink.deliver([alert(2)])
    assert numbers(path.with_suffix(".old")) == [1]
    assert numbers(path) == [2]


def test_a_full_file_is_put_aside_and_only_so_many_are_kept(path):
    sink = JsonlSink(JsonlSettings(path=path, max_bytes=100, keep=2))
    for number in range(5):
        sink.deliver([alert(number)])
    sink.close()
    assert sorted(each.name for each in path.parent.iterdir()) == ["alerts.jsonl", "alerts.jsonl.1", "alerts.jsonl.2"]
    assert [numbers(path.with_name(f"alerts.jsonl{end}")) for end in (".2", ".1", "")] == [[2], [3], [4]]


def test_a_missing_folder_is_named_and_worth_another_try(tmp_path):
    path = tmp_path / "later" / "alerts.jsonl"
    sink = JsonlSink(JsonlSettings(path=path))
    with pytest.raises(SinkError, match="check that the folder exists") as caught:
        sink.deliver([alert(1)])
    assert caught.value.retryable
    path.parent.mkdir()
    sink.deliver([alert(1)])
    sink.close()
    assert numbers(path) == [1]


def test_a_write_cut_short_is_completed_without_doubles(sink, path):
    """A file size limit stands in for the full disk: both cut a write in the middle."""
    sink.deliver([alert(0)])
    size = path.stat().st_size
    old_limit, old_handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    batch = [alert(number) for number in range(1, 4)]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size * 5 // 2, old_limit[1]))
        with pytest.raises(SinkError, match="File too large"):
            sink.deliver(batch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert path.stat().st_size == size * 5 // 2
    sink.deliver(batch)
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line)["alert_id"])
        except json.JSONDecodeError:
            continue
    assert found == [f"alert-{number:05d}" for number in range(4)]


@pytest.mark.parametrize("bad", [{"max_bytes": -1}, {"keep": 0}])
def test_sizes_that_cannot_be_are_refused(path, bad):
    with pytest.raises(ValueError, match="expected max_bytes of 0 or more"):
        JsonlSettings(path=path, **bad)
