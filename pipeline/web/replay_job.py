"""What a replay's process is given, and what it tells while it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from operators.rules import RuleSet

__all__ = ["Failed", "Job", "Progress"]


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
