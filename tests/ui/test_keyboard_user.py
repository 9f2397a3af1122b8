"""A user without a mouse enhances an example: the focus is never lost, and progress is announced."""

from __future__ import annotations

import re

from PIL import Image
from playwright.sync_api import Page

from ..site import Site, wait_until
from .audit import faults, start_axe
from .journey import (
    enhance_all,
    expect,
    expect_chosen,
    has_focus,
    images,
    number,
    open_batch,
    press,
    result_is,
    stage,
    wait_for_chip,
    wait_for_new_preview,
    wait_for_stage,
)

LISTEN = """() => {
  const region = document.querySelector("#announcements");
  window.announced = [];
  new MutationObserver(() => window.announced.push(region.textContent)).observe(region, { childList: true });
}"""

DONE = """() => [...document.querySelectorAll("[role=status]")].some((part) => part.textContent.trim() === "Done")"""
"""Return whether a screen reader announces the end of an event."""


def tab_to(page: Page, part: str, key: str = "Tab") -> None:
    """Press Tab until this part has the focus."""
    for _ in range(60):
        if page.evaluate("(part) => Boolean(document.activeElement?.matches(part))", part):
            return
        page.keyboard.press(key)
    raise AssertionError(f"the Tab key does not reach {part}")


def parts_in_order(page: Page, parts: list[str]) -> list[str]:
    """Press Tab until each of these parts of the page had the focus, and return them in that order."""
    inside, passed = "(parts) => parts.find((part) => document.activeElement.closest(part)) ?? ''", list[str]()
    while not set(parts) <= set(passed):
        assert len(passed) < 60
        page.keyboard.press("Tab")
        passed.append(page.evaluate(inside, parts))
    return [part for part in dict.fromkeys(passed) if part]


