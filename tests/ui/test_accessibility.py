"""Keyboard, focus, announcements and notifications. `make states` checks every state of the page with axe."""

from __future__ import annotations

import re

from ..site import Site
from .journey import choose, enhance_all, expect, has_focus, load, open_batch, wait_for_chip

HIDDEN_TAB = """
window.sent = [];
window.asked = 0;
window.isHidden = false;
Object.defineProperty(document, "hidden", { get: () => window.isHidden });
window.Notification = class {
  static permission = "default";
  static async requestPermission() { window.asked++; return (this.permission = "granted"); }
  constructor(title, options) { window.sent.push(`${title}: ${options.body}`); }
};
"""
"""Notifications that are recorded, and a tab that is hidden when the test sets `isHidden`."""


LISTEN = """() => {
  const region = document.querySelector("#announcements");
  window.announced = [];
  new MutationObserver(() => window.announced.push(region.textContent)).observe(region, { childList: true });
}"""


def test_the_focus_is_never_lost_and_progress_is_announced(site: Site, open_page, monkeypatch):
    page = open_page("?preset=anime-fast", script=HIDDEN_TAB)
    page.locator("#upload button").focus()
    choose(page, site.photo("focus.png", 310, 64))
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
    assert page.evaluate("[asked, sent]") == [0, []], "a short run does not ask for notifications"

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
    parts = ["#tabs", "#head", "#viewer", "#retry", *panel, "#facts", "#again"]
    passed = []
    inside = "(parts) => parts.find((part) => document.activeElement.closest(part)) ?? ''"
    while not set(parts) <= set(passed):
        assert len(passed) < 60
        page.keyboard.press("Tab")
        passed.append(page.evaluate(inside, parts))
    found = [part for part in dict.fromkeys(passed) if part]
    at = found.index("#tabs")
    assert found[at:] + found[:at] == parts

    page.locator("#again").focus()
    page.keyboard.press("Enter")
    has_focus(page, "#upload button")
    monkeypatch.setattr(type(site.enhancer), "estimate", lambda *_, **__: 31.0)
    load(page, site.photo("long.png", 60, 40))
    with site.enhancer.paused("end"):
        page.locator("#enhance").click()
        page.wait_for_function("asked === 1")
        page.evaluate("isHidden = true")
    page.wait_for_function("sent.length === 1")
    assert re.fullmatch(r"Enhance: long\.png: Done in .+ s\.", page.evaluate("sent[0]"))
    open_batch(page, site.photo("one.png", 300, 32), site.photo("two.png", 30, 20))
    with site.enhancer.paused("progress"):
        enhance_all(page)
        expect(page).to_have_title(re.compile(r"^\d+% · Enhance$"))
    page.wait_for_function("sent.length === 2")
    assert "2 done" in page.evaluate("sent[1]")
    expect(page).to_have_title("Enhance")

    page.locator("#head a[lang='zh-CN']").focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    has_focus(page, "#head a[lang='en']")
