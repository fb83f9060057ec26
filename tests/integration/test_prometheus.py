"""A real Prometheus scrapes a real `mien run`: faults set off their alarms, and a scrape stays small.

All faults, also those of workers: `python -m tests.benchmarks.alarms`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.farm import require_rtsp_server
from tests.faults import Bed, camera_off, rules_wrong, sink_away
from tests.prometheus import Prometheus, prometheus, require

pytestmark = pytest.mark.integration

SHORTER = 30.0
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    require("prometheus")
    require_rtsp_server()
    with Bed.make(tmp_path_factory.mktemp("bed")) as running:
        yield running


@pytest.fixture(scope="module")
def watching(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), shorter=SHORTER) as running:
        running.scrape(mien=[bed.main.target])
        yield running


def test_a_scrape_has_the_memory_of_every_process(bed: Bed) -> None:
    for camera in ("door", "smile"):
        bed.main.wait_for(f'mien_capture_resident_memory_bytes{{camera="{camera}"}}', seconds=PATIENCE_S)
    told = re.findall(r"^(?:process|mien_capture)_resident_memory_bytes\S* (\S+)$", bed.main.text(), re.MULTILINE)
    assert len(told) == 3
    assert all(float(number) > 10e6 for number in told)


def test_promtool_has_no_complaint_about_a_scrape(bed: Bed) -> None:
    checked = subprocess.run(
        [require("promtool"), "check", "metrics"], input=bed.main.text(), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.timeout(300)
def test_faults_set_off_their_alarms_which_end_with_them(bed: Bed, watching: Prometheus) -> None:
    bed.main.wait_for('mien_camera_up{camera="door"} 1', seconds=PATIENCE_S)
    with ExitStack() as faults:
        for fault in (camera_off, sink_away, rules_wrong):
            faults.enter_context(fault(bed))
        assert watching.wait_for("MienCameraDown", seconds=PATIENCE_S).labels["camera"] == "door"
        watching.wait_for("MienRulesRefused", seconds=PATIENCE_S)
        assert watching.wait_for("MienSinkDown", seconds=PATIENCE_S).labels["sink"] == "webhook"
        assert {fired.name for fired in watching.firing()}.isdisjoint({"MienSilent", "MienDown", "MienStoreDown"})
    watching.wait_until_quiet("MienCameraDown", "MienRulesRefused", "MienSinkDown", seconds=PATIENCE_S)
