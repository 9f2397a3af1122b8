"""The preview: quick, then exact to the pixel, and changed by sliders without the network."""

import io
import threading
from urllib.parse import urljoin

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import expect

from ..site import wait_until
from .journey import (
    box,
    choose,
    download,
    enhance,
    number,
    open_section,
    press,
    see,
    wait_for,
    wait_for_chip,
    wait_for_new_preview,
)

EIGHT_MOVES = """(slider) => {
  for (let move = 1; move <= 8; move++) {
    slider.value = String(1.05 + 0.05 * move);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""


def expect_regions(page):
    """Check the address from which the stage gets regions of its photo of 128 × 128 px."""
    address = urljoin(page.url, see(page, "plan.photo.address"))

    def region(**values):
        return httpx.get(
            address, params={"left": 0, "top": 0, "width": 128, "height": 128, "step": 4, **values}
        )

    assert Image.open(io.BytesIO(region().content)).size == (32, 32)
    wrongs = [
        {"left": 1},
        {"width": 0},
        {"top": -1},
        {"step": 0},
        {"step": "x"},
    ]
    for wrong in [*wrongs, {"height": 10**9}]:
        assert region(**wrong).status_code == 400


def shown_pixels(page, side):
    """Return the middle of the stage, a square of this side, as it is on the screen."""
    rect = box(page.locator("#stage canvas"))
    left, top = rect["x"] + rect["width"] / 2 - side / 2, rect["y"] + rect["height"] / 2 - side / 2
    image = page.screenshot(clip={"x": left, "y": top, "width": side, "height": side})
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"), float)


def shows(page, preview, left, top):
    """Return whether the middle of the stage has the pixels of a preview at 1:1, not beside them.

    `left` and `top` are the place of the preview in the result.
    """
    x, y = (round(4 * at - 100) for at in see(page, "[stage.x, stage.y]"))
    seen = shown_pixels(page, 200)

    def difference(shift):
        column = x - left + shift
        expected = preview[y - top : y - top + 200, column : column + 200]
        return float(np.abs(seen - expected).mean())

    return difference(0) < min(1.5, difference(-1) / 2, difference(1) / 2)


def test_a_quick_preview_becomes_an_exact_one_that_the_result_equals(
    site, visit, tmp_path, monkeypatch
):
    monkeypatch.setattr("enhance.web.preview._QUICK_SECONDS", 0.0)
    page, calls = visit("?preset=anime-fast"), site.enhancer.calls
    is_seen, preview_now = threading.Event(), site.enhancer.preview_region

    def preview_slowly(*given, **named):
        if calls["preview"] > before:
            is_seen.wait(60)
        return preview_now(*given, **named)

    before = calls["preview"]
    monkeypatch.setattr(site.enhancer, "preview_region", preview_slowly)
    choose(page, site.photo("pixels.png", 128, 128))
    wait_for(page, "chip === 'quick' && preview.isQuick && preview.signature === null")
    is_seen.set()
    wait_for(page, "chip === 'matches' && !preview.isQuick && preview.signature === plan.signature")
    monkeypatch.undo()
    expect_regions(page)
    open_section(page, "tuning")

    # The stage shows the pixels of the preview at 1:1, and the result has the same.
    page.locator("#stage [data-act=actual]").click()
    page.locator("#handle").focus()
    page.keyboard.press("Home")
    wait_for(page, "stage.split === 0 && stage.zoom === 1")
    page.mouse.move(0, 0)
    address = urljoin(page.url, see(page, "preview.after"))
    after = np.asarray(Image.open(io.BytesIO(httpx.get(address).content)).convert("RGB"), float)
    left, top, width, height = see(page, "preview.window")
    # The stage draws in a later frame than its state changes.
    wait_until(lambda: shows(page, after, left, top))
    enhance(page)
    with Image.open(download(page, tmp_path)) as file:
        result = np.asarray(file.convert("RGB"), float)
    assert np.array_equal(result[top : top + height, left : left + width], after)

    # Sliders need no network. Eight moves in a row are one or two previews.
    preview, previews, changes = see(page, "preview.after"), calls["preview"], calls["adjust"]
    press(page, "saturation", "ArrowRight")
    preview = wait_for_new_preview(page, preview)
    page.locator("#saturation input[type=range]").evaluate(EIGHT_MOVES)
    wait_for_new_preview(page, preview)
    expect(number(page, "saturation")).to_have_value("1.45")
    assert calls["preview"] == previews
    assert 2 <= calls["adjust"] - changes <= 3

    page.locator("#retry").click()
    wait_for(page, "chip === 'waiting' || chip === 'matches'")
    wait_for_chip(page, "matches")
