"""The figures of `tests.benchmarks.reliability` as the table of docs/reliability.md, so that nobody types them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["as_markdown", "insert"]

BEGIN, END = "<!-- figures of tests.benchmarks.reliability -->\n", "<!-- end of figures -->\n"

Figures = Mapping[str, Any]
Cells = Iterator[tuple[str, str, str]]
"""What was done, the target, the figure."""


def as_markdown(result: Figures) -> str:
    """A table of all parts that were run, and where and on what."""
    lines = [
        f"Machine: {result['machine']}, load {result['load_at_start']:.1f} at the start; commit {result['commit']}; "
        f"seed {result['seed']}; input: {result['input']}.",
        "",
        "| | what was done | target | figure |",
        "|---|---|---|---|",
    ]
    for part, (number, rows) in PARTS.items():
        if part not in result:
            continue
        failed = result[part].get("failed") if isinstance(result[part], dict) else None
        cells = [(part, "", f"**failed**: {failed}")] if failed else list(rows(result[part]))
        lines += [f"| {number} | {done} | {target} | {figure} |" for done, target, figure in cells]
    return "\n".join(lines) + "\n"


def insert(page: Path, table: str) -> None:
    """Put the table into a page, in the place of the one that is there. Raises ValueError where there is no place."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected lines {BEGIN.strip()!r} and {END.strip()!r} in {page}, got none: add them")
    page.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def _alerts(figures: Figures) -> str:
    wrong = figures["different"] + figures.get("evidence", 0)
    return (
        f"{figures['expected']:,} transitions: {figures['missing']} missing, {figures['extra']} extra, "
        f"{wrong} different ({figures['sent_twice']} sent twice, under the same ids)"
    )


def _spread(spread: Figures) -> str:
    return f"median {spread['median']:g} s, longest {spread['largest']:g} s"


def _kill(name: str) -> Callable[[Figures], Cells]:
    def rows(part: Figures) -> Cells:
        yield f"{part['runs']} x kill -9 of {name}", "0 missing, 0 extra", _alerts(part)
        yield "until the first new output", "<= 15 s", _spread(part["recovery_s"])

    return rows


def _broker(part: Sequence[Figures]) -> Cells:
    for row in part:
        survived = "" if row["worker_survived"] else ", the worker had ended itself"
        yield (
            f"broker stopped for {row['away_s']:g} s",
            "0 missing; caught up in 10 s; <= 64 MB",
            f"{_alerts(row)}; first output {row['first_output_s']:g} s after it was back, all done after "
            f"{row['all_done_s']:g} s; {row['memory_gained_mb']:+g} MB{survived}",
        )


def _rebalance(part: Figures) -> Cells:
    yield f"{part['runs']} x a second worker comes and one of the two goes", "0 missing, 0 extra", _alerts(part)
    yield "longest pause of the output", "", _spread(part["longest_pause_s"])


def _two(part: Figures) -> Cells:
    yield (
        "a backlog is worked off by one worker, by two (on this machine, broker included)",
        "",
        f"{part['one_per_s']:,} and {part['two_per_s']:,} records/s",
    )


def _stop(part: Figures) -> Cells:
    situations = {"healthy_s": "SIGTERM", "in_rebalance_s": "SIGTERM in a rebalance", "dead_broker_s": "broker dead"}
    for name, done in situations.items():
        yield f"{part['runs']} x {done}", "<= 10 s", _spread(part[name])


def _poison(part: Figures) -> Cells:
    broken, clean = part["poison"], part["clean"]
    yield (
        f"{broken['broken']} broken records among {broken['records']:,}",
        "all in dead letters; no pause > 100 ms from them",
        f"{broken['dead_letters']} dead letters; {_alerts(broken)}; longest pause of the output "
        f"{broken['longest_pause_ms']} ms, without them {clean['longest_pause_ms']} ms",
    )


def _stall(part: Figures) -> Cells:
    yield (
        f"the store can't be written (`stalled_after` {part['stalled_after_s']:g} s)",
        "exit not 0, <= 30 s",
        f"exit {part['exit_status']} after {part['ended_after_s']:g} s",
    )


def _account(part: Sequence[Figures]) -> Cells:
    for row in part:
        dropped = row["dropped_before"]
        yield (
            f"capture under overload, {row['kills']} x kill -9 of the analyser",
            "captured = sent + dropped",
            f"{row['captured']:,} = {row['sent']:,} + {dropped:,} (off by {row['capture_off_by']})",
        )
        if "counted_frames" in row:
            yield (
                "the analyser's counters",
                "frames = analysed + skipped; every broken one a dead letter",
                f"{row['counted_frames']:,} = {row['counted_analysed']:,} + {row['counted_skipped']:,} (off by "
                f"{row['analyser_off_by']}); {row['counted_letters']} of {row['broken_sent']} broken in dead letters",
            )
        yield (
            "the same by the records in the topics",
            "0 unaccounted",
            f"{row['in_topic']:,} frames: {row['observed']:,} observed, {row['told_as_gap']:,} in a gap, "
            f"{row['bridged']:,} in a hole that rules bridge, {row['unaccounted']} unaccounted; "
            f"{row['observed_twice']} observed twice, {row['dead_letters']} dead letters",
        )


def _privacy(part: Figures) -> Cells:
    looked = ", ".join(f"{name} {count:,}" for name, count in part["looked_at"].items())
    empty = f"; nothing to look at in {', '.join(part['empty'])}" if part["empty"] else ""
    yield (
        "every record of a run of the whole pipeline against the allow-list",
        "0 forbidden",
        f"{len(part['forbidden'])} forbidden ({looked}{empty})",
    )


def _sinks(part: Figures) -> Cells:
    well = "both are well"
    names = {"before": well, "slow": "the other takes 2 s", "between": well, "away": "the other is away", "after": well}
    for name, done in names.items():
        row, ratio = part[name], part.get(f"{name}_against_usual")
        against = "" if ratio is None else f"; median {ratio - 1:+.1%} against before and after"
        yield (
            f"a webhook, while {done}",
            "+-10 %" if ratio else "",
            f"p50 {row['p50_ms']:g} ms, p95 {row['p95_ms']:g} ms, p99 {row['p99_ms']:g} ms{against}",
        )


def _elastic(part: Figures) -> Cells:
    yield (
        f"Elasticsearch away for {part['away_s']:g} s, {part['alerts']:,} transitions meanwhile",
        "0 lost; caught up in 10 s; <= 64 MB",
        f"{part['missing']} missing, {part['extra']} extra, {part['written_twice']} twice; caught up in "
        f"{part['catch_up_s']:g} s; {part['memory_gained_mb']:+g} MB; roll-ups lost {part['rollups_discarded']}",
    )


PARTS: Mapping[str, tuple[str, Callable[[Any], Cells]]] = {
    "account": ("R1", _account),
    "kill": ("R2, R5", _kill("a worker")),
    "member": ("R2, R5", _kill("a static member")),
    "rebalance": ("R2", _rebalance),
    "two": ("", _two),
    "broker": ("R2, R6", _broker),
    "elastic": ("R6", _elastic),
    "stop": ("R7", _stop),
    "poison": ("R8", _poison),
    "privacy": ("R13", _privacy),
    "stall": ("R15", _stall),
    "sinks": ("R16", _sinks),
}
"""The numbers of the invariants, and what makes the rows."""
