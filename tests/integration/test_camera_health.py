"""Rules about cameras that fail, on real streams that break on demand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.store import Store, StoreSettings
from operators.records import Alert, Frame, Gap, Observation, Status
from pipeline.build import build_evaluator
from pipeline.config import Settings
from pipeline.evaluation import Evaluation, Record, in_order
from pipeline.local import LocalPipeline
from tests.farm import Farm, as_mp4, require_rtsp_server

pytestmark = pytest.mark.integration

CAMERA = {"fps": 10, "open_timeout": "4s", "read_timeout": "3s", "frozen_after": "1s", "black_after": "1s"}


@pytest.fixture
def farm(shared: Path, tmp_path: Path) -> Iterator[Farm]:
    require_rtsp_server()
    clip = as_mp4(shared / "data/clips/head-pose-face-detection-female.gif", tmp_path)
    with Farm({"door": {"clip": str(clip)}, "gate": {"clip": str(clip)}}) as running:
        yield running


def absent(name: str, *reasons: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "scope": "camera", "absence": {"of": "frames", "reasons": reasons}, "cooldown": "0s", **more}


class Run:
    """A pipeline on the farm, what its rules were given, and what they said."""

    def __init__(self, farm: Farm, folder: Path, rules: Sequence[dict[str, Any]], **sections: Any) -> None:
        self.folder = folder
        self.settings = Settings.model_validate(
            {
                "purpose": "a test of failing cameras",
                "cameras": {name: {"url": url, **CAMERA} for name, url in farm.urls.items()},
                "rules": list(rules),
                "sinks": [{"type": "jsonl", "path": str(folder / "alerts.jsonl")}],
                "store": {"path": str(folder / "mien.sqlite")},
                **sections,
            }
        )
        self.records: list[Record] = []
        self.seen: dict[str, float] = {}
        self.live_at = 0.0

    @contextmanager
    def running(self) -> Iterator[LocalPipeline]:
        with LocalPipeline(self.settings, tape=self._tape) as pipeline:
            until(lambda: all(camera.analysed > 25 for camera in pipeline.status().cameras))
            # As the rules count it: the outage may begin with this very frame, whose time they round.
            self.live_at = round(min(self.seen.values()) * 1000) / 1000
            yield pipeline

    def _tape(self, items: Sequence[Frame | Gap], observations: Sequence[Observation]) -> None:
        self.records += in_order(items, observations)
        self.seen |= {observation.camera_id: observation.ts for observation in observations}

    def alerts(self, rule: str, status: Status | None = None) -> list[Alert]:
        """Since all cameras were live: the first seconds of connecting may be an outage, over by then."""
        found = [alert for alert in self.journal() if alert.starts_at >= self.live_at]
        return [one for one in found if one.rule == rule and status in (None, one.status)]

    def journal(self) -> list[Alert]:
        store = Store(StoreSettings(path=self.settings.store.path))
        try:
            return [alert for _, alert in store.after(0, 1000)]
        finally:
            store.close()

    def delivered(self) -> set[str]:
        """Ids of the alerts that were sent."""
        return {json.loads(line)["alert_id"] for line in (self.folder / "alerts.jsonl").read_text().splitlines()}


def until(check: Callable[[], object], *, seconds: float = 40.0) -> None:
    ends_at = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends_at, f"did not happen within {seconds} s"
        time.sleep(0.1)


def outline(alerts: Sequence[Alert]) -> list[tuple[str, str, str]]:
    return [(alert.camera_id, str(alert.status), alert.reason) for alert in alerts]


def test_a_camera_that_is_down_fires_inhibits_and_resolves(farm: Farm, tmp_path: Path) -> None:
    run = Run(
        farm,
        tmp_path,
        [
            absent("camera-down", "down", **{"for": "2s", "severity": "critical", "inhibit": [{"rules": ["*"]}]}),
            absent("camera-lost", "down", **{"for": "3s"}),
        ],
    )
    with run.running():
        farm.tell("door", "refuse")
        until(lambda: run.alerts("camera-lost", Status.FIRING))
        farm.tell("door", "play")
        until(lambda: run.alerts("camera-down", Status.RESOLVED) and run.alerts("camera-lost", Status.RESOLVED))

    whole = [("door", "pending", "condition"), ("door", "firing", "condition"), ("door", "resolved", "condition")]
    assert outline(run.alerts("camera-down")) == outline(run.alerts("camera-lost")) == whole
    _, fired, resolved = run.alerts("camera-down")
    assert fired.ts - fired.starts_at == pytest.approx(2.0, abs=1e-6), "at its own time, though gaps come once a second"
    assert resolved.evidence["duration_s"] >= 3.0
    assert [alert.silenced_by for alert in run.alerts("camera-down")] == ["", "", ""]
    assert [alert.silenced_by for alert in run.alerts("camera-lost")] == ["", *["inhibited:camera-down"] * 2]
    assert fired.alert_id in run.delivered()
    assert run.alerts("camera-lost")[0].alert_id not in run.delivered()

    again = Evaluation(build_evaluator(run.settings)).feed(run.records)
    assert again == run.journal(), "the same records, the same alerts"


def test_frozen_and_black_pictures_are_an_outage_of_their_own(farm: Farm, tmp_path: Path) -> None:
    run = Run(
        farm,
        tmp_path,
        [absent("camera-down", "down", **{"for": "1s"}), absent("camera-stuck", "frozen", "black", **{"for": "2s"})],
    )
    with run.running():
        farm.tell("door", "freeze")
        farm.tell("gate", "black")
        until(lambda: len(run.alerts("camera-stuck", Status.FIRING)) == 2)
        farm.tell("door", "play")
        farm.tell("gate", "play")
        until(lambda: len(run.alerts("camera-stuck", Status.RESOLVED)) == 2)
    assert {alert.camera_id for alert in run.alerts("camera-stuck", Status.FIRING)} == {"door", "gate"}
    assert run.alerts("camera-down") == []


def test_time_passes_for_a_group_whose_cameras_are_all_down(farm: Farm, tmp_path: Path) -> None:
    """What fired before the outage ends as lost, by the gaps that are told of cameras that send nothing."""
    everywhere = {"id": "somebody", "scope": "group", "group": "all", "count": {"at_least": 1, "within": "1s"}}
    run = Run(farm, tmp_path, [{**everywhere, "lost_after": "2s"}], groups={"all": {"cameras": ["door", "gate"]}})
    with run.running():
        until(lambda: any(alert.status is Status.FIRING for alert in run.journal()))
        farm.tell("door", "refuse")
        farm.tell("gate", "refuse")
        until(lambda: run.journal()[-1].status is Status.RESOLVED)
    ended = run.journal()[-1]
    assert (ended.reason, ended.camera_id, ended.labels["group"]) == ("lost", "", "all")
