"""`analyze`: frames in, observations out. The networks run in threads, over the frames of many cameras at once.

What is remembered of a camera (its tracks) lives in this process only: a restart, or a camera that moves to another
worker, begins new tracks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
from faust.types import AppT

from connectors.camera import State
from connectors.capture import CaptureStatus
from connectors.kafka_frames import FrameHead, decode_frame, decode_head
from connectors.kafka_records import Record, encode_record
from connectors.kafka_topics import OBSERVATIONS, partition_of
from connectors.mailbox import joined
from operators.analyze import CameraState
from operators.errors import DecodeError
from operators.records import Clock, Frame, Gap, GapReason, Observation
from operators.rules import RuleEvaluator
from pipeline.build import build_analyzer
from pipeline.config import Settings
from pipeline.recorder import Recorder
from pipeline.status import CameraStatus, Status
from pipeline.topics import kafka_of
from pipeline.worker.app import Event, make_topic
from pipeline.worker.freshness import Freshness
from pipeline.worker.intake import Batch
from pipeline.worker.letters import DeadLetters
from pipeline.worker.progress import Progress

__all__ = ["LIMIT", "Analyze"]

log = logging.getLogger(__name__)

LIMIT = 16
"""Most frames in one batch: more are no faster, and their cameras wait for each other."""

Bad = list[tuple[Event, str]]
"""Events for the dead letters, and why."""


@dataclass(slots=True)
class _Seen:
    """What became of a batch: records in the order of the frames."""

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
        self._count = kafka.partitions
        self._topic = make_topic(app, kafka.topic(OBSERVATIONS))
        self._letters = DeadLetters(app, kafka, progress)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="detect")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="analysis")
        self._analyzer = build_analyzer(settings, stage=recorder.stage, each=self._pool.map)
        self._states: Mapping[str, CameraState] = {}
        self._epochs: dict[str, int] = {}
        self._freshness = Freshness(settings.worker.skip_older_than)
        self._frames: dict[str, int] = {}
        """Frames that came since the start, by camera."""

    async def restore(self) -> None:
        """The cameras may be others now, or some of their frames were another worker's: begin new tracks."""
        self._states = {}
        self._epochs.clear()
        self._freshness.forget()

    async def reload(self, evaluator: RuleEvaluator) -> None:
        """Other rules may want the records in other rule partitions."""
        self._evaluator = evaluator

    def describe(self, status: Status) -> Status:
        """The status with the cameras whose frames come to this worker."""
        ours = {partition for _, partition in list(self._progress.positions)}
        cameras = [name for name in list(self._frames) if partition_of(name, self._count, self._cameras) in ours]
        return replace(status, cameras=tuple(self._camera_status(name) for name in sorted(cameras)))

    async def work(self, batch: Batch) -> None:
        """Analyse a batch of frames, and wait until the brokers have what was seen."""
        newest = [event.message.offset + 1 >= self._app.consumer.highwater(event.message.tp) for event in batch]
        loop = asyncio.get_running_loop()
        seen = await loop.run_in_executor(self._thread, self._look, batch, newest)
        for event, reason in seen.bad:
            await self._letters.bury(event, reason)
        with self._recorder.stage("send"):
            await self._send(seen.records)
        for record in seen.records:
            if isinstance(record, Observation):
                self._recorder.decided(record, None if record.clock is Clock.MEDIA else time.time() - record.ts)

    def close(self) -> None:
        """End the threads."""
        self._thread.shutdown(cancel_futures=True)
        self._pool.shutdown(cancel_futures=True)

    def _camera_status(self, camera_id: str) -> CameraStatus:
        frames, skipped = self._frames[camera_id], self._freshness.skipped.get(camera_id, 0)
        drops = {GapReason.OVERLOAD.value: skipped} if skipped else {}
        capture = CaptureStatus(camera_id, State.LIVE, frames=frames, delivered=frames - skipped, drops=drops)
        return self._recorder.camera_status(camera_id, capture, late=0)

    def _look(self, batch: Batch, newest: Sequence[bool]) -> _Seen:
        bad: Bad = []
        with self._recorder.stage("decode"):
            decoded = list(self._pool.map(self._decode, batch, newest))
        items: list[tuple[Event, Frame | Gap]] = []
        for event, found in zip(batch, decoded, strict=True):
            if isinstance(found, str):
                bad.append((event, found))
            else:
                items.append((event, self._placed(found)))
        observations = self._analyse([(event, item) for event, item in items if isinstance(item, Frame)], bad)
        records = [observations.get(id(event)) if isinstance(item, Frame) else item for event, item in items]
        return _Seen(_merged([record for record in records if record is not None]), bad)

    def _decode(self, event: Event, newest: bool) -> Frame | Gap | FrameHead | str:  # noqa: FBT001 -- called by map
        """A frame, a gap, the head of a frame that is stale, or why it is none of these."""
        data = bytes(event.message.value or b"")
        try:
            head = decode_head(data)
            if isinstance(head, FrameHead) and self._freshness.is_stale(event.message.timestamp, newest=newest):
                return head
            return decode_frame(data)
        except DecodeError as error:
            return str(error)

    def _placed(self, found: Frame | Gap | FrameHead) -> Frame | Gap:
        """Count it, and tell a stale frame as a gap."""
        if isinstance(found, Gap):
            self._freshness.tell(found.camera_id, found.to_ts)
            return found
        camera = found.camera_id
        self._frames[camera] = self._frames.get(camera, 0) + 1
        if isinstance(found, FrameHead):
            return self._freshness.skip(found)
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
        try:
            return self._step(frames)
        except Exception:  # the dead-letter boundary: find the one that must not stop the others
            if len(frames) < 2:
                raise
            log.exception("a batch can't be analysed frames=%d: one by one", len(frames))
        found: dict[int, Observation] = {}
        failed: Bad = []
        last: Exception | None = None
        for one in frames:
            try:
                found |= self._step([one])
            except Exception as error:  # noqa: BLE001 -- the same boundary
                failed.append((one[0], f"{type(error).__name__}: {error}"))
                last = error
        if last is not None and not found:
            raise last
        bad += failed
        return found

    def _step(self, frames: Sequence[tuple[Event, Frame]]) -> dict[int, Observation]:
        self._states, observations = self._analyzer.step(self._states, [frame for _, frame in frames])
        return {id(event): one for (event, _), one in zip(frames, observations, strict=True)}

    async def _send(self, records: Sequence[Record]) -> None:
        sent = []
        for record in records:
            body = encode_record(record)
            for key in self._evaluator.partitions(record.camera_id):
                partition = partition_of(key, self._count, self._cameras)
                sent.append(await self._topic.send(key=key.encode(), value=body, partition=partition))
        await asyncio.gather(*sent)


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
