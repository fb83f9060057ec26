"""Rules that change while mien runs: the files they come from are watched, and read again when they change.

The content of the files is compared, about once a second, and not what the file system says about them: so an editor
that replaces a file, Kubernetes that turns a symbolic link over, and a mount that can't be written to are all the same.
Nothing is read until two looks in a row have found the same: a file that is half written, or gone for a moment while an
editor replaces it, is left alone. What is wrong is refused as a whole, and the old rules go on.
"""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path

from operators.errors import ConfigError, ModelError
from operators.rules import EvaluatorState, RuleEvaluator, RuleSet
from pipeline.build import build_evaluator
from pipeline.checks import check_rules
from pipeline.complaints import dotted
from pipeline.config import Settings, check_settings, files_of, labels_read

__all__ = ["LOOK_EVERY_S", "RulesWatch"]

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How often to look; a change counts at the second look that finds it."""
_RELOADED = {"rule_defaults", *(field.name for field in fields(RuleSet))}
"""The sections that may change while mien runs."""


class RulesWatch:
    """Watches the rules of a configuration: call `look` about every `LOOK_EVERY_S`.

    `settings` are those that mien runs with: its cameras, models and sinks stay as they are until a restart. `error`
    says why what the files hold now is refused, or is empty; `refused` counts.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.error = ""
        self.refused = 0
        self._path = path
        self._settings = settings
        self._rules = settings.rule_set
        self._first: Settings | None = None  # as read here, where stand-ins take the place of secrets
        self._files: tuple[Path, ...] = (path,)
        self._seen: tuple[bytes | None, ...] = ()
        self._tried: tuple[bytes | None, ...] = ()  # so what changed before the first look is found as well

    def look(self, *, now: bool = False) -> RuleEvaluator | None:
        """New rules, ready to be evaluated, once for every change; `now` reads the files in any case and at once."""
        found = tuple(map(_content, self._files))
        settled, self._seen = found == self._seen, found
        if not now and (found == self._tried or not settled):
            return None
        self._tried = found
        try:
            self._files = files_of(self._path)
            self._tried = self._seen = tuple(map(_content, self._files))
            return self._read()
        except (ConfigError, ModelError, ValueError) as error:
            self.refused += 1
            self.error = str(error)
            log.error("rules are refused, the old ones go on path=%s\n%s", self._path, error)  # noqa: TRY400
            return None

    def _read(self) -> RuleEvaluator | None:
        settings, warnings = check_settings(self._path, reads=())  # nothing but rules is applied
        rules = settings.rule_set
        running = self._settings.model_copy(update={name: getattr(settings, name) for name in _RELOADED})
        self._check_places(settings, running)
        evaluator = None if rules == self._rules else _ready(running)
        self._tell_the_rest(settings)
        if self.error:
            log.info("rules are right again path=%s", self._path)
        self.error, self._rules = "", rules
        for line in warnings if evaluator is not None else ():
            log.warning("%s", line)
        return evaluator

    def _check_places(self, settings: Settings, running: Settings) -> None:
        """Refuse rules about cameras and zones that only a restart would bring; raises ConfigError."""
        if settings.cameras == running.cameras:
            return
        found = [
            one
            for one in check_rules(running, running.cameras, labels=labels_read(running.models))
            if one.severity == "error"
        ]
        if found:
            lines = [f"{self._path}: {dotted(one.location)}: {one.text}" for one in found]
            raise ConfigError("\n".join([*lines, "These are the cameras that run: restart to apply the changed ones."]))

    def _tell_the_rest(self, settings: Settings) -> None:
        first = self._first = self._first or settings
        changed = [
            name
            for name in Settings.model_fields
            if name not in _RELOADED and getattr(settings, name) != getattr(first, name)
        ]
        if changed:
            log.warning(
                "not applied while mien runs, restart to apply changed=%s path=%s", ",".join(changed), self._path
            )


def _content(path: Path) -> bytes | None:
    """What the file holds, None where it can't be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _ready(settings: Settings) -> RuleEvaluator:
    """The evaluator, with its rules compiled for every partition: what can't be fails here, and not in mid-stream."""
    evaluator = build_evaluator(settings)
    for name in {name for camera in evaluator.cameras for name in evaluator.partitions(camera)}:
        evaluator.finish(EvaluatorState(name))
    return evaluator
