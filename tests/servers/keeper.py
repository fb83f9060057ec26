"""Runs a server in the background until its owner has ended: keeper.py OWNER_PID FOLDER COMMAND...

Returns when the server is started. FOLDER/pid is there while it runs, FOLDER/log is what it says. When the owner is
gone, however it ended, the server is killed and FOLDER/data removed: no test run leaves a server or its data behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def main(owner: int, folder: Path, command: list[str]) -> None:
    """Keep the server; nobody waits for this process."""
    started, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os.read(started, 1)
        os._exit(0)
    os.setsid()  # a Ctrl-C is for the owner
    pid = folder / "pid"
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    half = folder / "pid.part"
    half.write_text(str(server.pid))
    half.rename(pid)
    os.close(tell)
    while alive(owner):
        try:
            server.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    else:
        server.kill()
        server.wait()
        shutil.rmtree(folder / "data", ignore_errors=True)
    pid.unlink()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
