"""A photographer prints a photo of 24 megapixels, without the GPS location."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from ..site import Site
from ..unit.image_files import rgb_profile
from ..unit.pdf_text import text_of
from .journey import (
    box,
    download,
    drag,
    enhance,
    expect,
    expect_chosen,
    expect_result_size,
    images,
    load,
    middle,
    pick,
    press,
    result_is,
    stage,
    wait_for_chip,
    wait_for_new_preview,
    wait_for_stage,
)

MAKE, GPS = 0x010F, 0x8825
UNDER = "(at) => [0, 1].map((axis) => [view.x, view.y][axis] + at[axis] / 4 / view.zoom)"

COVERED = """() => {
  window.covered = new Set();
  const look = () => {
    for (const cover of document.querySelectorAll("[data-testid=status-tracker], .html-container.pending")) {
      const seen = cover.getBoundingClientRect().height > 0 && getComputedStyle(cover).opacity !== "0";
      if (seen && !cover.classList.contains("hide")) window.covered.add(cover.closest("[id]").id);
    }
    requestAnimationFrame(look);
  };
  look();
}"""
"""Record which parts of the page are dimmed or covered from now on."""


def camera_photo(path: Path) -> Path:
    """Write a sharp JPEG of 6,000 × 4,000 px with a GPS location, a camera and a colour profile."""
    exif = Image.Exif()
    exif[MAKE] = "Lantern"
    exif[GPS] = {1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 20.0, 0.0)}
    sharp = Image.fromarray(data.astronaut()).resize((250, 250), Image.Resampling.LANCZOS)
    pixels = np.tile(np.asarray(sharp), (16, 24, 1))
    Image.fromarray(pixels).save(path, quality=95, exif=exif, icc_profile=rgb_profile())
    return path


def test_a_photographer_prints_a_large_photo_without_its_location(site: Site, open_page, tmp_path):
    page = open_page()
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    load(page, camera_photo(site.files / "DSC_0412.jpg"))
    canvas, zoom, fit = page.locator("#viewer canvas"), page.locator("#viewer output"), "#viewer [data-act=fit]"
    why, problem = page.locator("#why"), page.locator("#size-problem .problem")
    note = page.locator("#preset label.selected:has([value=auto]) .about")

    # She sees the whole photo, and the wheel zooms to actual pixels. The visible area is enhanced by itself.
    shown = images(page)
    page.locator(fit).click()
    wait_for_stage(page, "view.zoom < 0.1")
    expect(page.locator(fit)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#viewer .overview")).to_be_hidden()
    expect(page.locator("#viewer .zoom-hint")).to_be_visible()
    rect = box(canvas)
    at = [200, 150]
    page.mouse.move(rect["x"] + rect["width"] / 2 + at[0], rect["y"] + rect["height"] / 2 + at[1])
    before = page.evaluate(f"(at) => {{ const view = window.enhanceView(); return ({UNDER})(at); }}", at)
    page.mouse.wheel(0, 400 * math.log2(stage(page)["zoom"]))
    wait_for_stage(page, "view.zoom === 1 && view.layers.after >= 1")
    after = page.evaluate(f"(at) => {{ const view = window.enhanceView(); return ({UNDER})(at); }}", at)
    assert after == pytest.approx(before, abs=2), "the point under the mouse stays"
    expect(zoom).to_have_text("100%")
    shown = wait_for_new_preview(page, shown)

    # She moves the before/after divider, pans, and selects another area in the overview.
    knob = page.locator("#viewer .knob")
    page.mouse.move(*middle(knob))
    page.mouse.down()
    page.mouse.move(middle(canvas)[0] + 150, middle(knob)[1], steps=3)
    page.mouse.up()
    wait_for_stage(page, "view.split > 0.6")
    corner = stage(page)
    drag(page, -80, 40)
    shown = wait_for_new_preview(page, shown)
    assert (stage(page)["x"], stage(page)["y"]) == (corner["x"] + 20, corner["y"] - 10)
    inset = box(page.locator("#viewer .overview"))
    page.mouse.click(inset["x"] + 0.9 * inset["width"], inset["y"] + 0.5 * inset["height"])
    wait_for_stage(page, "view.x > 5000")
    shown = wait_for_new_preview(page, shown)
    page.mouse.dblclick(*middle(canvas))
    expect(page.locator(fit)).to_have_attribute("aria-pressed", "true")

    # As A3, the photo is large enough. She wants a small print.
    expect_chosen(page, sizes="4x", preset="auto")
    pick(page, "sizes", "print")
    expect(page.locator("#print_width")).to_be_hidden()
    pick(page, "paper", "a3")
    expect(why).to_contain_text("4,961 × 3,307 px")
    expect(note).to_contain_text("The photo is large enough, so Resize, about")
    pick(page, "paper", "own")
    width, height, dpi = (page.locator(f"#{name} input") for name in ("print_width", "print_height", "dpi"))
    expect(width).to_have_value("42")
    width.fill("")
    height.fill("")
    expect(problem).to_contain_text("Width (cm) is empty.")
    width.fill("15.24")
    dpi.fill("150")
    expect(why).to_contain_text("900 × 600 px")
    height.fill("11.43")
    expect(why).to_contain_text("900 × 600 px")

    # She removes the location, and enhances.
    expect(page.locator("#location .location")).to_be_visible()
    expect_chosen(page, metadata="keep")
    page.locator("#location button").click()
    expect_chosen(page, metadata="no-location")
    pick(page, "format", "jpeg")
    expect(page.locator("#quality")).to_be_visible()
    enhance(page)
    wait_for_stage(page, "view.mode === 'result' && view.result")
    expect_result_size(page, 900, 600)
    path = download(page, tmp_path)
    with Image.open(path) as file:
        exif = file.getexif()
        assert (path.name, file.format, file.size) == ("DSC_0412-15.2x10.2cm.jpg", "JPEG", (900, 600))
        assert [round(one) for one in file.info["dpi"]] == [150, 150]
        assert (exif[MAKE], exif.get_ifd(GPS)) == ("Lantern", {})
        assert file.info["icc_profile"] == rgb_profile()

    # The report describes the file that was downloaded.
    runs = site.enhancer.calls["run"]
    report = text_of(download(page, tmp_path, "#report"), tmp_path, page=2)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for fact in (path.name, f"{path.stat().st_size:,} bytes · JPEG, quality 92", sha256[:32], sha256[32:]):
        assert fact in report
    press(page, "contrast", "ArrowRight")
    result_is(page, "outdated")
    press(page, "contrast", "ArrowLeft")
    result_is(page, "matches")
    expect(page.locator("#enhance")).to_have_count(0)
    assert site.enhancer.calls["run"] == runs

    # Another run covers nothing: the earlier result stays until it ends.
    press(page, "contrast", "ArrowRight")
    result_is(page, "outdated")
    wait_for_chip(page, "matches")
    page.evaluate(COVERED)
    with site.enhancer.paused("run"):
        page.locator("#enhance").click()
        expect(page.locator("#cancel")).to_be_enabled()
        assert (stage(page)["photo"], stage(page)["result"]) == (True, True)
        expect(page.locator("#facts")).to_contain_text("DSC_0412.jpg")
    result_is(page, "matches")
    assert page.evaluate("[...window.covered]") == []

    page.locator("#link").click()
    link = page.wait_for_function("window.copied").json_value()
    assert "paper=own&print_width=15.24&print_height=11.43&dpi=150" in link
    page.locator("#again").click()
    wait_for_chip(page, "none")
    expect(page.locator("[data-result], [data-photo]")).to_have_count(0)
