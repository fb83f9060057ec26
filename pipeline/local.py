"""The local runtime: cameras, models, rules and sinks on one machine, without a broker.

    capture processes -> newest frame of each camera -> analysis -> journal (SQLite) -> one thread per sink

Everything between is bounded: a slow analysis replaces frames by newer ones (counted), a slow sink lags behind the
journal on disk. An alert is in the journal, in one transaction with the rule state, before any sink sees it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import cv2

from connectors.capture import Captures
from connectors.sink import NOTIFIED
from connectors.store import Store
from operators.analyze import CameraState
from operators.records import Alert, Clock, Frame, Gap, Observation
from operators.rules import RuleEvaluator
from pipeline.build import build_analyzer, build_console, build_evaluator, build_sinks, build_telemetry
from pipeline.config import Settings
from pipeline.delivery import Delivery
from pipeline.evaluation import Evaluation, Record
from pipeline.metrics import Metrics
from pipeline.recorder import Recorder
from pipeline.reload import LOOK_EVERY_S, RulesWatch
from pipeline.sections import Camera
from pipeline.status import CameraStatus, RulesStatus, Status
from pipeline.view import View, restore_terminal

__all__ = ["LocalPipeline", "Tape", "in_order", "run"]

log = logging.getLogger(__name__)

Tape = Callable[[Sequence[Frame | Gap], Sequence[Observation]], None]
"""Given what was captured, in order, and what was seen in its frames; from any thread, one call at a time."""

POLL_S = 0.25
"""How long the analysis waits for a frame, and the screen between two pictures."""
SAVE_EVERY_S = 1.0
"""Rule state is saved with every transition, and this often in between."""
STOP_S = 4.5
"""SIGTERM ends within 5 s: what hasn't stopped by then is cut off, and the journal is whole at any moment."""
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


def in_order(items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> Iterator[Record]:
    """The items with each frame replaced by what was seen in it."""
    seen = iter(observations)
    for item in items:
        yield next(seen) if isinstance(item, Frame) else item


def _age(observation: Observation) -> float | None:
    return None if observation.clock is Clock.MEDIA else time.time() - observation.ts


def _records_for(observe: Callable[[Iterator[Record]], None]) -> Tape:
    """A tape that hands on what the rules get."""
    return lambda items, observations: observe(in_order(items, observations))


def _all(tapes: Sequence[Tape]) -> Tape | None:
    """One tape for what several want to have."""
    if not tapes:
        return None

    def each(items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> None:
        for tape in tapes:
            tape(items, observations)

    return each


def _cut_off() -> None:
    restore_terminal()
    log.error("stopping took longer than limit_s=%.1f: cut off", STOP_S)
    os._exit(1)


def run(
    settings: Settings,
    *,
    seconds: float | None = None,
    plain: bool = False,
    tape: Tape | None = None,
    config: Path | None = None,
) -> Status:
    """Run until the time is up, the sources end, or SIGINT / SIGTERM comes; returns the last status.

    With `config`, the file that the settings are from, its rules are applied when they change, or at SIGHUP.
    """
    stop, hang_up = threading.Event(), threading.Event()
    metrics = Metrics(provider=settings.models.device)
    cut_off = threading.Timer(STOP_S, _cut_off)
    cut_off.daemon = True
    with ExitStack() as stack:
        stack.callback(cut_off.cancel)
        stack.enter_context(_signals(stop, hang_up=None if config is None else hang_up))
        if settings.metrics is not None:
            stack.callback(metrics.serve(settings.metrics.host, settings.metrics.port).stop)
        console = build_console(settings, metrics=metrics)
        if console is not None:
            stack.callback(console.close)
        view = stack.enter_context(View(settings, plain=plain, address="" if console is None else console.url))
        tapes = [] if tape is None else [tape]
        telemetry = build_telemetry(settings, role="run")
        if telemetry is not None:
            tapes.append(_records_for(stack.enter_context(telemetry).observe))
        if console is not None:
            tapes.append(console.tape)
        pipeline = stack.enter_context(LocalPipeline(settings, metrics=metrics, tape=_all(tapes), config=config))
        if console is not None:
            stack.enter_context(console.over(pipeline))
        stack.callback(cut_off.start)
        ends_at = None if seconds is None else time.monotonic() + seconds
        while not (stop.wait(POLL_S) or pipeline.finished() or (ends_at and time.monotonic() > ends_at)):
            if hang_up.is_set():
                hang_up.clear()
                pipeline.reload()
            status = pipeline.status()
            metrics.refresh(status)
            view.update(status)
            if console is not None:
                console.update(status)
            if telemetry is not None:
                telemetry.report(status, pipeline.recorder)
    return pipeline.status()


@contextmanager
def _signals(stop: threading.Event, *, hang_up: threading.Event | None) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks for an orderly stop, a second one ends at once; SIGHUP sets `hang_up`."""

    def asked(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            restore_terminal()
            os._exit(128 + number)
        stop.set()

    handlers: dict[int, Callable[[int, FrameType | None], None]] = {signal.SIGINT: asked, signal.SIGTERM: asked}
    if hang_up is not None:
        handlers[signal.SIGHUP] = lambda _number, _frame: hang_up.set()
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
