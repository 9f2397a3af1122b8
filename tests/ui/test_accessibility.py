"""Keyboard, focus and announcements. `make states` checks every state of the page with axe."""

from __future__ import annotations

from ..site import Site
from .journey import choose, expect, has_focus, wait_for_chip

LISTEN = """() => {
  const region = document.querySelector("#announcements");
  window.announced = [];
  new MutationObserver(() => window.announced.push(region.textContent)).observe(region, { childList: true });
}"""


def test_the_focus_is_never_lost_and_progress_is_announced_at_intervals(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    page.locator("#upload button").focus()
    choose(page, site.photo("focus.png", 310, 240))
    has_focus(page, "#viewer canvas")
    wait_for_chip(page, "matches")
    page.evaluate(LISTEN)
    with site.enhancer.paused("progress"):
        page.locator("#enhance").focus()
        page.keyboard.press("Enter")
        has_focus(page, "#cancel")
        page.keyboard.press("Enter")
        has_focus(page, "#enhance")
        expect(page.locator("#enhance")).to_be_enabled()
        page.keyboard.press("Enter")
        has_focus(page, "#cancel")
        page.wait_for_function("window.announced.some((one) => one.includes('%'))")
    expect(page.locator("#download")).to_be_visible()
    has_focus(page, "#download")
    assert 2 < len(page.evaluate("window.announced")) < 22

    with site.enhancer.paused("run"):
        page.locator("#tuning-sheet > button").click()
        page.locator("#contrast input[type=range]").focus()
        page.keyboard.press("ArrowRight")
        page.locator("#enhance").click()
        expect(page.locator("#cancel")).to_be_visible()
        assert "processing" not in page.locator("body").aria_snapshot()  # Gradio's own text has a time that changes
        page.locator("#cancel").click()
    expect(page.locator("#enhance")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    panel = ["#section-size", "#section-preset", "#tuning-sheet", "#section-format"]
    parts = ["#head", "#viewer", "#retry", *panel, "#facts", "#again"]
    passed = []
    inside = "(parts) => parts.find((part) => document.activeElement.closest(part)) ?? ''"
    while not set(parts) <= set(passed):
        assert len(passed) < 60
        page.keyboard.press("Tab")
        passed.append(page.evaluate(inside, parts))
    found = [part for part in dict.fromkeys(passed) if part]
    at = found.index("#head")
    assert found[at:] + found[:at] == parts

    page.locator("#again").focus()
    page.keyboard.press("Enter")
    has_focus(page, "#upload button")
    page.locator("#head a[lang='zh-CN']").focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    has_focus(page, "#head a[lang='en']")
