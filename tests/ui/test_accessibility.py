"""Keyboard, focus, announcements and axe. `make states` looks at every state of the page."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")

from playwright.sync_api import expect

from ..site import Site
from .audit import faults, start_axe
from .journey import choose, enhance, has_focus, load, open_tuning, wait_for_chip

LISTEN = """() => {
  const voice = document.querySelector("#voice");
  window.announced = [];
  new MutationObserver(() => window.announced.push(voice.textContent)).observe(voice, { childList: true });
}"""


def test_a_result_with_open_tuning_is_accessible_and_fits(site: Site, open_page):
    page = open_page("?preset=anime-fast&lang=zh-CN", reduced_motion="reduce")
    start_axe(page)
    load(page, site.photo("axe.png", 60, 48))
    open_tuning(page)
    enhance(page)
    assert list(faults(page, "zh-CN")) == []


def test_the_focus_stays_on_the_page_and_progress_is_announced_now_and_then(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    page.locator("#upload button").focus()
    choose(page, site.photo("focus.png", 310, 240))
    has_focus(page, ".square")
    wait_for_chip(page, "matches")
    page.evaluate(LISTEN)
    with site.enhancer.paused("progress"):
        page.locator("#enhance").focus()
        page.keyboard.press("Enter")
        has_focus(page, "#cancel")
        page.keyboard.press("Enter")
        has_focus(page, "#enhance")
        page.keyboard.press("Enter")
        page.wait_for_function("window.announced.some((one) => one.includes('%'))")
    expect(page.locator("#download")).to_be_visible()
    has_focus(page, "#download")
    assert 2 < len(page.evaluate("window.announced")) < 22

    page.locator("#again").focus()
    page.keyboard.press("Enter")
    has_focus(page, "#upload button")
    page.locator("#head a[lang='zh-CN']").focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    has_focus(page, "#head a[lang='zh-CN']")
