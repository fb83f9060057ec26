"""Recordings and their replay, as the API does it: in another process, with real recordings."""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
import pytest

from connectors.recording import MANIFEST
from operators.errors import ConfigError, SourceError
from operators.rules import RuleSet
from pipeline.config import Settings
from pipeline.web.recordings import folders
from pipeline.web.replay_job import Failed, Job
from pipeline.web.replay_process import main
from pipeline.web.replay_work import replayed, rules_of
from pipeline.web.replays import Replays
from tests import recordings
from tests.web_bed import asking, site_of, sources_of

MINUTES = 6
AFRAID = "rules:\n  - id: afraid\n    when: {prob: fear, enter: 0.55, exit: 0.4}\n    for: 2s\n"
STRICTER = AFRAID.replace("0.55", "0.7")
END = recordings.START + MINUTES * 60


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one recording, `night`, which was made with a rule of its own."""
    parent = tmp_path_factory.mktemp("recordings")
    folder = recordings.write(parent / "night", recordings.night(minutes=MINUTES))
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["configuration"] = {
        "purpose": manifest["purpose"],
        "cameras": {name: {"url": "rtsp://a/b"} for name in recordings.CAMERAS},
        "rules": [{"id": "afraid", "when": {"prob": "fear", "enter": 0.75}, "for": "2s"}],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (parent / "not-a-recording").mkdir()
    return parent


@pytest.fixture(scope="module")
def site(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    rule = {"id": "afraid", "when": {"prob": "fear", "enter": 0.55, "exit": 0.4}, "for": "2s"}
    folder = tmp_path_factory.mktemp("site")
    return site_of(folder, rules=[rule], console={"port": 0, "recordings": str(parent)})


@pytest.fixture(scope="module")
def http(site: Settings) -> Iterator[httpx.Client]:
    with sources_of(site) as sources, asking(sources) as client:
        yield client


def finished(http: httpx.Client, replay_id: str) -> dict[str, Any]:
    ends_at = time.monotonic() + 400
    while (found := http.get(f"/api/replays/{replay_id}").json())["state"] == "running":
        assert time.monotonic() < ends_at, "did not end within 400 s"
        time.sleep(0.1)
    return found


def begun(http: httpx.Client, **wish: Any) -> str:
    answer = http.post("/api/replays", json={"recording": "night", **wish})
    assert answer.status_code == 202, answer.text
    return answer.json()["replay_id"]


def processes() -> list[psutil.Process]:
    """The processes of replays; asking multiprocessing would take them from whoever waits for them."""
    found = []
    for one in psutil.Process().children():
        with suppress(psutil.Error):  # it has ended just now
            found += [one] if "multiprocessing.spawn" in " ".join(one.cmdline()) else []
    return found


@contextmanager
def _nobody() -> Iterator[None]:
    """Without the rights of root, where the tests have them."""
    before = os.geteuid()
    os.seteuid(before or 65534)
    try:
        yield
    finally:
        os.seteuid(before)


def job(parent: Path, **changes: Any) -> Job:
    return Job(**{"folder": parent / "night", "in_force": RuleSet(rules_of(AFRAID).rules), **changes})


class TestRecordings:
    def test_those_in_the_folder_are_offered(self, http: httpx.Client, parent: Path) -> None:
        (one,) = http.get("/api/recordings").json()
        files = (parent / "night").rglob("*.gz")
        assert one == {
            "name": "night",
            "cameras": sorted(recordings.CAMERAS),
            "from": recordings.START,
            "to": pytest.approx(END, abs=1),
            "bytes": sum(path.stat().st_size for path in files),
            "purpose": "A made-up night in a harbour museum: nobody was watched.",
            "open": False,
            "problem": "",
        }

    def test_one_that_can_t_be_read_says_why(self, parent: Path, tmp_path: Path) -> None:
        (tmp_path / "torn").mkdir()
        (tmp_path / "torn" / MANIFEST).write_text("{")
        (tmp_path / "new").mkdir()
        text = (parent / "night" / MANIFEST).read_text()
        (tmp_path / "new" / MANIFEST).write_text(text.replace('"closed_at"', '"closed_once"'))
        site = site_of(tmp_path, console={"port": 0, "recordings": str(tmp_path)})
        with sources_of(site) as sources, asking(sources) as client:
            new, torn = client.get("/api/recordings").json()
        assert (new["open"], new["problem"], new["bytes"]) == (True, "", 0)
        assert torn["problem"].startswith(f"torn/{MANIFEST} is not the manifest of a recording")
        assert str(tmp_path) not in json.dumps([new, torn])

    @pytest.mark.parametrize("folder", [None, "/no/such/folder"])
    def test_without_a_folder_there_are_none(self, tmp_path: Path, folder: str | None) -> None:
        site = site_of(tmp_path, console={"port": 0, "recordings": folder})
        with sources_of(site) as sources, asking(sources) as client:
            assert client.get("/api/recordings").json() == []
            assert client.post("/api/replays", json={"recording": "night"}).status_code == 404

    def test_a_folder_that_may_not_be_looked_into_hides_no_other(self) -> None:
        with TemporaryDirectory() as folder:  # everybody may go there, unlike to that of `tmp_path`
            parent = Path(folder)
            parent.chmod(0o755)
            for name in ("night", "lost+found"):
                (parent / name).mkdir()
                (parent / name / MANIFEST).write_text("{}")
            (parent / "lost+found").chmod(0o000)
            with _nobody():
                assert list(folders(parent)) == ["night"]
            (parent / "lost+found").chmod(0o755)

    def test_nothing_outside_the_folder_is_reached(self, parent: Path, tmp_path: Path) -> None:
        offered = tmp_path / "offered"
        offered.mkdir()
        (offered / "linked").symlink_to(parent / "night")
        (offered / "nothing").mkdir()
        (tmp_path / "night").symlink_to(parent / "night")
        site = site_of(tmp_path, console={"port": 0, "recordings": str(offered)})
        with sources_of(site) as sources, asking(sources) as client:
            assert client.get("/api/recordings").json() == []
            for name in ("../night", "night/../night", "/etc", ".", "..", "", "night\x00", "linked", "nothing"):
                answer = client.post("/api/replays", json={"recording": name})
                assert answer.status_code == 404, name
                assert "no such recording" in answer.json()["error"]["message"]


class TestResults:
    """What a replay comes to, without its process."""

    def test_the_rules_in_force_over_a_recording(self, parent: Path) -> None:
        told: list[float] = []
        found = replayed(job(parent), told.append)
        assert (found.from_, found.to) == (recordings.START, pytest.approx(END, abs=1))
        assert found.records > 3 * MINUTES * 60 * 5 * 0.9
        assert (found.damaged, found.fired) == (0, len(found.alerts))
        assert {(one.rule, str(one.status)) for one in found.alerts} == {("afraid", "resolved")}
        assert sorted(found.timelines) == sorted(recordings.CAMERAS)
        regions = [one.alert_id for line in found.timelines.values() for one in line.alerts]
        assert sorted(regions) == sorted(one.alert_id for one in found.alerts)
        quay = found.timelines["quay"]
        assert len(quay.start) == len(quay.faces) == len(quay.shares["fear"]) > 100
        assert sum(quay.observed_s) == pytest.approx(MINUTES * 60, abs=60)
        assert told == sorted(told)
        assert 0 < told[0] < told[-1] <= 1
        assert found.diff is not None
        assert (found.diff.compared_with, found.diff.fired[1]) == ("recording", found.fired)
        assert found.diff.changes  # it was made with stricter ones

    def test_other_rules_are_compared_with_those_in_force(self, parent: Path) -> None:
        begin, end = recordings.START + 60, END - 60
        found = replayed(job(parent, text=STRICTER, begin=begin, end=end), lambda _: None)
        assert (found.from_, found.to) == (begin, end)
        assert all(begin <= one.ts <= end for one in found.alerts)
        assert found.diff is not None
        assert found.diff.compared_with == "in force"
        assert found.diff.fired[1] == found.fired < found.diff.fired[0]
        kinds = {kind for change in found.diff.changes for kind in change.kinds}
        assert "removed" in kinds
        assert kinds <= {"removed", "moved", "duration"}

    def test_a_recording_made_without_rules_has_nothing_to_compare_with(self, parent: Path, tmp_path: Path) -> None:
        folder = recordings.write(tmp_path / "plain", recordings.night(minutes=0.5))
        assert replayed(job(parent, folder=folder), lambda _: None).diff is None

    def test_a_time_that_is_not_in_it_is_said(self, parent: Path) -> None:
        with pytest.raises(SourceError, match="holds no observations of this time"):
            replayed(job(parent, begin=END + 100), lambda _: None)

    @pytest.mark.parametrize(
        ("rules", "said"),
        [
            ("rules: [{id: afraid, wen: 1}]", 'rules.yaml:1:22: rules[0].wen: unknown key, did you mean "when"?'),
            ("rules: [{id: afraid, when: feer >= 0.6}]", 'did you mean "fear"?'),
            ("rules: [\n", "rules.yaml:2:1: not YAML"),
            ("", "rules.yaml: the file is empty"),
            ("purpose: mine\ncameras: {}\nrules: /etc/passwd\n", "rules.yaml: expected a rules file"),
            ("rules: /etc/passwd\n", "expected a list"),
        ],
    )
    def test_rules_that_are_wrong_are_refused_with_every_mistake(self, parent: Path, rules: str, said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            replayed(job(parent, text=rules), lambda _: None)
        assert said in str(caught.value)
        assert "/tmp" not in str(caught.value)
        assert "root:" not in str(caught.value)


@pytest.mark.timeout(600)
class TestReplays:
    """The process, as the API sees it."""

    def test_a_replay_over_http_one_at_a_time(self, http: httpx.Client) -> None:
        replay_id = begun(http)
        refused = http.post("/api/replays", json={"recording": "night"})
        assert (refused.status_code, refused.json()["error"]["message"][:20]) == (409, "another replay runs:")
        found = finished(http, replay_id)
        assert (found["state"], found["error"], found["progress"]) == ("done", "", 1)
        assert (found["from"], len(found["alerts"])) == (recordings.START, found["fired"])
        assert found["alerts"][0]["started"] <= found["alerts"][0]["fired_at"]
        assert set(found["timelines"]["quay"]) >= {"from", "to", "start", "shares", "gaps", "alerts", "width_s"}
        assert "track_id" not in json.dumps(found)
        (first, *_) = http.get("/api/replays").json()
        assert (first["replay_id"], first["state"], first["recording"]) == (replay_id, "done", "night")
        assert http.delete(f"/api/replays/{replay_id}").json()["state"] == "done"

    def test_a_failure_is_told(self, http: httpx.Client) -> None:
        found = finished(http, begun(http, rules="rules: [{id: afraid, wen: 1}]"))
        assert (found["state"], found["alerts"], found["timelines"]) == ("failed", [], {})
        assert found["error"].startswith("rules.yaml:1:22")

    def test_a_process_that_dies_is_a_failure(self, http: httpx.Client) -> None:
        while processes():  # those of replays before
            time.sleep(0.01)
        replay_id = begun(http)
        while not (found := processes()):
            time.sleep(0.01)
        found[0].kill()
        found = finished(http, replay_id)
        assert (found["state"], found["error"]) == ("failed", "its process ended early (exit code -9)")

    def test_a_process_that_can_t_be_started_is_a_failure(self, parent: Path) -> None:
        kept, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        replays, wanted = Replays(threading.Event()), job(parent)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
        try:
            replay = replays.start("night", wanted)
            assert replay is not None
            while replay.state == "running":
                time.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (kept, most))
        assert (replay.state, "Too many open files" in replay.error) == ("failed", True)

    def test_it_can_be_cancelled_and_the_last_five_are_remembered(self, site: Settings) -> None:
        with sources_of(site) as sources, asking(sources) as client:
            ids = []
            for _ in range(7):
                ids.append(begun(client))
                client.delete(f"/api/replays/{ids[-1]}")
                assert finished(client, ids[-1])["state"] == "cancelled"
            assert [one["replay_id"] for one in client.get("/api/replays").json()] == ids[:1:-1]
            assert client.get(f"/api/replays/{ids[0]}").status_code == 404

    def test_the_end_of_the_console_is_the_end_of_a_replay(self, site: Settings) -> None:
        with sources_of(site) as sources:
            with asking(sources) as client:
                begun(client)
            while processes():
                time.sleep(0.01)

    @pytest.mark.parametrize(
        "wish",
        [{}, {"recording": 7}, {"recording": "night", "from": "x"}, {"recording": "night", "to": -1}],
        ids=str,
    )
    def test_wrong_wishes_are_said(self, http: httpx.Client, wish: dict[str, Any]) -> None:
        answer = http.post("/api/replays", json=wish)
        assert answer.status_code == 422
        assert answer.json()["error"]["message"]

    def test_little_memory_is_all_that_it_gets(self, parent: Path) -> None:
        layers = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9) if n else 'ha'}]" for n in range(12)]
        bomb = "\n".join(["rules: []", "signals:", *(f"  {layer}" for layer in layers)])
        context = get_context("spawn")
        results, there = context.Pipe(duplex=False)
        process = context.Process(target=main, args=(job(parent, text=bomb), there, 64 << 20))
        process.start()
        there.close()
        told = results.recv()
        process.join()
        assert isinstance(told, Failed)
        assert told.message.startswith("it needs more than")
