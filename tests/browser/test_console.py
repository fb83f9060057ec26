"""The console over a made-up site: sixteen cameras, of which one is dead and one stalled, and 10,000 alerts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from connectors.recording import Manifest, RecordedCamera, RecordedModel
from connectors.recording_writer import RecordingWriter
from operators.records import Clock, FaceTrack, Observation, Severity, Status
from pipeline.config import load_settings
from pipeline.web.sources import Sources
from tests.alerts import made_up
from tests.browser.conftest import Visit, Visiting, serving_with
from tests.console_bed import made_up_settings, made_up_sources, serving
from tests.recordings import START, night, write

VIEWS = ("#/now", "#/alerts", "#/cameras", "#/cameras/camera-01", "#/zones/camera-01", "#/rules", "#/replay")


@pytest.fixture
def visit(visiting: Visiting, url: str) -> Visit:
    return visiting(url)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Sources]:
    with made_up_sources(made_up_settings(tmp_path, cameras=2, port=0), alerts=5) as sources:
        yield sources


def first_row(page: Page):
    return page.locator('.alert-row[aria-posinset="1"] a')


def yaml_of(page: Page) -> str:
    return page.get_by_label("For the configuration").locator("code").inner_text()


# What fires, and what the cameras do


def test_what_fires_is_said_at_once_with_rule_camera_time_and_severity_in_words(visit: Visit, site: Sources):
    page = visit.page()
    firing = site.status().firing
    expect(page.get_by_text(f"{firing} alerts are firing")).to_be_visible()
    expect(page).to_have_title(f"({firing}) Now · mien")
    card = page.get_by_role("list", name="Alerts that fire").get_by_role("listitem").first
    expect(card).to_contain_text("Critical")
    expect(card).to_contain_text("anger-at-desk")
    expect(card).to_contain_text(re.compile(r"camera-\d\d"))
    expect(card).to_contain_text(re.compile(r"since \d\d:\d\d:\d\d · \d+ min"))


def test_a_dead_camera_says_that_it_is_dead_and_what_to_do(visit: Visit):
    page = visit.page("#/cameras")
    tile = page.locator(".tile", has=page.get_by_role("heading", name="camera-02"))
    expect(tile).to_contain_text("Not reachable · no answer in time")
    expect(tile).to_contain_text("no picture for")
    expect(tile).to_contain_text("check its power and its network")
    page.goto(f"{visit.url}#/cameras/camera-02")
    expect(page.locator(".picture .over")).to_have_text("No picture")
    expect(page.get_by_role("row", name=re.compile("Reconnected: no answer in time"))).to_be_visible()


def test_health_names_the_sink_that_takes_nothing(visit: Visit):
    page = visit.page()
    row = page.locator(".health li", has_text="hook")
    expect(row).to_contain_text("Trouble")
    expect(row).to_contain_text("refused the connection")
    expect(page.locator(".health li", has_text="stdout")).to_contain_text("OK")


def test_times_are_in_the_zone_of_the_viewer_and_say_so(visiting: Visiting, url: str):
    for zone, said in (("Asia/Kathmandu", "GMT+5:45"), ("UTC", "UTC")):
        page = visiting(url, timezone_id=zone).page("#/alerts")
        expect(page.locator(".pulse")).to_contain_text(said)
        expect(page.locator(".columns")).to_contain_text(f"Began ({said})")


# Alerts


def test_ten_thousand_alerts_scroll_to_the_end_with_few_rows_in_the_page(visit: Visit):
    page = visit.page("#/alerts")
    first_row(page).wait_for()
    count = page.locator(".heading .aside")
    for _ in range(200):
        if "loaded" not in count.inner_text():
            break
        page.locator(".virtual").evaluate("one => { one.scrollTop = one.scrollHeight }")
        page.wait_for_timeout(25)
    expect(count).to_have_text(re.compile(r"^[\d,]+ alerts$"))
    many = int(count.inner_text().split()[0].replace(",", ""))
    assert many > 5000
    page.locator(".virtual").evaluate("one => { one.scrollTop = one.scrollHeight }")
    expect(page.locator(f'.alert-row[aria-posinset="{many}"]')).to_be_visible()
    assert page.locator(".alert-row").count() < 60


def test_filters_stand_in_the_address_and_are_there_after_a_reload(visit: Visit):
    page = visit.page("#/alerts")
    page.get_by_label("Severity").select_option("critical")
    page.get_by_label("Camera", exact=True).select_option("camera-05")
    page.get_by_label("State").select_option("resolved")
    expect(page.locator(".alert-row .where").first).to_have_text("camera-05")
    page.reload()
    page.locator("html[data-ready]").wait_for()
    expect(page.get_by_label("Severity")).to_have_value("critical")
    rows = page.locator(".alert-row")
    expect(rows.first).to_contain_text("Resolved")
    for row in rows.all()[:10]:
        expect(row).to_contain_text("Critical")
        expect(row).to_contain_text("camera-05")


def test_a_span_of_time_filters_by_the_clock_of_the_viewer(visit: Visit):
    page = visit.page("#/alerts?time=between&from=2000-01-01T00:00&to=2000-01-02T00:00")
    expect(page.get_by_text("No alert matches.")).to_be_visible()
    page.get_by_label("Time", exact=True).select_option("day")
    first_row(page).wait_for()


def test_an_alert_is_acknowledged_and_taken_back_with_the_keyboard_alone(visit: Visit):
    page = visit.page("#/alerts?status=resolved")
    first_row(page).wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator('.alert-row[aria-posinset="2"] a')).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".details h2")).to_be_focused()
    expect(page.locator(".life li")).not_to_have_count(0)
    page.keyboard.press("a")
    page.keyboard.type("looked at it: a delivery")
    page.keyboard.press("Enter")
    expect(page.locator(".note")).to_contain_text("Acknowledged at")
    expect(page.locator(".note blockquote")).to_have_text("looked at it: a delivery")
    expect(page.locator('.alert-row[aria-posinset="2"]')).to_have_attribute("data-acknowledged", "")
    page.keyboard.press("u")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()
    page.locator(".details h2").focus()
    page.keyboard.press("Escape")
    expect(page.locator(".details")).to_be_hidden()
    expect(page.locator('.alert-row[aria-posinset="2"] a')).to_be_focused()


def test_a_note_is_text_whatever_it_says(visit: Visit):
    page = visit.page("#/alerts?status=resolved")
    first_row(page).click()
    note = "<img src=x onerror=alert(1)> & {title} '\"</script>"
    page.get_by_label("Note").last.fill(note)
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".note blockquote")).to_have_text(note)
    page.get_by_role("button", name="Take back").click()


def test_single_keys_can_be_switched_off(visit: Visit):
    page = visit.page("#/rules")
    page.keyboard.press("?")
    page.get_by_label("Single keys do this").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    page.wait_for_timeout(200)
    assert page.url.endswith("#/rules")


def test_a_new_alert_comes_by_itself_and_is_read_out_once(visiting: Visiting, small: Sources):
    with serving(small) as url:
        page = visiting(url).page("#/alerts")
        first_row(page).wait_for()
        now = time.time()
        found = next(made_up(1, cameras=["camera-01"], rules={"fear-3s": Severity.WARNING}, until=now))
        labels = {"rule": "fear-3s", "camera": "camera-01", "zone": "desk"}
        fired = replace(found, alert_id="00ff" * 4, seq=1, status=Status.FIRING, fired_at=now, labels=labels)
        small.store.append([fired])
        expect(first_row(page)).to_contain_text("camera-01 · desk")
        expect(page.locator("[aria-live=polite]")).to_have_text("Warning: fear-3s on camera-01")
        page.close()


# A camera


def test_the_live_view_says_which_picture_it_is_and_shows_one(visit: Visit):
    page = visit.page("#/cameras/camera-01")
    expect(page.locator(".mode")).to_contain_text("Outlines. The picture is made so coarse that no face can be read")
    expect(page.locator(".picture:not([data-empty])")).to_be_visible()
    colours = page.locator(".picture canvas").evaluate(
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    )
    assert colours > 4


def test_the_live_view_asks_for_nothing_while_nobody_can_see_it(visit: Visit):
    page = visit.page("#/cameras/camera-01")
    page.locator(".picture:not([data-empty])").wait_for()
    page.goto(f"{visit.url}#/rules")
    page.wait_for_timeout(400)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1000)
    assert not [one for one in asked if "picture" in one]


@pytest.mark.parametrize(("mode", "words"), [("off", "switched off"), ("blurred", "one that was missed stays visible")])
def test_other_modes_of_the_live_view_say_what_they_are(visiting: Visiting, site: Sources, mode: str, words: str):
    with serving_with(site, live=mode) as url:
        visit = visiting(url)
        page = visit.page("#/cameras/camera-01")
        expect(page.get_by_role("region", name="Live view")).to_contain_text(words)
        page.close()


# Zones


def draw(page: Page, corners: list[tuple[float, float]]) -> None:
    box = page.locator(".drawing-layer").bounding_box()
    assert box is not None
    for x, y in corners:
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_zones_and_masks_drawn_with_mouse_and_keys_are_valid_in_a_configuration(visit: Visit, tmp_path: Path):
    page = visit.page("#/zones/camera-02")
    page.get_by_role("button", name="New zone").click()
    draw(page, [(0.2, 0.2), (0.6, 0.25), (0.55, 0.8), (0.2, 0.2)])
    page.get_by_label("Name").fill("no")
    page.locator(".handle").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("+")
    expect(page.locator(".handle")).to_have_count(4)
    page.get_by_role("button", name="New mask").click()
    for key in ("Space", "ArrowRight", "ArrowRight", "Space", "Shift+ArrowDown", "Space", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".shapes button", has_text="mask 1")).to_be_visible()
    lines = yaml_of(page)
    file = tmp_path / "mien.yaml"
    known = lines.replace("camera-02:\n", "camera-02:\n    url: scene://smile\n")
    file.write_text(f"version: 1\npurpose: a test of what was drawn\n{known}", encoding="utf-8")
    camera = load_settings(file).cameras["camera-02"]
    assert len(camera.zones["no"].polygon) == 4
    assert camera.zones["no"].polygon[0] == pytest.approx((0.21, 0.25), abs=0.003)
    assert camera.masks[0] == ((0.5, 0.5), (0.54, 0.5), (0.54, 0.6))


def test_what_is_drawn_can_be_undone_and_typed(visit: Visit):
    page = visit.page("#/zones/camera-01")
    before = yaml_of(page)
    assert "desk: {polygon: [[0.1, 0.2]" in before
    page.locator(".shapes button", has_text="desk").click()
    handle = page.locator(".handle .dot").first.bounding_box()
    assert handle is not None
    page.mouse.move(handle["x"] + 5, handle["y"] + 5)
    page.mouse.down()
    page.mouse.move(handle["x"] + 60, handle["y"] + 40, steps=3)
    page.mouse.up()
    assert yaml_of(page) != before
    page.get_by_role("button", name="Undo").click()
    assert yaml_of(page) == before
    page.get_by_label("x of corner 1").fill("0.15")
    page.keyboard.press("Tab")
    assert "[[0.15, 0.2]" in yaml_of(page)


def test_a_finger_draws_too(visiting: Visiting, url: str):
    page = visiting(url, has_touch=True, width=360, height=780).page("#/zones/camera-01")
    page.get_by_role("button", name="New zone").tap()
    box = page.locator(".drawing-layer").bounding_box()
    assert box is not None
    for x, y in [(0.7, 0.2), (0.9, 0.2), (0.9, 0.8), (0.7, 0.2)]:
        page.touchscreen.tap(box["x"] + x * box["width"], box["y"] + y * box["height"])
    expect(page.locator(".shapes button", has_text="zone-1")).to_be_visible()
    assert yaml_of(page).count("polygon") == 2


# Everything


def test_language_and_colours_are_chosen_and_kept(visit: Visit):
    page = visit.page()
    page.get_by_role("combobox", name="Language").select_option("zh")
    expect(page.get_by_text("条警报触发中")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    page.get_by_role("combobox", name="配色").select_option("dark")
    page.reload()
    expect(page.get_by_text("条警报触发中")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_the_language_of_the_browser_is_spoken_without_a_choice(visiting: Visiting, url: str):
    page = visiting(url, locale="zh-CN").page("#/rules")
    expect(page.get_by_role("heading", name="规则", level=1)).to_be_visible()


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_nothing_sticks_out_of_a_phone(visiting: Visiting, url: str, language: str):
    visit = visiting(url, width=360, height=740, has_touch=True, is_mobile=True, locale=language)
    page = visit.page()
    for view in VIEWS:
        page.goto(visit.url + view)
        page.locator("main.view > *").first.wait_for()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view


def test_no_view_breaks_a_rule_of_accessibility_in_either_theme(visit: Visit):
    page, axe = visit.page(), Axe()
    found = []
    for view in (*VIEWS, "details", "help"):
        reach(page, visit.url, view)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            results = axe.run(page, options={"resultTypes": ["violations"]})
            found += [(view, theme, one["id"], str(one["nodes"][0]["html"])) for one in results.response["violations"]]
    assert found == []


def reach(page: Page, url: str, view: str) -> None:
    if view == "details":
        page.goto(f"{url}#/alerts")
        first_row(page).click()
        page.locator(".details h2").wait_for()
    elif view == "help":
        page.keyboard.press("?")
        page.locator("dialog[open]").wait_for()
    else:
        page.goto(url + view)
        page.locator("main.view > *").first.wait_for()
        page.wait_for_timeout(300)


def test_the_keyboard_reaches_the_content_first_and_every_view(visit: Visit):
    page = visit.page()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for place, name in enumerate(("Now", "Alerts", "Cameras", "Zones", "Rules", "Replay"), 1):
        page.keyboard.press(str(place))
        expect(page.get_by_role("navigation").get_by_role("link", name=re.compile(name))).to_have_attribute(
            "aria-current", "page"
        )


def test_without_the_token_there_is_a_form_and_with_it_the_console(visiting: Visiting, site: Sources):
    token = "correct horse battery staple"
    with serving_with(site, token=made_up_settings(Path(), token=token).console.token) as url:
        visit = visiting(url, tolerated="401")
        page = visit.page()
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("This is not the token.")
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        expect(page.get_by_text("alerts are firing")).to_be_visible()
        page.reload()
        expect(page.get_by_text("alerts are firing")).to_be_visible()
        page.get_by_role("button", name="Help and settings").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_focused()
        page.reload()
        expect(page.get_by_label("Token")).to_be_visible()
        page.close()


def test_a_lost_connection_is_unmistakable_and_comes_back_by_itself(visiting: Visiting, small: Sources):
    with serving(small) as url:
        visit = visiting(url, tolerated="ERR_")
        page = visit.page()
        expect(page.locator(".lost")).to_be_hidden()
    expect(page.get_by_role("alert")).to_contain_text("Connection lost since", timeout=15_000)
    expect(page.get_by_text("Unknown", exact=True)).to_be_visible()
    expect(page.get_by_text("All quiet")).to_have_count(0)
    assert page.evaluate("document.body.classList.contains('stale')")
    with serving_with(small, port=int(url.rstrip("/").rsplit(":", 1)[1])):
        expect(page.locator(".lost")).to_be_hidden(timeout=15_000)
        expect(page.get_by_text("Unknown", exact=True)).to_have_count(0)
        page.close()


# Rules and replays


def test_a_rule_says_what_it_wants_where_it_stands_and_where_it_nearly_fired(visit: Visit):
    page = visit.page("#/rules")
    rule = page.locator(".rule", has=page.get_by_role("heading", name="fear-3s"))
    expect(rule).to_contain_text("Fires when a face shows fear >= 0.6 for 3s in zone desk.")
    expect(rule.get_by_role("link", name=re.compile(r"fired \d+ times, last at"))).to_be_visible()
    expect(rule.locator(".misses li")).to_have_count(5)
    rule.get_by_text("YAML").click()
    expect(rule.locator("code").first).to_contain_text("id: fear-3s")
    page.locator(".rule", has_text="happiness-3s").get_by_role("link", name=re.compile("fired")).click()
    expect(page.locator(".alert-row").first).to_contain_text("happiness-3s")


OTHER_RULES = """\
version: 1
rules:
  - id: fear-2s
    severity: warning
    when: {prob: fear, enter: 0.6, exit: 0.45}
    for: 2s
