"""The store under kill -9 and with readers in other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.store import Store, StoreSettings
from tests.alerts import alert

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
from connectors.store import Store, StoreSettings
from tests.alerts import alert
store = Store(StoreSettings(path=Path(sys.argv[1])))
for number in range(int(sys.argv[2]), 1_000_000):
    store.append([alert(number)], {"last": str(number).encode()})
    print(number, flush=True)
"""
READER = """
import sys
from pathlib import Path
from connectors.store import Store, StoreSettings
store = Store(StoreSettings(path=Path(sys.argv[1])))
seen = 0
while seen < int(sys.argv[2]):
    for position, alert in store.after(seen, 7):
        assert position == seen + 1, (position, seen)
        assert alert.alert_id == f"alert-{seen:05d}", alert.alert_id
        seen = position
    assert int(store.states().get("last", b"-1")) >= seen - 1
print(seen)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_no_acknowledged_append_is_lost_or_doubled_by_kill_9(tmp_path):
    path = tmp_path / "mien.sqlite"
    first = 0
    for acknowledgements in (1, 13, 40):
        with start(WRITER, path, max(0, first - 5)) as writer:  # a replay starts a little before the cut
            assert writer.stdout is not None
            for _ in range(acknowledgements):
                acknowledged = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            rest = writer.stdout.read().split()
            acknowledged = int(rest[-1]) if rest else acknowledged
        store = Store(StoreSettings(path=path))
        numbers = [int(found.alert_id[-5:]) for _, found in store.after(0, 1_000_000)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= acknowledged + 1
        assert int(store.states()["last"]) >= acknowledged
        store.close()
        first = len(numbers)


def test_other_processes_read_while_one_writes(tmp_path):
    path = tmp_path / "mien.sqlite"
    store = Store(StoreSettings(path=path))
    readers = [start(READER, path, 60) for _ in range(2)]
    for number in range(60):
        store.append([alert(number)], {"last": str(number).encode()})
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert (out.strip(), err) == ("60", "")
    store.close()
