"""The roles of one process: which parts each is made of, and what they say about themselves together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.kafka_records import decode_record
from connectors.kafka_topics import ALERTS, DEAD_LETTERS, FRAMES, OBSERVATIONS, RULE_STATE
from operators.errors import ConfigError, DecodeError
from operators.rules import RuleEvaluator
from pipeline.build import build_evaluator, build_telemetry
from pipeline.config import Settings
from pipeline.health_documents import Queue
from pipeline.metrics import Metrics
from pipeline.recorder import Recorder
from pipeline.reload import LOOK_EVERY_S, RulesWatch
from pipeline.status import RulesStatus, Status
from pipeline.topics import kafka_of
from pipeline.worker import analyze, evaluate, notify
from pipeline.worker.app import make_app
from pipeline.worker.intake import Batch, Intake
from pipeline.worker.progress import Progress

if TYPE_CHECKING:
    from pipeline.telemetry import Telemetry

__all__ = ["TOPICS", "Roles", "parse_roles"]

log = logging.getLogger(__name__)

ROLES = ("analyze", "evaluate", "notify")
ROLLUP = "rollup"
TOPICS: Mapping[str, tuple[str, ...]] = {
    "analyze": (FRAMES, OBSERVATIONS, DEAD_LETTERS),
    "evaluate": (OBSERVATIONS, ALERTS, RULE_STATE, DEAD_LETTERS),
    "notify": (ALERTS, DEAD_LETTERS),
    ROLLUP: (OBSERVATIONS,),
}
"""The topics of each role, first the one that it reads. `rollup` comes with notify where there is an Elasticsearch."""
REFRESH_S = 1.0


def parse_roles(text: str) -> tuple[str, ...]:
    """The roles in `evaluate`, `analyze+evaluate`, or `all`. Raises ConfigError."""
    names = ROLES if text == "all" else tuple(text.split("+"))
    if not set(names) <= set(ROLES) or len(set(names)) < len(names):
        raise ConfigError(
            f"expected a role of {', '.join(ROLES)}, several joined by +, all, or capture+analyze, got {text!r}"
        )
    return names


async def _as_before(_: RuleEvaluator) -> None:
    """Rules are nothing to this part."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One role: what feeds it, what to do with other rules, and what it adds to the status of the process."""

    intake: Intake
    reload: Callable[[RuleEvaluator], Awaitable[None]] = _as_before
    describe: Callable[[Status], Status] = field(default=lambda status: status)


