"""The preview: the area that it shows, the sliders that change it, and what happens when it fails."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urljoin

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Page

from enhance import EnhanceError

from ..site import Site, wait_until
from .journey import (
    box,
    data_of,
    expect,
    images,
    load,
    number,
    open_tuning,
    press,
    stage,
    wait_for_chip,
    wait_for_new_preview,
)


def expect_regions(page: Page) -> None:
    """Check the address from which the stage gets regions of its photo of 128 × 128 px."""
    address = urljoin(page.url, data_of(page, "photo")["address"])

    def region(address: str = address, **values: int | str) -> httpx.Response:
        return httpx.get(address, params={"left": 0, "top": 0, "width": 128, "height": 128, "step": 4, **values})

    assert Image.open(io.BytesIO(region().content)).size == (32, 32)
    wrongs: list[dict[str, Any]] = [{"left": 1}, {"width": 0}, {"top": -1}, {"step": 0}, {"step": "x"}]
    for wrong in [*wrongs, {"height": 10**9}]:
        assert region(**wrong).status_code == 400


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
    documented = page.evaluate("fetch('gradio_api/info').then((one) => one.json())")["named_endpoints"]["/preview"]
    names = {one["parameter_name"] for one in documented["parameters"]}
    assert "left" in names
    assert "format" not in names, "the format has no effect on a preview"
    page.evaluate(RECORD_STATES)
    load(page, site.photo("pixels.png", 128, 128))
    expect_regions(page)
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
