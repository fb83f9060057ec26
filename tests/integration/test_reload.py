"""Rules that change while cameras are watched: the running pipeline, real files, and a signal."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.store import Store, StoreSettings
from operators.records import Alert, Status
from pipeline.config import load_settings
from pipeline.local import LocalPipeline

pytestmark = pytest.mark.integration

CONFIG = """
purpose: a test of changing rules on the built-in scene
cameras:
  smile: {url: "scene://smile", fps: 5}
rules: rules.yaml
"""
RULES = """
defaults:
  when: {prob: happiness, enter: 0.5, exit: 0.3}
  max_gap: 2s
  max_dip: 1s
  min_coverage: 0.1
  min_samples: 2
  keep_firing_for: 10m
  lost_after: 10m
rules:
  - {id: steady, for: 300ms, repeat_every: 1s}
  - {id: changed, for: 300ms}
"""
CHANGED = RULES.replace("{id: changed, for: 300ms}", "{id: changed, for: 600ms}")


@contextmanager
def running(folder: Path) -> Iterator[LocalPipeline]:
    """The scene under rules that are mounted as Kubernetes does it: links to a folder that nobody may write to."""
    mount(folder, "one", RULES)
    (folder / "rules.yaml").symlink_to("..data/rules.yaml")
    config = folder / "mien.yaml"
    config.write_text(CONFIG)
    settings = load_settings(config)
    store = settings.model_copy(update={"store": StoreSettings(path=folder / "mien.sqlite")})
    with LocalPipeline(store, config=config) as pipeline:
        yield pipeline


def mount(folder: Path, version: str, rules: str) -> None:
    (folder / version).mkdir()
    (folder / version / "rules.yaml").write_text(rules)
    (folder / version).chmod(0o555)
    (folder / "..new").symlink_to(version)
    (folder / "..new").replace(folder / "..data")


def until(check: Callable[[], object], *, seconds: float = 60.0) -> None:
    ends_at = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends_at, f"did not happen within {seconds} s"
        time.sleep(0.05)


def journal(folder: Path) -> list[Alert]:
    store = Store(StoreSettings(path=folder / "mien.sqlite"))
    try:
        return [alert for _, alert in store.after(0, 10_000)]
    finally:
        store.close()


def of(folder: Path, rule: str, status: Status = Status.FIRING) -> list[Alert]:
    return [alert for alert in journal(folder) if alert.rule == rule and alert.status is status]


def test_rules_change_under_an_alert_that_fires(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipeline.reload")
    with running(tmp_path) as pipeline:
        until(lambda: of(tmp_path, "steady") and of(tmp_path, "changed"))
        before = pipeline.status().rules

        mount(tmp_path, "two", CHANGED)
        until(lambda: pipeline.status().rules.reloads == 1)
        now = pipeline.status().rules
        (ended,) = of(tmp_path, "changed", Status.RESOLVED)
        assert (ended.reason, ended.config) == ("config", now.version)
        assert ended.alert_id == of(tmp_path, "changed")[0].alert_id
        until(lambda: of(tmp_path, "changed")[-1].alert_id != ended.alert_id)  # it starts anew
        until(lambda: of(tmp_path, "steady")[-1].config == now.version)

        mount(tmp_path, "three", CHANGED.replace("keep_firing_for", "keep_fireing_for"))
        until(lambda: pipeline.status().rules.error)
        told = len(of(tmp_path, "steady"))
        until(lambda: len(of(tmp_path, "steady")) > told + 2)  # two repeats more: the old rules go on
        refused = pipeline.status().rules
        assert (refused.refused, refused.version, refused.reloads) == (1, now.version, 1)
        assert 'did you mean "keep_firing_for"' in refused.error
        assert caplog.text.count("rules are refused") == 1

        mount(tmp_path, "four", RULES)
        until(lambda: pipeline.status().rules.reloads == 2)
        assert pipeline.status().rules.error == ""
        assert pipeline.status().rules.version == before.version

        steady = of(tmp_path, "steady")
        assert len({alert.alert_id for alert in steady}) == 1
        assert [alert.seq for alert in steady] == list(range(1, len(steady) + 1))
        assert not of(tmp_path, "steady", Status.RESOLVED)


def test_sighup_reads_the_rules_and_ends_nothing(tmp_path: Path) -> None:
    config = tmp_path / "mien.yaml"
    config.write_text(CONFIG.replace("rules.yaml", "[]") + f'store: {{path: "{tmp_path}/mien.sqlite"}}\n')
    said = tmp_path / "said.txt"
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "run", "-c", str(config), "--plain"],
            cwd=Path(__file__).parents[2],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: "state='live'" in said.read_text())
        config.write_text(config.read_text().replace("rules: []", "rules: [{id: happy, whenn: x}]"))
        process.send_signal(signal.SIGHUP)
        until(lambda: 'did you mean "when"' in said.read_text())
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(20)
    assert process.returncode == 0, said.read_text()
    assert said.read_text().count("rules are refused") >= 2, "who asks is answered"
