"""Presets: examples, resetting of changes, hints, and choices in quick succession."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page
from skimage import data

from enhance.settings import Settings
from enhance.web import cards as web_cards

from ..site import Site, photo, wait_until
from .journey import (
    choose,
    drag,
    enhance,
    expect,
    expect_chosen,
    load,
    number,
    open_tuning,
    pick,
    press,
    result_is,
    wait_for_chip,
)

SLIDERS = ("strength", "fidelity", "sharpen", "saturation", "contrast")
MOVED_AT_ONCE = """() => new Promise((done) => {
  const look = () => {
    const slider = document.querySelector("#contrast input[type=range]");
    if (!slider?.checkVisibility()) return requestAnimationFrame(look);
    slider.value = 1.2;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    let left = 60;
    const next = () => (left-- ? requestAnimationFrame(next) : done());
    next();
  };
  look();
})"""
"""Move a slider in the frame in which it first appears, and wait for a second."""


def hazy_photo(site: Site):
    clear, veil = photo(64, 80), np.linspace(0.7, 0.4, 64)[:, None, None]
    path = site.files / "hazy.png"
    Image.fromarray(np.rint(clear * (1 - veil) + 230 * veil).astype(np.uint8)).save(path)
    return path


def test_presets_show_examples_can_be_reset_and_auto_follows_the_photo(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("first.png", 8, 8))
    about = page.locator("#about figure:visible")
    expect(about).to_have_attribute("data-preset", "anime-fast")
    page.locator("#preset .others").click()
    pick(page, "preset", "dehaze")
    expect(about).to_have_attribute("data-preset", "dehaze")

    page.locator("#preset label:has(input[value=face])").click(force=True)
    expect_chosen(page, preset="dehaze")
    face = page.locator("#preset input[value=face]")
    expect(face).to_be_focused()
    expect(face).to_have_attribute("aria-disabled", "true")
    expect(about).to_have_attribute("data-preset", "face")
    assert about.evaluate("figure => figure.scrollWidth <= figure.clientWidth")
    assert str(site.enhancer.tasks.folder.parent) not in about.inner_text()
    presets = page.locator("#preset input").evaluate_all("all => all.map(one => one.value)")
    away = page.locator("#preset input[aria-disabled=true]").evaluate_all("all => all.map(one => one.value)")
    passed, selected = [], []
    for _ in presets:
        page.keyboard.press("ArrowRight")
        passed.append(page.evaluate("document.activeElement.value"))
        selected.append(page.locator("#preset input:checked").get_attribute("value"))
    assert sorted(passed) == sorted(presets), "the arrow keys reach every preset"
    assert set(selected) == set(presets) - set(away), "they select those that are installed"

    pick(page, "preset", "anime-fast")
    load(page, site.photo("reset.png", 40, 40))
    expect(page.locator("#reset")).to_have_count(0)
    tuning = page.locator("#tuning-sheet > button")
    expect(tuning).to_contain_text("Set by the preset")
    press(page, "sharpen", "ArrowRight", times=3)
    expect(tuning).to_contain_text("Changed: Sharpen")
    tuning.click()  # The row shows its state and Reset while it is folded, too.
    page.locator("#reset").click()
    expect(page.locator("#reset")).to_have_count(0)
    expect(tuning).to_contain_text("Set by the preset")
    open_tuning(page)
    expect(number(page, "sharpen")).to_have_value("0")

    pick(page, "preset", "auto")
    note, tip = page.locator("#preset label.selected:has([value=auto]) small"), page.locator("#tips .tip")
    expect_chosen(page, preset="auto")
    clear = site.files / "clear.png"
    Image.fromarray(data.astronaut()).resize((70, 60), Image.Resampling.LANCZOS).save(clear)
    load(page, clear)
    expect(note).to_contain_text("Sharp and clean, so Precise")
    expect(tip).to_have_count(0)
    expect(number(page, "strength")).to_have_value("0.8")

    pick(page, "scale", 1)
    expect(note).to_contain_text("Resize")
    expect(number(page, "sharpen")).to_have_value("0.1")
    wait_for_chip(page, "matches")
    pick(page, "scale", 2)
    enhance(page)
    fold = page.locator("#section-size .fold")
    expect(page.locator("#done")).to_contain_text("140 × 120 px")
    expect(fold).to_contain_text("2×")
    expect(page.locator("#sizes")).to_be_hidden()
    fold.click()
    expect(page.locator("#sizes")).to_be_visible()

    Image.fromarray(photo(60, 70)).save(site.files / "compressed.jpg", quality=40)
    load(page, site.files / "compressed.jpg")
    expect(note).to_contain_text("Compression artifacts")
    expect(tuning).to_contain_text("Set by Auto")
    load(page, hazy_photo(site))
    expect(tip).to_have_count(1)
    expect_chosen(page, preset="auto")
    tip.locator("button").click()
    expect_chosen(page, preset="dehaze")
    expect(tip).to_have_count(0)
    expect(note).to_have_count(0)


def test_cards_show_the_photo_before_and_after_each_preset_without_delaying_a_preview(
    site: Site, open_page, monkeypatch
):
    monkeypatch.setattr(web_cards, "MAX_SECONDS", 600)
    monkeypatch.setattr(web_cards, "CARD_SIDE", 12)
    page = open_page()
    made, file = site.enhancer.calls["card"], site.photo("cards.png", 24, 300)
    with site.enhancer.paused("card"):
        with site.enhancer.paused("preview"):
            choose(page, file)
            wait_for_chip(page, "running")
            expect(page.locator("#cards [data-cards]")).to_have_count(1)
            assert site.enhancer.calls["card"] == made, "the preview comes first"
        load(page, file)
        cards = page.locator("#preset label:not(:first-child):visible")
        expect(cards).to_have_count(3)
        expect(cards.locator(".picture.both")).to_have_count(0)
        expect(cards.locator(".picture > img[src]")).to_have_count(3)
        for _ in range(3):  # The stage does not wait for cards.
            drag(page, -40, 0)
            wait_for_chip(page, "matches")
    expect(cards.locator(".picture.both")).to_have_count(3)
    drawn = "(images) => images.every((image) => image.complete && image.naturalWidth)"
    assert cards.locator(".picture img").evaluate_all(drawn)
    expect(cards.locator("small")).to_have_text([re.compile(r"\d+ (s|min)")] * 3)
    chosen = page.locator("#preset label:has(.picture b:not(:empty))")
    expect(chosen).to_have_count(1)
    reason = page.locator("#preset label.selected small").inner_text()
    assert chosen.locator(":scope > span:not(.picture)").inner_text() in reason

    pictures = cards.locator(".picture > img").evaluate_all("all => all.map((one) => one.src)")
    assert len(set(pictures)) == 1, "all cards show the same place"
    page.locator("#viewer canvas").focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(cards.first.locator(".picture > img")).not_to_have_attribute("src", re.compile(re.escape(pictures[0][-40:])))
    expect(cards.locator(".picture.both")).to_have_count(3)


@contextmanager
def latency(page: Page, milliseconds: int) -> Iterator[None]:
    """Delay every request of the page."""
    network = page.context.new_cdp_session(page)
    speed = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", {**speed, "latency": milliseconds})
    try:
        yield
    finally:
        network.send("Network.emulateNetworkConditions", {**speed, "latency": 0})
        network.detach()


def shown(page: Page) -> dict[str, object]:
    """Return the preset and the sliders on the page."""
    values = {name: float(number(page, name).input_value()) for name in SLIDERS}
    return {"preset": page.locator("#preset input:checked").get_attribute("value"), **values}


def defaults(preset: str) -> dict[str, object]:
    """Return the preset with its default sliders."""
    settings = Settings.from_preset(preset)
    return {"preset": preset, **{name: float(getattr(settings, name)) for name in SLIDERS}}


def newest_result(site: Site) -> dict[str, object]:
    """Return the preset and the sliders of the newest result."""
    newest = max(site.enhancer.tasks.processed.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    info = json.loads(newest.read_text("utf-8"))
    return {"preset": info["preset"], **{name: float(info["settings"][name]) for name in SLIDERS}}


@pytest.mark.long
def test_quick_choices_on_a_slow_connection_run_as_the_page_shows_them(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    open_tuning(page)
    page.evaluate(MOVED_AT_ONCE)
    expect(number(page, "contrast")).to_have_value("1.2")
    load(page, site.photo("quick.png", 12, 12))
    with latency(page, 400):
        pick(page, "preset", "original")
        page.wait_for_timeout(150)  # the time between two clicks of a user
        pick(page, "preset", "gentle")
        page.locator("#enhance").click()
        assert shown(page) == defaults("gentle")
        expect(page.locator("#download")).to_be_visible()
        assert shown(page) == defaults("gentle") == newest_result(site)
        wait_for_chip(page, "matches")

        presets = page.locator("#preset input[aria-disabled=false], #preset input[value=auto]").evaluate_all(
            "all => all.map(one => one.value)"
        )
        last = presets[presets.index("gentle") + 2]
        page.locator("#preset input[value=gentle]").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert shown(page) == defaults(last)
        wait_for_chip(page, "matches")
        assert shown(page) == defaults(last)

        pick(page, "preset", "gentle")
        page.locator("#strength input[type=range]").focus()
        page.keyboard.press("ArrowLeft")
        moved = shown(page)
        page.locator("#enhance").click()
        # The earlier result can match until the server has received the slider.
        wait_until(lambda: newest_result(site) == moved)
        result_is(page, "matches")
    assert moved["strength"] != defaults("gentle")["strength"]
    assert shown(page) == moved == newest_result(site)
