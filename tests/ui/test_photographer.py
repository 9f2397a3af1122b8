"""A photographer prints a photo of 24 megapixels, without the GPS location."""

import hashlib
import math

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from skimage import data

from enhance.i18n import format_bytes

from ..unit.image_files import rgb_profile
from ..unit.pdf_text import text_of
from .journey import (
    box,
    download,
    drag,
    enhance,
    load,
    middle,
    number,
    pick,
    press,
    see,
    select,
    wait_for,
    wait_for_chip,
    wait_for_new_preview,
)

MAKE, GPS = 0x010F, 0x8825


def camera_photo(path):
    """Write a sharp JPEG of 6,000 × 4,000 px with a GPS location, a camera and a colour profile."""
    exif = Image.Exif()
    exif[MAKE] = "Lantern"
    exif[GPS] = {1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 20.0, 0.0)}
    sharp = Image.fromarray(data.astronaut()).resize((250, 250), Image.Resampling.LANCZOS)
    pixels = np.tile(np.asarray(sharp), (16, 24, 1))
    Image.fromarray(pixels).save(path, quality=95, exif=exif, icc_profile=rgb_profile())
    return path


def test_a_photographer_prints_a_large_photo_without_its_location(site, visit, tmp_path):
    page, calls = visit(), site.enhancer.calls
    load(page, camera_photo(site.files / "DSC_0412.jpg"))
    assert see(page, "stage.zoom") == 1
    canvas, fit = page.locator("#stage canvas"), page.locator("#stage [data-act=fit]")
    preview = see(page, "preview.after")

    # She looks at the whole photo. The wheel zooms to actual pixels at the pointer, and what is
    # visible is previewed.
    fit.click()
    wait_for(page, "stage.zoom < 0.1")
    expect(fit).to_have_attribute("aria-pressed", "true")
    rect = box(canvas)
    # The wheel has whole pixels of the screen, and the middle of the stage can lie between two.
    centre = rect["x"] + rect["width"] / 2, rect["y"] + rect["height"] / 2
    pointer = round(centre[0]) + 200, round(centre[1]) + 150
    across, down = pointer[0] - centre[0], pointer[1] - centre[1]
    page.mouse.move(*pointer)
    under = f"[stage.x + {across} / 4 / stage.zoom, stage.y + {down} / 4 / stage.zoom]"
    before = see(page, under)
    page.mouse.wheel(0, 400 * math.log2(see(page, "stage.zoom")))
    wait_for(page, "stage.zoom === 1")
    assert see(page, under) == pytest.approx(before, abs=1), "the point under the pointer stays"
    preview = wait_for_new_preview(page, preview)

    # She moves the divider, pans, and selects another area in the overview.
    handle = page.locator("#handle")
    page.mouse.move(*middle(handle))
    page.mouse.down()
    page.mouse.move(middle(handle)[0] + 150, middle(handle)[1], steps=3)
    page.mouse.up()
    wait_for(page, "stage.split > 0.6")
    corner = see(page, "[stage.x, stage.y]")
    drag(page, -80, 40)
    preview = wait_for_new_preview(page, preview)
    assert see(page, "[stage.x, stage.y]") == pytest.approx([corner[0] + 20, corner[1] - 10])
    overview = box(page.locator("#stage .overview"))
    page.mouse.click(
        overview["x"] + 0.9 * overview["width"], overview["y"] + 0.5 * overview["height"]
    )
    wait_for(page, "stage.x > 5000")
    preview = wait_for_new_preview(page, preview)

    # A slider changes the preview, but the network does not run again. Until then the old preview
    # stays.
    previews = calls["preview"]
    with site.enhancer.paused("adjust"):
        press(page, "contrast", "ArrowRight")
        wait_for_chip(page, "outdated")
        assert see(page, "preview.after") == preview
    preview = wait_for_new_preview(page, preview)
    assert calls["preview"] == previews
    page.locator("#reset").click()
    preview = wait_for_new_preview(page, preview)

    # She compares the presets on what she sees, and takes the one of Auto.
    page.locator("#compare-presets").click()
    tiles = page.locator("#comparison .tile")
    expect(tiles.first).to_be_visible()
    page.locator("#comparison .tile[data-preset=precise]").click()
    expect(tiles).to_have_count(0)
    wait_for(page, "state.preset === 'auto' && chip === 'matches'")

    # As A3, the photo is large enough. She wants a small print.
    page.mouse.dblclick(*middle(canvas))
    expect(fit).to_have_attribute("aria-pressed", "true")
    pick(page, "size", "print")
    pick(page, "paper", "a3")
    expect(page.locator("#bar")).to_contain_text("4,961 × 3,307 px")
    expect(page.locator("#presets")).to_contain_text("large enough, so Resize")
    wait_for_chip(page, "matches")
    pick(page, "paper", "own")
    width, height = number(page, "print_width"), number(page, "print_height")
    width.fill("")
    height.fill("")
    expect(page.locator("#size-notice [role=alert]")).to_contain_text("Width")
    expect(page.locator("#enhance")).to_be_disabled()
    width.fill("15.24")
    number(page, "dpi").fill("150")
    expect(page.locator("#bar")).to_contain_text("900 × 600 px")

    # She removes the location, and enhances.
    expect(page.locator("#facts")).to_contain_text("Location")
    page.get_by_role("button", name="Remove location").click()
    wait_for(page, "state.encoding.metadata === 'no-location'")
    expect(page.locator("#facts")).to_contain_text("Will be removed")
    select(page, "format", "JPEG")
    enhance(page)
    assert see(page, "[result.info.output.width, result.info.output.height]") == [900, 600]
    path = download(page, tmp_path)
    with Image.open(path) as file:
        exif = file.getexif()
        assert (path.name, file.format, file.size) == (
            "DSC_0412-15.2x10.2cm.jpg",
            "JPEG",
            (900, 600),
        )
        assert [round(one) for one in file.info["dpi"]] == [150, 150]
        assert (exif[MAKE], exif.get_ifd(GPS)) == ("Lantern", {})
        assert file.info["icc_profile"] == rgb_profile()

    # The report is that of the file that she downloaded.
    report = text_of(download(page, tmp_path, "#report"), tmp_path, page=2)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for fact in (
        path.name,
        f"{format_bytes(path.stat().st_size)} · JPEG, quality 92",
        sha256,
    ):
        assert fact in report

    # With a slider moved and put back, the result is that of the controls again.
    press(page, "contrast", "ArrowRight")
    expect(page.locator("#enhance")).to_be_enabled()
    runs = calls["run"]
    press(page, "contrast", "ArrowLeft")
    expect(page.locator("#download")).to_be_enabled()
    expect(page.locator("#enhance")).to_have_count(0)
    assert calls["run"] == runs

    page.locator("#again").click()
    wait_for(page, "!stage.mode && !state.file")
