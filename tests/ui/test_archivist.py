"""An archivist enhances scans of 16 bits without loss, by keyboard, and comes back for the
result."""

import io

import numpy as np
import tifffile
from PIL import Image
from playwright.sync_api import expect

from ..site import photo, wait_until
from ..unit.image_files import rgb_profile
from ..unit.pdf_text import text_of
from .journey import (
    box,
    download,
    drag,
    enhance,
    load,
    open_section,
    pick,
    see,
    select,
    wait_for,
)

MAKE, RESOLUTION, ICC = 271, (600, 600), 34675


def scan(path, pixels):
    """Write a scan of 16 bits for uint8 [H, W, 3], with a resolution, a scanner and a colour
    profile."""
    options = {
        "resolution": RESOLUTION,
        "resolutionunit": 2,
        "iccprofile": rgb_profile(),
        "metadata": None,
    }
    extra = [(MAKE, "s", 0, "Lantern", True)]
    tifffile.imwrite(
        path, pixels.astype(np.uint16) * 257, photometric="rgb", extratags=extra, **options
    )
    return path


def test_an_archivist_keeps_16_bits_and_every_pixel(site, visit, tmp_path):
    page, calls = visit("?preset=anime-fast"), site.enhancer.calls
    original = scan(site.files / "plate.tif", np.tile(photo(200, 340), (1, 2, 1)))
    content = original.read_bytes()
    load(page, original)
    select(page, "format", "TIFF")
    enhance(page)
    assert calls["run"]

    # The file has all that the scan had, and more than 8 bits.
    path = download(page, tmp_path)
    assert path.name == "plate-4x.tif"
    with tifffile.TiffFile(path) as file:
        scanned, pixels = file.pages.first.tags, file.asarray()
        assert (pixels.dtype, pixels.shape) == (np.uint16, (800, 2720, 3))
        assert scanned["Compression"].value in (1, 8, 32946)  # lossless
        assert scanned[ICC].value == rgb_profile()
        assert (scanned[MAKE].value, scanned["XResolution"].value) == ("Lantern", (600, 1))
    assert len(np.unique(pixels % 257)) > 200, "more than 8 bits are used"
    assert b"DigitalSourceType" in path.read_bytes()
    assert original.read_bytes() == content
    report = text_of(download(page, tmp_path, "#report"), tmp_path)
    for fact in ("plate-4x.tif", "16-bit", "realesr-animevideov3"):
        assert fact in report

    # Another format, another label: no other run.
    runs = calls["run"]
    open_section(page, "format")
    page.locator("#label input").uncheck()
    assert b"DigitalSourceType" not in download(page, tmp_path).read_bytes()
    select(page, "format", "JPEG")
    assert download(page, tmp_path).suffix == ".jpg"
    expect(page.locator("#summary")).to_contain_text("8-bit JPEG")
    assert calls["run"] == runs

    # The stage shows exactly the pixels of the file, at 1:1.
    page.locator("#stage [data-act=actual]").click()
    drag(page, 300, 0)
    wait_for(page, "stage.zoom === 1")
    page.locator("#handle").focus()
    page.keyboard.press("Home")
    wait_for(page, "stage.split === 0")
    # The stage draws in a later frame than its state changes.
    wait_until(lambda: shows(page, pixels / 257))

    # Another size comes from the kept output of the network.
    pick(page, "size", "2x")
    enhance(page)
    with Image.open(download(page, tmp_path)) as half:
        assert half.size == (1360, 400)


def shows(page, pixels):
    """Return whether the stage has these pixels [H, W, 3] of the whole result at 1:1."""
    rect, view = box(page.locator("#stage canvas")), see(page, "stage")
    left, top = (
        round(4 * view[axis] - rect[side] / 2) for axis, side in (("x", "width"), ("y", "height"))
    )
    inside = {"x": rect["x"] + 200, "y": rect["y"] + 200, "width": 300, "height": 200}
    seen = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=inside))).convert("RGB"), float)
    expected = pixels[top + 200 : top + 400, left + 200 : left + 500]
    return float(np.abs(seen - expected).mean()) < 2
