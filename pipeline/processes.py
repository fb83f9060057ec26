"""A recording looked at by several processes: each has its share of the work, and says how far it is."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, TypeVar

from pipeline.logs import set_up

__all__ = ["in_processes", "prepare"]

Share = TypeVar("Share")
Result = TypeVar("Result")
Tell = Callable[[float], None]
"""Says how far a share is, in any unit."""

COLLECT_EVERY = 500_000
"""New objects between two collections of garbage: nearly everything is freed without one."""
LOOK_S = 0.2

_done: Any = None
"""In a process of the pool: the array of how far each share is."""


def in_processes(
    work: Callable[[Share, Tell], Result], shares: Sequence[Share], *, progress: Callable[[Sequence[float]], None]
) -> list[Result]:
    """`work(share, tell)` of every share, each in a process of its own; `progress` gets what all have told so far.

    `work` is a function of a module, and shares and results can be pickled. What it raises is raised here.
    """
    context = get_context("spawn")  # a fork would copy the threads of a progress bar in the middle of their work
    done = context.Array("d", len(shares))
    with ProcessPoolExecutor(len(shares), mp_context=context, initializer=_adopt, initargs=(done,)) as pool:
        futures = [pool.submit(_run, work, number, share) for number, share in enumerate(shares)]
        while wait(futures, timeout=LOOK_S).not_done:
            progress(done[:])
        return [future.result() for future in futures]


def prepare() -> None:
    """Make this process one that looks at recordings and does nothing else."""
    gc.set_threshold(COLLECT_EVERY)


def _adopt(done: object) -> None:
    global _done  # noqa: PLW0603  # what a pool hands to its processes has no other home
    _done = done
    set_up()
    prepare()


def _run(work: Callable[[Share, Tell], Result], number: int, share: Share) -> Result:
    logging.getLogger("connectors.recording").disabled = number > 0  # damage is told once, not by every process

    def tell(done: float) -> None:
        _done[number] = done

    return work(share, tell)
