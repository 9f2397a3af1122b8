"""Choices in quick succession, on a slow network: what runs is what the page shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

from enhance.settings import Settings

from .journey import PATIENCE, choose, wait_for_chip

MOVED_AT_ONCE = """() => new Promise((done) => {
    const look = () => {
        const slider = document.querySelector("#contrast input[type=range]");
        if (!slider?.checkVisibility()) return requestAnimationFrame(look);
        slider.value = 1.2;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        done();
    };
    look();
})"""
FRAMES = """() => new Promise((done) => {
    let left = 60;
    const next = () => (left-- ? requestAnimationFrame(next) : done());
    next();
})"""
SLIDERS = ("strength", "fidelity", "sharpen", "saturation", "contrast")


@contextmanager
def latency(page: Page, milliseconds: int) -> Iterator[None]:
    """Every request and every answer of the page takes so much longer."""
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
    """The preset and the sliders as the page shows them."""
    values = {name: float(page.locator(f"#{name} input[type=number]").input_value()) for name in SLIDERS}
    return {"preset": page.locator("#preset input:checked").get_attribute("value"), **values}


def own(preset: str) -> dict[str, object]:
    """The preset with its own sliders."""
    settings = Settings.from_preset(preset)
    return {"preset": preset, **{name: float(getattr(settings, name)) for name in SLIDERS}}


def pick(page: Page, preset: str) -> None:
    page.locator(f"#preset label:has(input[value='{preset}'])").click()


def opened(page: Page, site) -> Page:
    choose(page, site.photo("quick.png", 24, 24))
    wait_for_chip(page, "matches")
    page.locator("#tuning-sheet > button").click()
    return page


@pytest.mark.parametrize("slow", [0, 400])
def test_the_second_of_two_quick_presets_is_shown_and_runs(site, open_page, slow):
    page = opened(open_page("?preset=anime-fast"), site)

    with latency(page, slow):
        pick(page, "original")
        page.wait_for_timeout(150)  # a person's second click
        pick(page, "gentle")
        page.locator("#enhance").click()
        assert shown(page) == own("gentle")
        expect(page.locator("#download")).to_be_visible(timeout=PATIENCE)

    assert shown(page) == own("gentle")
    assert made(site) == own("gentle")
    wait_for_chip(page, "matches")


def test_arrow_keys_through_the_presets_end_at_the_sliders_of_the_last_one(site, open_page):
    page = opened(open_page("?preset=anime-fast"), site)
    presets = page.locator("#preset input:not(:disabled)").evaluate_all("all => all.map(one => one.value)")
    last = presets[presets.index("gentle") + 2]

    with latency(page, 400):
        pick(page, "gentle")
        page.locator("#preset input[value=gentle]").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert shown(page) == own(last)
        wait_for_chip(page, "matches")

    assert shown(page) == own(last)


def test_a_slider_that_is_moved_right_after_a_preset_stays_and_runs(site, open_page):
    page = opened(open_page("?preset=anime-fast"), site)

    with latency(page, 400):
        pick(page, "gentle")
        page.locator("#strength input[type=range]").focus()
        page.keyboard.press("ArrowLeft")
        moved = shown(page)
        page.locator("#enhance").click()
        expect(page.locator("#download")).to_be_visible(timeout=PATIENCE)

    assert moved["strength"] != Settings().strength
    assert shown(page) == moved == made(site)


def test_a_slider_that_is_moved_when_it_first_appears_keeps_its_value(open_page):
    page = open_page("?preset=anime-fast")
    page.locator("#tuning-sheet > button").click()
    page.evaluate(MOVED_AT_ONCE)
    expect(page.locator("#contrast input[type=number]")).to_have_value("1.2")
    page.evaluate(FRAMES)
    expect(page.locator("#contrast input[type=number]")).to_have_value("1.2")


def made(site) -> dict[str, object]:
    """The preset and the sliders of the newest result."""
    infos = sorted((site.enhancer.tasks.folder / "processed").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    info = json.loads(infos[-1].read_text("utf-8"))
    return {"preset": info["preset"], **{name: float(info["settings"][name]) for name in SLIDERS}}
