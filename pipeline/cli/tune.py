"""`mien tune`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from operators.errors import ConfigError
from pipeline.cli.console import counted, print_table, progress_bar, write_file
from pipeline.cli.options import seconds

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.tune.study import Study

__all__ = ["tune"]


def tune(
    recording: Annotated[Path, typer.Argument(metavar="DIR", help="A recording: `mien record` makes one.")],
    *,
    rule: Annotated[str, typer.Option(metavar="NAME", help="Id of the rule to tune.")],
    vary: Annotated[
        list[str],
        typer.Option(metavar="FIELD=VALUES", help="`when.enter=0.4:0.9:0.05` or `for=1s,3s`; repeat for several."),
    ],
    rules: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rules file or configuration; default: the recording's own rules."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="CSV", help="What really happened: columns camera, start, end.")
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(parser=seconds, metavar="DURATION", help="How far an alert may lie from an incident it detects."),
    ] = "2s",  # type: ignore[assignment]  # typer parses defaults too
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the report here, as one HTML page.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every setting and its figures here.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes; default: one for each core.")] = None,
) -> None:
    """Try settings of a rule on a recording, and propose one.

    Every combination of the varied fields is replayed over the stored observations. With labels of what really happened
    it is measured against them: precision, recall, delay, false alarms. Without, by how many alerts it gives.

    Example:  mien tune night/ --rule fear-sustained --vary when.enter=0.4:0.9:0.05 --vary for=1s:5s:500ms
    --labels incidents.csv -o report.html
    """
    import json
    import shlex
    import sys
    import time

    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from connectors.recording import open_recording
    from pipeline.logs import set_up
    from pipeline.replay import rules_for
    from pipeline.tune.report import as_document, as_html
    from pipeline.tune.study import Question, study

    set_up()
    for path in filter(None, (output, json_file)):
        _check_folder(path)
    opened = open_recording(recording)
    ruleset = rules_for(opened.manifest, rules)
    question = Question(recording, ruleset, rule, tuple(vary), labels, tolerance)
    started = time.monotonic()
    columns = (TextColumn("replaying"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as bar:
        task = bar.add_task("", total=1.0)
        done = study(question, jobs=jobs or os.cpu_count() or 1, progress=lambda part: bar.update(task, completed=part))
    took = time.monotonic() - started

    document = as_document(done, command=shlex.join(["mien", *sys.argv[1:]]))
    if json_file is not None:
        write_file(json_file, json.dumps(document, indent=2).encode() + b"\n")
    if output is not None:
        write_file(output, as_html(document).encode())
    print_table(_table(done))
    console = Console(highlight=False)
    for paragraph in _words(done, took):
        console.print(f"\n{paragraph}", markup=False)


def _check_folder(path: Path) -> None:
    """Better now than after minutes of work."""
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"{path}: no such folder {path.resolve().parent}; make it first")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder, expected the name of a file")


def _words(done: Study, took: float) -> Iterator[str]:
    proposal, tried, records = done.proposal, len(done.candidates.settings), done.seen.records
    yield f"{proposal.headline}.\n{proposal.trade_off}\n{proposal.why}"
    yield from proposal.cautions
    if done.seen.damaged:
        places = counted(done.seen.damaged, "place")
        yield f"The recording is damaged in {places}: what can't be read there is in no figure."
    if done.skipped:
        yield f"{len(done.skipped)} combinations are no rule, such as: {done.skipped[0].why}"
    yield f"{tried} settings x {records:,} records in {took:.1f} s: {tried * records / took:,.0f} per second"


def _table(done: Study) -> Table:
    """The settings that rank highest, and the current one."""
    from rich.table import Table

    from pipeline.tune.propose import ranking

    of = done.candidates
    labelled = of.scores[of.current].against is not None
    figures = ("found", "false", "precision", "recall", "F1", "delay") if labelled else ("alerts", "per hour", "lasted")
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in (*(vary.path for vary in of.varies), *figures, "never fired", ""):
        table.add_column(name, justify="right")
    rows = list(dict.fromkeys([done.proposal.index, *ranking(of)[:8], of.current]))
    for index in rows:
        mark = "proposed" if index == done.proposal.index else "now" if index == of.current else ""
        table.add_row(*_cells(done, index), mark, style="bold" if mark else None)
    return table


def _cells(done: Study, index: int) -> list[str]:
    from pipeline.tune.vary import shown

    of = done.candidates
    score, setting = done.candidates.scores[index], of.settings[index]
    cells = [shown(value, vary.kind) for value, vary in zip(setting.values, of.varies, strict=True)]
    if score.against:
        against = score.against
        cells += [
            str(against.found),
            str(against.false),
            *("-" if share is None else f"{share:.2f}" for share in (against.precision, against.recall, against.f1)),
            "-" if against.delay_median is None else f"{against.delay_median:.1f} s",
        ]
    else:
        lasted = "-" if score.lasted_median is None else f"{score.lasted_median:.1f} s"
        cells += [str(score.alerts), f"{score.per_hour:.1f}", lasted]
    return [*cells, str(score.pending)]
