"""Presets: examples, resetting of changes, hints, and choices in quick succession."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from skimage import data

from enhance.settings import Settings

from ..site import Site, photo, wait_until
from .journey import download, enhance, expect_chosen, load, number, open_tuning, pick, press, result_is, wait_for_chip

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


def test_presets_show_examples_can_be_reset_and_auto_follows_the_photo(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("first.png", 8, 8))
    about = page.locator("#about figure:visible")
    expect(about).to_have_attribute("data-preset", "anime-fast")
    page.locator("#preset .others").click()
    pick(page, "preset", "gentle")
    expect(about.locator("img")).to_have_attribute("src", "presets/gentle.jpg")
    pick(page, "preset", "dehaze")
    expect(about.locator("img")).to_have_attribute("src", "presets/dehaze.jpg")
    page.wait_for_function("document.querySelector('#about figure:not([hidden]) img').naturalWidth > 0")
    expect(page.locator("#preset input[value=face]")).to_be_disabled()
    page.locator("#preset label:has(input[value=face])").hover()
    expect(about).to_have_attribute("data-preset", "face")
    assert about.evaluate("figure => figure.scrollWidth <= figure.clientWidth")
    assert str(site.enhancer.tasks.folder.parent) not in about.inner_text()

    here = [one.get_attribute("value") for one in page.locator("#preset input:enabled").all()]
    page.locator("#preset input:checked").focus()
    passed = []
    for _ in here:
        page.keyboard.press("ArrowRight")
        passed.append(page.evaluate("document.activeElement.value"))
    assert sorted(passed) == sorted(here), "the arrow keys skip what is unavailable"

    pick(page, "preset", "anime-fast")
    load(page, site.photo("reset.png", 40, 40))
    expect(page.locator("#reset")).to_have_count(0)
    press(page, "sharpen", "ArrowRight", times=3)
    expect(page.locator("#changed .chip")).to_be_visible()
    page.locator("#reset").click()
    expect(number(page, "sharpen")).to_have_value("0")
    expect(page.locator("#reset")).to_have_count(0)

    pick(page, "preset", "auto")
    note, tip, why = page.locator("#tips .note"), page.locator("#tips .tip"), page.locator("#why")
    expect_chosen(page, preset="auto")
    clear = site.files / "clear.png"
    Image.fromarray(data.astronaut()).resize((70, 60), Image.Resampling.LANCZOS).save(clear)
    load(page, clear)
    expect(note).to_contain_text("Sharp and clean. Auto selects Precise")
    expect(tip).to_have_count(0)
    expect(number(page, "strength")).to_have_value("0.8")

    pick(page, "scale", 1)
    expect(note).to_contain_text("Resize")
    expect(number(page, "sharpen")).to_have_value("0.1")
    wait_for_chip(page, "matches")
    pick(page, "scale", 8)
    expect(note).to_contain_text("Precise")
    expect(why).to_contain_text("560 × 480 px")
    wait_for_chip(page, "matches")
    pick(page, "scale", 2)
    enhance(page)
    result_is(page, "matches")
    with Image.open(download(page, tmp_path)) as image:
        assert image.size == (140, 120)

    Image.fromarray(photo(60, 70)).save(site.files / "compressed.jpg", quality=40)
    load(page, site.files / "compressed.jpg")
    expect(note).to_contain_text("Compression artifacts")
    load(page, hazy_photo(site))
    expect(tip).to_have_count(1)
    expect_chosen(page, preset="auto")
    tip.locator("button").click()
    expect_chosen(page, preset="dehaze")
    expect(tip).to_have_count(0)
    expect(note).to_have_count(0)


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

        presets = page.locator("#preset input:not(:disabled)").evaluate_all("all => all.map(one => one.value)")
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
