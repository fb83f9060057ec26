"""A real browser on the real console: a page that errs, asks another host or breaks its policy fails its test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from pipeline.web.sources import Sources
from tests.console_bed import made_up_settings, made_up_sources, serving

ALERTS = 10_000
ZONE = "Europe/Vienna"


def chromium() -> str:
    """Debian's chromium; skips without, but fails in CI, which must have it."""
    path = shutil.which("chromium")
    if path:
        return path
    message = "no browser: install chromium, see tests/debian-packages.txt"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with its module: Playwright's event loop runs as long, and other tests have loops of their own."""
    path = chromium()
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@dataclass(slots=True)
class Visit:
    """Somebody who looks at a console; `wrong` is everything that a page should not have done.

    `tolerated` is a part of the messages that a test brings about, as of requests to a server that is away.
    """

    context: BrowserContext
    url: str
    tolerated: str | None = None
    _wrong: list[str] = field(default_factory=list)

    def page(self, route: str = "#/now", *, init: str | None = None) -> Page:
        """A page that is ready for use; `init` is a script that runs before the page's own."""
        page = self.context.new_page()
        page.on("console", lambda message: message.type in ("error", "warning") and self._wrong.append(message.text))
        page.on("pageerror", lambda error: self._wrong.append(str(error)))
        page.on("request", lambda request: self._check(request.url))
        if init:
            page.add_init_script(init)
        page.goto(self.url + route)
        page.locator("html[data-ready]").wait_for()
        return page

    @property
    def wrong(self) -> list[str]:
        """What went wrong, but what is tolerated."""
        return [one for one in self._wrong if self.tolerated is None or self.tolerated not in one]

    def _check(self, url: str) -> None:
        if urlsplit(url).netloc != urlsplit(self.url).netloc:
            self._wrong.append(f"asked another host: {url}")


Visiting = Callable[..., Visit]


@pytest.fixture
def visiting(browser: Browser) -> Iterator[Visiting]:
    """Makes visits: `visiting(url, locale="zh-CN")`; at the end nothing may have gone wrong in any of them."""
    visits: list[Visit] = []

    def visit(url: str, *, tolerated: str | None = None, width: int = 1280, height: int = 860, **options: Any) -> Visit:
        settings: dict[str, Any] = {"locale": "en-GB", "timezone_id": ZONE, "reduced_motion": "reduce", **options}
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        context.set_default_timeout(20_000)
        visits.append(Visit(context, url, tolerated))
        return visits[-1]

    yield visit
    for one in visits:
        one.context.close()
    assert [wrong for one in visits for wrong in one.wrong] == []


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """Sixteen made-up cameras, of which one is dead and one stalled, and 10,000 alerts."""
    chromium()  # before it is all made up for nothing
    settings = made_up_settings(tmp_path_factory.mktemp("site"), cameras=16, port=0)
    with made_up_sources(settings, alerts=ALERTS) as sources:
        yield sources


@pytest.fixture(scope="session")
def url(site: Sources) -> Iterator[str]:
    """The console of the site."""
    with serving(site) as address:
        yield address


@contextmanager
def serving_with(sources: Sources, **console: Any) -> Iterator[str]:
    """The same site under other settings of the console."""
    settings = sources.settings
    other = settings.model_copy(update={"console": replace(settings.console, **console)})
    with serving(replace(sources, settings=other, closing=threading.Event())) as address:
        yield address


SCENE = """
version: 1
purpose: a test of the console on a public-domain portrait; nobody is watched
cameras:
  smile: {url: scene://smile, fps: 5}
rules:
  - id: happiness-2s
    severity: notice
    when: {prob: happiness, enter: 0.6, exit: 0.45}
    for: 2s
    max_gap: 2s        # a busy machine analyses fewer pictures
    min_samples: 2
    title: Happiness for 2 s on {camera}
store: {path: mien.sqlite}
console: {port: 0}
"""


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the console of `mien run`, on the built-in scene."""
    chromium()
    folder = tmp_path_factory.mktemp("scene")
    config, log = folder / "mien.yaml", folder / "log"
    config.write_text(SCENE)
    with ExitStack() as stack:
        out = stack.enter_context(log.open("w"))
        command = [sys.executable, "-m", "pipeline.cli", "run", "-c", str(config), "--plain"]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
        stack.callback(process.wait, timeout=30)
        stack.callback(process.terminate)
        yield _address(process, log)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it says that its console is."""
    for _ in range(600):
        words = log.read_text().split()
        found = [word for word in words if word.startswith("http://127.0.0.1:")]
        if found:
            return found[0].rstrip(",.")
        assert process.poll() is None, log.read_text()
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"no console after a minute: {log.read_text()}")
