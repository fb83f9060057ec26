"""A replay in a process of its own, which gives way to the analysis: what goes in, what comes out, and its start.

Nothing heavy is imported before the process is nice, and little memory is all that it gets: what goes wrong there, also
with rules that somebody wrote to that end, harms nobody else.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from operators.errors import MienError
from operators.rules import RuleSet

__all__ = ["Failed", "Job", "Progress", "main"]

NICE = 10
MOST_MEMORY = 4 << 30
"""Bytes that a replay may take."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to replay: a recording from `begin` to `end` (None: all of it), with the text of a rules file.

    Without a text it is with the rules in force. With one, its alerts are compared with those of the rules in force,
    else with those of the rules that the recording was made with. Timelines have so many `points` at most.
    """

    folder: Path
    in_force: RuleSet
    text: str | None = None
    begin: float | None = None
    end: float | None = None
    points: int = 400


@dataclass(frozen=True, slots=True)
class Progress:
    """How much is done, in [0, 1]."""

    share: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no result, in words for people."""

    message: str


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
