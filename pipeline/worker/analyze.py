"""`analyze`: frames in, observations out. The networks run in threads, over the frames of many cameras at once.

What is remembered of a camera (its tracks) lives in this process only: a restart, or a camera that moves to another
worker, begins new tracks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
from faust.types import TP, AppT, RecordMetadata

from connectors.capture import CaptureStatus
from connectors.kafka_frames import FrameHead, decode_frame, decode_head
from connectors.kafka_records import Record, encode_record
from connectors.kafka_topics import OBSERVATIONS, partition_of
from connectors.mailbox import joined
from operators.analyze import CameraState
from operators.errors import DecodeError
from operators.records import Clock, Frame, Gap, GapReason, Observation
from operators.rules import RuleEvaluator
from pipeline.boundary import attempt, told
from pipeline.build import build_analyzer
from pipeline.config import Settings
from pipeline.recorder import Recorder
from pipeline.status import CameraStatus, Status
from pipeline.topics import kafka_of
from pipeline.worker.app import Event, make_topic
from pipeline.worker.freshness import Freshness, Waiting
from pipeline.worker.intake import Batch
from pipeline.worker.letters import DeadLetters
from pipeline.worker.progress import Partition, Progress
from pipeline.worker.silence import Silence

__all__ = ["LIMIT", "Analyze"]

log = logging.getLogger(__name__)

LIMIT = 256
"""Most pictures in hand, among which the newest are chosen: up to 30 MB of JPEG in 1080p."""
ROUND = 8
"""Most pictures that the networks do at once: more are no faster, and their cameras wait for each other."""

Found = FrameHead | Frame | Gap
Sent = list[Awaitable[RecordMetadata]]
Bad = list[tuple[Event, str]]
"""Events for the dead letters, and why."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A record in hand; `wanted` is a picture to be looked at."""

    event: Event
    head: FrameHead | Gap
    wanted: bool = False


@dataclass(slots=True)
class _Seen:
    """What became of some records: others in their order, and what can't be worked on."""

    records: list[Record]
    bad: Bad


