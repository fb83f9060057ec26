"""docs/operations.md explains every alarm, every reason of a drop, and log lines that there are; links lead on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from connectors import kafka_producer
from operators.records import GapReason
from pipeline.capture import UNOWNED
from pipeline.metrics import READINGS, STAGES, Metrics

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
TEXT = PAGE.read_text(encoding="utf-8")
PAGES = [PAGE, ROOT / "docs" / "metrics.md", ROOT / "docs" / "deploy.md", ROOT / "helm" / "mien" / "README.md"]
ALARMS: list[dict[str, Any]] = [
    rule for group in YAML(typ="safe").load(ROOT / "helm" / "mien" / "alerts.yaml")["groups"] for rule in group["rules"]
]
SOURCES = "".join(
    path.read_text(encoding="utf-8") for folder in ("connectors", "pipeline") for path in (ROOT / folder).rglob("*.py")
)


def known_metrics() -> set[str]:
    """The names as Prometheus has them."""
    samples = {sample.name for family in Metrics().registry.collect() for sample in family.samples}
    histograms = {f"{name}_bucket" for name in ("mien_stage_seconds", "mien_alert_latency_seconds")}
    return {reading.name for reading in READINGS} | samples | histograms


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm["alert"])
def test_an_alarm_reads_metrics_that_there_are_and_says_where_it_is_explained(alarm: dict[str, Any]) -> None:
    asked = set(re.findall(r"\bmien_\w+", alarm["expr"]))
    assert asked
    assert asked <= known_metrics()
    assert re.fullmatch(r"\d+[sm]", alarm["for"])
    assert alarm["labels"]["severity"] in {"warning", "critical"}
    assert alarm["annotations"]["summary"]
    page, _, anchor = alarm["annotations"]["runbook"].partition("#")
    assert ROOT / page == PAGE
    assert anchor == alarm["alert"].lower()
    assert anchor in anchors(TEXT)


def test_no_alarm_is_explained_that_there_is_not() -> None:
    assert set(re.findall(r"^### (Mien\w+)$", TEXT, re.MULTILINE)) == {alarm["alert"] for alarm in ALARMS}


def test_every_reason_of_a_drop_is_explained() -> None:
    section = TEXT.partition("### MienFramesDropped")[2].partition("###")[0]
    rows = {
        name for row in re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    producer = {getattr(kafka_producer, name) for name in ("STALE", "CONGESTED", "UNSENT", "TOO_LARGE", "STOPPED")}
    assert rows == producer | {GapReason.OVERLOAD, GapReason.FROZEN, GapReason.BLACK, "late", UNOWNED}
    assert rows == set(STAGES), "each has its stage among the metrics"


def test_the_log_lines_are_those_of_the_program() -> None:
    section = TEXT.partition("## Log lines")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)
    assert len(lines) > 15
    for line in lines:
        pieces = [re.escape(piece) for piece in re.split(r" ?\.\.\. ?", line) if piece]
        wanted = r"[^\"\n]*".join(pieces)
        assert re.search(wanted, SOURCES), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link
