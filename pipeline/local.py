"""The local runtime: cameras, models, rules and sinks on one machine, without a broker.

    capture processes -> newest frame of each camera -> analysis -> journal (SQLite) -> one thread per sink

Everything between is bounded: a slow analysis replaces frames by newer ones (counted), a slow sink lags behind the
journal on disk. An alert is in the journal, in one transaction with the rule state, before any sink sees it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2

from connectors.capture import Captures
from connectors.sink import NOTIFIED
from connectors.store import Store
from operators.analyze import CameraState
from operators.records import Alert, Clock, Frame, Gap, Observation
from operators.rules import RuleEvaluator
from pipeline.build import build_analyzer, build_evaluator, build_sinks
from pipeline.config import Settings
from pipeline.delivery import Delivery
from pipeline.evaluation import Evaluation, in_order
from pipeline.metrics import Metrics
from pipeline.recorder import Recorder
from pipeline.reload import LOOK_EVERY_S, RulesWatch
from pipeline.sections import Camera
from pipeline.status import CameraStatus, RulesStatus, Status

__all__ = ["LocalPipeline", "Tape"]

log = logging.getLogger(__name__)

Tape = Callable[[Sequence[Frame | Gap], Sequence[Observation]], None]
"""Given what was captured, in order, and what was seen in its frames; from any thread, one call at a time."""

POLL_S = 0.25
"""How long the analysis waits for a frame, and the screen between two pictures."""
SAVE_EVERY_S = 1.0
"""Rule state is saved with every transition, and this often in between."""
SHOWN_ALERTS = 50
"""Latest transitions that a status holds: so many that were notified, and so many pending and broken ones."""


class LocalPipeline:
    """The running parts of one machine: `with LocalPipeline(settings) as pipeline: pipeline.status()`.

    `tape` gets everything that the rules get, just after them, with its pictures. With `config`, the file that the
    settings are from, rules that change there are applied while it runs. `analyzer`, `store` and `evaluation` are its
    own: may be looked at from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        metrics: Metrics | None = None,
        tape: Tape | None = None,
        config: Path | None = None,
    ) -> None:
        self.recorder = Recorder(metrics)
        self._metrics = metrics
        self._tape = tape
        self._settings = settings
        self._stopping = threading.Event()
        self._started = time.monotonic()
        cv2.setNumThreads(1)  # cores take whole frames; waking a pool for a crop of 40 pixels costs more than it saves
        with ExitStack() as parts:
            self._workers = parts.enter_context(ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="detect"))
            self.analyzer = build_analyzer(settings, stage=self.recorder.stage, each=self._workers.map)
            self.store = Store(settings.store)
            parts.callback(self.store.close)
            self.store.claim()
            self._delivery = Delivery(self.store, build_sinks(settings))
            evaluator = build_evaluator(settings)
            self.evaluation = Evaluation(evaluator, self.store.states())
            self._lanes = [Captures(cameras) for cameras in _lanes(settings.active_cameras)]
            self._parts = parts.pop_all()
        self._rules = threading.Lock()
        self._watch = None if config is None else RulesWatch(config, settings)
        self._look = threading.Event()
        self._in_force = _in_force(evaluator)
        self._saved_at = 0.0
        self._notified: deque[Alert] = deque(maxlen=SHOWN_ALERTS)
        self._waited: deque[Alert] = deque(maxlen=SHOWN_ALERTS)
        self._analysis = ThreadPoolExecutor(len(self._lanes) + 1, thread_name_prefix="analysis")
        self._loops: list[Future[None]] = []
        self._last: Status | None = None

    def __enter__(self) -> LocalPipeline:
        self._delivery.start()
        self._commit(self.evaluation.abandoned(self.store.firing()))
        for lane in self._lanes:
            lane.start()
            self._loops.append(self._analysis.submit(self._analyse, lane))
        if self._watch is not None:
            self._loops.append(self._analysis.submit(self._follow, self._watch))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop capture, finish what was taken, save rule state and alerts, give the sinks a last chance."""
        with self._parts:
            self._stopping.set()
            self._look.set()
            with ThreadPoolExecutor(len(self._lanes)) as stops:
                list(stops.map(Captures.stop, self._lanes))
            self._analysis.shutdown()
            try:
                self._save()
            finally:
                self._delivery.stop(1.0)
                self._last = self.status()
        if kind is None:
            self._raise_ended()

    def finished(self) -> bool:
        """Whether all sources came to their end; raises what stopped the analysis, if something did."""
        self._raise_ended()
        return all(lane.finished for lane in self._lanes)

    def reload(self) -> None:
        """Read the rules again now, changed or not."""
        self._look.set()

    def status(self) -> Status:
        """What the pipeline can say about itself now, or at its end; cheap enough to ask several times a second."""
        return self._last or Status(
            uptime_s=time.monotonic() - self._started,
            cameras=tuple(self._camera_status()),
            alerts=tuple(sorted((*self._notified, *self._waited), key=lambda alert: (alert.ts, alert.seq))),
            firing=self.evaluation.firing(),
            sinks=self._delivery.status(),
            store=str(self._settings.store.path),
            store_error=self._delivery.error,
            rules=self._rules_status(),
        )

    def _raise_ended(self) -> None:
        for loop in self._loops:
            if loop.done():
                loop.result()

    def _analyse(self, lane: Captures) -> None:
        with self._rules:  # what a run with other rules or cameras left behind ends
            self._commit(self.evaluation.reload(self.evaluation.evaluator))
        states: Mapping[str, CameraState] = {}
        while not (self._stopping.is_set() or lane.finished):
            items = lane.take(len(self._settings.cameras), POLL_S)
            states, observations = self.analyzer.step(states, [item for item in items if isinstance(item, Frame)])
            with self._rules:
                self._conclude(items, observations)

    def _follow(self, watch: RulesWatch) -> None:
        """Apply the rules that change on the disk, between two rounds of the analysis."""
        while True:
            asked = self._look.wait(LOOK_EVERY_S)
            if self._stopping.is_set():
                return
            self._look.clear()
            evaluator = watch.look(now=asked)
            if evaluator is None:
                continue
            with self._rules:
                self._commit(self.evaluation.reload(evaluator))
            self._in_force = replace(_in_force(evaluator), reloads=self._in_force.reloads + 1)
            log.info("rules are applied version=%s rules=%d", self._in_force.version, len(self._in_force.rules))

    def _conclude(self, items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> None:
        with self.recorder.stage("rules"):
            alerts = self.evaluation.feed(in_order(items, observations))
        for observation in observations:
            self.recorder.decided(observation, _age(observation))
        self._commit(alerts)
        if self._tape is not None:
            self._tape(items, observations)

    def _commit(self, alerts: Sequence[Alert]) -> None:
        """Journal transitions with the rule state they left; between transitions the state alone, now and then."""
        self._notified.extend(alert for alert in alerts if alert.status in NOTIFIED)
        self._waited.extend(alert for alert in alerts if alert.status not in NOTIFIED)
        now = time.monotonic()
        if alerts or now - self._saved_at >= SAVE_EVERY_S:
            self._saved_at = now
            with self.recorder.stage("journal"):
                self._delivery.accept(alerts, self.evaluation.changed())
        for alert in alerts:
            self.recorder.alerted(alert)

    def _save(self) -> None:
        """Save the last rule state; not after an error, where it may be ahead of the alerts that went with it."""
        if self._loops and all(loop.exception() is None for loop in self._loops):
            self._delivery.accept((), self.evaluation.changed())

    def _rules_status(self) -> RulesStatus:
        watch = self._watch
        return self._in_force if watch is None else replace(self._in_force, refused=watch.refused, error=watch.error)

    def _camera_status(self) -> Iterator[CameraStatus]:
        captured = {camera_id: capture for lane in self._lanes for camera_id, capture in lane.status().items()}
        for camera_id in self._settings.active_cameras:  # in the order of the configuration
            yield self.recorder.camera_status(camera_id, captured[camera_id], late=self.evaluation.late(camera_id))


def _in_force(evaluator: RuleEvaluator) -> RulesStatus:
    return RulesStatus(evaluator.ruleset.version, evaluator.ruleset.rules)


def _lanes(cameras: Mapping[str, Camera]) -> list[dict[str, Camera]]:
    """The cameras that are analysed in one round: it lasts as long as its slowest, so far ones have their own."""
    details = {camera.detail for camera in cameras.values()}
    return [{name: one for name, one in cameras.items() if one.detail == detail} for detail in sorted(details)]


def _age(observation: Observation) -> float | None:
    return None if observation.clock is Clock.MEDIA else time.time() - observation.ts