class Analyze:
    """The analysis of the cameras whose frames are assigned to this worker."""

    def __init__(
        self, app: AppT, settings: Settings, evaluator: RuleEvaluator, *, recorder: Recorder, progress: Progress
    ) -> None:
        kafka = kafka_of(settings)
        cv2.setNumThreads(1)  # cores take whole frames
        self._app = app
        self._evaluator = evaluator
        self._recorder = recorder
        self._progress = progress
        self._cameras = frozenset(settings.cameras)
        self._active = settings.active_cameras
        self._count = kafka.partitions
        self._topic = make_topic(app, kafka.topic(OBSERVATIONS))
        self._letters = DeadLetters(app, kafka, progress)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="detect")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="analysis")
        self._analyzer = build_analyzer(settings, stage=recorder.stage, each=self._pool.map)
        self._states: Mapping[str, CameraState] = {}
        self._epochs: dict[str, int] = {}
        self._freshness = Freshness(settings.worker.skip_older_than)
        self._silence = Silence()
        self._frames: dict[str, int] = {}
        """Frames that came since the start, by camera."""

    async def restore(self) -> None:
        """The cameras may be others now, or some of their frames were another worker's: begin new tracks."""
        self._states = {}
        self._epochs.clear()
        self._freshness.forget()
        self._silence.begin(self._ours())

    async def reload(self, evaluator: RuleEvaluator) -> None:
        """Other rules may want the records in other rule partitions."""
        self._evaluator = evaluator

    def describe(self, status: Status) -> Status:
        """The status with the cameras whose frames come to this worker."""
        return replace(status, cameras=tuple(self._camera_status(name) for name in sorted(self._ours())))

    async def work(self, batch: Batch) -> None:
        """Analyse what is worth it, some frames at a time, and wait until the brokers have all that was seen."""
        run = asyncio.get_running_loop().run_in_executor
        items, seen = await run(self._thread, _heads, batch)
        records, sent = seen.records, await self._tell(seen)
        while items:
            chosen, items = self._choose(items)
            seen = await run(self._thread, self._look, chosen)
            records, sent = [*records, *seen.records], [*sent, *await self._tell(seen)]
        with self._recorder.stage("send"):
            await asyncio.gather(*sent)
        for record in records:
            if isinstance(record, Observation):
                self._recorder.decided(record, None if record.clock is Clock.MEDIA else time.time() - record.ts)

    async def watch(self) -> None:
        """Tell of the cameras of ours of which nothing comes and nothing waits: nobody captures them."""
        backlog = self._progress.backlog
        gaps = [self._silence.gap(name) for name in self._ours() if backlog.get(self._place(name)) == 0]
        silent = [gap for gap in gaps if gap is not None]
        for gap in silent:
            self._freshness.tell(gap.camera_id, gap.to_ts, seen=False)
        await asyncio.gather(*await self._send(silent))

    def close(self) -> None:
        """End the threads."""
        self._thread.shutdown(cancel_futures=True)
        self._pool.shutdown(cancel_futures=True)

    def _ours(self) -> list[str]:
        """The cameras whose frames come to this worker."""
        return [name for name in self._active if self._place(name) in self._progress.positions]

    def _place(self, camera_id: str) -> Partition:
        return self._progress.topic, partition_of(camera_id, self._count, self._cameras)

    def _camera_status(self, camera_id: str) -> CameraStatus:
        frames, skipped = self._frames.get(camera_id, 0), self._freshness.skipped.get(camera_id, 0)
        drops = {GapReason.OVERLOAD.value: skipped} if skipped else {}
        state = self._silence.state(camera_id)
        capture = CaptureStatus(camera_id, state, frames=frames, delivered=frames - skipped, drops=drops)
        return self._recorder.camera_status(camera_id, capture, late=0)

    def _choose(self, items: Sequence[_Item]) -> tuple[list[_Item], list[_Item]]:
        """The first of the records in hand, with some frames that are to be looked at, and the rest."""
        reach = {item.event.message.tp: item.event.message.offset for item in items}
        behind = {tp: self._waits_behind(tp, offset) for tp, offset in reach.items()}
        frames = [item for item in items if isinstance(item.head, FrameHead)]
        waiting = [
            Waiting(item.head.camera_id, item.event.message.timestamp, behind[item.event.message.tp]) for item in frames
        ]
        worth = {id(item) for item, one in zip(frames, self._freshness.worth(waiting), strict=True) if one}
        chosen: list[_Item] = []
        for number, item in enumerate(items):
            wanted = id(item) in worth
            if wanted and sum(one.wanted for one in chosen) == ROUND:
                return chosen, list(items[number:])
            chosen.append(replace(item, wanted=wanted))
        return chosen, []

    def _waits_behind(self, tp: TP, offset: int) -> bool:
        """Whether the brokers have more of a partition than is in hand."""
        ours = (tp.topic, tp.partition) in self._progress.positions
        return ours and offset + 1 < (self._app.consumer.highwater(tp) or 0)

    def _look(self, items: Sequence[_Item]) -> _Seen:
        """Decode and analyse the frames that are wanted; tell the others as gaps."""
        bad: Bad = []
        with self._recorder.stage("decode"):
            decoded = list(self._pool.map(_decoded, items))
        found: list[tuple[Event, Frame | Gap]] = []
        for item, one in zip(items, decoded, strict=True):
            if isinstance(one, str):
                bad.append((item.event, one))
            elif (placed := self._placed(one)) is not None:
                found.append((item.event, placed))
        observations = self._analyse([(event, one) for event, one in found if isinstance(one, Frame)], bad)
        records = [observations.get(id(event)) if isinstance(one, Frame) else one for event, one in found]
        return _Seen(_merged([record for record in records if record is not None]), bad)

    def _placed(self, found: Found) -> Frame | Gap | None:
        """Count it; a frame that is skipped may be told as a gap."""
        camera = found.camera_id
        fps = self._active[camera].fps if camera in self._active else 0.0
        if isinstance(found, Gap):
            self._silence.hear_gap(found, fps=fps)
            self._freshness.tell(camera, found.to_ts, seen=False)
            return found
        self._silence.hear(camera, found.ts, fps=fps, clock=found.clock)
        self._frames[camera] = self._frames.get(camera, 0) + 1
        if isinstance(found, FrameHead):
            return self._freshness.skip(found, fps=fps)
        self._freshness.tell(camera, found.ts)
        return replace(found, epoch=self._epoch(found))

    def _epoch(self, frame: Frame) -> int:
        """The epoch of the tracks: where they begin in the middle of the capture's, one of their own.

        Else the first track of this worker would have the id of the first track of the worker before it.
        """
        if frame.camera_id not in self._epochs:
            self._epochs[frame.camera_id] = frame.epoch if frame.seq == 0 else max(frame.epoch, _now_ms())
        return max(frame.epoch, self._epochs[frame.camera_id])

    def _analyse(self, frames: Sequence[tuple[Event, Frame]], bad: Bad) -> dict[int, Observation]:
        """The observations by the event of their frame. A picture that breaks a network goes to the dead letters.

        Raises what the networks raise when they can do none of them.
        """
        together = attempt(self._step, frames)
        if not isinstance(together, Exception):
            return together
        log.error("a batch can't be analysed frames=%d: one by one", len(frames), exc_info=together)
        found: dict[int, Observation] = {}
        failed: Bad = []
        for one in frames:
            alone = attempt(self._step, [one])
            if isinstance(alone, Exception):
                failed.append((one[0], told(alone)))
            else:
                found |= alone
        if not found:
            raise together
        bad += failed
        return found

    def _step(self, frames: Sequence[tuple[Event, Frame]]) -> dict[int, Observation]:
        self._states, observations = self._analyzer.step(self._states, [frame for _, frame in frames])
        return {id(event): one for (event, _), one in zip(frames, observations, strict=True)}

    async def _tell(self, seen: _Seen) -> Sent:
        """Bury what is bad, and send what was seen."""
        for event, reason in seen.bad:
            await self._letters.bury(event, reason)
        return await self._send(seen.records)

    async def _send(self, records: Sequence[Record]) -> Sent:
        """Send records in their order; what is returned is done when the brokers have them."""
        sent: Sent = []
        for record in records:
            body = encode_record(record)
            for key in self._evaluator.partitions(record.camera_id):
                partition = partition_of(key, self._count, self._cameras)
                sent.append(await self._topic.send(key=key.encode(), value=body, partition=partition))
        return sent


