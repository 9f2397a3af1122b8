"""Phones: a Chinese-speaking user enhances an example by touch, and every part of the header can be pressed."""

from __future__ import annotations

import pytest
from PIL import Image
from playwright.sync_api import Page

from ..site import Site
from .audit import english, overflow
from .journey import (
    box,
    download,
    expect,
    expect_chosen,
    has_focus,
    load,
    middle,
    number,
    press,
    stage,
    wait_for_chip,
    wait_for_stage,
)

WIDTH, HEIGHT = 390, 844
PHONE = {"locale": "zh-CN", "has_touch": True, "is_mobile": True, "device_scale_factor": 2}

UNREACHABLE = """() => {
  const parts = "#tabs [role=tab], #tabs .overflow-menu > button, #head button, #head a";
  const isVisible = (button) => button.checkVisibility({ visibilityProperty: true });
  return [...document.querySelectorAll(parts)].filter(isVisible).filter((button) => {
    const { left, right, top, bottom } = button.getBoundingClientRect();
    const y = (top + bottom) / 2;
    const reached = (x) => button.contains(document.elementFromPoint(x, y));
    return ![left + 1, (left + right) / 2, right - 1].every(reached);
  }).map((button) => button.textContent.trim() || button.id || button.className);
}"""
"""Return the buttons of the header that another part covers at their edges or their centre."""

ENDS_AT_BAR = """() => {
  const [panel, bar] = ["#panel", "#bar"].map((part) => document.querySelector(part).getBoundingClientRect());
  return panel.bottom <= bar.top + 1;
}"""


def test_a_phone_user_enhances_an_example_in_chinese_by_touch(site: Site, open_page, tmp_path):
    page = open_page(
        "?preset=precise", width=WIDTH, height=HEIGHT, color_scheme="dark", reduced_motion="no-preference", **PHONE
    )

    def has_no_faults() -> None:
        assert [*english(page), *overflow(page, WIDTH, HEIGHT)] == []

    page.locator("body.dark").wait_for()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    has_no_faults()
    page.locator("#examples button").first.tap()
    wait_for_chip(page, "matches")
    has_no_faults()

    # One finger pans and two fingers zoom. The stage shows every pixel of the screen.
    canvas, first = page.locator("#viewer canvas"), stage(page)
    expect(page.locator("#viewer output")).to_be_hidden()
    assert page.evaluate("document.querySelector('#viewer canvas').width") == 2 * box(canvas)["width"]
    x, y = (part + 60 for part in middle(canvas))
    touch = page.context.new_cdp_session(page)

    def swipe(*moves: list[tuple[float, float]]) -> None:
        for count, points in enumerate(moves):
            kind = "touchMove" if count else "touchStart"
            given = [{"x": at[0], "y": at[1], "id": number} for number, at in enumerate(points)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe([(x, y)], [(x + 20, y + 10)], [(x + 40, y + 20)])
    wait_for_stage(page, f"view.x < {first['x']} && view.y < {first['y']}")
    swipe([(x, y), (x + 40, y)], [(x - 10, y), (x + 50, y)], [(x - 20, y), (x + 60, y)])
    wait_for_stage(page, "view.zoom > 1.5")
    wait_for_chip(page, "matches")
    assert page.evaluate("scrollY") == 0, "the photo moves, not the page"

    # The settings are a sheet. Escape, a tap outside, its button or a swipe closes it.
    button, sheet = page.locator("#settings button"), page.locator("#panel.sheet")
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.touchscreen.tap(200, 80), button.tap):
        button.tap()
        has_focus(page, "#panel.sheet")
        page.wait_for_function(ENDS_AT_BAR)
        assert box(sheet)["y"] >= box(page.locator("#stage"))["y"] + 139, "the photo stays visible above the sheet"
        close()
        expect(sheet).to_have_count(0)
        has_focus(page, "#settings button")
    button.tap()
    page.locator("#sizes label:has(input[value='2x'])").tap()
    page.locator("#preset .others").tap()
    page.locator("#preset label:has(input[value=anime-fast])").tap()
    press(page, "contrast", "ArrowRight")
    has_no_faults()
    page.wait_for_function(ENDS_AT_BAR)
    x, y = middle(page.locator("#grip"))
    swipe([(x, y)], [(x, y + 60)], [(x, y + 120)])
    expect(sheet).to_have_count(0)
    wait_for_chip(page, "matches")

    with site.enhancer.paused("progress"):
        page.locator("#enhance").click()  # After a swipe, the browser can ignore the next tap.
        wait_for_stage(page, "view.mode === 'live'")
        has_no_faults()
    expect(page.locator("#download")).to_be_visible()
    wait_for_stage(page, "view.mode === 'result' && view.result")
    has_no_faults()
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (768, 768)
    button.tap()
    fold = page.locator("#section-size .fold")
    expect(fold).to_contain_text("2 倍")
    expect(page.locator("#sizes")).to_be_hidden()
    fold.tap()
    expect(page.locator("#sizes")).to_be_visible()
    expect_chosen(page, sizes="2x", preset="anime-fast")
    expect(number(page, "contrast")).to_have_value("1.01")
    has_no_faults()


@pytest.mark.parametrize("width", [320, 360, 390, 480, 844])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_no_button_of_the_header_is_covered_on_a_phone(site: Site, open_page, width, language):
    page = open_page(f"?preset=anime-fast&lang={language}", width=width, height=HEIGHT)
    assert covered(page) == []
    load(page, site.photo("header.png", 20, 24))
    assert covered(page) == []


def covered(page: Page) -> list[str]:
    expect(page.locator("#tabs [role=tab]").first).to_be_visible()
    return page.evaluate(UNREACHABLE)
