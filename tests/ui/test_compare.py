"""The comparison of presets."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from ..site import Site
from .journey import expect_chosen, has_focus, images, load, number, wait_for_chip, wait_for_new_preview


def test_presets_are_compared_and_one_is_taken_without_its_network(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("compared.png", 24, 24))
    shown, button = images(page), page.locator("#compare-presets")
    cells, ready = page.locator("#comparison .cell"), page.locator("button.cell")
    with site.enhancer.paused("cell"):
        button.click()
        expect(ready).to_have_count(1)
        expect(page.locator(".cell.pending").first).to_be_visible()
        expect(page.locator("#preview")).not_to_be_visible()
    expect(page.locator(".cell.pending")).to_have_count(0)
    expect(page.locator(".cell.failed")).to_have_count(0)
    assert ready.count() > 3

    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 844})
        places = cells.evaluate_all("all => all.map((one) => one.getBoundingClientRect())")
        assert places[0]["y"] == places[1]["y"] < places[2]["y"]
        assert all(place["left"] >= 0 and place["right"] <= width for place in places)
    page.set_viewport_size({"width": 1280, "height": 900})

    previews = site.enhancer.calls["preview"]
    page.locator("button.cell[data-preset=dehaze]").focus()
    page.keyboard.press("Enter")
    wait_for_new_preview(page, shown)
    expect(cells).to_have_count(0)
    expect_chosen(page, preset="dehaze")
    has_focus(page, "#preset input[value=dehaze]")
    expect(number(page, "fidelity")).to_have_value("1")
    assert site.enhancer.calls["preview"] == previews


def test_cancel_escape_or_another_area_ends_a_comparison(site: Site, open_page):
    page = open_page("?preset=anime-fast")
    load(page, site.photo("put-away.png", 200, 240))
    with site.enhancer.paused("cell"):
        for end in (
            lambda: page.locator("#compare-presets").click(),
            lambda: (page.locator("button.cell").focus(), page.keyboard.press("Escape")),
            lambda: (page.locator("#photo .square").focus(), page.keyboard.press("ArrowLeft")),
        ):
            page.locator("#compare-presets").click()
            expect(page.locator("button.cell")).to_have_count(1)
            end()
            expect(page.locator("#comparison .cell")).to_have_count(0)
            wait_for_chip(page, "matches")
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#preview-problem")).to_be_empty()