class Roles:
    """Some roles in one process: `start`, `run` until it is cancelled or raises, `leave` (before or after), `close`.

    With `config`, the file that the settings are from, rules that change there are applied while it runs. `instance`
    makes this worker a static member of its groups.
    """

    def __init__(
        self, settings: Settings, names: Sequence[str], *, metrics: Metrics, config: Path | None, instance: str = ""
    ) -> None:
        self._settings = settings
        self._names = names
        self._instance = instance
        self._metrics = metrics
        self._started = time.monotonic()
        self._recorder = Recorder(metrics)
        self._watch = None if config is None else RulesWatch(config, settings)
        self._asked = False
        evaluator = build_evaluator(settings)
        self._rules = RulesStatus(evaluator.ruleset.version, evaluator.ruleset.rules)
        makers = {
            "analyze": self._make_analyze,
            "evaluate": self._make_evaluate,
            "notify": self._make_notify,
            ROLLUP: self._make_rollup,
        }
        with ExitStack() as held:
            self._held = held
            self._telemetry = build_telemetry(settings, role="+".join(names))
            if self._telemetry is not None:
                held.enter_context(self._telemetry)
            rollup = (ROLLUP,) if "notify" in names and self._telemetry is not None else ()
            self._parts = [makers[name](evaluator) for name in (*names, *rollup)]
            self._held = held.pop_all()

    @property
    def progress(self) -> list[Progress]:
        """How far each role has come."""
        return [part.intake.progress for part in self._parts]

    async def start(self) -> None:
        """Join the groups."""
        self._metrics.refresh(await asyncio.to_thread(self.status))  # brokers may keep it waiting: it is not ready
        for part in self._parts:
            await part.intake.start()

    async def run(self) -> None:
        """Work; raises what ends a role."""
        await asyncio.gather(*[part.intake.run() for part in self._parts], self._follow_rules(), self._tell())

    async def leave(self) -> None:
        """Finish what is in hand and leave the groups; with dead brokers that never ends."""
        await asyncio.gather(*[part.intake.stop() for part in self._parts])

    def close(self) -> None:
        """End all parts."""
        self._held.close()

    def look(self) -> None:
        """Read the rules again soon, changed or not."""
        self._asked = True

    def status(self) -> Status:
        """What this process can say about itself."""
        watch = self._watch
        rules = self._rules if watch is None else replace(self._rules, refused=watch.refused, error=watch.error)
        roles = tuple(progress.status() for progress in self.progress)
        status = Status(uptime_s=time.monotonic() - self._started, cameras=(), rules=rules, roles=roles)
        for part in self._parts:
            status = part.describe(status)
        return status

    async def _follow_rules(self) -> None:
        """Apply the rules that change on the disk, each part between two of its batches."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            asked, self._asked = self._asked, False
            evaluator = None if self._watch is None else await asyncio.to_thread(self._watch.look, now=asked)
            if evaluator is None:
                continue
            for part in self._parts:
                async with part.intake.between_batches:
                    await part.reload(evaluator)
            version, rules = evaluator.ruleset.version, evaluator.ruleset.rules
            self._rules = RulesStatus(version, rules, reloads=self._rules.reloads + 1)
            log.info("rules are applied version=%s rules=%d", version, len(rules))

    async def _tell(self) -> None:
        """Keep the metrics fresh, and tell Elasticsearch."""
        while True:
            status = await asyncio.to_thread(self.status)
            self._metrics.refresh(status)
            if self._telemetry is not None:
                queues = [Queue(one.role, one.waiting, one.age_s) for one in status.roles if one.waiting is not None]
                self._telemetry.report(status, self._recorder, queues=queues)
            await asyncio.sleep(REFRESH_S)

    def _progress(self, name: str) -> Progress:
        return Progress(name, kafka_of(self._settings).topic(TOPICS[name][0]))

    def _make_analyze(self, evaluator: RuleEvaluator) -> _Part:
        app, progress = make_app(self._settings, "analyze", instance=self._instance), self._progress("analyze")
        part = analyze.Analyze(app, self._settings, evaluator, recorder=self._recorder, progress=progress)
        self._held.callback(part.close)
        intake = Intake(app, progress, limit=analyze.LIMIT, work=part.work, restore=part.restore, watch=part.watch)
        return _Part(intake, part.reload, part.describe)

    def _make_evaluate(self, evaluator: RuleEvaluator) -> _Part:
        app, progress = make_app(self._settings, "evaluate", instance=self._instance), self._progress("evaluate")
        part = evaluate.Evaluate(app, self._settings, evaluator, recorder=self._recorder, progress=progress)
        intake = Intake(app, progress, limit=evaluate.LIMIT, work=part.work, restore=part.restore)
        return _Part(intake, part.reload, part.describe)

    def _make_notify(self, _: RuleEvaluator) -> _Part:
        app, progress = make_app(self._settings, "notify", instance=self._instance), self._progress("notify")
        part = self._held.enter_context(notify.Notify(app, self._settings, recorder=self._recorder, progress=progress))
        return _Part(Intake(app, progress, limit=notify.LIMIT, work=part.work), describe=part.describe)

    def _make_rollup(self, _: RuleEvaluator) -> _Part:
        app, progress = make_app(self._settings, ROLLUP, instance=self._instance), self._progress(ROLLUP)
        telemetry = self._telemetry

        async def work(batch: Batch) -> None:
            if telemetry is not None:
                _observe(telemetry, batch)

        return _Part(Intake(app, progress, limit=evaluate.LIMIT, work=work))


def _observe(telemetry: Telemetry, batch: Batch) -> None:
    """Roll up the records that cameras are keyed by: those of wider rule partitions are copies."""
    for event in batch:
        try:
            record = decode_record(event.message.value)
        except DecodeError:
            continue  # evaluate buries it
        if event.message.key == record.camera_id.encode():
            telemetry.observe((record,))
