"""The local runtime as a user runs it: a process on a real configuration, signals, crashes and restarts."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.integration

CONFIG = """
version: 1
purpose: a test of the runtime on the built-in scene
cameras:
  smile: {{url: "scene://smile", fps: {fps}}}
rules:
  - id: happy
    severity: notice
    when: {{prob: happiness, enter: 0.5, exit: 0.3}}
    for: 1s
    max_gap: 2s
    max_dip: 1s
    min_coverage: 0.1
    min_samples: 2
    keep_firing_for: 1s
    lost_after: {lost_after}
store: {{path: "{folder}/mien.sqlite"}}
sinks:
  - {{type: jsonl, path: "{folder}/alerts.jsonl"}}
metrics: {{port: 0}}
"""
START_S = 60.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mien.yaml"
    path.write_text(CONFIG.format(folder=tmp_path, fps=5, lost_after="3s"))
    return path


def start(config: Path, *options: str) -> subprocess.Popen[str]:
    main = "from pipeline.cli import main; raise SystemExit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", main, "run", "-c", str(config), *options],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def statuses(folder: Path) -> list[tuple[str, str]]:
    """(alert id, status) of what the journal holds, in order."""
    path = folder / "mien.sqlite"
    if not path.exists():
        return []
    with sqlite3.connect(path) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'alerts'").fetchone()
        rows = connection.execute("SELECT alert_id, status FROM alerts ORDER BY position") if tables[0] else ()
        return [(str(alert_id), str(status)) for alert_id, status in rows]


def wait_for(folder: Path, status: str, *, seconds: float = START_S) -> str:
    """The id of the first alert with that status."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        found = [alert_id for alert_id, got in statuses(folder) if got == status]
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no alert became {status} within {seconds} s: {statuses(folder)}")


def delivered(folder: Path) -> list[tuple[str, str]]:
    path = folder / "alerts.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(alert["alert_id"], alert["status"]) for alert in map(json.loads, lines)]


def test_sigterm_ends_in_time_and_loses_no_alert(config: Path, tmp_path: Path) -> None:
    process = start(config)
    try:
        wait_for(tmp_path, "firing")
        asked_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        took_s = time.monotonic() - asked_at
    finally:
        process.kill()
    assert process.returncode == 0, output
    assert took_s < 5
    assert delivered(tmp_path) == [row for row in statuses(tmp_path) if row[1] in ("firing", "resolved")]
    assert "happy" in output
    assert "Traceback" not in output
    counts = re.search(r"smile: (\d+) frames in, (\d+) analysed, dropped: (.*)", output)
    assert counts
    frames, analysed = int(counts[1]), int(counts[2])
    assert frames == analysed + sum(map(int, re.findall(r"\d+", counts[3])))


def test_open_pages_do_not_hold_up_the_end(config: Path, tmp_path: Path) -> None:
    """Two consoles listen to events while SIGTERM comes; their streams end in order."""
    process = start(config)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        url = next(found[1] for line in lines if (found := re.search(r"console at (http://\S+)", line)))
        with ExitStack() as pages:
            streams = [pages.enter_context(httpx.stream("GET", f"{url}api/events", timeout=30)) for _ in range(2)]
            received = [stream.iter_lines() for stream in streams]
            for lines_of_page in received:
                while not next(lines_of_page).startswith("data: "):
                    pass
            status = httpx.get(f"{url}api/status").json()
            asked_at = time.monotonic()
            process.send_signal(signal.SIGTERM)
            for lines_of_page in received:
                list(lines_of_page)
            output, _ = process.communicate(timeout=20)
            took_s = time.monotonic() - asked_at
    finally:
        process.kill()
    assert process.returncode == 0, output
    assert took_s < 5
    assert "Traceback" not in output
    assert status["purpose"] == "a test of the runtime on the built-in scene"


def test_a_console_that_is_switched_off_is_not_there(config: Path) -> None:
    config.write_text(config.read_text() + "console: {enabled: false}\n")
    process = start(config, "--for", "1s")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "console at" not in output


def test_a_port_that_is_taken_ends_the_run_before_it_begins(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(config.read_text() + f"console: {{port: {port}}}\n")
        process = start(config)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"127.0.0.1:{port}" in output
    assert "console.port" in output


def test_a_restart_goes_on_with_the_alert_that_fires(config: Path, tmp_path: Path) -> None:
    """Killed without warning while an alert fires: the next run ends that very alert, and nothing is doubled."""
    first = start(config)
    try:
        alert_id = wait_for(tmp_path, "firing")
    finally:
        first.kill()
        first.communicate()
    second = start(config)
    try:
        ends_at = time.monotonic() + START_S
        while (alert_id, "resolved") not in delivered(tmp_path) and time.monotonic() < ends_at:
            time.sleep(0.1)
    finally:
        second.send_signal(signal.SIGTERM)
        output, _ = second.communicate(timeout=20)
    rows = delivered(tmp_path)
    assert rows.count((alert_id, "firing")) == 1
    assert rows.count((alert_id, "resolved")) == 1, output
    assert len(rows) == len(set(rows))


def test_a_camera_that_is_not_there_is_said_and_does_not_end_the_run(config: Path, tmp_path: Path) -> None:
    text = config.read_text().replace("cameras:\n", "cameras:\n  gone: {url: /no/such/video.mp4}\n")
    config.write_text(text)
    process = start(config)
    try:
        wait_for(tmp_path, "firing")
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "not_found" in output
