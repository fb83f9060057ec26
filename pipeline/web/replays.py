"""Replays: rules over a recording, in a process of its own, one at a time."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import Field

from pipeline.web.answers import Answer, ProblemAnswer
from pipeline.web.recordings import folders
from pipeline.web.replay_job import Failed, Job, Progress
from pipeline.web.replay_process import main
from pipeline.web.replay_work import Result
from pipeline.web.sources import From

__all__ = ["Replays", "router"]

router = APIRouter(prefix="/api/replays", tags=["replay"])

KEPT = 5
"""Replays whose results are remembered."""
LOOK_S = 0.2
LATEST = 1e11
LONGEST_RULES = 60_000

UNKNOWN: dict[int | str, dict[str, object]] = {
    404: {"model": ProblemAnswer, "description": "There is no such recording, or replay."}
}
State = Literal["running", "done", "failed", "cancelled"]
ReplayId = Annotated[str, Path(max_length=64, examples=["5b1f0c7be2a94d10"])]
Time = Annotated[float | None, Field(ge=0, le=LATEST, allow_inf_nan=False)]


@dataclass(slots=True)
class Replay:
    """One replay, as far as it is. Written by the thread that watches it, read by any."""

    replay_id: str
    recording: str
    begun: float
    state: State = "running"
    progress: float = 0.0
    error: str = ""
    result: Result = field(default_factory=Result)
    cancelled: threading.Event = field(default_factory=threading.Event)


class Replays:
    """The last replays, of which one may run; `closing` ends it."""

    def __init__(self, closing: threading.Event) -> None:
        self._closing = closing
        self._lock = threading.Lock()
        self._kept: dict[str, Replay] = {}

    def all(self) -> list[Replay]:
        """Those that are remembered, the newest first."""
        return list(reversed(list(self._kept.values())))

    def of(self, replay_id: str) -> Replay | None:
        """One of them, or None."""
        return self._kept.get(replay_id)

    def start(self, name: str, job: Job) -> Replay | None:
        """Begin to replay the recording of that name; None while another one runs."""
        with self._lock:
            if any(replay.state == "running" for replay in self._kept.values()):
                return None
            replay = Replay(secrets.token_hex(8), name, time.time())
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[replay.replay_id] = replay
        threading.Thread(target=self._watch, args=(replay, job), name="replay", daemon=True).start()
        return replay

    def _watch(self, replay: Replay, job: Job) -> None:
        """See a replay to its end, whatever that is: the next one waits for it."""
        try:
            self._run(replay, job)
        except OSError as error:  # no process or pipe to be had, or one cut off in the middle of what it told
            replay.error, replay.state = f"its process can't be run: {error}", "failed"

    def _run(self, replay: Replay, job: Job) -> None:
        """Run the process and take in what it tells, until it has ended."""
        context = get_context("spawn")  # a fork would copy the threads of the pipeline
        results, to_parent = context.Pipe(duplex=False)
        with results:
            with to_parent:
                process = context.Process(target=main, args=(job, to_parent), name="replay", daemon=True)
                process.start()
            while replay.state == "running":
                self._listen(replay, results, process)
        process.join()

    def _listen(self, replay: Replay, results: Connection[Any, Any], process: BaseProcess) -> None:
        if replay.cancelled.is_set() or self._closing.is_set():
            process.kill()
            replay.state = "cancelled"
        elif results.poll(LOOK_S):
            try:
                _told(replay, results.recv())
            except EOFError:
                process.join()
                replay.error, replay.state = f"its process ended early (exit code {process.exitcode})", "failed"


class Wish(Answer):
    """What to replay."""

    recording: Annotated[str, Field(max_length=255, examples=["monday"])]
    """As in `name` of `GET /api/recordings`."""
    from_: Annotated[Time, Field(alias="from")] = None
    """null for its beginning."""
    to: Time = None
    """null for its end."""
    rules: Annotated[
        str | None, Field(max_length=LONGEST_RULES, examples=["rules: [{id: glad, when: happiness >= 0.6}]"])
    ] = None
    """The text of a rules file; without it, the rules in force."""


class Begun(Answer):
    """A replay that runs now."""

    replay_id: str


class Summary(Answer):
    """How far a replay is."""

    replay_id: str
    recording: str
    begun: float
    state: State
    progress: float
    """In [0, 1]."""
    error: str
    """Why it failed, or empty: of rules, every mistake with its line."""


class ReplayNow(Summary, Result):
    """A replay and, once it is done, what came of it."""


@router.get("")
def replays(request: Request) -> list[Summary]:
    """The last five replays, the newest first."""
    return [_summary(replay) for replay in _replays(request).all()]


@router.post(
    "", status_code=202, responses={**UNKNOWN, 409: {"model": ProblemAnswer, "description": "Another one runs."}}
)
def start(sources: From, request: Request, body: Wish) -> Begun:
    """Evaluate rules over a recording, beside the analysis and with what it leaves of the processor. One at a time."""
    folder = folders(sources.settings.console.recordings).get(body.recording)
    if folder is None:
        raise HTTPException(404, "there is no such recording: see /api/recordings, and console.recordings")
    job = Job(folder, sources.ruleset, text=body.rules, begin=body.from_, end=body.to)
    replay = _replays(request).start(body.recording, job)
    if replay is None:
        raise HTTPException(409, "another replay runs: wait for it, or cancel it")
    return Begun(replay_id=replay.replay_id)


@router.get("/{replay_id}", responses=UNKNOWN)
def replay(request: Request, replay_id: ReplayId) -> ReplayNow:
    """How far a replay is, and once it is done, what came of it."""
    return _now(_known(request, replay_id))


@router.delete("/{replay_id}", responses=UNKNOWN)
def cancel(request: Request, replay_id: ReplayId) -> Summary:
    """End a replay that runs; one that is done stays as it is."""
    found = _known(request, replay_id)
    found.cancelled.set()
    return _summary(found)


def _replays(request: Request) -> Replays:
    found = request.app.state.replays
    assert isinstance(found, Replays)  # noqa: S101 -- `create_app` puts it there
    return found


def _known(request: Request, replay_id: str) -> Replay:
    found = _replays(request).of(replay_id)
    if found is None:
        raise HTTPException(404, f"there is no such replay, or {KEPT} newer ones")
    return found


def _summary(replay: Replay) -> Summary:
    return Summary.model_validate(replay, from_attributes=True)


def _now(replay: Replay) -> ReplayNow:
    return ReplayNow(**dict(_summary(replay)), **dict(replay.result))


def _told(replay: Replay, told: Progress | Failed | Result) -> None:
    match told:
        case Progress(share):
            replay.progress = share
        case Failed(message):
            replay.error, replay.state = message, "failed"
        case Result():
            replay.result, replay.progress, replay.state = told, 1.0, "done"
