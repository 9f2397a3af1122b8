"""The comparison of presets."""

from __future__ import annotations

import io
from urllib.parse import urljoin

import httpx
import numpy as np
from PIL import Image

from ..site import Site, photo
from .journey import (
    expect,
    expect_chosen,
    has_focus,
    images,
    load,
    number,
    wait_for_chip,
    wait_for_new_preview,
    wait_for_stage,
)


def test_presets_are_compared_and_one_is_chosen_without_running_its_network_again(site: Site, open_page):
    page, file = open_page("?preset=anime-fast"), site.files / "detailed.png"
    pixels = np.full((1200, 2400, 3), 128, np.uint8)
    pixels[850:1050, 2000:2200] = photo(200, 200)
    Image.fromarray(pixels).save(file)
    load(page, file)
    page.locator("#viewer canvas").focus()
    page.keyboard.press("0")
    wait_for_stage(page, "view.zoom < 1")  # A comparison of the whole photo shows its most detailed part.
    with site.enhancer.paused("cell"):
        page.locator("#compare-presets").click()
        before = page.locator(".cell.before img")
        expect(before).to_be_visible()
        detail = httpx.get(urljoin(page.url, before.get_attribute("src"))).content
        page.locator("#compare-presets").click()
    assert np.asarray(Image.open(io.BytesIO(detail)).convert("L")).std() > 20

    load(page, site.photo("compared.png", 128, 8))  # narrow, so that slow presets take little time
    shown, button = images(page), page.locator("#compare-presets")
    cells, ready = page.locator("#comparison .cell"), page.locator("button.cell")
    with site.enhancer.paused("cell"):
        for end in (
            button.click,
            lambda: (
                ready.focus(),
                page.keyboard.press("Escape"),
                expect(button).to_have_text("Close"),
                button.click(),
            ),
            lambda: page.locator("#retry").evaluate("(one) => one.click()"),
        ):
            button.click()
            expect(ready).to_have_count(1)
            expect(page.locator(".cell.pending").first).to_be_visible()
            expect(page.locator("#viewer canvas")).not_to_be_visible()
            if end == button.click:  # What is finished stays until the comparison is closed.
                button.click()
                expect(page.locator(".cell.pending")).to_have_count(0)
                expect(ready).to_have_count(1)
                expect(button).to_have_text("Close")
                expect(page.locator("#comparison-progress")).to_contain_text("Cancelled")
            end()
            expect(cells).to_have_count(0)
            wait_for_chip(page, "matches")
    expect(page.locator("#viewer canvas")).to_be_visible()
    expect(page.locator("#preview-problem")).to_be_empty()
    shown = wait_for_new_preview(page, shown)

    button.click()
    expect(ready.nth(3)).to_be_visible()
    expect(page.locator(".cell.pending")).to_have_count(0)
    expect(page.locator(".cell.failed")).to_have_count(0)
    page.set_viewport_size({"width": 320, "height": 844})
    boxes = cells.evaluate_all("all => all.map((one) => one.getBoundingClientRect())")
    assert all(box["left"] >= 0 and box["right"] <= 320 for box in boxes)
    page.wait_for_timeout(600)  # for a preview of the new view, which would close the comparison
    expect(ready.nth(3)).to_be_visible()
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