def test_a_keyboard_user_enhances_an_example(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    press_key = page.keyboard.press
    tab_to(page, "#examples button")
    press_key("Tab")
    press_key("Enter")
    has_focus(page, "#viewer canvas")
    wait_for_chip(page, "matches")
    expect(page.locator("#facts")).to_contain_text("cat.jpg")
    expect(page.locator("#location .location")).to_have_count(0)

    # Keys pan and zoom the photo and move the before/after divider.
    shown, zoom, fitted = images(page), page.locator("#viewer output"), page.locator("#viewer [data-act=fit]")
    press_key("Shift+ArrowLeft")
    press_key("Shift+ArrowDown")
    wait_for_new_preview(page, shown)
    at = stage(page)["x"]
    press_key("ArrowRight")
    wait_for_stage(page, f"view.x === {at} + 16")
    moves = site.enhancer.calls["preview"]
    with site.enhancer.paused("preview"):
        for key in ("Shift+ArrowRight", "Shift+ArrowLeft"):  # The second preview stops the first.
            press_key(key)
            wait_until(lambda before=moves: site.enhancer.calls["preview"] > before)
            wait_for_chip(page, "running")
            moves = site.enhancer.calls["preview"]
    wait_for_chip(page, "matches")
    for key, text in (("+", "125%"), ("-", "100%")):
        press_key(key)
        expect(zoom).to_have_text(text)
    shown = images(page)
    press_key("0")
    expect(fitted).to_have_attribute("aria-pressed", "true")
    press_key("1")
    expect(zoom).to_have_text("100%")
    wait_for_new_preview(page, shown)
    tab_to(page, "#viewer .knob")
    press_key("Home")
    wait_for_stage(page, "view.split === 0")
    press_key("ArrowRight")
    expect(page.locator("#viewer .knob")).to_have_attribute("aria-valuenow", "2")
    page.keyboard.down("b")
    page.wait_for_function("document.querySelector('#viewer .line').getBoundingClientRect().x > 500")
    expect(page.locator("#viewer .tag.before")).to_be_visible()
    page.keyboard.up("b")
    page.wait_for_function("document.querySelector('#viewer .line').getBoundingClientRect().x < 500")

    # The comparison of presets is cancelled, keeps what is finished, and is closed.
    cells, ready = page.locator("#comparison .cell"), page.locator("button.cell")
    tab_to(page, "#compare-presets")
    with site.enhancer.paused("cell"):
        press_key("Enter")
        expect(ready).to_have_count(1)
        expect(page.locator(".cell.pending").first).to_be_visible()
        expect(page.locator("#viewer canvas")).not_to_be_visible()
        press_key("Enter")
        expect(page.locator(".cell.pending")).to_have_count(0)
        expect(ready).to_have_count(1)
        expect(page.locator("#comparison-progress")).to_contain_text("Cancelled")
        tab_to(page, "button.cell")
        press_key("Escape")
        expect(cells).to_have_count(0)
        has_focus(page, "#compare-presets")
    wait_for_chip(page, "matches")

    # A size that is not possible has a button that selects a possible one.
    problem = page.locator("#size-problem .problem")
    tab_to(page, "#sizes input:checked")
    press_key("ArrowLeft")
    press_key("ArrowLeft")
    expect_chosen(page, sizes="custom")
    tab_to(page, "#size input:checked")
    press_key("ArrowRight")
    expect(number(page, "long_side")).to_have_value("768")
    tab_to(page, "#long_side input")
    press_key("Control+a")
    page.keyboard.type("9000")
    expect(problem).to_contain_text("6,144 px")
    expect(page.locator("#enhance")).to_be_disabled()
    tab_to(page, "#size-problem button")
    press_key("Enter")
    expect(number(page, "long_side")).to_have_value("6144")
    has_focus(page, "#long_side input")
    expect(problem).to_have_count(0)
    tab_to(page, "#size input:checked", "Shift+Tab")
    press_key("ArrowRight")
    tab_to(page, "#megapixels input")
    expect(page.locator("#long_side")).to_be_hidden()
    expect(number(page, "megapixels")).not_to_have_value("")
    press_key("Control+a")
    press_key("Delete")
    tab_to(page, "#size-problem .tip-action")
    press_key("Enter")
    expect(problem).to_have_count(0)
    expect(page.locator("#why")).to_contain_text("1,536 × 1,020 px")
    has_focus(page, "#sizes input[value='4x']:checked")
    press_key("ArrowLeft")
    expect(page.locator("#why")).to_contain_text("768 × 510 px")
    wait_for_chip(page, "matches")

    # The run is cancelled and started again. Its progress is announced, and the result is downloaded.
    page.evaluate(LISTEN)
    tab_to(page, "#enhance")
    with site.enhancer.paused("progress"):
        press_key("Enter")
        has_focus(page, "#cancel")
        press_key("Enter")
        has_focus(page, "#enhance")
        expect(page.locator("#enhance")).to_be_enabled()
        press_key("Enter")
        has_focus(page, "#cancel")
        page.wait_for_function("window.announced.some((one) => one.includes('%'))")
        assert "processing" not in page.locator("body").aria_snapshot()  # Gradio's own text has a time that changes
    has_focus(page, "#download")
    with page.expect_download() as coming:
        press_key("Enter")
        page.wait_for_function(DONE)
    assert Image.open(coming.value.path()).size == (768, 510)
    assert 2 < len(page.evaluate("window.announced")) < 22
    start_axe(page)
    assert list(faults(page, "en")) == []

    # With other settings, the focus passes through the whole page from top to bottom.
    press(page, "contrast", "ArrowRight")
    result_is(page, "outdated")
    page.evaluate("document.activeElement.blur()")
    panel = ["#section-size", "#section-preset", "#tuning-sheet", "#section-format"]
    parts = ["#tabs", "#head", "#viewer", "#retry", *panel, "#facts", "#again"]
    found = parts_in_order(page, parts)
    at = found.index("#tabs")
    assert found[at:] + found[:at] == parts
    tab_to(page, "#again")
    press_key("Enter")
    has_focus(page, "#upload button")

    # The progress of a batch is in the title of the browser tab.
    open_batch(page, site.photo("one.png", 300, 32), site.photo("two.png", 30, 20))
    with site.enhancer.paused("progress"):
        enhance_all(page)
        expect(page).to_have_title(re.compile(r"^\d+% · Enhance$"))
    expect(page).to_have_title("Enhance")

    tab_to(page, "#head a[lang='zh-CN']")
    press_key("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    has_focus(page, "#head a[lang='en']")
