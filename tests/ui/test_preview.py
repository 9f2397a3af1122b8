"""The preview: the area that it shows, the sliders that change it, and what happens when it fails."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from enhance import EnhanceError

from ..site import Site, wait_until
from .journey import (
    PREVIEW_WIDTHS,
    click_at,
    has_focus,
    images,
    load,
    middle,
    number,
    open_tuning,
    press,
    wait_for_chip,
    wait_for_new_preview,
)


def area_centre(page: Page) -> tuple[int, int]:
    """Return the centre of the area in pixels of the photo."""
    x, y = (page.locator("#photo .square").get_attribute("data-at") or "").split(",")
    return int(x), int(y)


def test_the_area_follows_clicks_drags_keys_and_pins_and_stops_the_preview_before(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("area.png", 300, 400))
    assert area_centre(page) == (200, 150)
    first, area = images(page), page.locator("#photo .square")
    click_at(page, "#photo", 0.9, 0.1)
    wait_for_new_preview(page, first)
    expect(area).to_have_attribute("data-at", "336,64")

    x, y = middle(area)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 20, y + 10, steps=4)
    page.mouse.up()
    expect(area).not_to_have_attribute("data-at", "336,64")
    has_focus(page, ".square")
    across, down = area_centre(page)
    assert across < 320
    assert down > 70
    page.keyboard.press("Shift+ArrowLeft")
    expect(area).to_have_attribute("data-at", f"{across - 1},{down}")
    has_focus(page, ".square")

    pin, places = page.locator("#photo .pin"), page.locator("#photo .place")
    for count, share in enumerate((0.2, 0.5, 0.8), 1):
        expect(pin).to_have_attribute("data-at", at := area.get_attribute("data-at") or "")
        click_at(page, "#photo", share, 0.9)
        expect(pin).not_to_have_attribute("data-at", at)
        expect(page.locator("#photo .place[aria-pressed=true]")).to_have_count(0)
        pin.click()
        expect(places).to_have_count(count)
    first = places.first.get_attribute("data-at") or ""
    places.first.click()
    expect(area).to_have_attribute("data-at", first)
    expect(pin).to_have_attribute("data-at", first)
    pin.click()
    expect(places).to_have_count(2)
    wait_for_chip(page, "matches")

    calls = site.enhancer.calls
    before = calls["preview"]
    with site.enhancer.paused("preview"):
        click_at(page, "#photo", 0.1, 0.1)
        wait_until(lambda: calls["preview"] == before + 1)
        wait_for_chip(page, "running")
        click_at(page, "#photo", 0.1, 0.9)
        wait_until(lambda: calls["preview"] == before + 2)
    wait_for_chip(page, "matches")
    expect(area).to_have_attribute("data-at", "64,236")


EIGHT_MOVES = """(slider) => {
  for (let move = 1; move <= 8; move++) {
    slider.value = String(1.05 + 0.05 * move);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""


def test_the_preview_zooms_and_sliders_change_it_without_the_network(site: Site, open_page):
    page, calls = open_page("?preset=anime-fast"), site.enhancer.calls
    load(page, site.photo("sliders.png", 128, 128))
    page.wait_for_function(f"({PREVIEW_WIDTHS})().every(([own, shown]) => own === 512 && shown === 512)")
    zoom, pane = page.locator("#zoom output"), "document.querySelector('#pane-preview')"
    expect(zoom).to_have_text("100%")
    page.locator("#zoom [data-zoom=in]").click()
    expect(zoom).to_have_text("200%")
    x, y = middle(page.locator("#pane-preview"))
    before = page.evaluate(f"{pane}.scrollTop")
    page.mouse.move(x - 100, y)
    page.mouse.down()
    page.mouse.move(x - 160, y - 90, steps=3)
    page.mouse.up()
    assert page.evaluate(f"{pane}.scrollTop") == before + 90
    page.locator("#zoom [data-zoom=fit]").click()
    expect(zoom).to_have_text("100%")
    handle = page.locator("#preview [data-testid=slider]")
    handle.focus()
    page.keyboard.press("Home")
    expect(handle).to_have_attribute("aria-valuenow", "0")

    expect(page.locator("#denoise")).to_have_count(0)
    before = images(page)
    press(page, "saturation", "ArrowRight")
    before, previews, retunes = wait_for_new_preview(page, before), calls["preview"], calls["retune"]
    page.locator("#saturation input[type=range]").evaluate(EIGHT_MOVES)
    before = wait_for_new_preview(page, before)
    expect(number(page, "saturation")).to_have_value("1.45")
    assert calls["preview"] == previews
    assert 1 <= calls["retune"] - retunes <= 2

    page.locator("#retry").click()
    wait_until(lambda: calls["preview"] > previews)  # the last move of the slider can still change the preview
    before = wait_for_new_preview(page, before)
    assert calls["preview"] == previews + 1
    problem = page.locator("#preview-problem .problem")
    with site.enhancer.failing("preview", EnhanceError("memory_short")):
        page.locator("#retry").click()
        wait_for_chip(page, "failed")
        expect(problem).to_be_visible()
        assert images(page) == before
    page.locator("#retry").click()
    before = wait_for_new_preview(page, before)
    expect(problem).to_have_count(0)

    open_tuning(page)
    page.locator("#tuning input").uncheck()
    wait_for_new_preview(page, before)
    for slider in ("strength", "fidelity", "sharpen", "saturation", "contrast"):
        expect(page.locator(f"#{slider} input[type=range]")).to_be_disabled()
