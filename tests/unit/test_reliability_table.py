"""Figures of the campaign as a table: every part has rows, a failed one says so, and the page keeps its text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.reliability_table import BEGIN, END, PARTS, as_markdown, insert

HEAD = {"machine": "x86_64, 2 cores", "load_at_start": 0.1, "commit": "abc", "seed": 7, "input": "a night"}
SAME = {"expected": 42, "missing": 0, "extra": 0, "different": 0, "evidence": 0, "sent_twice": 3}
SPREAD = {"median": 1.5, "largest": 2.0, "all": [1.5, 2.0]}
LATE = {"p50_ms": 10.0, "p95_ms": 20.0, "p99_ms": 30.0}
ACCOUNT = {
    "kills": 0, "captured": 110, "sent": 100, "dropped_before": 10, "capture_off_by": 0, "broken_sent": 3,
    "in_topic": 100, "observed": 60, "told_as_gap": 20, "bridged": 20, "unaccounted": 0, "observed_twice": 0,
    "dead_letters": 3,
}  # fmt: skip
COUNTED = {
    "counted_frames": 100, "counted_analysed": 60, "counted_skipped": 40, "counted_letters": 3, "analyser_off_by": 0,
}  # fmt: skip
POISON = {**SAME, "records": 7000, "broken": 7, "dead_letters": 7, "longest_pause_ms": 88}
FIGURES: dict[str, Any] = {
    "account": [ACCOUNT | COUNTED, ACCOUNT | {"kills": 3}],
    "kill": {"runs": 20, "recovery_s": SPREAD, **SAME},
    "member": {"runs": 3, "recovery_s": SPREAD, **SAME},
    "rebalance": {"runs": 1, "longest_pause_s": SPREAD, **SAME},
    "two": {"one_per_s": 4000, "two_per_s": 5000},
    "broker": [
        {"away_s": 5.0, "worker_survived": True, "first_output_s": 1.0, "all_done_s": 2.4, "memory_gained_mb": 4.3}
        | SAME
    ],
    "elastic": {
        "away_s": 60.0, "alerts": 3764, "missing": 0, "extra": 0, "written_twice": 0, "catch_up_s": 7.2,
        "memory_gained_mb": 3.0, "rollups_discarded": 0,
    },
    "stop": {"runs": 3, "healthy_s": SPREAD, "dead_broker_s": SPREAD, "in_rebalance_s": SPREAD},
    "poison": {"clean": POISON | {"broken": 0, "dead_letters": 0}, "poison": POISON},
    "privacy": {"looked_at": {"topic alerts": 3, "store": 1}, "empty": [], "forbidden": []},
    "stall": {"stalled_after_s": 20.0, "ended_after_s": 21.4, "exit_status": 1},
    "sinks": {
        "before": LATE, "slow": LATE, "between": LATE, "away": LATE, "after": LATE, "slow_against_usual": 1.05,
        "away_against_usual": 0.98, "alerts": 900,
    },
}  # fmt: skip


def test_every_part_has_rows() -> None:
    assert FIGURES.keys() == PARTS.keys()
    table = as_markdown(HEAD | FIGURES)
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert all(line.count("|") == 5 for line in rows)
    for number in ("R1", "R2, R5", "R2, R6", "R6", "R7", "R8", "R13", "R15", "R16"):
        assert any(line.startswith(f"| {number} |") for line in rows), number
    assert "42 transitions: 0 missing, 0 extra, 0 different (3 sent twice, under the same ids)" in table
    assert "+5.0%" in table


def test_a_part_that_failed_says_so() -> None:
    assert "**failed**: no output" in as_markdown(HEAD | {"kill": {"failed": "no output"}})


def test_the_page_keeps_its_text(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n", encoding="utf-8")
    insert(page, "| new |\n")
    insert(page, "| new |\n")
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n| new |\n\n{END}after\n"
    page.write_text("no place", encoding="utf-8")
    with pytest.raises(ValueError, match="expected lines"):
        insert(page, "| new |\n")
