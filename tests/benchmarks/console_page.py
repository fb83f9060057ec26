"""How fast the console is in a browser: sixteen cameras, 10,000 alerts.

    python -m tests.benchmarks.console_page [--rounds 5] [--json FILE]

First paint and the list of alerts are measured in a fresh browser profile each time; smoothness while every camera
changes once a second, and while the list is scrolled from its beginning to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.bench import context
from tests.console_bed import made_up_settings, made_up_sources, serving

CAMERAS, ALERTS = 16, 10_000
WATCH_S = 10.0
WATCHER = """
window.watched = { frames: [], long: [] };
new PerformanceObserver((list) => list.getEntries().forEach((one) => window.watched.long.push(one.duration)))
  .observe({ type: "longtask", buffered: true });
let last = performance.now();
const frame = (now) => { window.watched.frames.push(now - last); last = now; requestAnimationFrame(frame); };
requestAnimationFrame(frame);
"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
SCROLL = """
async () => {
  const list = document.querySelector(".virtual");
  const words = document.querySelector(".heading .aside");
  const begun = performance.now();
  while (words.textContent.includes("loaded") || list.scrollTop + list.clientHeight < list.scrollHeight - 1) {
    list.scrollTop += 600;
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - begun;
}
"""


def opened(browser: Browser, url: str) -> Page:
    """A page in a profile without a cache."""
    page = browser.new_context(viewport={"width": 1280, "height": 860}, locale="en-GB").new_page()
    page.add_init_script(WATCHER)
    page.goto(url)
    return page


def first_paint(browser: Browser, url: str) -> dict[str, float]:
    """The first view: something to see, and the verdict, in ms from the request on."""
    page = opened(browser, f"{url}#/now")
    page.locator(".verdict[data-kind=firing]").wait_for()
    verdict = page.evaluate("performance.now()")
    paint = page.evaluate(PAINT)
    page.context.close()
    return {"first_contentful_paint_ms": paint, "verdict_ms": verdict}


def alert_list(browser: Browser, url: str) -> dict[str, float]:
    """The list of alerts: rows to be seen and chosen, in ms from the request on."""
    page = opened(browser, f"{url}#/alerts")
    page.locator('.alert-row[aria-posinset="1"] a').focus()
    ready = page.evaluate("performance.now()")
    page.context.close()
    return {"list_interactive_ms": ready}


def smoothness(page: Page) -> dict[str, float]:
    """Frames and long tasks since the last call; a frame of a screen of 60 Hz has 16.7 ms."""
    watched = page.evaluate(
        "() => { const one = window.watched; window.watched = { frames: [], long: [] }; return one }"
    )
    frames = sorted(watched["frames"]) or [0.0]
    return {
        "frames": len(frames),
        "frame_p95_ms": frames[int(0.95 * (len(frames) - 1))],
        "frame_max_ms": frames[-1],
        "long_tasks": len(watched["long"]),
        "long_task_max_ms": max(watched["long"], default=0.0),
    }


def watching(browser: Browser, url: str) -> dict[str, float]:
    """The first view while sixteen cameras change."""
    page = opened(browser, f"{url}#/now")
    page.locator(".tile").nth(CAMERAS - 1).wait_for()
    page.wait_for_timeout(2000)
    smoothness(page)
    page.wait_for_timeout(WATCH_S * 1000)
    found = smoothness(page)
    page.context.close()
    return found


def scrolling(browser: Browser, url: str) -> dict[str, float]:
    """The list of alerts from its beginning to its end, page by page from the server."""
    page = opened(browser, f"{url}#/alerts")
    page.locator(".alert-row").first.wait_for()
    smoothness(page)
    took = page.evaluate(SCROLL)
    found = smoothness(page) | {"took_ms": took, "rows_in_the_page": page.locator(".alert-row").count()}
    page.context.close()
    return found


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: round(statistics.median(one[name] for one in rounds), 1) for name in rounds[0]}


def main() -> None:
    """Measure, print, and write a file where one is named."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        settings = made_up_settings(Path(folder), cameras=CAMERAS, port=0)
        with made_up_sources(settings, alerts=ALERTS) as sources, serving(sources) as url:
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
            found: dict[str, Any] = {
                "load": os.getloadavg()[0],
                **medians([first_paint(browser, url) for _ in range(asked.rounds)]),
                **medians([alert_list(browser, url) for _ in range(asked.rounds)]),
                "watching": watching(browser, url),
                "scrolling": scrolling(browser, url),
            }
            browser.close()
    print(json.dumps(found, indent=2))
    if asked.json:
        told = {"context": context(Path(__file__)), "figures": found}
        asked.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
