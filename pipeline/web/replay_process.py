"""A replay in a process of its own, which gives way to the analysis.

Nothing heavy is imported before the process is nice, and little memory is all that it gets: what goes wrong there, also
with rules that somebody wrote to that end, harms nobody else.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from operators.errors import MienError
from pipeline.web.replay_job import Failed, Job, Progress

__all__ = ["main"]

NICE = 10
MOST_MEMORY = 4 << 30
"""Bytes that a replay may take."""


def main(job: Job, results: Connection[Any, Any], most_memory: int = MOST_MEMORY) -> None:
    """Do the job and send `Progress`, then a `replay_work.Result` or `Failed`; `most_memory` is in bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for mien, which ends this process
    os.nice(NICE)
    logging.disable()  # the terminal belongs to mien
    from pipeline.web.replay_work import replayed  # noqa: PLC0415 -- see the module

    resource.setrlimit(resource.RLIMIT_DATA, (most_memory, most_memory))
    with suppress(BrokenPipeError):  # nobody waits for it any more
        try:
            results.send(replayed(job, lambda share: results.send(Progress(share))))
        except MienError as error:
            results.send(Failed(str(error)))
        except (MemoryError, RecursionError):
            results.send(Failed(f"it needs more than {most_memory >> 20} MiB: choose a shorter time, or simpler rules"))
