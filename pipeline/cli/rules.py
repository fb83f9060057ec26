"""`mien rules check | list | test | explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import print_table, write_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from pipeline.rule_tests import RuleTestFile
    from pipeline.rule_trials import Trial

__all__ = ["rules"]

rules = typer.Typer(help="Rules: check them, test them, ask why one fired or didn't.", no_args_is_help=True)

FAILED, MISCONFIGURED = 1, 2
_COLOURS = {"+": "red", "-": "green", "✓": "green", "✗": "bold red"}


@rules.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A rules file, or a whole configuration.")],
    *,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Whose cameras and zones the rules will meet.")
    ] = None,
) -> None:
    """Check rules: unknown names, impossible combinations, cameras that are too slow, inhibitions in a circle.

    A rules file alone knows no cameras; with -c their names, zones and frame rates are checked too. Exit status 0,
    also with warnings; 2 with one line `file:line:column: key: what is wrong` per mistake.

    Example:  mien rules check alerts.yaml -c mien.yaml
    """
    from pipeline.config import load_rules, rules_report

    findings = rules_report(file, config)
    for finding in findings:
        typer.echo(finding.text, err=True)
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(MISCONFIGURED)
    count = len(load_rules(file, config).rules)
    typer.echo(f"{file}: ok, {count} rule{'' if count == 1 else 's'}")


@rules.command("list")
def list_rules(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A rules file, or a whole configuration.")],
) -> None:
    """List rules: what each watches, for how long, and what it silences.

    Example:  mien rules list alerts.yaml
    """
    from rich.table import Table

    from operators.units import format_duration
    from pipeline.config import load_rules

    table = Table("rule", "severity", "scope", "condition", "reads", "for", "inhibits", box=None, header_style="bold")
    ruleset = load_rules(file)
    for rule in ruleset.rules:
        reads = dict.fromkeys(name for when in rule.predicates for name in when.names)
        values = dict.fromkeys(leaf.value for when in rule.predicates for leaf in when.leaves if leaf.value)
        table.add_row(
            rule.id,
            rule.severity,
            f"{rule.scope} {rule.group}".strip(),
            rule.condition,
            ", ".join([*reads, *values]) or (rule.absence.of if rule.absence else "faces"),
            format_duration(rule.for_),
            ", ".join(ruleset.inhibited_by(rule)),
        )
    print_table(table)


@rules.command("test")
def run_tests(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of tests, such as alerts.test.yaml.")],
    *,
    only: Annotated[
        str, typer.Option("-k", metavar="TEXT", help="Only tests whose name holds this text, in any case.")
    ] = "",
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the outcome as JUnit's XML, for CI.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the transitions and the signal of every test.")
    ] = False,
) -> None:
    """Test rules against traces written by hand.

    Every test also runs with its records shuffled, in other batches, and cut and resumed: nothing may change.

    Exit status 0 when all tests pass, 1 when one fails, 2 when a file can't be used.

    Example:  mien rules test alerts.test.yaml -k "half-second"
    """
    from rich.console import Console

    from pipeline.rule_report import junit as to_junit
    from pipeline.rule_tests import load_tests

    loaded = [(path, load_tests(path)) for path in files]
    console = Console(highlight=False, soft_wrap=True)
    outcomes = [(path, tests, _try(console, path, tests, only=only, verbose=verbose)) for path, tests in loaded]
    if junit is not None:
        write_file(junit, to_junit(outcomes))
    trials = [trial for _, _, found in outcomes for trial in found]
    if not trials:
        typer.echo(f'no test has "{only}" in its name', err=True)
        raise typer.Exit(MISCONFIGURED)
    failed = sum(not trial.passed for trial in trials)
    seconds = sum(trial.seconds for trial in trials)
    style = "bold red" if failed else "bold green"
    told = f"{failed} of {len(trials)} failed" if failed else f"{len(trials)} passed"
    console.print(f"{told} in {seconds:.2f} s", style=style)
    if failed:
        raise typer.Exit(FAILED)


@rules.command()
def explain(
    alert: Annotated[
        str, typer.Argument(metavar="[ALERT_ID]", help="The id of an alert, or as much of its beginning as is unique.")
    ] = "",
    *,
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration whose store knows the alert.")
    ] = Path("mien.yaml"),
    recording: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A recording: shows the samples too, and needs no store.")
    ] = None,
    rules_file: Annotated[
        Path | None, typer.Option("--rules", metavar="FILE", help="Rules for the recording; default: its own.")
    ] = None,
    rule: Annotated[
        str, typer.Option(metavar="NAME", help="Instead of an alert: where this rule nearly fired in the recording.")
    ] = "",
) -> None:
    """Say why an alert came, or why a rule said nothing.

    From the store alone: its transitions and numbers. With a recording: every sample of the episode, dips, gaps, and
    how much of each part of the condition was there.

    Example:  mien rules explain 5f3a9c -c mien.yaml

    Example:  mien rules explain --rule fear-sustained --recording recordings/monday
    """
    from pipeline.explain import alert_prefix, explain_episode, explain_misses
    from pipeline.explain_view import episode_lines, miss_lines

    prefix = alert_prefix(alert)
    if bool(prefix) == bool(rule):
        raise typer.BadParameter("name either an ALERT_ID, or a rule with --rule")
    if recording is None:
        if rule or rules_file:
            raise typer.BadParameter("--rule and --rules need a --recording")
        lines = _from_store(config, prefix)
    else:
        from connectors.recording import open_recording
        from pipeline.replay import rules_for

        opened = open_recording(recording)
        ruleset = rules_for(opened.manifest, rules_file)
        if rule:
            lines = miss_lines(explain_misses(opened, ruleset, rule))
        else:
            lines = episode_lines(explain_episode(opened, ruleset, prefix))
    _show(lines)


def _from_store(config: Path, prefix: str) -> list[str]:
    """What the store of a configuration knows of an alert."""
    from pipeline.config import load_settings
    from pipeline.explain import from_store
    from pipeline.explain_view import history_lines

    settings = load_settings(config)
    alerts = from_store(settings.store.path, prefix)
    named = {rule.id: rule for rule in settings.rule_set.rules}
    return history_lines(alerts, named.get(alerts[0].rule))


def _show(lines: Sequence[str]) -> None:
    from rich.console import Console

    _print(Console(highlight=False, soft_wrap=True), lines, indent=0)


def _try(console: Console, path: Path, tests: RuleTestFile, *, only: str, verbose: bool) -> list[Trial]:
    """Run the tests of one file and tell each outcome as it comes."""
    from pipeline.rule_report import headline, problems, timeline, transition
    from pipeline.rule_trials import try_rules

    console.print(f"{path}", style="bold", markup=False)
    trials = []
    for one in tests.tests:
        if only.lower() not in one.name.lower():
            continue
        trial = try_rules(one, tests.rules)
        trials.append(trial)
        _print(console, [headline(trial)], indent=2)
        if not trial.passed:
            _print(console, problems(trial, tests.rules), indent=6)
        elif verbose:
            _print(console, [transition(alert, one.start) for alert in trial.alerts], indent=6)
        if verbose or not trial.passed:
            _print(console, ["", *timeline(trial, tests.rules), ""], indent=6)
    return trials


def _print(console: Console, lines: Sequence[str], *, indent: int) -> None:
    for line in lines:
        console.print(" " * indent + line, style=_COLOURS.get(line[:1], ""), markup=False)
