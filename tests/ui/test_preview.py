"""The preview: the area that it shows, the sliders that change it, and what happens when it fails."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urljoin

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from enhance import EnhanceError

from ..site import Site, wait_until
from .journey import (
    box,
    data_of,
    drag,
    expect,
    images,
    load,
    middle,
    number,
    open_tuning,
    press,
    stage,
    wait_for_chip,
    wait_for_new_preview,
    wait_for_stage,
)


def expect_regions_for_this_page_only(page: Page) -> None:
    """Check the address from which the stage gets regions of its photo of 400 × 300 px."""
    address = urljoin(page.url, data_of(page, "photo")["address"])

    def region(address: str = address, **values: int | str) -> httpx.Response:
        return httpx.get(address, params={"left": 0, "top": 0, "width": 400, "height": 300, "step": 4, **values})

    assert Image.open(io.BytesIO(region().content)).size == (100, 75)
    wrongs: list[dict[str, Any]] = [{"left": 1}, {"width": 0}, {"top": -1}, {"step": 0}, {"step": "x"}]
    for wrong in [*wrongs, {"height": 10**9}]:
        assert region(**wrong).status_code == 400
    folder, kind, version = address.split("/")[-3:]
    others = (f"{'0' * 32}/{kind}/{version}", f"é/{kind}/{version}", f"{folder}/result/{version}")
    for other in (*others, f"{folder}/{kind}/{'0' * 16}"):
        assert region(urljoin(page.url, f"display/{other}")).status_code == 404


def test_the_stage_pans_and_zooms_and_previews_what_it_shows(site: Site, open_page):
    page, calls = open_page("?preset=anime-fast"), site.enhancer.calls
    load(page, site.photo("area.png", 300, 400))
    expect_regions_for_this_page_only(page)
    assert stage(page)["zoom"] == 1
    shown = images(page)
    page.locator("#viewer canvas").focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    shown = wait_for_new_preview(page, shown)
    corner = stage(page)
    drag(page, -80, 40)
    shown = wait_for_new_preview(page, shown)
    assert (stage(page)["x"], stage(page)["y"]) == (corner["x"] + 20, corner["y"] - 10)
    wait_for_stage(page, "view.layers.before >= 1")

    canvas, zoom = page.locator("#viewer canvas"), page.locator("#viewer output")
    rect = box(canvas)
    point = rect["x"] + 100, rect["y"] + 100
    under = "(view, at) => [0, 1].map((axis) => [view.x, view.y][axis] + at[axis] / 4 / view.zoom)"
    offset = [100 - rect["width"] / 2, 100 - rect["height"] / 2]
    before = page.evaluate(f"(at) => ({under})(window.enhanceView(), at)", offset)
    page.mouse.move(*point)
    page.mouse.wheel(0, -200)
    wait_for_stage(page, "view.zoom > 1.3")
    after = page.evaluate(f"(at) => ({under})(window.enhanceView(), at)", offset)
    assert after == pytest.approx(before, abs=0.01), "the point under the mouse stays"
    page.mouse.dblclick(*point)
    wait_for_stage(page, "view.zoom < 1")
    expect(page.locator("#viewer [data-act=fit]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#viewer .overview")).to_be_hidden()

    canvas.focus()
    for key, text in (("1", "100%"), ("+", "125%"), ("-", "100%"), ("0", zoom.text_content() or "")):
        page.keyboard.press(key)
        if key != "0":
            expect(zoom).to_have_text(text)
    page.locator("#viewer [data-act=actual]").click()
    canvas.focus()
    at = stage(page)["x"]
    page.keyboard.press("ArrowRight")
    wait_for_stage(page, f"view.x === {at} + 16")
    inset = box(page.locator("#viewer .overview"))
    page.mouse.click(inset["x"] + 0.9 * inset["width"], inset["y"] + 0.5 * inset["height"])
    wait_for_stage(page, "view.x > 280")
    wait_for_new_preview(page, shown)

    before = calls["preview"]
    with site.enhancer.paused("preview"):
        drag(page, 200, 0)
        wait_until(lambda: calls["preview"] > before)
        wait_for_chip(page, "running")
        before = calls["preview"]
        drag(page, 200, 0)
        wait_until(lambda: calls["preview"] > before)
    wait_for_chip(page, "matches")


EIGHT_MOVES = """(slider) => {
  for (let move = 1; move <= 8; move++) {
    slider.value = String(1.05 + 0.05 * move);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""
RECORD_STATES = """() => {
  window.states = [];
  const record = () => window.states.push(document.querySelector("#chip .chip")?.dataset.state);
  new MutationObserver(record).observe(document.body, { childList: true, subtree: true });
}"""


def test_a_quick_preview_becomes_an_exact_one_which_sliders_change_without_the_network(
    site: Site, open_page, monkeypatch
):
    monkeypatch.setattr("enhance.web.preview._QUICK_SECONDS", 0.0)
    page, calls = open_page("?preset=anime-fast"), site.enhancer.calls
    page.evaluate(RECORD_STATES)
    load(page, site.photo("pixels.png", 128, 128))
    assert "quick" in page.evaluate("window.states")
    assert not data_of(page, "preview")["quick"]
    assert stage(page)["layers"]["after"] == 1, "the quick image is replaced"
    expect(page.locator("#viewer output")).to_have_text("100%")
    knob = page.locator("#viewer .knob")
    knob.focus()
    page.keyboard.press("Home")
    expect(knob).to_have_attribute("aria-valuenow", "0")
    page.wait_for_function("window.enhanceView().split === 0")
    preview = data_of(page, "preview")
    after = np.asarray(Image.open(io.BytesIO(httpx.get(images(page)[1]).content)), float)
    assert after.shape[:2] == (512, 512) == (preview["window"][3], preview["window"][2])
    rect, view = box(page.locator("#viewer canvas")), stage(page)
    left, top = (
        rect["x"] + round(rect["width"] / 2 - 4 * view["x"]),
        rect["y"] + round(rect["height"] / 2 - 4 * view["y"]),
    )
    page.mouse.move(0, 0)
    inside = {"x": left + 100, "y": top + 100, "width": 300, "height": 300}
    shown = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=inside))).convert("RGB"), float)
    errors = {shift: np.abs(shown - after[100:400, 100 + shift : 400 + shift]).mean() for shift in (-1, 0, 1)}
    assert errors[0] < 1.5
    assert errors[0] < 0.5 * min(errors[-1], errors[1])

    knob.focus()
    page.keyboard.press("ArrowRight")
    expect(knob).to_have_attribute("aria-valuenow", "2")
    x, y = middle(knob)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(middle(page.locator("#viewer canvas"))[0] + 150, y, steps=3)
    page.mouse.up()
    wait_for_stage(page, "view.split > 0.6")
    tag = page.locator("#viewer .tag.before")
    line = page.locator("#viewer .line")
    at = box(line)["x"]
    page.keyboard.down("b")
    page.wait_for_function(
        "(at) => document.querySelector('#viewer .line').getBoundingClientRect().x > at + 200", arg=at
    )
    expect(tag).to_be_visible()
    page.keyboard.up("b")
    page.wait_for_function("(at) => document.querySelector('#viewer .line').getBoundingClientRect().x === at", arg=at)

    monkeypatch.undo()
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
    shown = data_of(page, "preview")["signature"]
    with site.enhancer.failing("preview", EnhanceError("memory_short")):
        page.locator("#retry").click()
        wait_for_chip(page, "failed")
        expect(problem).to_be_visible()
        assert data_of(page, "preview")["signature"] == shown
    page.locator("#retry").click()
    before = wait_for_new_preview(page, before)
    expect(problem).to_have_count(0)

    open_tuning(page)
    page.locator("#tuning input").uncheck()
    wait_for_new_preview(page, before)
    for slider in ("strength", "fidelity", "sharpen", "saturation", "contrast"):
        expect(page.locator(f"#{slider} input[type=range]")).to_be_disabled()