"""


def test_other_rules_are_tried_on_a_recording_and_compared(visiting: Visiting, site: Sources, tmp_path: Path):
    write(tmp_path / "museum", night(minutes=20))
    with serving_with(site, recordings=tmp_path) as url:
        page = visiting(url).page("#/replay")
        expect(page.get_by_text("A made-up night in a harbour museum")).to_be_visible()
        page.get_by_text("Try other rules").click()
        expect(page.get_by_label("A rules file")).to_have_value(re.compile("id: happiness-3s"))
        page.get_by_label("A rules file").fill("rules: [{id: wrong}]")
        page.get_by_role("button", name="Replay").click()
        expect(page.get_by_role("alert")).to_contain_text("rules.yaml", timeout=60_000)
        page.get_by_label("A rules file").fill(OTHER_RULES)
        page.get_by_role("button", name="Replay").click()
        expect(page.get_by_text(re.compile(r"^\d+ alerts fire"))).to_be_visible(timeout=60_000)
        expect(page.locator('[data-change="added"]').first).to_contain_text("fear-2s")
        expect(page.locator(".timeline")).to_have_count(3)
        page.close()


DROWSY = "rules: [{id: drowsy-2s, when: drowsy >= 0.6, for: 2s}]"


def doze(folder: Path) -> None:
    """A recording by a network that reads classes of its own: a minute of one face that tires."""
    network = RecordedModel("own.onnx", {}, labels=("neutral", "drowsy", "yawning"))
    head = Manifest(
        mien="0.1.0",
        created_at="2026-11-20T22:00:00Z",
        purpose="A made-up night watch: nobody was watched.",
        models={"expression": network},
        cameras={"desk": RecordedCamera(fps=5.0)},
    )
    with RecordingWriter(folder, head) as writer:
        writer.write(
            Observation("desk", 1, number, START + number / 5, Clock.SENDER, (dozing(number // 100),))
            for number in range(300)
        )


def dozing(stage: int) -> FaceTrack:
    label = ("neutral", "yawning", "drowsy")[stage]
    return FaceTrack("t1", START, (0, 0, 60, 80), 0.9, 80.0, 0.9, label=label, scores={label: 0.9})


def test_a_network_of_ones_own_has_its_own_words_and_colours(visiting: Visiting, site: Sources, tmp_path: Path):
    doze(tmp_path / "watch")
    with serving_with(site, recordings=tmp_path) as url:
        page = visiting(url).page("#/replay")
        page.get_by_text("Try other rules").click()
        page.get_by_label("A rules file").fill(DROWSY)
        page.get_by_role("button", name="Replay").click()
        expect(page.get_by_text(re.compile(r"^1 alert fires"))).to_be_visible(timeout=60_000)
        parts = page.locator(".timeline .parts li")
        expect(parts).to_have_text(["neutral", "drowsy", "yawning", "not readable"])
        colours = parts.locator(".dot").evaluate_all("dots => dots.map((dot) => getComputedStyle(dot).backgroundColor)")
        assert len(set(colours[:3])) == 3
        page.close()
