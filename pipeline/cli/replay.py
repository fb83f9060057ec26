"""`mien replay`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from operators.errors import ConfigError, MienError
from pipeline.cli.console import counted, print_table, progress_bar, write_file

if TYPE_CHECKING:
    from rich.table import Table

    from connectors.recording import Recording
    from pipeline.diff import Diff
    from pipeline.replay import Outcome

__all__ = ["replay"]

FAILED = 2
"""Exit status of a comparison that could not be made; 1 says that it found a difference."""
_WORDS = {
    "moved": "moved in time",
    "duration": "of other duration",
    "severity": "of other severity",
    "silenced": "otherwise silenced",
}
_STYLES = {"added": "green", "removed": "red"}
_PENDING = {"added": " (was pending)", "removed": " (still pending)"}


class From(StrEnum):
    """What to replay."""

    OBSERVATIONS = "observations"
    VIDEO = "video"


def _speed(text: str) -> float:
    """A factor, infinite for `max`; typer shows a ValueError as wrong usage."""
    try:
        speed = float("inf") if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise ValueError(f"expected a speed above 0 or max, got {text}")
    return speed


def replay(
    recording: Annotated[Path, typer.Argument(metavar="DIR", help="A recording of `mien record`.")],
    *,
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rules, or a configuration; default: those it was made with.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Alerts go here, as JSON lines; or the differences."),
    ] = None,
    speed: Annotated[
        float, typer.Option(parser=_speed, metavar="1|10|max", help="How many times faster than it was recorded.")
    ] = "max",  # type: ignore[assignment]  # typer parses defaults too
    from_: Annotated[
        From | None,
        typer.Option("--from", help="Use the recorded video, through the models, instead of the observations."),
    ] = None,
    diff: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="OLD NEW", help="Compare the alerts of two rules files; exit status 1 if they differ."),
    ] = None,
) -> None:
    """Evaluate rules over a recording, in its own time: what would have been alerted?

    The same operators as live, and the same bytes every time. With --diff, two versions of the rules are compared:
    alerts added, removed, moved, of other duration or severity; exit status 0 if there is no difference, 1 if there
    is, 2 if something went wrong.

    Example:  mien replay recordings/lobby --rules rules.yaml -o alerts.jsonl

    Example:  mien replay --diff rules.yaml new-rules.yaml recordings/lobby
    """
    from connectors.recording import open_recording
    from pipeline.logs import set_up

    set_up()
    if diff is None:
        _replay(open_recording(recording), rules, output, speed, from_)
        return
    if rules is not None:
        raise ConfigError("--diff OLD NEW names both rules files: leave --rules out")
    try:
        differs = _diff(open_recording(recording), diff, output, from_)
    except MienError as error:
        typer.echo(f"mien: {error}", err=True)
        raise typer.Exit(FAILED) from error
    raise typer.Exit(1 if differs else 0)


def _replay(recording: Recording, rules: Path | None, output: Path | None, speed: float, from_: From | None) -> None:
    from pipeline.replay import Job, replay_recording, rules_for

    job = Job(
        output=output, speed=None if speed == float("inf") else speed, source=None if from_ is None else from_.value
    )
    with progress_bar() as bar:
        task = bar.add_task(str(recording.folder), total=None)
        outcome = replay_recording(
            recording,
            rules_for(recording.manifest, rules),
            job,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if outcome.fired or outcome.pending_only:
        print_table(_table(recording, outcome))
    typer.echo(_summary(recording, outcome, output))


def _table(recording: Recording, outcome: Outcome) -> Table:
    from rich.table import Table

    first, last = recording.span
    hours = max(last - first, 1.0) / 3600
    table = Table("rule", "camera", "fired", "per hour", "pending only", box=None, pad_edge=False)
    for key in sorted(outcome.fired.keys() | outcome.pending_only.keys()):
        fired = outcome.fired[key]
        table.add_row(*key, str(fired), f"{fired / hours:.1f}", str(outcome.pending_only[key]))
    return table


def _summary(recording: Recording, outcome: Outcome, output: Path | None) -> str:
    from operators.units import format_duration

    first, last = recording.span
    span = round(last - first, 1)
    faster = f", {span / outcome.seconds:,.0f} times faster than it was" if outcome.seconds > 0 else ""
    notes = [f"{outcome.late} of them late"] if outcome.late else []
    notes += [f"damaged in {counted(recording.damaged, 'place')}"] if recording.damaged else []
    return (
        f"{outcome.records:,} records ({', '.join(notes) or 'all in order'}) of "
        f"{counted(len(recording.cameras), 'camera')} over "
        f"{format_duration(span)} in {outcome.seconds:.1f} s{faster}; {outcome.transitions} transitions"
        + (f" -> {output}" if output else "")
    )


def _diff(recording: Recording, rules: tuple[Path, Path], output: Path | None, from_: From | None) -> bool:
    """Whether the alerts differ."""
    from msgspec.json import format as pretty

    from connectors.wire import encode
    from pipeline.diff import compare, document
    from pipeline.replay import evaluator_for, records_of, rules_for

    old, new = (evaluator_for(rules_for(recording.manifest, path), recording.manifest) for path in rules)
    with progress_bar() as bar:
        records = records_of(recording, None if from_ is None else from_.value)
        total = sum(file.records for file in recording.files()) or None
        found = compare(old, new, bar.track(records, total=total, description=str(recording.folder)))
    if output is not None:
        write_file(output, pretty(encode(document(found)), indent=2) + b"\n")
    if found.changes:
        print_table(_changes(recording, found))
    typer.echo(_difference(found))
    return bool(found.changes)


def _changes(recording: Recording, diff: Diff) -> Table:
    from rich.table import Table

    table = Table("change", "rule", "where", "fired", "lasted", "severity", box=None, pad_edge=False)
    for change in diff.changes:
        alert, lives = change.alert, [life for life in (change.old, change.new) if life is not None]
        where = "/".join(text for name, text in alert.labels.items() if name != "rule")
        table.add_row(
            ", ".join(change.kinds) + (_PENDING[change.kinds[0]] if change.pending else ""),
            alert.rule,
            where,
            _fired(recording, [life.fired_at or 0.0 for life in lives]),
            _arrow(f"{life.lasted:.1f}s" for life in lives),
            _arrow(str(life.severity) for life in lives),
            style=_STYLES.get(change.kinds[0], "yellow"),
        )
    return table


def _arrow(texts: Iterable[str]) -> str:
    """`old -> new`, or the one there is; once if they are the same."""
    return " -> ".join(dict.fromkeys(texts))


def _fired(recording: Recording, times: list[float]) -> str:
    """When it fired, and how much later or earlier it would now."""
    moved = times[-1] - times[0]
    return _clock(recording, times[0]) + (f" {moved:+.3f}s" if moved else "")


def _clock(recording: Recording, ts: float) -> str:
    """UTC for people; minutes and seconds in a file without a wall clock."""
    from connectors.wire import iso_time

    if all(file.clocks == ("media",) for file in recording.manifest.files):
        return f"{ts // 60:.0f}:{ts % 60:06.3f}"
    return iso_time(ts)[:-1].replace("T", " ")


def _difference(diff: Diff) -> str:
    counts = diff.counts
    before, after = (sum(pair[index] for pair in diff.pending_only.values()) for index in (0, 1))
    kinds = ("added", "removed", "moved", "duration", "severity", "silenced")
    said = [f"{diff.same} the same", *(f"{counts[kind]} {_WORDS.get(kind, kind)}" for kind in kinds if counts[kind])]
    return (
        f"{diff.fired[0]} alerts before, {diff.fired[1]} after: {', '.join(said)}; "
        f"only ever pending: {before} before, {after} after"
    )
