"""The console of `mien run`, on the built-in scene: an astronaut smiles, walks up to the camera and away again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visiting

pytestmark = pytest.mark.timeout(300)
LOOP_MS = 80_000
"""The scene comes round every 22 s; a busy machine may see less of it."""


@pytest.fixture
def page(visiting: Visiting, scene: str) -> Page:
    return visiting(scene).page()


def test_a_smile_fires_is_told_aloud_and_leaves_all_quiet_again(page: Page):
    firing = page.get_by_text("1 alert is firing")
    expect(firing).to_be_visible(timeout=LOOP_MS)
    card = page.get_by_role("list", name="Alerts that fire").get_by_role("listitem")
    expect(card).to_contain_text("Notice")
    expect(card).to_contain_text("Happiness for 2 s on smile")
    expect(page.get_by_role("status").filter(has_text="Notice: Happiness for 2 s on smile")).to_have_count(1)
    expect(page.get_by_text("All quiet")).to_be_visible(timeout=LOOP_MS)
    expect(page.get_by_text("1 of 1 camera live · rules watching: 1")).to_be_visible()
    expect(page.get_by_role("region", name="Ended lately")).to_contain_text("Happiness for 2 s on smile")


def test_the_timeline_tells_the_smile_as_a_chart_by_keys_and_as_a_table(page: Page):
    page.keyboard.press("3")
    page.get_by_role("link", name="smile", exact=True).click()
    expect(page.locator(".uplot canvas")).to_be_visible()
    page.get_by_text("As a table").click()
    table = page.get_by_role("table", name=re.compile("Expressions over time on smile"))
    expect(table.get_by_role("columnheader", name="happiness")).to_be_visible()
    expect(table).to_contain_text("100", timeout=LOOP_MS)
    page.locator(".chart").focus()
    page.keyboard.press("End")
    before = page.locator(".readout .when").inner_text()
    assert re.fullmatch(r"\d\d:\d\d:\d\d . \d\d:\d\d:\d\d", before)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".readout .when")).not_to_have_text(before)


def test_the_live_view_moves(page: Page, scene: str):
    page.goto(f"{scene}#/cameras/smile")
    page.locator(".picture:not([data-empty])").wait_for()
    sight = "c => c.toDataURL().length + c.toDataURL().slice(-400)"
    canvas = page.locator(".picture canvas")
    first = canvas.evaluate(sight)
    for _ in range(100):
        if canvas.evaluate(sight) != first:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the picture stood still for ten seconds")
