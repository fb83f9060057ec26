"""Takes the screenshots of docs/console.md anew: `python -m tests.browser.screenshots [NAME ...]`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from operators.records import Status
from pipeline.config import Settings
from pipeline.web.sources import Sources
from tests.browser.conftest import ZONE, serving_with
from tests.console_bed import made_up_settings, made_up_sources
from tests.recordings import night, write

IMAGES = Path(__file__).parents[2] / "docs" / "images"
FIRING = 3
SEEN_S = 90.0
"""So long the cameras are watched first, so that their time lines have something to show."""
RULES = """\
version: 1
rules:
  - id: fear-2s
    severity: warning
    when: {prob: fear, enter: 0.6, exit: 0.45}
    for: 2s
"""


def calm(sources: Sources) -> Sources:
    """The same site with a few alerts firing."""
    firing = sources.store.firing()
    ended = [replace(one, seq=2, status=Status.RESOLVED, reason="condition", ends_at=one.ts + 8) for one in firing]
    kept = [one for one in firing if not one.silenced_by][-FIRING:]
    sources.store.append([end for one, end in zip(firing, ended, strict=True) if one not in kept])
    status = sources.status
    return replace(sources, status=lambda: replace(status(), firing=len(kept)))


def patient(settings: Settings) -> Settings:
    """The same site, whose rules are content with one look per second: more don't happen there."""
    rules = tuple(replace(rule, max_gap=3.0, max_dip=1.5, min_samples=2) for rule in settings.rules)
    return settings.model_copy(update={"rules": rules})


def details(page: Page) -> None:
    """Open an alert of which a note says something."""
    page.locator('.alert-row[aria-posinset="1"]').wait_for()
    for key in ("j", "j", "Enter"):
        page.keyboard.press(key)
    page.locator(".details h2").wait_for()
    page.keyboard.press("a")
    page.keyboard.type("Looked at it: a child was lost, and found.")
    page.keyboard.press("Enter")
    page.locator(".note .done").wait_for()


def pointed(page: Page) -> None:
    """Point at the timeline, near its end."""
    page.locator(".uplot").wait_for()
    page.locator(".chart").scroll_into_view_if_needed()
    page.locator(".chart").focus()
    for key in ("End", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)


def drawn(page: Page) -> None:
    """Draw a second zone."""
    page.get_by_role("button", name="New zone").click()
    box = page.locator(".drawing-layer").bounding_box()
    assert box is not None
    for x, y in [(0.68, 0.2), (0.93, 0.28), (0.9, 0.9), (0.7, 0.8), (0.68, 0.2)]:
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.get_by_label("Name").fill("door")


def tried(page: Page) -> None:
    """Try a rule on the recording."""
    page.get_by_text("Try other rules").click()
    page.get_by_label("A rules file").fill(RULES)
    page.get_by_role("button", name="Replay").click()
    page.locator(".outcome").wait_for(timeout=120_000)


Act = Callable[[Page], None] | None

SHOTS: tuple[tuple[str, str, str, int, int, Act], ...] = (
    ("now", "#/now", "light", 1280, 860, None),
    ("alerts", "#/alerts", "dark", 1280, 860, details),
    ("camera", "#/cameras/camera-01", "light", 1280, 1040, pointed),
    ("zones", "#/zones/camera-01", "dark", 1280, 940, drawn),
    ("rules", "#/rules", "light", 1280, 760, None),
    ("replay", "#/replay", "light", 1280, 1100, tried),
    ("phone", "#/now", "dark", 360, 740, None),
)


def main() -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        write(folder / "museum", night(minutes=20))
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        settings = patient(made_up_settings(folder, cameras=16, port=0))
        with made_up_sources(settings) as sources:
            time.sleep(SEEN_S)
            with serving_with(calm(sources), recordings=folder) as url:
                for shot, route, scheme, width, height, act in SHOTS:
                    if sys.argv[1:] and shot not in (*sys.argv[1:], "now"):
                        continue
                    view = {"width": width, "height": height}
                    language = "zh-CN" if shot == "phone" else "en-GB"
                    page = browser.new_context(
                        viewport=view, color_scheme=scheme, locale=language, timezone_id=ZONE
                    ).new_page()
                    page.set_default_timeout(60_000)
                    page.goto(url + route)
                    page.locator("html[data-ready]").wait_for()
                    if act:
                        act(page)
                    page.wait_for_timeout(3000)
                    page.screenshot(path=IMAGES / f"console-{shot}.png")
                    if shot != "now":
                        page.context.close()
                watching = browser.contexts[0].pages[0]
            watching.locator(".lost:not([hidden])").wait_for()
            watching.wait_for_timeout(1500)
            watching.screenshot(path=IMAGES / "console-lost.png")
        browser.close()


if __name__ == "__main__":
    main()