def _heads(batch: Batch) -> tuple[list[_Item], _Seen]:
    """The records of a batch by their heads, and those that have none."""
    items: list[_Item] = []
    bad: Bad = []
    for event in batch:
        try:
            items.append(_Item(event, decode_head(bytes(event.message.value or b""))))
        except DecodeError as error:
            bad.append((event, str(error)))
    return items, _Seen([], bad)


def _decoded(item: _Item) -> Found | str:
    """The picture if it is wanted, else what the head says; or why there is no picture."""
    if not item.wanted:
        return item.head
    try:
        return decode_frame(bytes(item.event.message.value or b""))
    except DecodeError as error:
        return str(error)


def _merged(records: Sequence[Record]) -> list[Record]:
    """The records, with neighbouring gaps of a camera as one."""
    merged: list[Record] = []
    open_gaps: dict[str, int] = {}
    for record in records:
        at = open_gaps.get(record.camera_id)
        before = merged[at] if at is not None else None
        if isinstance(record, Gap) and isinstance(before, Gap) and at is not None and before.reason is record.reason:
            merged[at] = joined(before, record)
            continue
        open_gaps.pop(record.camera_id, None)
        if isinstance(record, Gap):
            open_gaps[record.camera_id] = len(merged)
        merged.append(record)
    return merged


def _now_ms() -> int:
    return round(time.time() * 1000)
