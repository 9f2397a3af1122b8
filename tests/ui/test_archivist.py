"""An archivist enhances scans of 16 bits without loss, and comes back for the result."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import urljoin

import httpx
import numpy as np
import tifffile
from PIL import Image
from playwright.sync_api import Page

from ..site import Site, photo, wait_until
from ..unit.image_files import rgb_profile
from ..unit.pdf_text import text_of
from .journey import (
    box,
    download,
    drag,
    enhance,
    expect,
    expect_chosen,
    has_focus,
    history,
    images,
    load,
    number,
    pick,
    stage,
    wait_for_new_preview,
    wait_for_stage,
)

MAKE, RESOLUTION, ICC = 271, (600, 600), 34675


def scan(path: Path, pixels: np.ndarray) -> Path:
    """Write a scan of 16 bits for uint8 [H, W, 3], with a resolution, a scanner and a colour profile."""
    options = {"resolution": RESOLUTION, "resolutionunit": 2, "iccprofile": rgb_profile(), "metadata": None}
    extra = [(MAKE, "s", 0, "Lantern", True)]
    tifffile.imwrite(path, pixels.astype(np.uint16) * 257, photometric="rgb", extratags=extra, **options)
    return path


def new_tab(page: Page, site: Site) -> Page:
    tab = page.context.new_page()
    tab.goto(f"{site.url}?preset=anime-fast")
    tab.locator("body.opened").wait_for()
    return tab


def test_an_archivist_keeps_16_bits_and_finds_the_result_again(site: Site, open_page, tmp_path):
    page = open_page("?preset=anime-fast")
    margins = np.full((1200, 2400, 3), 128, np.uint8)
    margins[850:1050, 2000:2200] = photo(200, 200)

    # A comparison of a whole scan shows its most detailed part.
    load(page, scan(site.files / "margins.tif", margins))
    page.locator("#viewer [data-act=fit]").click()
    wait_for_stage(page, "view.zoom < 1")
    compare, cells = page.locator("#compare-presets"), page.locator("#comparison .cell")
    with site.enhancer.paused("cell"):
        compare.click()
        before = page.locator(".cell.before img")
        expect(before).to_be_visible()
        detail = httpx.get(urljoin(page.url, before.get_attribute("src"))).content
        compare.click()
    assert np.asarray(Image.open(io.BytesIO(detail)).convert("L")).std() > 20

    # All presets are compared on a narrow scan. The selected one is not computed again.
    load(page, scan(site.files / "strip.tif", photo(128, 8)))
    shown = images(page)
    compare.click()
    expect(page.locator("#comparison-progress")).to_contain_text("All presets are done.")
    expect(page.locator(".cell.failed, .cell.pending")).to_have_count(0)
    page.set_viewport_size({"width": 320, "height": 844})
    boxes = cells.evaluate_all("all => all.map((one) => one.getBoundingClientRect())")
    assert all(one["left"] >= 0 and one["right"] <= 320 for one in boxes)
    page.wait_for_timeout(600)  # for a preview of the new view, which would close the comparison
    expect(page.locator("button.cell").nth(3)).to_be_visible()
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

    # The result is a lossless TIFF of 16 bits with the metadata of the scan.
    original = scan(site.files / "plate.tif", np.tile(photo(200, 340), (1, 2, 1)))
    content = original.read_bytes()
    pick(page, "preset", "anime-fast")
    load(page, original)
    pick(page, "format", "tiff")
    expect_chosen(page, metadata="keep")
    enhance(page)
    for fact in ("plate-4x.tif", "2,720 × 800 px", "TIFF"):
        expect(page.locator("#facts dl").first).to_contain_text(fact)
    expect(page.locator("#done .note")).to_have_text("TIFF")
    path = download(page, tmp_path)
    with tifffile.TiffFile(path) as file:
        scanned, pixels = file.pages.first.tags, file.asarray()
        assert (pixels.dtype, pixels.shape) == (np.uint16, (800, 2720, 3))
        assert scanned["Compression"].value in (1, 8, 32946)  # lossless
        assert scanned[ICC].value == rgb_profile()
        assert (scanned[MAKE].value, scanned["XResolution"].value) == ("Lantern", (600, 1))
    assert len(np.unique(pixels % 257)) > 200, "more than 8 bits are used"
    assert original.read_bytes() == content
    runs = site.enhancer.calls["run"]
    assert b"DigitalSourceType" in path.read_bytes()
    page.locator("#section-format .fold").click()
    page.get_by_label("Label as machine-enhanced").uncheck()
    assert b"DigitalSourceType" not in download(page, tmp_path).read_bytes()
    pick(page, "format", "jpeg")
    expect(page.locator("#download-message .note")).to_contain_text("8-bit JPEG")
    expect(page.locator("#done .note")).to_have_text("JPEG")
    pick(page, "format", "tiff")
    expect(page.locator("#download-message .note")).to_have_count(0)
    assert site.enhancer.calls["run"] == runs
    report = text_of(download(page, tmp_path, "#report"), tmp_path)
    for fact in ("plate-4x.tif", "16-bit", "realesr-animevideov3"):
        assert fact in report

    # The area with the lowest fidelity is shown at 1:1, with the pixels of the file.
    place = page.locator("#done [data-place]")
    left, top = map(int, (place.get_attribute("data-place") or "").split(","))
    place.press("Enter")
    page.wait_for_function(
        """([left, top]) => {
          const view = window.enhanceView(), stage = document.querySelector("#viewer canvas");
          const offsets = [4 * Math.abs(view.x - left), 4 * Math.abs(view.y - top)];
          const isDivided = Math.abs(Math.abs(view.split - 0.5) * stage.clientWidth - offsets[0]) < 2;
          const isVisible = offsets[0] < stage.clientWidth / 2 && offsets[1] < stage.clientHeight / 2;
          return view.zoom === 1 && isDivided && isVisible;
        }""",
        arg=[left, top],
    )
    page.locator("#viewer [data-act=fit]").click()
    page.locator("#viewer [data-act=actual]").click()
    drag(page, 300, 0)
    wait_for_stage(page, "view.layers.result >= 1")
    page.locator("#viewer .knob").focus()
    page.keyboard.press("Home")
    wait_for_stage(page, "view.split === 0")
    rect, view = box(page.locator("#viewer canvas")), stage(page)
    left, top = (round(4 * view[axis] - rect[side] / 2) for axis, side in (("x", "width"), ("y", "height")))
    inside = {"x": rect["x"] + 200, "y": rect["y"] + 200, "width": 300, "height": 200}
    seen = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=inside))).convert("RGB"), float)
    expected = pixels[top + 200 : top + 400, left + 200 : left + 500] / 257
    assert np.abs(seen - expected).mean() < 2

    # The archivist closes the tab during the next run, and finds the result in a new tab.
    load(page, scan(site.files / "second.tif", photo(300, 48)))
    with site.enhancer.paused("progress"):
        page.locator("#enhance").click()
        expect(page.locator("#progress progress[value]")).to_be_visible()
        tab = new_tab(page, site)
        page.close()
    wait_until(lambda: site.enhancer.status()["running"] == 0)
    tab.reload()
    second = history(tab).first
    expect(second).to_contain_text("second.tif")
    assert download(tab, tmp_path, second.locator("[data-act=download]")).name == "second-4x.tif"
    second.locator("[data-act=open]").click()
    wait_for_stage(tab, "view.mode === 'result' && view.result")
    expect(tab.locator("#facts")).to_contain_text("second")

    # All results are under Recent results.
    expect(history(tab)).to_contain_text(["second.tif", "plate.tif"])
    history(tab).nth(1).locator("[data-act=open]").click()
    wait_for_stage(tab, "view.mode === 'result' && view.result")
    expect(tab.locator("#facts")).to_contain_text("plate")
    tab.close()
