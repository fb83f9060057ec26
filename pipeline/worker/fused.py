"""Capture and analysis in one process: frames never leave it, and only observations go to Kafka.

This takes the place of the frames topic in `mien capture`: cameras are shared out in the same way, but a frame goes to
the newest-frame slot of its camera, as in `mien run`, and from there through the networks.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from connectors.kafka_observations import ObservationProducer
from connectors.kafka_producer import STOPPED, SendStatus
from connectors.kafka_topics import FRAMES, OBSERVATIONS
from connectors.mailbox import Mailbox
from operators.analyze import CameraState
from operators.records import Frame, Gap
from operators.rules import bridged
from pipeline.build import build_analyzer, build_evaluator
from pipeline.capture import capture
from pipeline.config import Settings
from pipeline.evaluation import in_order
from pipeline.recorder import Recorder
from pipeline.reload import LOOK_EVERY_S, RulesWatch
from pipeline.status import Status
from pipeline.topics import kafka_of

__all__ = ["FUSED", "Analysis", "run"]

log = logging.getLogger(__name__)

FUSED = "capture+analyze"
"""The role, as it is written."""
WAIT_S = 0.25


def run(settings: Settings, *, config: Path | None = None) -> Status:
    """Capture and analyse until SIGINT / SIGTERM comes; returns the last status. Raises as `capture` does.

    The frames topic must be there, since cameras are shared out by its partitions, but nothing is written to it.
    """

    def outlet(recorder: Recorder) -> Analysis:
        return Analysis(settings, recorder=recorder, config=config)

    return capture(settings, outlet=outlet, needs=(FRAMES, OBSERVATIONS), role=FUSED)


@dataclass(slots=True)
class _Slot:
    """One camera: its newest frame, and what became of the others."""

    mailbox: Mailbox | None = None
    taken: int = 0
    sent: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    in_hand: int = 0


class Analysis:
    """Takes what capture has, as `FrameProducer` does; a context manager. Safe to use from any thread.

    With `config`, the file that the settings are from, rules that change there decide where records go.
    """

    def __init__(self, settings: Settings, *, recorder: Recorder, config: Path | None = None) -> None:
        self._settings = settings
        self._recorder = recorder
        self._slots = {name: _Slot() for name in settings.cameras}
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._evaluator = build_evaluator(settings)
        self._watch = None if config is None else RulesWatch(config, settings)
        self._states: dict[str, CameraState] = {}
        self._given_up: set[str] = set()
        self._producer = ObservationProducer(kafka_of(settings), settings.cameras)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="detect")
        self._analyzer = build_analyzer(settings, stage=recorder.stage, each=self._pool.map)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="analysis")
        self._loops = [self._threads.submit(self._run)]
        if self._watch is not None:
            self._loops.append(self._threads.submit(self._follow, self._watch))

    def put(self, item: Frame | Gap) -> None:
        """Take a frame or a gap; in time order for each camera. Never waits. Raises what ended the analysis."""
        for loop in self._loops:
            if loop.done():
                loop.result()
        with self._news:
            slot = self._slots[item.camera_id]
            if slot.mailbox is None:
                slot.mailbox = self._mailbox(item)
            if isinstance(item, Frame):
                slot.taken += 1
                slot.mailbox.put(item)
            else:
                slot.mailbox.miss(item.reason, item.to_ts, lost=item.frames)
            self._news.notify()

    def give_up(self, camera_id: str) -> None:
        """This camera is somebody else's now: what waits of it is dropped, and its tracks are forgotten."""
        with self._news:
            slot = self._slots[camera_id]
            if slot.mailbox is not None:
                slot.drops += slot.mailbox.dropped
                slot.drops[STOPPED] += slot.mailbox.waiting
                slot.mailbox = None
            self._given_up.add(camera_id)

    def status(self) -> dict[str, SendStatus]:
        """What became of the frames of every camera."""
        with self._news:
            return {name: _status(slot) for name, slot in self._slots.items()}

    @property
    def quality(self) -> int:
        """Of the pictures, in percent: they are analysed as they are."""
        return 100

    @property
    def away(self) -> str:
        """Why the brokers take nothing now, or empty."""
        return self._producer.away

    def close(self, *, within_s: float = 3.0) -> None:
        """Finish the frames in hand, as long as that takes no longer."""
        self._stop.set()
        wait(self._loops, within_s)
        self._producer.close()
        for threads in (self._threads, self._pool):
            threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mailbox(self, first: Frame | Gap) -> Mailbox:
        start_ts = first.ts if isinstance(first, Frame) else first.from_ts
        fps = self._settings.cameras[first.camera_id].fps
        return Mailbox(first.camera_id, start_ts=start_ts, bridged_s=bridged(1 / fps))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._round(self._take())

    def _take(self) -> list[Frame | Gap]:
        """What is new: at most one frame of each camera, in its time order."""
        with self._news:
            self._news.wait_for(lambda: any(slot.mailbox for slot in self._slots.values()), WAIT_S)
            for name in self._given_up:
                self._states.pop(name, None)
            self._given_up.clear()
            items: list[Frame | Gap] = []
            for slot in self._slots.values():
                if slot.mailbox:
                    taken = slot.mailbox.take()
                    slot.in_hand = sum(isinstance(item, Frame) for item in taken)
                    items += taken
            return items

    def _round(self, items: list[Frame | Gap]) -> None:
        frames = [item for item in items if isinstance(item, Frame)]
        states, observations = self._analyzer.step(self._states, frames)
        self._states = dict(states)
        with self._recorder.stage("send"):
            done = self._producer.send(in_order(items, observations), self._evaluator.partitions, stop=self._stop)
        with self._news:
            for slot in self._slots.values():
                if done:
                    slot.sent += slot.in_hand
                else:
                    slot.drops[STOPPED] += slot.in_hand
                slot.in_hand = 0

    def _follow(self, watch: RulesWatch) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self._evaluator = watch.look() or self._evaluator


def _status(slot: _Slot) -> SendStatus:
    mailbox = slot.mailbox
    waiting = slot.in_hand + (0 if mailbox is None else mailbox.waiting)
    drops = slot.drops + (Counter() if mailbox is None else mailbox.dropped)
    return SendStatus(slot.taken, slot.sent, waiting, drops=dict(drops))
